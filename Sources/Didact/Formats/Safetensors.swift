/// Named tensors and text in one file: the safetensors format, version 0.x.
///
/// A file is the header's length (8 bytes, little-endian), the header (JSON), and the tensors' bytes. It may come from
/// anyone, so everything is checked before it is used: see `init(bytes:)`.
public struct SafetensorsFile: Sendable {
  /// Free text, such as a configuration; in the file's order.
  public var metadata: [(key: String, value: String)]
  /// In the order in which their bytes stand in the file.
  public var tensors: [(name: String, tensor: Tensor)]

  /// The longest header that is read or written, in bytes.
  public static let maximumHeaderLength = 16 << 20
  static let metadataKey = "__metadata__"

  public init(metadata: [(key: String, value: String)] = [], tensors: [(name: String, tensor: Tensor)] = []) {
    self.metadata = metadata
    self.tensors = tensors
  }

  /// The tensor called `name`, if there is one.
  public func tensor(named name: String) -> Tensor? { tensors.first { $0.name == name }?.tensor }

  /// The text called `key`, if there is one.
  public func metadata(named key: String) -> String? { metadata.first { $0.key == key }?.value }
}

// MARK: - Element types

extension ElementType {
  fileprivate var safetensorsName: String {
    switch self {
    case .float32: "F32"
    case .float64: "F64"
    case .int64: "I64"
    case .uint8: "U8"
    }
  }

  fileprivate init?(safetensorsName: String) {
    guard let type = ElementType.allCases.first(where: { $0.safetensorsName == safetensorsName }) else { return nil }
    self = type
  }
}

// MARK: - Reading

extension SafetensorsFile {
  /// Reads a file; the tensors have memory of their own.
  /// - Throws: `DidactError.file` where it cannot be read, `.format` where it breaks a rule of `init(bytes:)`.
  public init(reading path: String) throws {
    let content = try readFile(path)
    do {
      self = try content.withBytes { try SafetensorsFile(bytes: $0) }
    } catch let error as DidactError {
      throw error.at(path)
    }
  }

  /// Reads a file whose tensors stay where they are, so that they may be larger than memory: see `mapFile`. Those that are
  /// not aligned to their elements are copied.
  /// - Throws: as `init(reading:)`.
  init(mapping path: String) throws {
    self = try readMapped(path) { content in
      try content.withBytes { try SafetensorsFile(bytes: $0, in: content) }
    }
  }

  /// Reads a file's content; the tensors have memory of their own.
  /// - Throws: `DidactError.format` for a header that is cut off, longer than 16 MiB or not a JSON object; a key that
  ///   appears twice; metadata other than text; an element type other than F32, F64, I64 and U8; more than four
  ///   dimensions; a shape that does not fit the number of bytes; tensors that overlap, leave a hole, or do not cover
  ///   the data exactly.
  public init(bytes: UnsafeRawBufferPointer) throws { try self.init(bytes: bytes, in: nil) }

  /// - Parameter content: what the bytes are the whole of, for tensors that share its memory.
  private init(bytes: UnsafeRawBufferPointer, in content: Buffer?) throws {
    let (header, data) = try SafetensorsFile.split(bytes)
    self.init()
    var entries: [TensorEntry] = []
    for (key, value) in header.members {
      if key == SafetensorsFile.metadataKey {
        metadata = try SafetensorsFile.readMetadata(value)
      } else {
        entries.append(try TensorEntry(name: key, description: value))
      }
    }
    // The header may list tensors in any order. An empty tensor sorts before the one that starts at the same place.
    entries.sort { ($0.begin, $0.end) < ($1.begin, $1.end) }
    try SafetensorsFile.checkCoverage(entries, dataLength: data.count)
    for entry in entries {
      let offset = bytes.count - data.count + entry.begin, size = entry.elementType.byteCount
      if let content, offset % size == 0 {
        let shared = Tensor(entry.shape, entry.elementType, buffer: content, offset: offset / size)
        tensors.append((entry.name, shared))
        continue
      }
      let tensor = try Tensor(entry.shape, entry.elementType)
      UnsafeMutableRawBufferPointer(start: tensor.address, count: tensor.byteCount)
        .copyMemory(from: UnsafeRawBufferPointer(rebasing: data[entry.begin..<entry.end]))
      tensors.append((entry.name, tensor))
    }
  }

