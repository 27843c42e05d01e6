/// What an `.npy` file holds.
enum NumPyArray {
  case numbers(Tensor)
  /// Strings in row-major order.
  case text([String], Shape)
}

/// Reads the numbers of an `.npy` file, of at most four dimensions, in row-major order.
///
/// Floating point keeps its type, `uint8` and `bool` become uint8, all other integers int64.
/// - Throws: `DidactError.file` where it cannot be read; `.format` where it is malformed, big-endian, or of another type.
public func readNPY(_ path: String) throws -> Tensor {
  let content = try readFile(path)
  do {
    guard case .numbers(let tensor) = try NumPyArray(content) else {
      throw DidactError(.format, "it holds text, not numbers")
    }
    return tensor
  } catch let error as DidactError {
    throw error.at(path)
  }
}

/// Writes a tensor as an `.npy` file, wholly or not at all.
/// - Throws: `DidactError.file`.
public func writeNPY(_ tensor: Tensor, to path: String) throws {
  let header = NumPyHeader.serialized(shape: tensor.shape, elementType: tensor.elementType)
  try writeFileAtomically(to: path) { writer in
    try header.withUnsafeBytes { try writer.write($0) }
    try withExtendedLifetime(tensor.buffer) {
      try writer.write(UnsafeRawBufferPointer(start: tensor.address, count: tensor.byteCount))
    }
  }
}

extension NumPyArray {
  /// The content of an `.npy` file.
  /// - Parameter isShared: whether numbers that are as tensors have them share the memory of the content.
  init(_ content: Buffer, isShared: Bool = false) throws {
    self = try content.withBytes { bytes in
      let header = try NumPyHeader(bytes)
      try header.checkLength(of: bytes.count)
      if isShared, let tensor = header.sharedTensor(content) { return .numbers(tensor) }
      return try NumPyArray(header, bytes)
    }
  }

  /// The array `name` of an archive, or nil.
  init?(named name: String, in archive: ZipArchive) throws {
    guard let entry = archive.entries.first(where: { NumPyArray.arrayName($0) == name }) else { return nil }
    do {
      // First what the array says of its own size: nothing is allocated for an entry that claims another one.
      let start = try archive.readStart(of: entry, length: NumPyHeader.maximumLength)
      try start.withBytes { try NumPyHeader($0).checkLength(of: entry.length) }
      self = try NumPyArray(try archive.read(entry))
    } catch let error as DidactError {
      throw error.at(name)
    }
  }

  /// An entry's name without `.npy`.
  static func arrayName(_ entry: ZipArchive.Entry) -> String {
    entry.name.hasSuffix(".npy") ? String(entry.name.dropLast(4)) : entry.name
  }

  /// - Parameter bytes: the whole file, whose length has been checked against the header.
  private init(_ header: NumPyHeader, _ bytes: UnsafeRawBufferPointer) throws {
    let data = UnsafeRawBufferPointer(rebasing: bytes[header.dataOffset...])
    switch header.element {
    case .float32: self = .numbers(try header.tensor(data, as: Float.self, .float32) { $0 })
    case .float64: self = .numbers(try header.tensor(data, as: Double.self, .float64) { $0 })
    case .uint8: self = .numbers(try header.tensor(data, as: UInt8.self, .uint8) { $0 })
    case .int8: self = .numbers(try header.tensor(data, as: Int8.self, .int64) { Int64($0) })
    case .int16: self = .numbers(try header.tensor(data, as: Int16.self, .int64) { Int64($0) })
    case .uint16: self = .numbers(try header.tensor(data, as: UInt16.self, .int64) { Int64($0) })
    case .int32: self = .numbers(try header.tensor(data, as: Int32.self, .int64) { Int64($0) })
    case .uint32: self = .numbers(try header.tensor(data, as: UInt32.self, .int64) { Int64($0) })
    case .int64: self = .numbers(try header.tensor(data, as: Int64.self, .int64) { $0 })
    case .text(let length): self = .text(try header.strings(data, length: length), header.shape)
    }
  }
}

/// The start of an `.npy` file: what it holds, and where.
struct NumPyHeader {
  enum Element: Equatable {
    case float32, float64, uint8, int8, int16, uint16, int32, uint32, int64
    /// Strings of so many characters of four bytes, filled up with zeros.
    case text(Int)

    var byteCount: Int {
      switch self {
      case .uint8, .int8: 1
      case .int16, .uint16: 2
      case .float32, .int32, .uint32: 4
      case .float64, .int64: 8
      case .text(let length): 4 * length
      }
    }
  }

  let element: Element
  let isFortranOrder: Bool
  let shape: Shape
  /// In bytes, from the start of the file.
  let dataOffset: Int

