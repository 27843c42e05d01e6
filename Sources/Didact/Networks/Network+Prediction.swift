/// A network predicts: this file has the shapes of its logits, class probabilities, and the outputs of its layers.
extension Network {
  public var taskName: TaskName { type(of: task).name }

  /// [N, classes], of a network that segments [N, height, width, classes].
  package func logitsShape(examples: Int) -> Shape { task.logitsShape(examples: examples) }

  /// The lengths of one example's logits, for messages: "3", or "4 × 5 × 3".
  var lengthsOfLogits: String {
    logitsShape(examples: 1).dimensions.dropFirst().map(String.init).joined(separator: " × ")
  }

  /// As JSON: `task`, `classes` and `labels`, the lengths of the labels of an example.
  package var taskDescription: JSON {
    let lengths = task.labelShape(examples: 1).dimensions.dropFirst()
    return .object([
      "task": .string(taskName.rawValue), "classes": .integer(Int64(classes)),
      "labels": .array(lengths.map { .integer(Int64($0)) }),
    ])
  }

  /// Logits, or a tangent of them, in that shape.
  package func shaped(_ logits: Tensor, examples: Int) -> Tensor { logits.view(logitsShape(examples: examples)) }

  /// An array of that shape and of any element type as rows of logits [N · labels of an example, classes].
  /// - Throws: `DidactError.shape` for another shape.
  package func rowsOfLogits(_ array: BorrowedArray, examples: Int, _ name: String) throws -> Tensor {
    let shape = logitsShape(examples: examples)
    guard array.shape == shape else {
      throw DidactError(.shape, "\(name) has shape \(array.shape); expected \(shape)")
    }
    let rows = try Tensor(Shape(array.rows, array.columns), elementType)
    _ = kernels.convert(rows, array, mean: nil, scale: nil)
    return rows.view(Shape(examples * labelsPerExample, classes))
  }

  // MARK: - Probabilities

  /// The class probabilities [N, classes] of rows [N, inputs] of any element type, in evaluation mode; of a network that
  /// segments [N, height, width, classes].
  /// - Throws: `DidactError.data` naming the row where they are not finite.
  public func predictProbabilities(_ input: Tensor) throws -> Tensor {
    let result = try Tensor(task.logitsShape(examples: input.rows), elementType)
    try withExtendedLifetime((input, result)) {
      try predict(BorrowedArray(result), BorrowedArray(input))
    }
    return result
  }

  /// The same into an array of the caller's, float32 or float64.
  /// - Parameters:
  ///   - scaling: what the input goes through first.
  ///   - oddInput: called with the rows where the input, scaled, is not finite, to throw a better error.
  package func predict(
    _ probabilities: BorrowedArray, _ input: BorrowedArray, scaling: InputScaling? = nil,
    oddInput: (Range<Int>) throws -> Void = { _ in }
  ) throws {
    let input = try examples(input)
    try probabilities.check(task.logitsShape(examples: input.rows), elementType, "probabilities")
    try forEachBlock(of: input) { block in
      try predict(
        probabilities.rows(block), input.rows(block), by: predictionPass(rows: block.count), firstRow: block.lowerBound,
        scaling: scaling, oddInput: oddInput)
    }
  }

  /// In blocks, so that memory does not grow with the number of rows.
  private func forEachBlock(of input: BorrowedArray, _ body: (Range<Int>) throws -> Void) throws {
    for start in stride(from: 0, to: input.rows, by: predictedRows) {
      try body(start..<min(start + predictedRows, input.rows))
    }
  }

  /// The length of what a layer gives for a row.
  /// - Throws: as `output`.
  package func outputLength(_ name: String) throws -> Int { try part(endingWith: name).outputs }

  /// The length of what the last layer gives for an example.
  var outputs: Int { classes * labelsPerExample }

  /// Computes the output of a layer for rows [N, inputs] of any element type, in evaluation mode.
  /// - Parameters:
  ///   - result: takes [N, length of the layer's output]; float32 or float64.
  ///   - name: of a layer, or "features" for what the last layer reads, or "logits".
  ///   - scaling, oddInput: as in `predict`.
  /// - Throws: `DidactError.invalidArgument` for a name that no layer has, with the nearest.
  package func output(
    _ result: BorrowedArray, _ input: BorrowedArray, named name: String, scaling: InputScaling? = nil,
    oddInput: (Range<Int>) throws -> Void = { _ in }
  ) throws {
    let part = try part(endingWith: name), input = try examples(input)
    try result.check(Shape(input.rows, part.outputs), elementType, "out")
    try part.forEachBlock(of: input) { block in
      let pass = try part.predictionPass(rows: block.count)
      try part.setInput(
        input.rows(block), of: pass, firstRow: block.lowerBound, scaling: scaling, oddInput: oddInput)
      // While it is referred to, no other thread takes it.
      try withExtendedLifetime(pass) {
        let output = try pass.evaluate()
        try part.checkResult(output, firstRow: block.lowerBound)
        try result.rows(block).take(output.view(Shape(block.count, part.outputs)), "out")
      }
    }
  }

  func predictionPass(rows: Int) throws -> RecordedPass { try takePass(rows: rows, mode: .evaluation.forLogits) }

  /// One block of rows, of which the first is `firstRow` for error messages.
  func predict(
    _ probabilities: BorrowedArray, _ input: BorrowedArray, by pass: RecordedPass, firstRow: Int,
    scaling: InputScaling? = nil, oddInput: (Range<Int>) throws -> Void = { _ in }
  ) throws {
    try setInput(input, of: pass, firstRow: firstRow, scaling: scaling, oddInput: oddInput)
    let result = try pass.predict()
    try checkResult(result, firstRow: firstRow)
    try probabilities.take(result.view(task.logitsShape(examples: input.rows)), "probabilities")
  }

  private func setInput(
    _ input: BorrowedArray, of pass: RecordedPass, firstRow: Int, scaling: InputScaling?,
    oddInput: (Range<Int>) throws -> Void
  ) throws {
    if try !pass.setInput(input, scaling) {
      try oddInput(firstRow..<firstRow + input.rows)
      let index = (0..<input.count).first { !Float(input[$0]).isFinite } ?? 0
      throw DidactError(
        .data,
        "row \(firstRow + index / inputs), \(specification.extent.place(of: index % inputs)): \(input[index]) is not a "
          + "finite \(elementType) number"
      )
    }
    try input.checkNoneLost()
  }

  private func checkResult(_ result: Tensor, firstRow: Int) throws {
    if !kernels.allFinite(result), let index = (0..<result.count).first(where: { !result[$0].isFinite }) {
      throw DidactError(
        .data,
        "row \(firstRow + index / outputs): the network's output is not finite; its input is too large, or its "
          + "parameters or running statistics are, as after a training that diverged")
    }
  }
}
