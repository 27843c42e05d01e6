/// The regular files of a tar archive, in the order in which they stand there.
///
/// POSIX ustar. What GNU tar and pax put in front of a file, such as a name of more than 100 bytes, is passed over: the
/// archives that are read here have short names.
struct TarReader {
  struct Entry {
    let name: String
    let length: Int

    /// The name without its folders.
    var baseName: String { name.separated(by: "/", omittingEmpty: true).last ?? name }
  }

  private let stream: ByteStream
  private static let blockLength = 512
  /// Bytes of the present entry that are not read yet, its padding included.
  private var left = 0
  private var entry: Entry?

  init(_ stream: ByteStream) { self.stream = stream }

  /// The next regular file; nil at the end of the archive.
  /// - Throws: `DidactError.format` for a header that is none or has the wrong checksum, and where the archive is cut off.
  mutating func next() throws -> Entry? {
    while true {
      try stream.skip(left)
      left = 0
      let header = try stream.read(TarReader.blockLength)
      // Two blocks of zeros end the archive; one does too.
      if header.allSatisfy({ $0 == 0 }) {
        try stream.finish()
        return nil
      }
      let length = try TarReader.checkedLength(header)
      guard length <= stream.mostBytesLeft else { throw DidactError(.format, "it is cut off") }
      left = (length + TarReader.blockLength - 1) / TarReader.blockLength * TarReader.blockLength
      let type = header[156]
      guard type == UInt8(ascii: "0") || type == 0 else { continue }
      entry = Entry(name: TarReader.name(header), length: length)
      return entry
    }
  }

  /// The content of the entry that `next` returned, once.
  mutating func readContent() throws -> Buffer {
    let content = try Buffer(byteCount: entry?.length ?? 0)
    entry = nil
    try stream.read(into: UnsafeMutableRawBufferPointer(start: content.address, count: content.byteCount))
    left -= content.byteCount
    return content
  }

  private static func name(_ header: [UInt8]) -> String {
    func text(_ range: Range<Int>) -> String {
      String(decoding: header[range].prefix { $0 != 0 }, as: UTF8.self)
    }
    let isUstar = header[257..<262].elementsEqual("ustar".utf8), prefix = isUstar ? text(345..<500) : ""
    return prefix.isEmpty ? text(0..<100) : "\(prefix)/\(text(0..<100))"
  }

  /// The length of the entry's content.
  private static func checkedLength(_ header: [UInt8]) throws -> Int {
    // The checksum is the sum of all bytes, its own eight taken for blanks.
    let sum = header.enumerated().reduce(0) { $0 + ((148..<156).contains($1.offset) ? 32 : Int($1.element)) }
    guard octal(header[148..<156]) == sum else {
      throw DidactError(.format, "it is no tar archive, or damaged: the checksum of a header is wrong")
    }
    guard let length = octal(header[124..<136]) else {
      throw DidactError(.format, "\(name(header)): a length that is no octal number of at most 11 digits")
    }
    return length
  }

  /// Octal digits with blanks before and a blank or zero byte behind.
  private static func octal(_ field: ArraySlice<UInt8>) -> Int? {
    let digits = field.drop { $0 == 32 }.prefix { $0 != 32 && $0 != 0 }
    guard !digits.isEmpty, digits.allSatisfy({ (48..<56).contains($0) }) else { return nil }
    return digits.reduce(0) { $0 * 8 + Int($1 - 48) }
  }
}
