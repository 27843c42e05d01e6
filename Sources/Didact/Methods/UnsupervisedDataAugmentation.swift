/// Unsupervised Data Augmentation (UDA: Xie, Dai, Hovy, Luong and Le, NeurIPS 2020).
///
/// Student θ, labelled batch (x, y), unlabelled batch u of M rows in a weak and a strong view:
///
///     p_i = softmax(S(u_i; θ))                              on the weak view, constants
///     t_i = softmax(S(u_i; θ) / uda_temperature)            the sharpened target
///     m_i = 1 where max p_i (or max t_i) ≥ uda_threshold, else 0
///     θ ← θ − update(∇_θ [ CE(smooth(y), S(x)) + λ(k) Σ_i m_i CE(t_i, S(strong u_i)) / M + entropy_weight · H(S(u)) ])
///
/// The three batches pass the student together, as in the authors' code, or each by itself (`student_batch`).
/// Labels may be left out while they are learned already (training-signal annealing). λ rises to `unlabeled_weight`.
final class UnsupervisedDataAugmentation: Method {
  static let definition = MethodDefinition(
    name: "uda", fields: unlabeledFields + strongViewFields + fields,
    make: { try UnsupervisedDataAugmentation(student: $0.student, configuration: $0.configuration, seed: $0.seed) })

  static let fields: [Field] =
    [
      SupervisedTerm.field,
      Field(
        "unlabeled_weight", .number(.atLeast(0)), 1, "λ, the factor of the consistency loss, after its ramp",
        source: "Xie et al. 2020"),
      Field(
        "unlabeled_ramp", .number(.closed(0, 1)), 0, "share of `steps` over which λ rises linearly from 0",
        source: "UDA's code has none; Meta Pseudo Labels' has one"),
      Field(
        "uda_temperature", .number(.above(0)), 0.4, "temperature that sharpens the target",
        source: "UDA's code: CIFAR-10"),
      Field(
        "uda_threshold", .number(.atLeast(0)), 0.8, "rows count where the largest probability is at least this",
        source: "UDA's code: CIFAR-10"),
      Field(
        "uda_confidence", .choice(["raw", "sharpened"]), "raw", "the probabilities that the threshold looks at",
        source: "raw: UDA's code; sharpened: Meta Pseudo Labels' code"),
      Field(
        "uda_divisor", .choice(["all", "kept"]), "all",
        "what the consistency loss is divided by: all rows, or those that count",
        source: "all: UDA's code"),
      Field(
        "entropy_weight", .number(.atLeast(0)), 0, "factor of the mean entropy of predictions on the weak view",
        source: "Grandvalet and Bengio 2005; UDA's authors: 0.1 with 500 labels and more"),
    ] + StudentTraining.batchFields + SignalAnnealing.fields + ConfidenceRule.fields + optimizerFields("student")

  let learners: [Learner]
  let metricNames =
    SupervisedTerm.metricNames + [
      "loss/uda", "gradient_norm/uda", "loss/entropy", "gradient_norm/entropy", "mask_rate", "learning_rate/student",
    ]

  private let student: Network
  private let training: StudentTraining
  private let objectives: Objectives
  private let annealing: SignalAnnealing?
  private let confidence: ConfidenceRule
  private let temperature, entropyWeight: Double
  private let looksAtSharpened, dividesByKept: Bool
  private let weakDropout, strongDropout: RandomStream

  init(student: Network, configuration: FieldValues, seed: UInt64) throws {
    self.student = student
    training = try StudentTraining(student, configuration, seed: seed)
    learners = [training.learner]
    objectives = training.objectives
    annealing = try SignalAnnealing(configuration)
    temperature = try configuration.number("uda_temperature")
    confidence = try ConfidenceRule(
      configuration, threshold: configuration.number("uda_threshold"), classes: student.classes, objectives)
    entropyWeight = try configuration.number("entropy_weight")
    looksAtSharpened = try configuration.text("uda_confidence") == "sharpened"
    dividesByKept = try configuration.text("uda_divisor") == "kept"
    weakDropout = RandomStream(seed: seed, name: "student/dropout/weak")
    strongDropout = RandomStream(seed: seed, name: "student/dropout/strong")
  }

  var scalars: [(name: String, value: Tensor)] { confidence.scalars }

  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    let views = try batch.unlabeledViews(), weight = training.unlabeledWeight(at: draw)
    let together = try training.begin(
      batch, beside: [views.weak, views.strong], annealing: annealing, confidence: confidence, draw: draw,
      into: &metrics)
    if weight > 0 || entropyWeight > 0 {
      let weak =
        try together?[0]
        ?? RowsOfPass(
          student.record(views.weak, mode: PassMode(normalization: .batch, noise: weakDropout, draw: draw)))
      if weight > 0 {
        let strong =
          try together?[1]
          ?? RowsOfPass(
            student.record(
              views.strong, mode: PassMode(normalization: .batchUpdatingRunning, noise: strongDropout, draw: draw)))
        try addConsistency(weak, strong, batch.labeled, weight: weight, draw: draw, into: &metrics)
      }
      if entropyWeight > 0 {
        let entropy = try objectives.entropy(logits: weak.logits)
        metrics["loss/entropy"] = entropy.loss
        metrics["gradient_norm/entropy"] = try training.terms.add(
          entropy, "entropy", weight: entropyWeight, through: weak, draw: draw)
      }
    }
    try training.end(draw: draw, into: &metrics)
  }

  private func addConsistency(
    _ weak: RowsOfPass, _ strong: RowsOfPass, _ labeled: LabeledBatch, weight: Double, draw: UInt64,
    into metrics: inout Metrics
  ) throws {
    let target = try objectives.softmax(weak.logits, temperature: temperature)
    let counted = try confidence.weights(
      of: looksAtSharpened ? target : objectives.softmax(weak.logits), labels: labeled.labels)
    let divisor = dividesByKept ? max(1, counted.rate * Double(target.rows)) : Double(target.rows)
    let term = try objectives.crossEntropy(
      logits: strong.logits, targets: target, weights: counted.rows, factor: 1 / divisor)
    metrics["loss/uda"] = term.loss
    metrics["mask_rate"] = counted.rate
    metrics["gradient_norm/uda"] = try training.terms.add(
      term, "consistency", weight: weight, through: strong, draw: draw)
  }
}
