import CZlib

/// The entries of a ZIP file held in memory, as far as `.npz` files use them: stored or deflated, with 64-bit sizes.
struct ZipArchive {
  struct Entry {
    let name: String
    /// 0 stored, 8 deflated.
    let method: UInt16
    let checksum: UInt32
    /// As the directory declares them.
    let compressedLength: Int, length: Int
    let headerOffset: Int
  }

  let entries: [Entry]
  private let content: Buffer

  /// - Throws: `DidactError.format` where the directory is malformed, or an entry encrypted or otherwise compressed.
  init(_ content: Buffer) throws {
    self.content = content
    self.entries = try content.withBytes { try ZipArchive.readDirectory($0) }
  }

  /// The first bytes of an entry, at most `length` of them, for a look at what it says about its size.
  func readStart(of entry: Entry, length: Int) throws -> Buffer {
    let result = try Buffer(byteCount: min(length, entry.length))
    try extract(entry, into: result)
    return result
  }

  /// A whole entry.
  /// - Throws: `DidactError.format` where its length or checksum is not the declared one; `.outOfMemory`.
  func read(_ entry: Entry) throws -> Buffer {
    let result = try Buffer(byteCount: entry.length)
    try extract(entry, into: result)
    guard UInt32(truncatingIfNeeded: crc32_z(0, result.address, result.byteCount)) == entry.checksum else {
      throw DidactError(.format, "\(entry.name) is damaged: its checksum is wrong")
    }
    return result
  }

  /// Fills `output` with the entry's first bytes. Where it takes all of them, the entry must end there.
  private func extract(_ entry: Entry, into output: Buffer) throws {
    try content.withBytes { bytes in
      let packed = try ZipArchive.packedBytes(of: entry, in: bytes)
      if entry.method == 0 {
        // packed has the entry's length, which is at least the output's.
        UnsafeMutableRawBufferPointer(start: output.address, count: output.byteCount)
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: packed[..<output.byteCount]))
      } else {
        try inflateBytes(packed, into: output, mustEnd: output.byteCount == entry.length, name: entry.name)
      }
    }
  }

  private static func packedBytes(of entry: Entry, in bytes: UnsafeRawBufferPointer) throws -> UnsafeRawBufferPointer {
    let start = entry.headerOffset
    guard
      let localHeader = bytes.slice(at: start, length: 30),
      localHeader.littleEndian(UInt32.self, at: 0) == 0x0403_4b50,
      let nameLength = localHeader.littleEndian(UInt16.self, at: 26),
      let extraLength = localHeader.littleEndian(UInt16.self, at: 28),
      // The header lies inside, so that these sums cannot overflow.
      let packed = bytes.slice(
        at: start + 30 + Int(nameLength) + Int(extraLength), length: entry.compressedLength)
    else { throw DidactError(.format, "\(entry.name) does not lie inside the file; is it cut off?") }
    return packed
  }

  // MARK: Directory

  private static func readDirectory(_ bytes: UnsafeRawBufferPointer) throws -> [Entry] {
    let directory = try locateDirectory(bytes)
    var entries: [Entry] = []
    var names = Set<String>()
    var offset = directory.offset
    for _ in 0..<directory.entryCount {
      let (entry, length) = try readEntry(bytes, at: offset)
      guard names.insert(entry.name).inserted else {
        throw DidactError(.format, "two entries are called \(entry.name)")
      }
      entries.append(entry)
      offset += length
    }
    return entries
  }

  /// Where the directory starts, and how many entries it has.
  private static func locateDirectory(
    _ bytes: UnsafeRawBufferPointer
  ) throws -> (offset: Int, entryCount: UInt64) {
    let noArchive = DidactError(.format, "it is not a ZIP archive, or it is cut off")
    // The record that ends the file has 22 bytes and a comment of at most 65,535.
    guard bytes.count >= 22 else { throw noArchive }
    let last = bytes.count - 22
    guard
      let end = (max(0, last - 65_535)...last).reversed().first(where: {
        bytes.littleEndian(UInt32.self, at: $0) == 0x0605_4b50
      }),
      let count = bytes.littleEndian(UInt16.self, at: end + 10),
      let offset = bytes.littleEndian(UInt32.self, at: end + 16)
    else { throw noArchive }

    // All ones: the number is in the 64-bit record, whose place stands right before this one.
    guard count == .max || offset == .max else { return (Int(offset), UInt64(count)) }
    guard
      bytes.littleEndian(UInt32.self, at: end - 20) == 0x0706_4b50,
      let recordOffset = bytes.littleEndian(UInt64.self, at: end - 12).flatMap({ Int(exactly: $0) }),
      recordOffset <= bytes.count,
      bytes.littleEndian(UInt32.self, at: recordOffset) == 0x0606_4b50,
      let count64 = bytes.littleEndian(UInt64.self, at: recordOffset + 32),
      let offset64 = bytes.littleEndian(UInt64.self, at: recordOffset + 48).flatMap({ Int(exactly: $0) })
    else { throw noArchive }
    return (offset64, count64)
  }

  /// The entry whose directory record starts at `offset`, and the record's length.
  private static func readEntry(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws -> (Entry, Int) {
    let malformed = DidactError(.format, "the archive's directory is malformed")
    guard
      let record = bytes.slice(at: offset, length: 46),
      record.littleEndian(UInt32.self, at: 0) == 0x0201_4b50,
      let flags = record.littleEndian(UInt16.self, at: 8),
      let method = record.littleEndian(UInt16.self, at: 10),
      let checksum = record.littleEndian(UInt32.self, at: 16),
      let compressedLength = record.littleEndian(UInt32.self, at: 20),
      let length = record.littleEndian(UInt32.self, at: 24),
      let nameLength = record.littleEndian(UInt16.self, at: 28),
      let extraLength = record.littleEndian(UInt16.self, at: 30),
      let commentLength = record.littleEndian(UInt16.self, at: 32),
      let headerOffset = record.littleEndian(UInt32.self, at: 42),
      let nameBytes = bytes.slice(at: offset + 46, length: Int(nameLength)),
      let name = String(validating: nameBytes, as: UTF8.self),
      let extra = bytes.slice(at: offset + 46 + Int(nameLength), length: Int(extraLength))
    else { throw malformed }

    // A field of all ones has its value in the 64-bit extra field, which holds only those, in this order.
    var wide = try WideFields(extra, malformed: malformed)
    let actualLength = try wide.value(of: length)
    let actualCompressedLength = try wide.value(of: compressedLength)
    let actualOffset = try wide.value(of: headerOffset)

    guard flags & 1 == 0 else { throw DidactError(.format, "\(name) is encrypted; save it without a password") }
    guard method == 0 || method == 8 else {
      throw DidactError(.format, "\(name) is compressed by method \(method); use numpy.savez or savez_compressed")
    }
    if method == 0 && actualLength != actualCompressedLength { throw malformed }
    // Deflate shrinks by at most 1,032 to 1: a larger claim is a bomb, refused before anything is allocated for it.
    guard actualLength / 1032 <= actualCompressedLength else {
      throw DidactError(.format, "\(name) cannot have the size it claims, \(actualLength) bytes")
    }
    let entry = Entry(
      name: name, method: method, checksum: checksum, compressedLength: actualCompressedLength, length: actualLength,
      headerOffset: actualOffset)
    return (entry, 46 + Int(nameLength) + Int(extraLength) + Int(commentLength))
  }

  /// The 64-bit values among an entry's extra fields.
  private struct WideFields {
    private var values: UnsafeRawBufferPointer?
    private let malformed: DidactError
    private var position = 0

    init(_ extra: UnsafeRawBufferPointer, malformed: DidactError) throws {
      self.malformed = malformed
      var offset = 0
      while let identifier = extra.littleEndian(UInt16.self, at: offset),
        let length = extra.littleEndian(UInt16.self, at: offset + 2)
      {
        guard let field = extra.slice(at: offset + 4, length: Int(length)) else { throw malformed }
        if identifier == 1 { values = field }
        offset += 4 + Int(length)
      }
    }

    mutating func value(of narrow: UInt32) throws -> Int {
      guard narrow == .max else { return Int(narrow) }
      guard let wide = values?.littleEndian(UInt64.self, at: position), let value = Int(exactly: wide) else {
        throw malformed
      }
      position += 8
      return value
    }
  }
}

