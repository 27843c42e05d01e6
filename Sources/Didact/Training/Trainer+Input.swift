/// Rows and labels on their way in: checked, scaled, and in the networks' element type.
extension Trainer {
  /// `input` as the networks take it: scaled, in their element type.
  /// - Throws: `DidactError.shape`, or `.data` naming row and column of what is not finite.
  /// - Parameters:
  ///   - memory: where the rows of steps are; nil for memory of their own.
  ///   - firstRow: what the first row is called.
  func prepared(
    _ input: BorrowedArray, _ name: String, in memory: TensorPool? = nil, firstRow: Int = 0
  ) throws -> Tensor {
    let input = try checkedRows(input, name), shape = Shape(input.rows, input.columns)
    let rows = try memory?.tensor(shape, elementType) ?? Tensor(shape, elementType)
    if !student.kernels.convert(rows, input, mean: scaling?.mean, scale: scaling?.scale) {
      try checkFinite(input, name, from: firstRow)
    }
    try input.checkNoneLost()
    return rows
  }

  func prepared(_ input: Tensor, _ name: String) throws -> Tensor {
    try withExtendedLifetime(input) { try prepared(BorrowedArray(input), name) }
  }

  /// Examples as the networks take them: see `BorrowedArray.examples`.
  func checkedRows(_ input: BorrowedArray, _ name: String) throws -> BorrowedArray {
    let extent = student.specification.extent
    guard let examples = input.examples(of: extent) else {
      throw DidactError(.shape, "\(name) has shape \(input.shape); expected \(extent.expected)")
    }
    guard examples.rows > 0 else { throw DidactError(.shape, "\(name) has no rows") }
    return examples
  }

  /// - Throws: `DidactError.data` naming row and column of the first element that is not finite once scaled.
  func checkFinite(_ input: BorrowedArray, _ name: String, from firstRow: Int = 0) throws {
    let rows = try Tensor(Shape(input.rows, input.columns), elementType)
    guard !student.kernels.convert(rows, input, mean: scaling?.mean, scale: scaling?.scale),
      let index = (0..<rows.count).first(where: { !rows[$0].isFinite })
    else { return }
    let row = firstRow + index / input.columns, column = index % input.columns
    let place = student.specification.extent.place(of: column)
    let columnName = column < featureNames.count ? " (\(featureNames[column]))" : ""
    throw DidactError(
      .data, "\(name), row \(row), \(place)\(columnName): \(input[index]) is not a finite \(elementType) number")
  }

  func strongView(_ strong: BorrowedArray?, of weak: Tensor?) throws -> Tensor? {
    guard let strong else { return weak }
    guard let weak else {
      throw DidactError(.invalidArgument, "a strong view needs the unlabelled rows that it is a view of")
    }
    let view = try prepared(strong, "unlabeled, strong view", in: batchMemory)
    try checkStrong(view, of: weak)
    return view
  }

  func checkStrong(_ strong: Tensor, of weak: Tensor) throws {
    guard strong.rows == weak.rows else {
      throw DidactError(.shape, "the strong view has \(strong.rows) rows, the unlabelled rows are \(weak.rows)")
    }
  }

  /// - Parameter names: what errors call rows and labels.
  func labeledBatch(
    _ inputs: BorrowedArray, _ labels: BorrowedArray, _ names: (rows: String, labels: String) = ("X", "y")
  ) throws -> LabeledBatch {
    let rows = try prepared(inputs, names.rows, in: batchMemory)
    return LabeledBatch(inputs: rows, labels: try checkedLabels(labels, names.labels, rows: rows.rows))
  }

  /// The rows of a step's feedback, where they are not the labelled ones.
  func trustedBatch(_ trusted: LabeledArrays?) throws -> LabeledBatch? {
    guard let trusted else { return nil }
    try definition.checkTakesTrustedRows()
    return try labeledBatch(trusted.inputs, trusted.labels, ("X_trusted", "y_trusted"))
  }

  /// The labels of a step [rows · labels of one], int64; −1 for a pixel without one.
  private func checkedLabels(_ labels: BorrowedArray, _ name: String, rows: Int) throws -> Tensor {
    let task = student.task, takesNone = type(of: task).stepsTakeNone,
      checked = try batchMemory.tensor(Shape(rows * task.labelsPerExample), .int64)
    try task.check(labels, of: rows, name)
    checked.takeIntegers(labels)
    var hasAny = false
    for index in 0..<checked.count {
      let label = try task.checked(checked.integer(at: index), at: index, name, canBeNone: takesNone)
      if label >= 0 { hasAny = true } else { checked[index] = -1 }
    }
    guard hasAny || rows == 0 else { throw DidactError(.data, "\(name): no pixel has a label") }
    return checked
  }

  /// - Parameter rows: how many labels there must be; nil for any number.
  /// - Returns: the classes, −1 for none.
  @discardableResult
  func checkLabels(_ labels: [Int], _ name: String, rows: Int? = nil, canBeNone: Bool = false) throws -> [Int] {
    if let rows, labels.count != rows { throw DidactError(.shape, "\(name): \(labels.count) labels for \(rows) rows") }
    let task = student.task
    return try labels.enumerated().map { try task.checked($1, at: $0, name, canBeNone: canBeNone) }
  }
}
