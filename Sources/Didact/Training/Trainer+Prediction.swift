extension Trainer {
  /// Class probabilities [N, classes] of rows [N, inputs] of any element type, in segmentation [N, height, width, classes].
  public func predictProbabilities(_ inputs: Tensor) throws -> Tensor {
    try predictProbabilities(inputs, by: predictorRole)
  }

  /// The same into an array of the caller's, float32 or float64.
  package func predict(_ probabilities: BorrowedArray, _ inputs: BorrowedArray) throws {
    if isEnsemble {
      try predictByEnsemble(probabilities, inputs)
    } else {
      try predict(probabilities, inputs, with: predictor)
    }
  }

  /// By the mean of the members' probabilities, of which the trees then take their part.
  private func predictByEnsemble(_ probabilities: BorrowedArray, _ inputs: BorrowedArray) throws {
    try Self.predict(probabilities, inputs, byMeanOf: indexedMembers)
    guard let forest = reading({ forest }) else { return }
    forest.mix(into: probabilities, try checkedRows(inputs, "X"), weight: weight(of: forest))
  }

  /// By one network, by the trees, or by the ensemble.
  package func predict(_ probabilities: BorrowedArray, _ inputs: BorrowedArray, by role: String) throws {
    if role == Self.ensembleRole, isEnsemble {
      try predictByEnsemble(probabilities, inputs)
    } else if role == Self.forestRole, forestTrees > 0 {
      guard let forest = reading({ forest }), forest.trees > 0 else {
        throw DidactError(.state, "there are no trees yet: a fit grows them")
      }
      let inputs = try checkedRows(inputs, "X")
      try probabilities.check(student.task.logitsShape(examples: inputs.rows), elementType, "probabilities")
      try student.lock.reading { try checkFinite(inputs, "X") }
      forest.mix(into: probabilities, inputs, weight: 1)
    } else {
      try predict(probabilities, inputs, with: predictingNetwork(role))
    }
  }

  func predict(_ probabilities: BorrowedArray, _ inputs: BorrowedArray, with network: Network) throws {
    guard definition.learnsFromLabels else {
      throw DidactError(
        .unsupported, "method \"\(methodName)\" learns features without labels, and knows no classes to predict")
    }
    // The lock is about the input scaling too.
    try network.lock.reading {
      let inputs = try checkedRows(inputs, "X")
      try network.predict(probabilities, inputs, scaling: scaling) { rows in
        try checkFinite(inputs.rows(rows), "X", from: rows.lowerBound)
      }
    }
  }

  /// The most probable class of each row, in segmentation of each pixel of the rows, one after the other.
  public func predict(_ inputs: Tensor) throws -> [Int] {
    try mostProbable(try predictProbabilities(inputs))
  }

  /// The class of the largest probability of each row, in segmentation of each pixel.
  func mostProbable(_ probabilities: Tensor) throws -> [Int] {
    let rows = probabilities.count / student.classes, labels = try Tensor(Shape(rows), .int64)
    student.kernels.argmax(labels, probabilities.view(Shape(rows, student.classes)))
    return (0..<rows).map { labels.integer(at: $0) }
  }
}