  /// A longer header describes nothing that is read here.
  static let maximumLength = 1 << 16

  /// - Parameter bytes: the file, or its first `maximumLength` bytes.
  init(_ bytes: UnsafeRawBufferPointer) throws {
    let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
    guard bytes.starts(with: magic), bytes.count >= 10 else { throw DidactError(.format, "it is not an .npy file") }
    let version = bytes[6]
    guard (1...3).contains(version) else {
      throw DidactError(.format, "version \(version) of the .npy format is unknown; versions 1 to 3 are read")
    }
    let textOffset = version == 1 ? 10 : 12
    let length =
      version == 1
      ? bytes.littleEndian(UInt16.self, at: 8).map { Int($0) } : bytes.littleEndian(UInt32.self, at: 8).map { Int($0) }
    guard let length, let text = bytes.slice(at: textOffset, length: length) else {
      throw DidactError(.format, "the .npy header is cut off or too long")
    }
    dataOffset = textOffset + length
    var reader = NumPyHeaderReader(text: text)
    let fields = try reader.readFields()
    element = try NumPyHeader.element(described: fields.description)
    isFortranOrder = fields.isFortranOrder
    shape = try Shape(checking: fields.dimensions)
  }

  /// - Throws: `DidactError.format` where a file of `length` bytes is not exactly this header and its elements.
  func checkLength(of length: Int) throws {
    let (dataLength, overflow) = shape.count.multipliedReportingOverflow(by: element.byteCount)
    guard !overflow, length - dataOffset == dataLength else {
      throw DidactError(
        .format,
        "\(length - dataOffset) bytes of data for shape \(shape) with \(element.byteCount) bytes an element; "
          + "the file is cut off or damaged")
    }
  }

  /// The element of a dtype such as `<f4`.
  private static func element(described text: String) throws -> Element {
    if text.hasPrefix(">") {
      throw DidactError(.format, "its dtype \(text) is big-endian; save it with .astype(\"<\(text.dropFirst())\")")
    }
    switch text {
    case "<f4": return .float32
    case "<f8": return .float64
    case "|u1", "|b1": return .uint8
    case "|i1": return .int8
    case "<i2": return .int16
    case "<u2": return .uint16
    case "<i4": return .int32
    case "<u4": return .uint32
    case "<i8": return .int64
    case _ where text.hasPrefix("<U"):
      // Strings of no characters would let any number of them fit in no bytes; NumPy saves at least one.
      if let length = Int(text.dropFirst(2)), (1...Int(Int32.max)).contains(length) { return .text(length) }
    case "|O":
      throw DidactError(.format, "it holds Python objects, which are not read; give it a dtype, such as float32 or str")
    case _ where text.hasPrefix("|S"):
      throw DidactError(.format, "it holds text as bytes, which is not read; save it with .astype(str)")
    default: break
    }
    throw DidactError(
      .format,
      "dtype \(text) is not read; convert it, features with .astype(\"float32\"), labels with .astype(\"int64\")")
  }

  // MARK: Elements

  /// A view of a file's elements, where they are as a tensor has them.
  func sharedTensor(_ content: Buffer) -> Tensor? {
    let types: [(Element, ElementType)] = [
      (.float32, .float32), (.float64, .float64), (.int64, .int64), (.uint8, .uint8),
    ]
    guard let (_, type) = types.first(where: { $0.0 == element }), !isFortranOrder, dataOffset % type.byteCount == 0
    else { return nil }
    return Tensor(shape, type, buffer: content, offset: dataOffset / type.byteCount)
  }

  /// - Parameter convert: from what the file holds to `elementType`'s Swift type.
  func tensor<Source: BitwiseCopyable, Target: BitwiseCopyable>(
    _ data: UnsafeRawBufferPointer, as type: Source.Type, _ elementType: ElementType, _ convert: (Source) -> Target
  ) throws -> Tensor {
    let tensor = try Tensor(shape, elementType)
    let target = tensor.address.assumingMemoryBound(to: Target.self)
    var index = 0
    forEachSourceIndex { source in
      let offset = source * MemoryLayout<Source>.stride
      target[index] = convert(data.loadUnaligned(fromByteOffset: offset, as: type))
      index += 1
    }
    return tensor
  }

  func strings(_ data: UnsafeRawBufferPointer, length: Int) throws -> [String] {
    try Buffer.checkRoom(byteCount: (MemoryLayout<String>.stride + (length > 15 ? length + 32 : 0)) * shape.count)
    var strings: [String] = []
    strings.reserveCapacity(shape.count)
    try forEachSourceIndex { source in
      var string = ""
      for position in 0..<length {
        let code = data.littleEndian(UInt32.self, at: (source * length + position) * 4) ?? 0
        // Zeros only fill up the end.
        if code == 0 { break }
        guard let scalar = Unicode.Scalar(code) else {
          throw DidactError(.format, "string \(strings.count) has an invalid character")
        }
        string.unicodeScalars.append(scalar)
      }
      strings.append(string)
    }
    return strings
  }

