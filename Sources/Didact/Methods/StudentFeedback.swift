/// A student's step on soft or sampled labels, and how its result on labelled rows reaches the logits that labelled
/// (Pham, Dai, Xie, Luong, Le, CVPR 2021, section 2). The full and the reduced method differ in where the logits come from.
///
/// Student θ, logits z of N unlabelled rows u, labelled batch (x, y):
///
///     q  = softmax(z / τ)
///     g  = ∇_θ (1/N) Σ_i m_i CE(smooth(q_i), S(u_i; θ))
///     θ′ = θ − update(g)
///
/// and the gradient of L_l(θ′), the cross-entropy of the moved student on (x, y), with respect to z, in three forms:
/// `exact` for soft labels q; `gradient_dot` and `loss_difference` for hard labels sampled from q.
final class StudentFeedback {
  enum Kind: String, Sendable {
    /// The gradient of L_l(θ′) through the student's step as it was really made.
    case exact
    /// h = ⟨∇L_l(θ′), update(g) − update(0)⟩, and the gradient of h · Σ_i CE(ŷ_i, q_i).
    case gradientDot = "gradient_dot"
    /// h = L_l(θ) − L_l(θ′), old − new; otherwise the same.
    case lossDifference = "loss_difference"
    /// (L_l(θ′) − L_l(θ)) · CE(q, softmax(z / τ)) with q a constant, on soft labels: what Google's released code computes.
    /// Its gradient is q − q = 0, which the history shows.
    case releasedCode = "released_code"

    var samplesLabels: Bool { self == .gradientDot || self == .lossDifference }
  }

  static let fields: [Field] = [
    Field(
      "feedback", .choice(["exact", "gradient_dot", "loss_difference", "released_code"]), "exact",
      "how the student's result reaches the teacher; exact labels softly, the next two sample hard labels; "
        + "released_code is Google's, whose gradient is zero, for comparison",
      source: "Pham et al. 2021, section 2 and appendix A"),
    Field(
      "feedback_weight", .number(.any), 1,
      "factor of the feedback; 1 is the gradient of the student's labelled loss itself, N times published "
        + "mean-reduced code; 0 is the control without feedback"),
    Field(
      "feedback_baseline_decay", .number(.halfOpen(0, 1)), .null,
      "decay of a moving average that is subtracted from the feedback of sampled labels; null for none"),
    Field(
      "teacher_temperature", .number(.above(0)), 1, "τ of q = softmax(z / τ): divides the teacher's logits alone"),
    Field(
      "label_smoothing", .number(.halfOpen(0, 1)), 0, "ε of the student's targets (1 − ε) q + ε / C",
      source: "Szegedy et al. 2016"),
    Field(
      "pseudo_label_threshold", .number(.atLeast(0)), 0,
      "the student learns from rows where q's largest probability is at least this; the divisor stays N"),
  ]

  let kind: Kind
  let weight: Double
  private let temperature, labelSmoothing, threshold: Double
  private let baselineDecay: Double?
  private let kernels: any Kernels
  private let objectives: Objectives
  private let pseudoLabelStream, unlabeledDropout, labeledDropout: RandomStream
  /// The moving average that `feedback_baseline_decay` keeps, one float64.
  private let baseline: Tensor

  init(_ objectives: Objectives, _ configuration: FieldValues, seed: UInt64) throws {
    self.objectives = objectives
    kernels = objectives.kernels
    kind = try configuration.choice("feedback")
    weight = try configuration.number("feedback_weight")
    temperature = try configuration.number("teacher_temperature")
    labelSmoothing = try configuration.number("label_smoothing")
    threshold = try configuration.number("pseudo_label_threshold")
    baselineDecay = try configuration.optionalNumber("feedback_baseline_decay")
    baseline = try Tensor(Shape(), .float64)
    pseudoLabelStream = RandomStream(seed: seed, name: "pseudo_labels")
    unlabeledDropout = RandomStream(seed: seed, name: "student/dropout/unlabeled")
    labeledDropout = RandomStream(seed: seed, name: "student/dropout/labeled")
    guard kind.samplesLabels || baselineDecay == nil else {
      throw DidactError(
        .invalidArgument, "\"feedback_baseline_decay\" is for sampled labels: use gradient_dot or loss_difference")
    }
  }