  /// The header and the data section.
  private static func split(
    _ bytes: UnsafeRawBufferPointer
  ) throws -> (header: JSONObject, data: UnsafeRawBufferPointer) {
    guard let length = bytes.littleEndian(UInt64.self, at: 0) else {
      throw DidactError(.format, "\(bytes.count) bytes are too few for a safetensors file")
    }
    guard length <= UInt64(maximumHeaderLength) else {
      throw DidactError(
        .format, "a header of \(length) bytes is too long (at most \(maximumHeaderLength)); is it a safetensors file?")
    }
    guard let text = bytes.slice(at: 8, length: Int(length)) else {
      throw DidactError(.format, "the file is cut off: its header has \(length) bytes, \(bytes.count - 8) are there")
    }
    guard text.first == UInt8(ascii: "{") else { throw DidactError(.format, "the header does not start with \"{\"") }
    guard let header = try JSON(parsing: text).members else {
      throw DidactError(.format, "the header is not a JSON object")
    }
    return (header, UnsafeRawBufferPointer(rebasing: bytes[(8 + text.count)...]))
  }

  private static func readMetadata(_ value: JSON) throws -> [(key: String, value: String)] {
    guard let members = value.members else {
      throw DidactError(.format, "\(metadataKey) is not an object of texts")
    }
    return try members.members.map { key, value in
      guard let text = value.text else {
        throw DidactError(.format, "\(metadataKey): the value of \"\(key)\" is not a text")
      }
      return (key, text)
    }
  }

  /// Every byte of the data belongs to exactly one tensor, so that a file has no room for anything hidden.
  private static func checkCoverage(_ entries: [TensorEntry], dataLength: Int) throws {
    var covered = 0
    for entry in entries {
      guard entry.end <= dataLength else {
        throw DidactError(
          .format,
          "tensor \"\(entry.name)\" ends at byte \(entry.end) of \(dataLength): "
            + "its offsets are wrong or the file is cut off")
      }
      guard entry.begin == covered else {
        throw DidactError(
          .format,
          "tensor \"\(entry.name)\" starts at byte \(entry.begin), the one before it ends at \(covered): "
            + (entry.begin < covered ? "they overlap" : "there is a hole between them"))
      }
      covered = entry.end
    }
    guard covered == dataLength else {
      throw DidactError(.format, "\(dataLength - covered) bytes at the end belong to no tensor")
    }
  }
}

/// What the header says about one tensor, checked as far as can be without the others.
private struct TensorEntry {
  let name: String
  let elementType: ElementType
  let shape: Shape
  /// Bytes from the start of the data section.
  let begin: Int, end: Int

  init(name: String, description: JSON) throws {
    func malformed(_ message: String) -> DidactError { DidactError(.format, "tensor \"\(name)\": \(message)") }

    guard let fields = description.members else { throw malformed("its description is not an object") }
    if let unknown = fields.keys.first(where: { !["dtype", "shape", "data_offsets"].contains($0) }) {
      throw malformed("unknown field \"\(unknown)\"")
    }
    guard let typeName = fields["dtype"]?.text else { throw malformed("no dtype") }
    guard let elementType = ElementType(safetensorsName: typeName) else {
      let known = ElementType.allCases.map(\.safetensorsName).joined(separator: ", ")
      throw malformed("elements of type \(typeName); known: \(known)")
    }
    guard let dimensions = SafetensorsFile.readSizes(fields["shape"]) else {
      throw malformed("its shape is not a list of whole numbers, zero or more")
    }
    let shape: Shape
    do {
      shape = try Shape(checking: dimensions)
    } catch let error as DidactError {
      throw malformed(error.message)
    }
    guard let offsets = SafetensorsFile.readSizes(fields["data_offsets"]), offsets.count == 2 else {
      throw malformed("its data_offsets are not two whole numbers, zero or more")
    }
    guard offsets[0] <= offsets[1] else { throw malformed("it ends before it starts") }
    // Shape has checked that the product does not overflow.
    let expected = shape.count * elementType.byteCount
    guard offsets[1] - offsets[0] == expected else {
      throw malformed("shape \(shape) of \(typeName) takes \(expected) bytes, the file has \(offsets[1] - offsets[0])")
    }
    self.name = name
    self.elementType = elementType
    self.shape = shape
    self.begin = offsets[0]
    self.end = offsets[1]
  }
}

extension SafetensorsFile {
  /// Whole numbers ≥ 0, or nil. Written as integers: `2.0` is no length.
  fileprivate static func readSizes(_ value: JSON?) -> [Int]? {
    guard let list = value?.list else { return nil }
    var sizes: [Int] = []
    for element in list {
      guard case .integer(let number) = element, let size = Int(exactly: number), size >= 0 else { return nil }
      sizes.append(size)
    }
    return sizes
  }
}

// MARK: - Writing

