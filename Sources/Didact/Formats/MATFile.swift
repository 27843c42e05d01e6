/// The numeric arrays of a MATLAB level 5 MAT-file, compressed or not.
struct MATFile {
  private let content: Buffer

  /// How elements are stored. The numbers are the format's.
  enum Storage: UInt32 {
    case int8 = 1, uint8, int16, uint16, int32, uint32, single
    case double = 9
    case int64 = 12, uint64

    var byteCount: Int {
      switch self {
      case .int8, .uint8: 1
      case .int16, .uint16: 2
      case .int32, .uint32, .single: 4
      case .double, .int64, .uint64: 8
      }
    }
  }

  /// A variable whose elements come next, the first dimension running fastest.
  struct Variable {
    let name: String
    let dimensions: [Int]
    let storage: Storage
    /// Whether MATLAB takes the elements for uint8, however they are stored.
    let isUInt8: Bool
    fileprivate let stream: ByteStream

    /// The product of the dimensions, as many elements as there are.
    var count: Int { dimensions.reduce(1, *) }

    /// The elements, as they are stored, into `count` · `storage.byteCount` bytes.
    func read(into target: UnsafeMutableRawBufferPointer) throws {
      try stream.read(into: target)
      try stream.finish()
    }

    /// The elements as numbers.
    func readNumbers() throws -> [Double] {
      let bytes = try Buffer(byteCount: count * storage.byteCount)
      try read(into: UnsafeMutableRawBufferPointer(start: bytes.address, count: bytes.byteCount))
      func numbers<Element: BitwiseCopyable>(_ type: Element.Type, _ convert: (Element) -> Double) -> [Double] {
        bytes.withBytes { bytes in
          (0..<count).map {
            convert(bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Element>.stride, as: type))
          }
        }
      }
      return switch storage {
      case .int8: numbers(Int8.self) { Double($0) }
      case .uint8: numbers(UInt8.self) { Double($0) }
      case .int16: numbers(Int16.self) { Double($0) }
      case .uint16: numbers(UInt16.self) { Double($0) }
      case .int32: numbers(Int32.self) { Double($0) }
      case .uint32: numbers(UInt32.self) { Double($0) }
      case .single: numbers(Float.self) { Double($0) }
      case .double: numbers(Double.self) { $0 }
      case .int64: numbers(Int64.self) { Double($0) }
      case .uint64: numbers(UInt64.self) { Double($0) }
      }
    }
  }

  /// Whether a file begins as MAT-files do.
  static func isOne(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.starts(with: "MATLAB ".utf8) }

  /// - Throws: `DidactError.format` for other files, and for MAT-files of other versions or byte orders.
  init(_ content: Buffer) throws {
    self.content = content
    try content.withBytes { bytes in
      guard MATFile.isOne(bytes), let version = bytes.littleEndian(UInt16.self, at: 124),
        let order = bytes.littleEndian(UInt16.self, at: 126)
      else { throw DidactError(.format, "it is no MAT-file") }
      // "MI", read in the order in which it was written.
      guard order == 0x4d49 else { throw DidactError(.format, "it is a MAT-file with its bytes in big-endian order") }
      guard version == 0x0100 else {
        throw DidactError(
          .format, "it is a MAT-file of another version than 5; save it in MATLAB with save(..., \"-v7\")")
      }
    }
  }

  private static let damaged = DidactError(.format, "it is damaged, or cut off")
  private static let matrixType: UInt32 = 14, compressedType: UInt32 = 15

  /// Calls `body` with each numeric variable, which reads its elements or leaves them.
  /// - Throws: `DidactError.format` where the file is malformed, and what `body` throws.
  func forEachVariable(_ body: (Variable) throws -> Void) throws {
    var position = 128
    while position < content.byteCount {
      let (type, length) = try content.withBytes { bytes in
        guard let type = bytes.littleEndian(UInt32.self, at: position),
          let length = bytes.littleEndian(UInt32.self, at: position + 4),
          bytes.slice(at: position + 8, length: Int(length)) != nil
        else { throw MATFile.damaged }
        return (type, Int(length))
      }
      let range = position + 8..<position + 8 + length
      position = range.upperBound
      if type == MATFile.matrixType {
        let stream = try ByteStream(content, range, .none)
        if let variable = try MATFile.readVariable(stream, length: length) { try body(variable) }
        // Everything but compressed elements begins at a multiple of 8 bytes.
        position += (8 - length % 8) % 8
      } else if type == MATFile.compressedType {
        let stream = try ByteStream(content, range, .zlib)
        let tag = try MATFile.words(stream.read(8))
        guard tag[0] == MATFile.matrixType else { throw MATFile.damaged }
        if let variable = try MATFile.readVariable(stream, length: Int(tag[1])) { try body(variable) }
      } else {
        throw MATFile.damaged
      }
    }
  }

  /// What stands before the elements of a matrix; nil for what is no array of real numbers.
  /// - Parameter length: of the whole matrix, in bytes.
  private static func readVariable(_ stream: ByteStream, length: Int) throws -> Variable? {
    guard length <= stream.mostBytesLeft else { throw damaged }
    // An array without flags stands for nothing.
    if length == 0 { return nil }
    let flags = try readPart(stream, most: 8), dimensions = try readPart(stream, most: 4 * 32)
    let name = try readPart(stream, most: 256)
    guard flags.type == Storage.uint32.rawValue, flags.bytes.count == 8,
      dimensions.type == Storage.int32.rawValue, dimensions.bytes.count % 4 == 0, dimensions.bytes.count >= 8
    else { throw damaged }
    let lengths = words(dimensions.bytes).map { Int(Int32(bitPattern: $0)) }
    let word = words(flags.bytes)[0], kind = word & 0xff, isComplex = word & 0x800 != 0
    // Cells, structures, objects, text and sparse arrays have other numbers.
    guard (6...15).contains(kind), !isComplex else { return nil }
    let (type, dataLength) = try readTag(stream)
    guard let storage = Storage(rawValue: type), lengths.allSatisfy({ $0 >= 0 }) else { throw damaged }
    var count = 1
    for length in lengths {
      let (product, overflow) = count.multipliedReportingOverflow(by: length)
      guard !overflow else { throw damaged }
      count = product
    }
    guard count <= stream.mostBytesLeft, count * storage.byteCount == dataLength, dataLength <= stream.mostBytesLeft
    else { throw damaged }
    return Variable(
      name: String(decoding: name.bytes, as: UTF8.self), dimensions: lengths, storage: storage, isUInt8: kind == 9,
      stream: stream)
  }

  /// The type and length of a part. Up to four bytes of data stand in the tag itself, behind a short form of it.
  private static func readTag(_ stream: ByteStream) throws -> (type: UInt32, length: Int) {
    let first = try words(stream.read(4))[0]
    guard first >> 16 == 0 else {
      guard first >> 16 <= 4 else { throw damaged }
      return (first & 0xffff, Int(first >> 16))
    }
    return (first, Int(try words(stream.read(4))[0]))
  }

  /// A small part, with the bytes that fill it up to a multiple of eight.
  private static func readPart(_ stream: ByteStream, most: Int) throws -> (type: UInt32, bytes: [UInt8]) {
    let first = try words(stream.read(4))[0]
    if first >> 16 != 0 {
      guard first >> 16 <= 4 else { throw damaged }
      return (first & 0xffff, Array(try stream.read(4).prefix(Int(first >> 16))))
    }
    let length = Int(try words(stream.read(4))[0])
    guard length <= most else { throw damaged }
    return (first, Array(try stream.read((length + 7) / 8 * 8).prefix(length)))
  }

  private static func words(_ bytes: [UInt8]) -> [UInt32] {
    (0..<bytes.count / 4).map { word in
      (0..<4).reduce(0) { $0 | UInt32(bytes[4 * word + $1]) << UInt32(8 * $1) }
    }
  }
}
