/// NumPy's files: one array (`.npy`), or several in a ZIP archive (`.npz`).

/// What an `.npy` file holds.
enum NumPyArray {
  case numbers(Tensor)
  /// Strings in row-major order.
  case text([String], Shape)
}

// MARK: - Public functions

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

extension Dataset {
  /// Reads an `.npz` file with the arrays `X`, `y`, `X_unlabeled`, `X_test` and `y_test`, of which only `X` is required.
  ///
  /// The features are matrices, or images [N, height, width, channels] or [N, height, width]. Labels are integers, −1 for
  /// none, or strings, empty for none; the classes are the sorted distinct labels of `y` and `y_test`. Words for a missing
  /// value, `?`, `NA`, `N/A`, `n/a`, `NaN`, `nan`, `NULL` and `null`, are none too, which `warnings` says. Other strings
  /// that may mean "no label" are an error: `None`, `<NA>`, `NaT`, `unlabeled`, `unlabelled`, and `-1` unless the classes
  /// are -1 and 1. Other arrays are ignored, unless their name looks like one of these misspelt.
  /// - Parameters:
  ///   - knownClasses: names of a model's classes, which are labels whatever they look like; nil where there is no model,
  ///     and labels that are numbers but not whole, or that nearly all differ, are refused.
  ///   - readsLabels: whether `y` and `y_test` are read; if not, no row has a label.
  /// - Throws: `DidactError.file`, `.format` for a malformed archive or array, `.shape`, `.data`; all name file and array.
  public init(npz path: String, knownClasses: [String]? = nil, readsLabels: Bool = true) throws {
    let content = try readFile(path)
    do {
      let archive = try ZipArchive(content)
      try Dataset.checkNames(of: archive)
      try self.init(archive, knownClasses: knownClasses, readsLabels: readsLabels)
    } catch let error as DidactError {
      throw error.at(path)
    }
  }
}

// MARK: - npz

extension Dataset {
  private static let arrayNames = ["X", "y", "X_unlabeled", "X_test", "y_test"]

  private init(_ archive: ZipArchive, knownClasses: [String]?, readsLabels: Bool) throws {
    var extents: [(name: String, extent: Extent?)] = []
    func readMatrix(_ name: String) throws -> Tensor? {
      switch try NumPyArray(named: name, in: archive) {
      case nil: return nil
      case .text: throw DidactError(.data, "\(name) holds text; features must be numbers")
      case .numbers(let tensor):
        guard tensor.count > 0 else { throw DidactError(.shape, "\(name) has shape \(tensor.shape): it is empty") }
        let (matrix, extent) = try Dataset.matrix(tensor, called: name)
        extents.append((name, extent))
        return matrix
      }
    }
    guard let features = try readMatrix("X") else {
      throw DidactError(.data, "no array \"X\"; there are \(archive.entries.map(\.name).joined(separator: ", "))")
    }
    let labels = readsLabels ? try LabelColumn(named: "y", in: archive) : nil
    let testLabels = readsLabels ? try LabelColumn(named: "y_test", in: archive) : nil
    try testLabels?.checkIsComplete()
    let columns = [labels, testLabels].compactMap(\.self), classes = try LabelColumn.classes(of: columns)
    let unlabeled = try readMatrix("X_unlabeled")
    let warnings = try LabelColumn.check(
      columns, classes, knownClasses: knownClasses, unlabeledRows: unlabeled?.rows ?? 0)
    self.init(
      features: features,
      labels: labels?.indices(in: classes) ?? Array(repeating: -1, count: features.rows),
      unlabeled: unlabeled,
      testFeatures: readsLabels ? try readMatrix("X_test") : nil,
      testLabels: testLabels?.indices(in: classes),
      classNames: classes.map(\.description), imageExtent: extents[0].extent)
    self.warnings = warnings
    if let other = extents.first(where: { $0.extent != extents[0].extent }) {
      throw DidactError(
        .shape,
        "\(other.name) has rows \(other.extent?.description ?? "of numbers"), but X has "
          + "\(extents[0].extent?.description ?? "rows of numbers"); give all the same dimensions")
    }
    // Pixels of 0 to 255 beside shares of 1 would be other images to the network.
    for (name, tensor) in [("X_unlabeled", unlabeled), ("X_test", testFeatures)] {
      guard imageExtent != nil, let tensor, (tensor.elementType == .uint8) != (features.elementType == .uint8) else {
        continue
      }
      throw DidactError(
        .elementType, "\(name) has images of \(tensor.elementType), but X of \(features.elementType); give all the same"
      )
    }
    try validate()
  }

