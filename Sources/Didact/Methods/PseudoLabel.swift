/// Pseudo-Label (Lee, ICML workshop 2013), with the confidence threshold of its later forms: a network learns from its own
/// most probable classes.
///
/// Student θ, labelled batch (x, y), unlabelled batch u of M rows:
///
///     p_i = softmax(S(u_i; θ))                       constants
///     ŷ_i = one-hot of argmax p_i
///     m_i = 1 where max p_i ≥ pseudo_label_threshold, else 0
///     θ ← θ − update(∇_θ [ CE(smooth(y), S(x)) + α(k) (1/M) Σ_i m_i CE(ŷ_i, S(u_i)) ])
///
/// α rises from 0 to `unlabeled_weight`. There are no soft labels: CE(p_i, S(u_i)) of a prediction against itself has
/// gradient 0. Both terms see the weak view. Unlabelled rows are normalised with their own
/// statistics, which do not enter the running ones.
final class PseudoLabel: Method {
  static let definition = MethodDefinition(
    name: "pseudo_label", fields: unlabeledFields + fields,
    tasks: [.classification, .segmentation],
    make: { try PseudoLabel(student: $0.student, configuration: $0.configuration, seed: $0.seed) })

  static let fields: [Field] =
    [
      SupervisedTerm.field,
      Field(
        "pseudo_label_threshold", .number(.atLeast(0)), 0.95,
        "rows count where the largest probability is at least this; the divisor stays the number of rows",
        source: "FixMatch's code; Lee 2013 has none"),
      Field("unlabeled_weight", .number(.atLeast(0)), 1, "α, the factor of the loss on pseudo-labels, after its ramp"),
      Field(
        "unlabeled_ramp", .number(.closed(0, 1)), 0.4, "share of `steps` over which α rises linearly from 0",
        source: "FixMatch's code"),
    ] + optimizerFields("student")

  let learners: [Learner]
  let metricNames =
    SupervisedTerm.metricNames + [
      "loss/pseudo_label", "gradient_norm/pseudo_label", "mask_rate", "learning_rate/student",
    ]

  private let student: Network
  private let training: StudentTraining
  private let objectives: Objectives
  private let threshold: Double
  private let dropout: RandomStream

  init(student: Network, configuration: FieldValues, seed: UInt64) throws {
    self.student = student
    training = try StudentTraining(student, configuration, seed: seed)
    learners = [training.learner]
    objectives = training.objectives
    threshold = try configuration.number("pseudo_label_threshold")
    dropout = RandomStream(seed: seed, name: "student/dropout/unlabeled")
  }

  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    try training.begin(batch, draw: draw, into: &metrics)
    let weight = training.unlabeledWeight(at: draw)
    if weight > 0 {
      let unlabeled = try student.record(
        try batch.unlabeledViews().weak, mode: PassMode(normalization: .batch, noise: dropout, draw: draw))
      let probabilities = try objectives.softmax(unlabeled.logits)
      let targets = try objectives.mostProbable(probabilities)
      let mask = try objectives.confidenceMask(probabilities, threshold: threshold)
      let term = try objectives.crossEntropy(logits: unlabeled.logits, targets: targets, weights: mask)
      metrics["loss/pseudo_label"] = term.loss
      metrics["mask_rate"] = objectives.rate(mask)
      metrics["gradient_norm/pseudo_label"] = try training.terms.add(
        term, "pseudo-label", weight: weight, through: unlabeled, draw: draw)
    }
    try training.end(draw: draw, into: &metrics)
  }
}