  /// Scalars that a resumed run needs.
  var scalars: [(name: String, value: Tensor)] { [("feedback_baseline", baseline)] }

  // MARK: - The student's move

  /// The student's step on one batch, with all that the feedback needs of it.
  struct Move {
    /// The old θ.
    let parameters: Tensor
    /// Recorded there, where the feedback differentiates it once more: what it remembers is most of a step's memory.
    let pass: RecordedPass?
    /// z, and the distribution q, [N, C] each.
    let logits, distribution: Tensor
    /// One-hot ŷ [N, C] where labels are sampled.
    let pseudoLabels: Tensor?
    /// m [N], nil for ones.
    let mask: Tensor?
    /// update(g) − update(0), where the feedback needs it.
    let effect: Tensor?
    let loss, gradientNorm: Double
  }

  /// - Parameters:
  ///   - rows: u, [N, inputs].
  ///   - parameters: θ in memory that stays as it is as long as the move is used; nil for a copy.
  ///   - logits: z, which must stay as they are as long as the move is used.
  ///   - pseudoLabels: ŷ [N] (int64), in place of sampled ones.
  func move(
    _ student: Network, _ optimizer: Optimizer, on rows: Tensor, at parameters: Tensor? = nil, logits: Tensor,
    pseudoLabels: Tensor? = nil, draw: UInt64, statistics: PassMode.Normalization = .batchUpdatingRunning
  ) throws -> Move {
    let q = try objectives.softmax(logits, temperature: temperature)
    var sampled: Tensor?
    if kind.samplesLabels {
      if let pseudoLabels {
        sampled = try objectives.oneHot(pseudoLabels, classes: student.classes)
      } else {
        sampled = try objectives.sample(q, pseudoLabelStream.draw(draw))
      }
    }
    let targets = try objectives.smoothed(sampled ?? q, labelSmoothing)
    let mask = threshold > 0 ? try objectives.confidenceMask(q, threshold: threshold) : nil

    let mode = PassMode(normalization: statistics, noise: unlabeledDropout, draw: draw)
    let parameters = try parameters ?? student.parameters.copy()
    let pass = try student.record(rows, mode: mode, at: parameters)
    let term = try objectives.crossEntropy(logits: pass.logits, targets: targets, weights: mask)
    try checkFinite(term.loss, term: "student", draw: draw)
    try pass.backward(term.cotangent)
    let gradientNorm = kernels.dot(student.gradients, student.gradients).squareRoot()
    let effect = kind == .gradientDot ? try objectives.tensor(student.parameters.shape) : nil
    try stepOptimizer(optimizer, of: "student", draw: draw, effect: effect)
    return Move(
      parameters: parameters, pass: kind == .exact ? pass : nil, logits: logits, distribution: q,
      pseudoLabels: sampled, mask: mask, effect: effect, loss: term.loss, gradientNorm: gradientNorm)
  }

  static func report(_ move: Move, _ optimizer: Optimizer, into metrics: inout Metrics) {
    metrics["loss/student"] = move.loss
    metrics["gradient_norm/student"] = move.gradientNorm
    metrics["learning_rate/student"] = optimizer.scheduledRate
  }

  // MARK: - The feedback

  struct Answer {
    /// Its loss, and the gradient with respect to z.
    let term: LossGradient
    /// How much the student's labelled loss fell by the move, L_l(θ) − L_l(θ′); for `gradient_dot` to first order.
    let improvement: Double
    /// L_l(θ′)
    let objective: Double
  }