  /// Images [N, height, width, channels] or [N, height, width] as a matrix of flat rows, and their lengths.
  /// - Throws: `DidactError.shape` for other numbers of dimensions, and where channels seem to come first.
  private static func matrix(_ tensor: Tensor, called name: String) throws -> (Tensor, Extent?) {
    let shape = tensor.shape
    guard shape.rank > 2 else {
      guard shape.rank == 2 else {
        throw DidactError(
          .shape,
          "\(name) has shape \(shape); give a matrix, for instance \(name).reshape(len(\(name)), -1), or images [N, "
            + "height, width, channels]")
      }
      return (tensor, nil)
    }
    guard shape.rank == 3 || shape[1] > 4 || shape[3] <= 4 else {
      throw DidactError(
        .shape,
        "\(name) has shape \(shape), with channels before height and width, it seems; save "
          + "\(name).transpose(0, 2, 3, 1)")
    }
    // The lengths that a shape does not have are 1.
    let extent = Extent(shape[1], shape[2], shape[3])
    return (tensor.view(Shape(shape[0], extent.count)), extent.isImage ? extent : nil)
  }

  /// Reads features from an `.npy` file, and labels from another.
  ///
  /// The features, a matrix [rows, columns], or images as in an `.npz` file, of float32, float64 or uint8 in row-major order,
  /// stay in the file and are read where they are, so that they may be larger than memory: neither file may be shortened
  /// meanwhile. Other types and orders are converted in memory.
  /// - Parameters:
  ///   - labelPath: integers, −1 for none, or strings, as in an `.npz` file, one for each row; nil for no labels.
  ///   - knownClasses: as for `.npz` files.
  /// - Throws: as for `.npz` files.
  public init(npy path: String, labels labelPath: String? = nil, knownClasses: [String]? = nil) throws {
    let features: Tensor, extent: Extent?
    do {
      guard case .numbers(let tensor) = try NumPyArray(mapFile(path), isShared: true) else {
        throw DidactError(.data, "it holds text; features must be numbers")
      }
      (features, extent) = try Dataset.matrix(tensor, called: "the array")
    } catch let error as DidactError {
      throw error.at(path)
    }
    var classes: [Label] = [], column: LabelColumn?, warnings: [Warning] = []
    if let labelPath {
      do {
        let read = try LabelColumn(NumPyArray(readFile(labelPath)), called: "the array")
        classes = try LabelColumn.classes(of: [read])
        warnings = try LabelColumn.check([read], classes, knownClasses: knownClasses, unlabeledRows: 0)
          .map { $0.at(labelPath) }
        column = read
      } catch let error as DidactError {
        throw error.at(labelPath)
      }
    }
    self.init(
      features: features,
      labels: column?.indices(in: classes) ?? Array(repeating: -1, count: features.shape[0]),
      classNames: classes.map(\.description), imageExtent: extent)
    self.warnings = warnings
    do {
      try validate()
    } catch let error as DidactError {
      throw error.at(path)
    }
  }

  /// A misspelt array would silently be left out.
  private static func checkNames(of archive: ZipArchive) throws {
    let names = archive.entries.map(NumPyArray.arrayName)
    for name in names where !arrayNames.contains(name) {
      let plain = name.lowercased().filter { $0.isLetter || $0.isNumber }
      let near =
        arrayNames.first { name.lowercased() == $0.lowercased() }
        ?? arrayNames.filter { $0.utf8.count > 1 && editDistance(name, $0) <= 2 }
        .min { editDistance(name, $0) < editDistance(name, $1) }
      // The names of other programs are free where the array is there under its own.
      let foreign = otherNames[plain].flatMap { !names.contains($0) || plain.contains("train") ? $0 : nil }
      if let meant = near ?? foreign {
        throw DidactError(
          .data, "unknown array \"\(name)\". Did you mean \"\(meant)\"? If not, give the array another name")
      }
    }
  }

  /// The names that other programs give the arrays, in small letters without underscores.
  private static let otherNames = [
    "xtrain": "X", "trainx": "X", "data": "X", "features": "X", "ytrain": "y", "trainy": "y", "label": "y",
    "labels": "y", "target": "y", "targets": "y", "xunlabelled": "X_unlabeled", "unlabeled": "X_unlabeled",
    "unlabelled": "X_unlabeled", "testx": "X_test", "testy": "y_test", "testlabels": "y_test", "testdata": "X_test",
    "testfeatures": "X_test", "testtargets": "y_test",
  ]
}

/// A label as it stands in a file. Integers sort by value, strings by their characters.
private enum Label: Hashable, Comparable, CustomStringConvertible {
  case integer(Int)
  case text(String)

