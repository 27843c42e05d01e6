/// Reading the bytes of files.

extension Buffer {
  /// The buffer's bytes, valid during the call.
  package func withBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
    try withExtendedLifetime(self) { try body(UnsafeRawBufferPointer(start: address, count: byteCount)) }
  }
}

extension UnsafeRawBufferPointer {
  /// The little-endian integer at `offset`, or nil where it does not lie inside.
  func littleEndian<Integer: FixedWidthInteger>(_ type: Integer.Type, at offset: Int) -> Integer? {
    guard offset >= 0, offset <= count - MemoryLayout<Integer>.size else { return nil }
    return Integer(littleEndian: loadUnaligned(fromByteOffset: offset, as: type))
  }

  /// The `length` bytes at `offset`, or nil where they do not all lie inside.
  func slice(at offset: Int, length: Int) -> UnsafeRawBufferPointer? {
    guard offset >= 0, length >= 0, offset <= count, length <= count - offset else { return nil }
    return UnsafeRawBufferPointer(rebasing: self[offset..<offset + length])
  }
}
