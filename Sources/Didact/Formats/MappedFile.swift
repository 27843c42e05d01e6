import CPlatform

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The content of a regular file in the address space, read from disk where it is touched, so that it may be larger than
/// memory. Never written to. A file may be written to or become shorter meanwhile; bytes that are gone read as zeros.
/// `BorrowedArray.checkNoneLost` tells; whoever has read an array that may be mapped calls it.
/// - Throws: `DidactError.file` with the path and the system's reason.
func mapFile(_ path: String) throws -> Buffer {
  let (descriptor, length) = try openRegularFile(path)
  defer { close(descriptor) }
  guard length > 0 else { return try Buffer(byteCount: 0) }
  var address: UnsafeMutableRawPointer?
  let status = platform_map(descriptor, Int64(length), &address)
  guard status == 0, let address else { throw fileError("could not map", path, status) }
  return Buffer(borrowing: address, byteCount: length, owner: Mapping(address: address, length: length, path: path))
}

/// Reads something from a mapped file.
/// - Throws: what `body` throws, with the path in front.
func readMapped<Result>(_ path: String, _ body: (Buffer) throws -> Result) throws -> Result {
  let content = try mapFile(path)
  let result: Result
  do {
    result = try body(content)
  } catch let error as DidactError {
    // A file that changed meanwhile is no fault of its format.
    try Mapping.checkNoneLost(content.address, byteCount: content.byteCount)
    throw error.at(path)
  }
  try Mapping.checkNoneLost(content.address, byteCount: content.byteCount)
  return result
}

extension BorrowedArray {
  /// - Throws: `DidactError.file` naming the file where the elements are those of a mapped file that was written to or became shorter.
  func checkNoneLost() throws {
    // Every prediction asks.
    guard platform_has_mappings() else { return }
    let (a, b, c, d) = strides
    // From the first element in memory to the last one.
    let ends = [(a, shape[0]), (b, shape[1]), (c, shape[2]), (d, shape[3])].map { $0 * max(0, $1 - 1) }
    let first = ends.filter { $0 < 0 }.reduce(0, +), last = ends.filter { $0 > 0 }.reduce(0, +)
    try Mapping.checkNoneLost(address + first, byteCount: last - first + elementType.byteCount)
  }
}

private final class Mapping {
  /// The files by where they are mapped.
  private static let paths = Locked<[UnsafeRawPointer: String]>([:])

  private let address: UnsafeMutableRawPointer
  private let length: Int

  init(address: UnsafeMutableRawPointer, length: Int, path: String) {
    self.address = address
    self.length = length
    Mapping.paths.withLock { $0[address] = path }
  }

  deinit {
    _ = Mapping.paths.withLock { $0.removeValue(forKey: address) }
    platform_unmap(address, Int64(length))
  }

  static func checkNoneLost(_ address: UnsafeRawPointer, byteCount: Int) throws {
    guard let mapping = platform_lost_mapping(address, address + byteCount) else { return }
    let path = paths.withLock { $0[mapping] } ?? "a mapped file"
    throw DidactError(
      .file,
      "\(path): it was written to while it was read; give the data again, as a file that nothing writes to meanwhile")
  }
}