  var isNone: Bool { self == .integer(-1) || self == .text("") }
  var description: String {
    switch self {
    case .integer(let value): String(value)
    case .text(let value): value
    }
  }
}

/// The labels of one array.
private struct LabelColumn {
  let name: String
  let labels: [Label]
  /// The labels, where they are texts; nil for integers.
  let texts: LabelTexts?

  /// Nil where the archive has no such array.
  init?(named name: String, in archive: ZipArchive) throws {
    guard let array = try NumPyArray(named: name, in: archive) else { return nil }
    try self.init(array, called: name)
  }

  init(_ array: NumPyArray, called name: String) throws {
    let shape: Shape
    self.name = name
    switch array {
    case .text(let strings, let textShape):
      var texts = LabelTexts(.array(name))
      labels = strings.enumerated().map { row, text in .text(texts.add(text, at: row) < 0 ? "" : text) }
      self.texts = texts
      shape = textShape
    case .numbers(let tensor):
      guard tensor.elementType == .int64 || tensor.elementType == .uint8 else {
        throw DidactError(.data, "\(name) holds \(tensor.elementType); labels are integers, with -1 for none, or text")
      }
      labels = (0..<tensor.count).map { .integer(tensor.integer(at: $0)) }
      texts = nil
      shape = tensor.shape
    }
    guard shape.rank == 1 else {
      throw DidactError(.shape, "\(name) has shape \(shape); give one label a row, for instance \(name).ravel()")
    }
  }

  /// - Throws: `DidactError.data` for a row without a label, which cannot be measured.
  func checkIsComplete() throws {
    guard let row = labels.firstIndex(where: \.isNone) else { return }
    let text = texts.map { "\"\($0.firstMissing?.text ?? "")\"" } ?? "-1"
    throw DidactError(
      .data, "\(name), row \(row): \(text) is no label to measure with; leave the row out of X_test and y_test")
  }

  /// Judges what the labels are.
  /// - Parameters:
  ///   - classes: the distinct labels of all columns.
  ///   - knownClasses: those of a model, or nil where there is none and training is to learn the classes.
  ///   - unlabeledRows: how many rows there are beside those of the columns.
  /// - Returns: what the user should know.
  /// - Throws: `DidactError.data` for texts that may mean "no label", and labels that are no classes.
  static func check(
    _ columns: [LabelColumn], _ classes: [Label], knownClasses: [String]?, unlabeledRows: Int
  ) throws -> [Warning] {
    let names = classes.map(\.description)
    var warnings: [Warning] = []
    for column in columns {
      guard let texts = column.texts else { continue }
      try texts.checkNoneIsDoubtful(among: names, knownClasses: knownClasses ?? [])
      warnings += texts.warnings
    }
    guard knownClasses == nil else { return warnings }
    for column in columns { try column.texts?.checkAreNoMeasurements(among: names) }
    // The labels to learn from repeat; a test part may have one row a class.
    if let column = columns.first(where: { $0.name != testLabelsName }),
      let warning = try column.checkRepeat(rows: column.labels.count + unlabeledRows)
    {
      warnings.append(warning)
    }
    return warnings
  }

  private static let testLabelsName = "y_test"

  private func checkRepeat(rows: Int) throws -> Warning? {
    if let texts { return try texts.checkRepeat(rows: rows) }
    guard let first = labels.firstIndex(where: { !$0.isNone }) else { return nil }
    let labeled = labels.count { !$0.isNone }, distinct = Set(labels).count { !$0.isNone }
    return try LabelTexts.checkRepeat(
      distinct: distinct, labeled: labeled, rows: rows, "\(name): ", first: "\(labels[first]) in row \(first)")
  }

  /// The distinct labels, sorted.
  static func classes(of columns: [LabelColumn]) throws -> [Label] {
    let classes = Set(columns.flatMap(\.labels)).filter { !$0.isNone }.sorted()
    if case .integer? = classes.first, case .text? = classes.last {
      throw DidactError(.data, "y and y_test hold integers and text; use one kind of label")
    }
    return classes
  }

  func indices(in classes: [Label]) -> [Int] {
    let indices = Dictionary(uniqueKeysWithValues: classes.enumerated().map { ($1, $0) })
    return labels.map { indices[$0] ?? -1 }
  }
}

extension Tensor {
  /// An element of an integer tensor, exactly (a Double holds 53 bits).
  fileprivate func integer(at index: Int) -> Int {
    elementType == .uint8
      ? Int(address.assumingMemoryBound(to: UInt8.self)[index])
      : Int(address.assumingMemoryBound(to: Int64.self)[index])
  }
}

// MARK: - npy

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
    var strings: [String] = []
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
