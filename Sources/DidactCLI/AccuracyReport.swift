import Didact

/// How well a trainer's networks do on some rows.
struct AccuracyReport {
  /// What the rows are, such as "test rows".
  private let subject: String
  /// By the network that predicts.
  let predictor: Evaluation
  private let predictorRole: String
  private let classNames: [String]
  /// By every network that there is.
  private let byRole: [(role: String, evaluation: Evaluation)]

  /// - Parameter subject: what the rows are, such as "test rows".
  init(on subject: String, _ trainer: Trainer, _ features: Tensor, _ labels: [Int]) throws {
    self.subject = subject
    byRole = try trainer.networkRoles.map { ($0, try trainer.evaluate(features, labels, by: $0)) }
    predictorRole = trainer.predictorRole
    predictor = try trainer.evaluate(features, labels)
    classNames = trainer.namesOfClasses
  }

  /// One line.
  func text() -> String {
    var line = "accuracy on \(predictor.rows) \(subject): \(percent(predictor.accuracy)) by the \(predictorRole)"
    for (role, evaluation) in byRole where role != predictorRole {
      line += ", \(percent(evaluation.accuracy)) by the \(role)"
    }
    return line + "\n"
  }

  func json() -> JSON {
    var object: JSONObject = [
      "rows": JSON(predictor.rows), "accuracy": .number(predictor.accuracy), "predictor": .string(predictorRole),
    ]
    for (role, evaluation) in byRole { object[role] = .number(evaluation.accuracy) }
    return .object(object)
  }

  /// Rows are classes, columns what they were taken for.
  func confusionText() -> String {
    var rows = [["class"] + classNames]
    for (name, counts) in zip(classNames, predictor.confusion) { rows.append([name] + counts.map { String($0) }) }
    return "confusion (rows: the class, columns: the prediction)\n" + aligned(rows)
  }

  func confusionJSON() -> JSON { .array(predictor.confusion.map { .array($0.map { JSON($0) }) }) }
}
