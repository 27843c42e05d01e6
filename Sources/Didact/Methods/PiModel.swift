/// The Π-model (Laine and Aila, ICLR 2017, section 2.1): two noisy predictions of one network for the same row agree.
///
/// Student θ, labelled batch (x, y), unlabelled batch u of M rows in two views a and b:
///
///     θ ← θ − update(∇_θ [ CE(smooth(y), S(x)) + λ(k) (1 / M C) Σ_i ‖softmax(S(aᵢ)) − softmax(S(bᵢ))‖² ])
///
/// The labelled rows are in the batches of both views, as in the authors' code, or pass alone (`student_batch`).
/// Both sides have a gradient, as in the authors' code; `detach_target: true` makes the weak view's a constant. λ rises to
/// `unlabeled_weight`.
final class PiModel: Method {
  static let definition = MethodDefinition(
    name: "pi_model", fields: unlabeledFields + strongViewFields + fields,
    tasks: [.classification, .segmentation],
    make: { try PiModel(student: $0.student, configuration: $0.configuration, seed: $0.seed) })

  static let fields: [Field] =
    [
      SupervisedTerm.field,
      Field(
        "unlabeled_weight", .number(.atLeast(0)), 10,
        "λ, the factor of the consistency loss, the mean over rows and classes, after its ramp",
        source: "Laine and Aila's code: 100 × labelled share of the rows"),
      Field(
        "unlabeled_ramp", .number(.closed(0, 1)), 0.27, "share of `steps` over which λ rises as exp(−5 (1 − t)²)",
        source: "Laine and Aila 2017: 80 of 300 epochs"),
      Field(
        "detach_target", .boolean, false, "the prediction on the weak view is a constant",
        source: "true in later ports"),
    ] + StudentTraining.batchFields + optimizerFields("student")

  let learners: [Learner]
  let metricNames =
    SupervisedTerm.metricNames + ["loss/consistency", "gradient_norm/consistency", "learning_rate/student"]

  private let student: Network
  private let training: StudentTraining
  private let objectives: Objectives
  private let detachesTarget: Bool
  private let weakDropout, strongDropout: RandomStream

  init(student: Network, configuration: FieldValues, seed: UInt64) throws {
    self.student = student
    training = try StudentTraining(student, configuration, seed: seed, ramp: .exponential)
    learners = [training.learner]
    objectives = training.objectives
    detachesTarget = try configuration.boolean("detach_target")
    weakDropout = RandomStream(seed: seed, name: "student/dropout/weak")
    strongDropout = RandomStream(seed: seed, name: "student/dropout/strong")
  }

  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    let views = try batch.unlabeledViews(), weight = training.unlabeledWeight(at: draw)
    let together = try training.begin(batch, beside: [views.weak], draw: draw, into: &metrics)
    if weight > 0 {
      let weak =
        try together?[0]
        ?? RowsOfPass(
          student.record(views.weak, mode: PassMode(normalization: .batch, noise: weakDropout, draw: draw)))
      let strong =
        try training.together(batch, [views.strong], noise: strongDropout, draw: draw)?[1]
        ?? RowsOfPass(
          student.record(
            views.strong, mode: PassMode(normalization: .batchUpdatingRunning, noise: strongDropout, draw: draw)))
      let weakProbabilities = try objectives.softmax(weak.logits)
      let term = try objectives.squaredDifference(logits: strong.logits, targets: weakProbabilities)
      var parts = [(term.cotangent, strong)]
      if !detachesTarget {
        let strongProbabilities = try objectives.softmax(strong.logits)
        parts.append(
          (try objectives.squaredDifference(logits: weak.logits, targets: strongProbabilities).cotangent, weak)
        )
      }
      metrics["loss/consistency"] = term.loss
      metrics["gradient_norm/consistency"] = try training.terms.add(
        loss: term.loss, parts, "consistency", weight: weight, draw: draw)
    }
    try training.end(draw: draw, into: &metrics)
  }
}
