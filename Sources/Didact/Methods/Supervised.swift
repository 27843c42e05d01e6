/// Supervised learning on the labelled rows alone: the baseline of every other method.
///
/// θ ← θ − update(∇ mean CE(smooth(y), S(x; θ)))
final class Supervised: Method {
  static let definition = MethodDefinition(
    name: "supervised", fields: fields,
    tasks: [.classification, .segmentation],
    make: { try Supervised(student: $0.student, configuration: $0.configuration, seed: $0.seed) })

  static let fields: [Field] = [SupervisedTerm.field] + optimizerFields("student")

  let learners: [Learner]
  let metricNames = SupervisedTerm.metricNames + ["learning_rate/student"]
  let needsUnlabeled = false

  private let supervised: SupervisedTerm
  private let terms: WeightedTerms

  init(student: Network, configuration: FieldValues, seed: UInt64) throws {
    learners = [try Learner("student", student, configuration)]
    supervised = try SupervisedTerm(student, Objectives(student.kernels), configuration, seed: seed)
    terms = try WeightedTerms(student)
  }

  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    terms.begin()
    try supervised.add(batch.labeled, to: terms, draw: draw, into: &metrics)
    try learners[0].step(draw: draw, into: &metrics)
  }
}