  /// The places of the elements in the file, in row-major order of the array.
  private func forEachSourceIndex(_ body: (Int) throws -> Void) rethrows {
    guard isFortranOrder && shape.count > 0 else {
      for index in 0..<shape.count { try body(index) }
      return
    }
    // The first dimension runs fastest in the file.
    let strides = (1, shape[0], shape[0] * shape[1], shape[0] * shape[1] * shape[2])
    for a in 0..<shape[0] {
      for b in 0..<shape[1] {
        for c in 0..<shape[2] {
          for d in 0..<shape[3] { try body(a * strides.0 + b * strides.1 + c * strides.2 + d * strides.3) }
        }
      }
    }
  }

  // MARK: Writing

  /// Magic, version 1, length and text, padded to 64 bytes as NumPy does.
  static func serialized(shape: Shape, elementType: ElementType) -> [UInt8] {
    let description =
      switch elementType {
      case .float32: "<f4"
      case .float64: "<f8"
      case .int64: "<i8"
      case .uint8: "|u1"
      }
    // Python writes a tuple of one element with a comma.
    let tuple = shape.dimensions.map { "\($0)," }.joined(separator: " ")
    var text = "{'descr': '\(description)', 'fortran_order': False, 'shape': (\(tuple)), }"
    text += String(repeating: " ", count: 63 - (10 + text.utf8.count) % 64) + "\n"
    let length = text.utf8.count
    return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 0xff), UInt8(length >> 8)] + Array(text.utf8)
  }
}

/// Reads the Python dictionary of an `.npy` header: exactly the keys `descr`, `fortran_order` and `shape`.
private struct NumPyHeaderReader {
  let text: UnsafeRawBufferPointer
  private var position = 0

  init(text: UnsafeRawBufferPointer) { self.text = text }

  mutating func readFields() throws -> (description: String, isFortranOrder: Bool, dimensions: [Int]) {
    var description: String?, isFortranOrder: Bool?, dimensions: [Int]?
    try expect("{")
    while !skip("}") {
      let key = try readString()
      try expect(":")
      switch key {
      case "descr" where description == nil:
        if skip("[") { throw DidactError(.format, "it has a structured dtype; save its fields as separate arrays") }
        description = try readString()
      case "fortran_order" where isFortranOrder == nil: isFortranOrder = try readBoolean()
      case "shape" where dimensions == nil: dimensions = try readTuple()
      default: throw malformed
      }
      if !skip(",") {
        try expect("}")
        break
      }
    }
    skipSpace()
    guard position == text.count, let description, let isFortranOrder, let dimensions else { throw malformed }
    return (description, isFortranOrder, dimensions)
  }

  private var malformed: DidactError { DidactError(.format, "the .npy header is malformed") }

  private mutating func readString() throws -> String {
    let quote: Unicode.Scalar = skip("'") ? "'" : "\""
    if quote == "\"" { try expect("\"") }
    let start = position
    while position < text.count, text[position] != UInt8(ascii: quote) { position += 1 }
    guard position < text.count, let string = String(validating: text[start..<position], as: UTF8.self) else {
      throw malformed
    }
    position += 1
    return string
  }

  private mutating func readBoolean() throws -> Bool {
    switch try readWord() {
    case "True": return true
    case "False": return false
    default: throw malformed
    }
  }

  private mutating func readTuple() throws -> [Int] {
    try expect("(")
    var values: [Int] = []
    while !skip(")") {
      guard let value = Int(try readWord()), value >= 0 else { throw malformed }
      values.append(value)
      if !skip(",") {
        try expect(")")
        break
      }
    }
    return values
  }

  /// Letters and digits.
  private mutating func readWord() throws -> String {
    skipSpace()
    let start = position
    while position < text.count, Unicode.Scalar(text[position]).properties.isAlphabetic || isDigit(text[position]) {
      position += 1
    }
    guard let word = String(validating: text[start..<position], as: UTF8.self) else { throw malformed }
    return word
  }

  private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

  private mutating func skipSpace() {
    while position < text.count, text[position] == 0x20 || text[position] == 0x0a { position += 1 }
  }

  private mutating func skip(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard position < text.count, text[position] == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func expect(_ character: Unicode.Scalar) throws {
    guard skip(character) else { throw malformed }
  }
}
