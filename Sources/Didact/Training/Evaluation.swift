/// How often predictions are right, and what is taken for what.
public struct Evaluation: Sendable, Equatable {
  /// `confusion[a][b]` rows of class `a` were taken for class `b`.
  public let confusion: [[Int]]

  /// The number of rows.
  public var rows: Int { confusion.reduce(0) { $0 + $1.reduce(0, +) } }
  public var correct: Int { confusion.indices.reduce(0) { $0 + confusion[$1][$1] } }
  /// In [0, 1]; 0 where there are no rows.
  public var accuracy: Double { rows > 0 ? Double(correct) / Double(rows) : 0 }

  /// - Parameters:
  ///   - labels: the right class of each row, in 0..<classes.
  ///   - predictions: as many.
  init(labels: [Int], predictions: [Int], classes: Int) {
    var confusion = Array(repeating: Array(repeating: 0, count: classes), count: classes)
    for (label, prediction) in zip(labels, predictions) { confusion[label][prediction] += 1 }
    self.confusion = confusion
  }
}

extension Trainer {
  /// What can predict: `student`, then `teacher`, `average`, `best` and `finetuned` where method, configuration and steps so
  /// far made them, then `ensemble` where there are members.
  public var networkRoles: [String] {
    method.learners.map(\.role).filter { $0 != "corrector" }
      + stages.filter(\.hasBegun).map { type(of: $0).role } + (members.isEmpty ? [] : [Self.ensembleRole])
  }

  /// - Throws: `DidactError.unsupported` for a network that takes other rows.
  func predictingNetwork(_ role: String) throws -> Network {
    guard role != "corrector" else {
      throw DidactError(.unsupported, "the corrector takes stored distributions, not rows of features")
    }
    return try network(role)
  }

  /// Class probabilities [N, classes] by one network, or by the ensemble.
  /// - Parameter role: one of `networkRoles`.
  public func predictProbabilities(_ inputs: Tensor, by role: String) throws -> Tensor {
    let result = try Tensor(Shape(inputs.rows, student.classes), elementType)
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
    let probabilities = try predictProbabilities(inputs, by: role ?? predictorRole)
    guard labels.count == probabilities.rows else {
      throw DidactError(.shape, "\(labels.count) labels for \(probabilities.rows) rows")
    }
    try checkLabels(labels, "y")
    return Evaluation(
      labels: labels, predictions: try mostProbable(probabilities), classes: student.classes)
  }
}
