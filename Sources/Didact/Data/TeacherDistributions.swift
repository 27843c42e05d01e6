/// One or several teachers say for each row that a student learns from how probable each class is: a distribution from each
/// of them.
struct TeacherDistributions {
  static let mostTeachers = 64

  /// [rows, classes] of each teacher.
  private let matrices: [BorrowedArray]
  /// Keep files mapped for as long as this lives.
  private let owners: [Tensor]

  /// Reads files, one for each teacher.
  init(_ paths: [String], of rows: UnlabeledRows, classes: Int) throws {
    owners = try paths.map { try StoredDistributions.matrix($0, of: rows, classes: classes) }
    matrices = owners.map { BorrowedArray($0) }
  }

  /// - Parameter given: [rows, classes], or [teachers, rows, classes]; the caller keeps it alive.
  /// - Throws: `DidactError.shape`, or `.data` naming the row of what is no distribution.
  init(_ given: BorrowedArray, teachers: Int, of rows: Int, classes: Int) throws {
    let shape = given.shape
    let hasShape = shape.rank == 2 ? teachers == 1 : shape.rank == 3 && shape[0] == teachers
    guard hasShape, shape[shape.rank - 2] == rows, shape[shape.rank - 1] == classes else {
      let expected = teachers == 1 ? "[\(rows), \(classes)]" : "[\(teachers), \(rows), \(classes)]"
      throw DidactError(
        .shape,
        "teacher_distributions has shape \(shape); expected \(expected): \(teachers == 1 ? "" : "teachers, ")rows of X and of "
          + "X_unlabeled, classes. \"teachers\" is \(teachers)")
    }
    guard given.elementType == .float32 || given.elementType == .float64 else {
      throw DidactError(.elementType, "teacher_distributions is \(given.elementType); give real numbers")
    }
    owners = []
    let matrix = Shape(rows, classes), (first, second, third, _) = given.strides
    matrices = (0..<teachers).map {
      shape.rank == 2
        ? given
        : BorrowedArray(
          matrix, given.elementType, address: given.address + $0 * first, strides: (second, third, 0, 0))
    }
    for (teacher, matrix) in matrices.enumerated() {
      try Self.checkRows(matrix, "teacher_distributions\(teachers == 1 ? "" : "[\(teacher)]")")
    }
  }

  /// - Parameter name: what errors call it.
  static func checkRows(_ matrix: BorrowedArray, _ name: String) throws {
    for row in 0..<matrix.rows {
      var sum = 0.0, isNegative = false
      for index in row * matrix.columns..<(row + 1) * matrix.columns {
        sum += matrix[index]
        isNegative = isNegative || matrix[index] < 0
      }
      // NaN is near nothing.
      guard !isNegative, abs(sum - 1) < 1e-3 else {
        try matrix.checkNoneLost()
        throw DidactError(
          .data,
          "\(name), row \(row): it is no distribution: its sum is \(sum)\(isNegative ? ", with a negative part" : "")")
      }
    }
  }

  /// Returns the distributions of these rows: of all teachers side by side [N, teachers · classes], and their mean [N, classes].
  func rows(
    _ indices: [Int], _ kernels: any Kernels, in memory: TensorPool
  ) throws -> (sideBySide: Tensor, mean: Tensor) {
    func rows(of matrix: BorrowedArray) throws -> Tensor {
      try withExtendedLifetime(owners) {
        try RowSource(parts: [matrix]).rows(indices, kernels.elementType, kernels, nil, in: memory)
      }
    }
    if matrices.count == 1 {
      let only = try rows(of: matrices[0])
      return (only, only)
    }
    let classes = matrices[0].columns, width = matrices.count * classes, size = kernels.elementType.byteCount
    let all = try memory.tensor(Shape(indices.count, width), kernels.elementType)
    let mean = try memory.tensor(Shape(indices.count, classes), kernels.elementType)
    kernels.fill(mean, 0)
    for (teacher, matrix) in matrices.enumerated() {
      let one = try rows(of: matrix)
      kernels.add(one, scaledBy: 1 / Double(matrices.count), to: mean)
      try withExtendedLifetime(all) {
        let columns = BorrowedArray(
          one.shape, one.elementType, address: all.address + teacher * classes * size,
          strides: (width * size, size, 0, 0))
        try columns.take(one, "teacher_distributions")
      }
    }
    return (all, mean)
  }
}