/// Inflates raw deflate data until `output` is full.
/// - Parameter mustEnd: the data must end exactly where the output is full; otherwise there may be more.
private func inflateBytes(
  _ input: UnsafeRawBufferPointer, into output: Buffer, mustEnd: Bool, name: String
) throws {
  let damaged = DidactError(.format, "\(name) is damaged, or its size is not the declared one")
  // zlib keeps the address of the stream, so it must not move.
  let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
  stream.initialize(to: z_stream())
  defer { stream.deallocate() }
  // A negative window size means raw data without zlib's own header.
  guard inflateInit2_(stream, -15, zlibVersion(), Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
    throw DidactError(.outOfMemory, "could not start to decompress \(name)")
  }
  defer { inflateEnd(stream) }

  // zlib counts in 32 bits, so both sides go in pieces. The spare byte shows where there is more than declared.
  var spare: UInt8 = 0
  try withUnsafeMutablePointer(to: &spare) { spare in
    var read = 0, written = 0
    while written < output.byteCount || mustEnd {
      let inputLength = min(input.count - read, 1 << 30)
      let isFull = written == output.byteCount
      let outputLength = isFull ? 1 : min(output.byteCount - written, 1 << 30)
      stream.pointee.next_in = UnsafeMutablePointer(
        mutating: input.baseAddress.map { ($0 + read).assumingMemoryBound(to: UInt8.self) })
      stream.pointee.avail_in = UInt32(inputLength)
      stream.pointee.next_out = isFull ? spare : (output.address + written).assumingMemoryBound(to: UInt8.self)
      stream.pointee.avail_out = UInt32(outputLength)
      let status = inflate(stream, Z_NO_FLUSH)
      read += inputLength - Int(stream.pointee.avail_in)
      written += outputLength - Int(stream.pointee.avail_out)
      if status == Z_STREAM_END { break }
      // Z_BUF_ERROR is no progress: the input is used up.
      guard status == Z_OK, written <= output.byteCount else { throw damaged }
    }
    guard written == output.byteCount else { throw damaged }
  }
}