  /// The answer to a step's move: its loss and the gradient with respect to z. The baseline moves.
  func answer(
    _ move: Move, _ student: Network, _ optimizer: Optimizer, _ labeled: LabeledBatch, draw: UInt64,
    into metrics: inout Metrics
  ) throws -> LossGradient {
    let answer = try answer(move, student, optimizer, labeled, baseline: baseline[0], draw: draw)
    try checkFinite(answer.improvement, term: "feedback", draw: draw)
    if let baselineDecay { baseline[0] = baselineDecay * baseline[0] + (1 - baselineDecay) * answer.improvement }
    metrics["feedback"] = answer.improvement
    return answer.term
  }

  /// The gradient of L_l(θ′) with respect to the logits that labelled u.
  func answer(
    _ move: Move, _ student: Network, _ optimizer: Optimizer, _ labeled: LabeledBatch, baseline: Double, draw: UInt64
  ) throws -> Answer {
    let labels = try objectives.targets(of: labeled.labels, classes: student.classes),
      count = Double(max(1, labels.count))
    // The labelled forwards at θ and θ′ have the same masks and leave running statistics alone.
    let mode = PassMode(normalization: .batch, noise: labeledDropout, draw: draw)
    let needsGradient = kind == .exact || kind == .gradientDot
    let new = try student.record(labeled.inputs, mode: needsGradient ? mode : mode.forLogits)
    let newLosses = try objectives.crossEntropies(logits: new.logits, targets: labels.rows)
    let objective = kernels.sum(newLosses, weights: nil) / count

    /// L_l(θ) − L_l(θ′), subtracted example by example.
    func lossDifference() throws -> Double {
      let old = try student.record(
        labeled.inputs, mode: mode.forLogits, at: move.parameters)
      let oldLosses = try objectives.crossEntropies(logits: old.logits, targets: labels.rows)
      return kernels.sumOfDifferences(oldLosses, newLosses) / count
    }
    /// v = ∇L_l(θ′), in the student's gradients.
    func labeledGradient() throws -> Tensor {
      try new.backward(objectives.crossEntropy(logits: new.logits, labels: labels).cotangent)
      return student.gradients
    }

    switch kind {
    case .exact:
      guard let pass = move.pass else { throw DidactError(.internalError, "exact feedback without the student's pass") }
      // w = (∂update/∂g)ᵀ v;  a_ic = tangent of log S_c(u_i) at θ along w;
      // ∂L_l/∂z_ik = (1 − ε) m_i q_ik (a_ik − Σ_c q_ic a_ic) / (N τ)
      let w = try objectives.tensor(student.parameters.shape)
      try optimizer.pullback(labeledGradient(), into: w)
      // log S_c differs from its logit by the same amount for every c, which the bracket cancels.
      let a = try pass.tangent(w)
      let cotangent = try objectives.tensor(move.distribution.shape)
      kernels.softmaxBackward(
        cotangent, a, probabilities: move.distribution, rowScale: move.mask,
        factor: (1 - labelSmoothing) / (Double(a.rows) * temperature))
      return Answer(
        term: LossGradient(loss: objective, cotangent: cotangent), improvement: try lossDifference(),
        objective: objective)
    case .releasedCode:
      let h = try lossDifference()
      let term = try objectives.crossEntropy(
        logits: move.logits, targets: move.distribution, temperature: temperature,
        factor: -h / Double(move.distribution.rows))
      return Answer(term: term, improvement: h, objective: objective)
    case .gradientDot, .lossDifference:
      guard let pseudoLabels = move.pseudoLabels else {
        throw DidactError(.internalError, "sampled feedback without sampled labels")
      }
      let h: Double
      if let effect = move.effect {
        h = kernels.dot(try labeledGradient(), effect)
      } else {
        h = try lossDifference()
      }
      // A sum over items, of the same tempered distribution that ŷ was drawn from.
      let term = try objectives.crossEntropy(
        logits: move.logits, targets: pseudoLabels, temperature: temperature, factor: h - baseline)
      return Answer(term: term, improvement: h, objective: objective)
    }
  }
}
