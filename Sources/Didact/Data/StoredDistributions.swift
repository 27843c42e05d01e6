/// What a trained teacher predicted for the rows that a student will learn from, in a file of their own: a safetensors
/// file with the matrix `distributions` [rows, classes], float32 or float64, whose rows sum to 1. It is read where it is, so
/// that neither the teacher nor all of its predictions have to be in memory.
///
/// Files that Didact wrote say which rows and classes they are of; others are taken as they come.
enum StoredDistributions {
  private static let tensorName = "distributions"
  private static let rowsKey = "didact.rows", classesKey = "didact.class_names"

  /// The matrix [rows, classes], checked; the file stays mapped for as long as it lives.
  /// - Parameters:
  ///   - rows: what the student learns from.
  ///   - classes: how many the student has.
  /// - Throws: `DidactError.file`; `.format` for another kind of file; `.data` for distributions of other rows or classes,
  ///   and naming the row for one that is no distribution.
  static func matrix(_ path: String, of rows: UnlabeledRows, classes: Int) throws -> Tensor {
    let file = try SafetensorsFile(mapping: path)
    do {
      let matrix = try Self.matrix(file)
      guard matrix.columns == classes else {
        throw DidactError(.data, "distributions of \(matrix.columns) classes; the student has \(classes)")
      }
      guard matrix.rows == rows.count else {
        throw DidactError(
          .data,
          "distributions of \(matrix.rows) rows, but there are \(rows.count) to learn from: those of X, then of X_unlabeled"
        )
      }
      if let digest = file.metadata(named: Self.rowsKey), digest != String(rows.digest) {
        throw DidactError(
          .data,
          "distributions of other rows, or in another order: they are compared as the model that stored them took them, with "
            + "its columns, their order and type, its categories and what it put for missing values")
      }
      // Files of others say nothing of classes. Numbered classes have no names.
      let names = file.metadata(named: Self.classesKey)
      if file.metadata(named: Self.rowsKey) != nil, names != Self.text(rows.classNames) {
        throw DidactError(
          .data,
          "distributions over the classes \(names ?? "0, 1, …"), but those of the student are "
            + "\(Self.text(rows.classNames) ?? "0, 1, …"); give both the same class names")
      }
      try withExtendedLifetime(matrix) {
        try TeacherDistributions.checkRows(BorrowedArray(matrix), "tensor \"\(tensorName)\"")
      }
      return matrix
    } catch let error as DidactError {
      throw error.at(path)
    }
  }

  /// Nil for classes without names.
  private static func text(_ classNames: [String]) -> String? {
    classNames.isEmpty ? nil : JSON.array(classNames.map { .string($0) }).serialized()
  }

  private static func matrix(_ file: SafetensorsFile) throws -> Tensor {
    guard let matrix = file.tensor(named: tensorName) else {
      throw DidactError(.format, "it has no tensor \"\(tensorName)\"; Trainer.store_distributions writes such files")
    }
    guard matrix.shape.rank == 2, matrix.elementType == .float32 || matrix.elementType == .float64 else {
      throw DidactError(
        .format,
        "tensor \"\(tensorName)\" is \(matrix.elementType) \(matrix.shape); expected real numbers [rows, classes]")
    }
    return matrix
  }

  /// Writes such a file, block by block.
  /// - Parameters:
  ///   - rowsDigest: see `UnlabeledRows`.
  ///   - body: passes the rows, in order, to its argument.
  static func write(
    to path: String, rowsDigest: UInt64, classNames: [String], shape: Shape, elementType: ElementType,
    _ body: ((Tensor) throws -> Void) throws -> Void
  ) throws {
    var metadata = [(key: rowsKey, value: String(rowsDigest))]
    if let names = text(classNames) { metadata.append((classesKey, names)) }
    try SafetensorsFile.write(
      to: path, metadata: metadata, tensors: [(tensorName, elementType, shape)], body)
  }
}
