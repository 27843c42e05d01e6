/// How often predictions are right, and what is taken for what. In segmentation, a row is a pixel.
public struct Evaluation: Sendable, Equatable {
  /// `confusion[a][b]` rows of class `a` were taken for class `b`.
  public let confusion: [[Int]]

  /// The number of rows.
  public var rows: Int { confusion.reduce(0) { $0 + $1.reduce(0, +) } }
  public var correct: Int { confusion.indices.reduce(0) { $0 + confusion[$1][$1] } }
  /// In [0, 1]; 0 where there are no rows.
  public var accuracy: Double { rows > 0 ? Double(correct) / Double(rows) : 0 }

  /// The mean, over the classes that are a label or a prediction, of right ones over all that are either: |A ∩ B| / |A ∪ B|
  /// over the whole set, as segmentation is measured. 0 where there are no rows.
  public var meanIntersectionOverUnion: Double {
    let ratios = confusion.indices.compactMap { label -> Double? in
      let union = confusion[label].reduce(0, +) + confusion.reduce(0) { $0 + $1[label] } - confusion[label][label]
      return union > 0 ? Double(confusion[label][label]) / Double(union) : nil
    }
    return ratios.isEmpty ? 0 : ratios.reduce(0, +) / Double(ratios.count)
  }

  /// - Parameters:
  ///   - labels: the right class of each row, in 0..<classes; rows of -1 do not count.
  ///   - predictions: as many.
  init(labels: some Sequence<Int>, predictions: [Int], classes: Int) {
    var confusion = Array(repeating: Array(repeating: 0, count: classes), count: classes)
    for (label, prediction) in zip(labels, predictions) where label >= 0 { confusion[label][prediction] += 1 }
    self.confusion = confusion
  }
}

extension Trainer {
  /// What can predict: `student`, then `teacher`, `average`, `best` and `finetuned` where method, configuration and steps so
  /// far made them, then `forest` where there are trees, then
  /// `ensemble` where several predict together.
  public var networkRoles: [String] {
    method.learners.map(\.role).filter { $0 != "corrector" }
      + stages.filter(\.hasBegun).map { type(of: $0).role }
      + ((forest?.trees ?? 0) > 0 ? [Self.forestRole] : []) + (isEnsemble ? [Self.ensembleRole] : [])
  }

  /// - Throws: `DidactError.unsupported` for a network that takes other rows.
  func predictingNetwork(_ role: String) throws -> Network {
    guard role != "corrector" else {
      throw DidactError(.unsupported, "the corrector takes stored distributions, not rows of features")
    }
    return try network(role)
  }

  /// Class probabilities [N, classes], in segmentation [N, height, width, classes], by one network, or by the ensemble.
  /// - Parameter role: one of `networkRoles`.
  public func predictProbabilities(_ inputs: Tensor, by role: String) throws -> Tensor {
    let result = try Tensor(student.task.logitsShape(examples: inputs.rows), elementType)
    try withExtendedLifetime((inputs, result)) {
      try predict(BorrowedArray(result), BorrowedArray(inputs), by: role)
    }
    return result
  }

  /// Compares predictions with labels.
  /// - Parameters:
  ///   - inputs: [N, inputs] of any element type.
  ///   - labels: a class for each row.
  ///   - role: one of `networkRoles`; nil for the network that predicts.
  /// - Throws: `DidactError.data` for a label out of range.
  public func evaluate(_ inputs: Tensor, _ labels: [Int], by role: String? = nil) throws -> Evaluation {
    try checkLabels(labels, "y", rows: inputs.rows)
    return try evaluate(inputs, labels: Tensor(labels), by: role)
  }

  /// The same with labels [N], in segmentation [N, height, width], where labels of none do not count; int64 or uint8.
  public func evaluate(_ inputs: Tensor, labels: Tensor, by role: String? = nil) throws -> Evaluation {
    let labels = try withExtendedLifetime(labels) {
      try Labels(BorrowedArray(labels), of: inputs.rows, student.task)
    }
    // The confusion of all classes, and a prediction for each label.
    try Buffer.checkRoom(byteCount: 8 * (student.classes * student.classes + inputs.rows * student.labelsPerExample))
    let predictions = try mostProbable(predictProbabilities(inputs, by: role ?? predictorRole))
    return Evaluation(labels: labels.classes, predictions: predictions, classes: student.classes)
  }
}