extension SafetensorsFile {
  /// Writes the file, wholly or not at all: should anything fail, a file that was there before stays as it was.
  ///
  /// The header is padded to a multiple of 8 bytes, and the tensors follow in the order of `tensors`; so each is aligned
  /// to its element, unless it follows a uint8 tensor of odd length.
  /// - Throws: `DidactError.invalidArgument` for names that appear twice, `.file` where writing fails.
  public func write(to path: String) throws { try write(to: path, fault: nil) }

  package func write(to path: String, fault: FileFault?) throws {
    try Self.write(
      to: path, metadata: metadata,
      tensors: tensors.map { ($0.name, $0.tensor.elementType, $0.tensor.shape) }, fault: fault
    ) { write in
      for (_, tensor) in tensors { try write(tensor) }
    }
  }

  /// The same content in memory.
  /// - Parameter allocate: returns memory for so many bytes; nil where there is none, and nothing is written.
  func write(into allocate: (Int) throws -> UnsafeMutableRawPointer?) throws {
    let header = try Self.serializedHeader(metadata, tensors.map { ($0.name, $0.tensor.elementType, $0.tensor.shape) })
    let length = tensors.reduce(header.count) { $0 + $1.tensor.byteCount }
    guard var place = try allocate(length) else { return }
    place.copyMemory(from: header, byteCount: header.count)
    place += header.count
    for (_, tensor) in tensors {
      withExtendedLifetime(tensor.buffer) { place.copyMemory(from: tensor.address, byteCount: tensor.byteCount) }
      place += tensor.byteCount
    }
  }

  /// The same for tensors that need not be in memory as a whole.
  /// - Parameter body: passes their elements, in order, to its argument.
  static func write(
    to path: String, metadata: [(key: String, value: String)],
    tensors: [(name: String, elementType: ElementType, shape: Shape)], fault: FileFault? = nil,
    _ body: ((Tensor) throws -> Void) throws -> Void
  ) throws {
    let header: [UInt8]
    do {
      header = try serializedHeader(metadata, tensors)
    } catch let error as DidactError {
      throw error.at(path)
    }
    try writeFileAtomically(to: path, fault: fault) { writer in
      try header.withUnsafeBytes { try writer.write($0) }
      try body { part in
        try withExtendedLifetime(part.buffer) {
          try writer.write(UnsafeRawBufferPointer(start: part.address, count: part.byteCount))
        }
      }
    }
  }

  /// - Throws: as writing does for what cannot be a header.
  func checkHeader() throws {
    _ = try Self.serializedHeader(metadata, tensors.map { ($0.name, $0.tensor.elementType, $0.tensor.shape) })
  }

  /// The length and the header, as they stand in the file.
  private static func serializedHeader(
    _ metadata: [(key: String, value: String)], _ tensors: [(name: String, elementType: ElementType, shape: Shape)]
  ) throws -> [UInt8] {
    var header = JSONObject()
    var seen: Set<String> = [SafetensorsFile.metadataKey]
    if !metadata.isEmpty {
      var seenKeys = Set<String>()
      if let twice = metadata.first(where: { !seenKeys.insert($0.key).inserted }) {
        throw DidactError(.invalidArgument, "the metadata key \"\(twice.key)\" appears twice")
      }
      let texts = metadata.map { (key: $0.key, value: JSON.string($0.value)) }
      header.members.append((SafetensorsFile.metadataKey, .object(JSONObject(texts))))
    }
    var end = 0
    for (name, elementType, shape) in tensors {
      guard seen.insert(name).inserted else {
        throw DidactError(.invalidArgument, "two tensors are called \"\(name)\", or the name is reserved")
      }
      let begin = end
      let (sum, overflow) = begin.addingReportingOverflow(shape.count * elementType.byteCount)
      guard !overflow else { throw DidactError(.invalidArgument, "the tensors are too large for one file") }
      end = sum
      let description: JSONObject = [
        "dtype": .string(elementType.safetensorsName),
        "shape": .array(shape.dimensions.map { .integer(Int64($0)) }),
        "data_offsets": [.integer(Int64(begin)), .integer(Int64(end))],
      ]
      header.members.append((name, .object(description)))
    }
    var text = Array(JSON.object(header).serialized().utf8)
    while text.count % 8 != 0 { text.append(UInt8(ascii: " ")) }
    guard text.count <= SafetensorsFile.maximumHeaderLength else {
      throw DidactError(
        .invalidArgument,
        "the header would have \(text.count) bytes; at most \(SafetensorsFile.maximumHeaderLength) are allowed")
    }
    let length = UInt64(text.count)
    return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + text
  }
}
