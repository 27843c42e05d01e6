/// FixMatch (Sohn et al., NeurIPS 2020), and with EMAN (Cai et al., CVPR 2021).
///
/// Student θ, labelled batch (x, y), unlabelled batch u of M rows in a weak and a strong view:
///
///     q_i = softmax(S(u_i; θ))                       on the weak view, constants
///     m_i = 1 where max q_i ≥ pseudo_label_threshold, else 0, or as `threshold_rule` says: see `ConfidenceRule`
///     θ ← θ − update(∇_θ [ CE(smooth(y), S(x)) + unlabeled_weight · (1/M) Σ_i m_i CE(argmax q_i, S(strong u_i)) ])
///
/// With `distribution_alignment` q is q ⊙ p / p̄, normalised: see `DistributionAlignment`.
///
/// The three batches pass the student together, as in the authors' code, or each by itself (`student_batch`): where there is
/// batch normalisation it matters. q comes from the student in training mode; with `eman` from its moving average in evaluation mode, whose normalisation
/// layers use averaged statistics, so that a row's label does not depend on the rows beside it.
final class FixMatch: Method {
  static let definition = MethodDefinition(
    name: "fixmatch", fields: unlabeledFields + strongViewFields + fields, labelsByAverage: true,
    tasks: [.classification, .segmentation],
    make: { try FixMatch(student: $0.student, average: $0.average, configuration: $0.configuration, seed: $0.seed) })

  static let fields: [Field] =
    [
      SupervisedTerm.field,
      Field(
        "pseudo_label_threshold", .number(.atLeast(0)), 0.95,
        "rows count where the largest probability is at least this; the divisor stays the number of rows",
        source: "Sohn et al. 2020"),
      Field(
        "unlabeled_weight", .number(.atLeast(0)), 1, "factor of the loss on pseudo-labels", source: "Sohn et al. 2020"),
      Field(
        "distribution_alignment", .boolean, false,
        "scale predictions that label by how often each class is among the labels, over how often it is predicted",
        source: "Berthelot et al. 2020; Sohn et al. 2020"),
      Field(
        "eman", .boolean, false, "label by the student's moving average, normalised with averaged statistics",
        source: "Cai et al. 2021"),
    ] + StudentTraining.batchFields + ConfidenceRule.fields + optimizerFields("student")

  let learners: [Learner]
  let metricNames =
    SupervisedTerm.metricNames + [
      "loss/pseudo_label", "gradient_norm/pseudo_label", "mask_rate", "learning_rate/student",
    ]

  private let student: Network
  private let training: StudentTraining
  private let objectives: Objectives
  /// What labels, if not the student.
  private let average: Network?
  private let confidence: ConfidenceRule
  private let alignment: DistributionAlignment?
  private let weakDropout, strongDropout: RandomStream

  init(student: Network, average: MovingAverage?, configuration: FieldValues, seed: UInt64) throws {
    self.student = student
    let isEMAN = try configuration.boolean("eman")
    guard !isEMAN || average != nil else {
      throw DidactError(.invalidArgument, "fixmatch: \"eman\" labels by the student's average; set \"average_decay\"")
    }
    self.average = isEMAN ? average?.network : nil
    training = try StudentTraining(student, configuration, seed: seed)
    learners = [training.learner]
    objectives = training.objectives
    confidence = try ConfidenceRule(
      configuration, threshold: configuration.number("pseudo_label_threshold"), classes: student.classes, objectives)
    alignment =
      try configuration.boolean("distribution_alignment")
      ? DistributionAlignment(classes: student.classes, objectives) : nil
    guard alignment == nil || confidence.kind != .soft else {
      throw DidactError(
        .invalidArgument,
        "fixmatch: threshold_rule \"soft\" aligns what it weighs by; leave out \"distribution_alignment\"")
    }
    weakDropout = RandomStream(seed: seed, name: "student/dropout/weak")
    strongDropout = RandomStream(seed: seed, name: "student/dropout/strong")
  }

  var scalars: [(name: String, value: Tensor)] { (alignment?.scalars ?? []) + confidence.scalars }

  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    let views = try batch.unlabeledViews(), weight = training.unlabeledWeight(at: draw)
    let together = try training.begin(
      batch, beside: average == nil ? [views.weak, views.strong] : [views.strong], confidence: confidence, draw: draw,
      into: &metrics)
    if weight > 0 {
      let logits =
        if let average {
          try average.record(views.weak, mode: .evaluation.forLogits).logits
        } else {
          try together?[0].logits
            ?? student.record(
              views.weak, mode: PassMode(normalization: .batch, noise: weakDropout, draw: draw, isKept: false)
            ).logits
        }
      var probabilities = try objectives.softmax(logits)
      if let alignment {
        let labels = try objectives.targets(of: batch.labeled.labels, classes: student.classes)
        probabilities = try alignment.aligned(probabilities, labels: labels)
      }
      let counted = try confidence.weights(of: probabilities, labels: batch.labeled.labels)
      let pass =
        try together?.last
        ?? RowsOfPass(
          student.record(
            views.strong, mode: PassMode(normalization: .batchUpdatingRunning, noise: strongDropout, draw: draw)))
      let term = try objectives.crossEntropy(
        logits: pass.logits, targets: objectives.mostProbable(probabilities), weights: counted.rows)
      metrics["loss/pseudo_label"] = term.loss
      metrics["mask_rate"] = counted.rate
      metrics["gradient_norm/pseudo_label"] = try training.terms.add(
        term, "pseudo-label", weight: weight, through: pass, draw: draw)
    }
    try training.end(draw: draw, into: &metrics)
  }
}
