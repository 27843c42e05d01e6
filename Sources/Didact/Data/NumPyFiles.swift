extension Dataset {
  /// Reads an `.npz` file with the arrays `X`, `y`, `X_unlabeled`, `X_test` and `y_test`, of which only `X` is required.
  ///
  /// The features are matrices, or images [N, height, width, channels] or [N, height, width]. Labels are whole numbers,
  /// −1 or NaN for none, unless −1 and 1 are all, or strings, empty for none; the classes are the sorted distinct labels of `y` and `y_test`. Words for a missing
  /// value, `?`, `NA`, `N/A`, `n/a`, `NaN`, `nan`, `NULL` and `null`, are none too, which `warnings` says. Other strings
  /// that may mean "no label" are an error: `None`, `<NA>`, `NaT`, `unlabeled`, `unlabelled`, and `-1` unless the classes
  /// are -1 and 1. Other arrays are ignored, which `warnings` says, unless their name looks like one of these misspelt.
  /// - Parameters:
  ///   - knownClasses: names of a model's classes, which are labels whatever they look like; nil where there is no model,
  ///     and texts of numbers that are not whole, and labels that nearly all differ, are refused.
  ///   - readsLabels: whether `y` and `y_test` are read; if not, no row has a label.
  /// - Throws: `DidactError.file`, `.format` for a malformed archive or array, `.shape`, `.data`; all name file and array.
  public init(npz path: String, knownClasses: [String]? = nil, readsLabels: Bool = true) throws {
    let content = try readFile(path)
    do {
      let archive = try ZipArchive(content)
      try Dataset.checkNames(of: archive)
      try self.init(archive, knownClasses: knownClasses, readsLabels: readsLabels)
      let ignored = archive.entries.map(NumPyArray.arrayName).filter { !Dataset.arrayNames.contains($0) }
      if !ignored.isEmpty {
        let names = ignored.prefix(5).map { "\"\($0)\"" }.joined(separator: ", ")
        warnings.append(
          Warning(
            .ignoredArrays,
            "\(ignored.count) \(ignored.count == 1 ? "array is" : "arrays are") ignored, \(names): those that are read are "
              + "\(Dataset.arrayNames.joined(separator: ", "))"))
      }
    } catch let error as DidactError {
      throw error.at(path)
    }
  }
}

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
    var columns =
      readsLabels
      ? try ["y", "y_test"].compactMap { try LabelColumn(named: $0, in: archive, knownClasses: knownClasses) } : []
    LabelColumn.decideMinusOne(&columns, knownClasses: knownClasses)
    let classes = try LabelColumn.classes(of: columns)
    let labels = columns.first { $0.name == "y" }, testLabels = columns.first { $0.name == "y_test" }
    try testLabels?.checkIsComplete()
    let unlabeled = try readMatrix("X_unlabeled")
    let warnings = try LabelColumn.check(
      columns, classes, knownClasses: knownClasses, unlabeledRows: unlabeled?.rows ?? 0)
    self.init(
      features: features,
      labels: try labels?.indices(in: classes) ?? Dataset.noLabels(rows: features.rows),
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
  /// stay in the file and are read where they are, so that they may be larger than memory: see `mapFile`. Other types and orders are converted in memory.
  /// - Parameters:
  ///   - labelPath: whole numbers, −1 or NaN for none, or strings, as in an `.npz` file, one for each row; nil for no labels.
  ///   - knownClasses: as for `.npz` files.
  /// - Throws: as for `.npz` files.
  public init(npy path: String, labels labelPath: String? = nil, knownClasses: [String]? = nil) throws {
    let (features, extent) = try readMapped(path) { content in
      guard case .numbers(let tensor) = try NumPyArray(content, isShared: true) else {
        throw DidactError(.data, "it holds text; features must be numbers")
      }
      return try Dataset.matrix(tensor, called: "the array")
    }
    var classes: [Label] = [], column: LabelColumn?, warnings: [Warning] = []
    if let labelPath {
      do {
        var columns = [
          try LabelColumn(NumPyArray(readFile(labelPath)), called: "the array", knownClasses: knownClasses)
        ]
        LabelColumn.decideMinusOne(&columns, knownClasses: knownClasses)
        classes = try LabelColumn.classes(of: columns)
        warnings = try LabelColumn.check(columns, classes, knownClasses: knownClasses, unlabeledRows: 0)
          .map { $0.at(labelPath) }
        column = columns[0]
      } catch let error as DidactError {
        throw error.at(labelPath)
      }
    }
    self.init(
      features: features,
      labels: try column?.indices(in: classes) ?? Dataset.noLabels(rows: features.rows),
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
  /// Nil for rows without one.
  private(set) var labels: [Label?]
  /// The labels, where they are texts; nil for numbers.
  let texts: LabelTexts?

  /// Nil where the archive has no such array.
  init?(named name: String, in archive: ZipArchive, knownClasses: [String]?) throws {
    guard let array = try NumPyArray(named: name, in: archive) else { return nil }
    try self.init(array, called: name, knownClasses: knownClasses)
  }

  init(_ array: NumPyArray, called name: String, knownClasses: [String]?) throws {
    let shape: Shape
    self.name = name
    switch array {
    case .text(let strings, let textShape):
      try Buffer.checkRoom(byteCount: 5 * MemoryLayout<Label?>.stride * strings.count)
      var texts = LabelTexts(.array(name), knownClasses: knownClasses ?? [])
      labels = try strings.enumerated().map { row, text in try texts.add(text, at: row) < 0 ? nil : .text(text) }
      self.texts = texts
      shape = textShape
    case .numbers(let tensor):
      // Here, without those that are none, and among the labels of all arrays.
      try Buffer.checkRoom(byteCount: 5 * MemoryLayout<Label?>.stride * tensor.count)
      labels = try (0..<tensor.count).map { try LabelColumn.label(tensor, $0, name) }
      texts = nil
      shape = tensor.shape
    }
    guard shape.rank == 1 else {
      throw DidactError(.shape, "\(name) has shape \(shape); give one label a row, for instance \(name).ravel()")
    }
  }

  /// - Returns: an integer, or nil for NaN.
  /// - Throws: `DidactError.data` for a number that is not whole.
  private static func label(_ tensor: Tensor, _ row: Int, _ name: String) throws -> Label? {
    switch tensor.elementType {
    case .int64, .uint8: return .integer(tensor.integer(at: row))
    case .float32, .float64:
      let value = tensor[row]
      if value.isNaN { return nil }
      guard let whole = Int(exactly: value) else {
        throw DidactError(
          .data,
          "\(name), row \(row): \(value) is not a whole number; labels are whole numbers, with -1 or NaN for none, or text"
        )
      }
      return .integer(whole)
    }
  }

  /// -1 is no label, unless a model has such a class or -1 and 1 are all labels, as for a support vector machine.
  static func decideMinusOne(_ columns: inout [LabelColumn], knownClasses: [String]?) {
    let isClass =
      knownClasses?.contains("-1")
      ?? (Set(columns.flatMap(\.labels).compactMap(\.self)) == [.integer(-1), .integer(1)])
    guard !isClass else { return }
    for index in columns.indices {
      columns[index].labels = columns[index].labels.map { $0 == .integer(-1) ? nil : $0 }
    }
  }

  /// - Throws: `DidactError.data` for a row without a label, which cannot be measured.
  func checkIsComplete() throws {
    guard let row = labels.firstIndex(of: nil) else { return }
    let text = texts.map { "\"\($0.firstMissing?.text ?? "")\"" } ?? "-1 or NaN"
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
      try texts.checkNoneIsDoubtful(among: names)
      warnings += texts.warnings
    }
    guard knownClasses == nil else { return warnings }
    for column in columns {
      try column.texts?.checkLabelsAreWrittenAlike()
      try column.texts?.checkAreNoMeasurements(among: names)
    }
    let integers = classes.compactMap { if case .integer(let value) = $0 { value } else { nil } }
    if let name = columns.first?.name, let warning = LabelTexts.unsignedMinusOne(integers, name) {
      warnings.append(warning)
    }
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
    let known = labels.compactMap(\.self)
    guard let first = known.first, let row = labels.firstIndex(of: first) else { return nil }
    return try LabelTexts.checkRepeat(
      distinct: Set(known).count, labeled: known.count, rows: rows, "\(name): ", first: "\(first) in row \(row)")
  }

  /// The distinct labels, sorted.
  static func classes(of columns: [LabelColumn]) throws -> [Label] {
    var distinct = Set<Label>()
    for column in columns {
      for label in column.labels {
        guard let label, distinct.insert(label).inserted else { continue }
        try LabelTexts.checkCount(distinct.count, column.name)
      }
    }
    let classes = distinct.sorted()
    if case .integer? = classes.first, case .text? = classes.last {
      throw DidactError(.data, "y and y_test hold numbers and text; use one kind of label")
    }
    return classes
  }

  func indices(in classes: [Label]) -> [Int] {
    let indices = Dictionary(uniqueKeysWithValues: classes.enumerated().map { ($1, $0) })
    return labels.map { label in label.flatMap { indices[$0] } ?? -1 }
  }
}

extension Dataset {
  /// For rows of which none has a label.
  /// - Throws: `DidactError.outOfMemory`.
  fileprivate static func noLabels(rows: Int) throws -> [Int] {
    try Buffer.checkRoom(byteCount: 8 * rows)
    return Array(repeating: -1, count: rows)
  }
}
