/// Meta Pseudo Labels (Pham, Dai, Xie, Luong, Le, CVPR 2021, sections 2 and 3).
///
/// Student θ, teacher φ, unlabelled batch u of N rows, labelled batch (x, y):
///
///     q   = softmax(T(u; φ) / τ)                          the teacher labels u
///     g   = ∇_θ (1/N) Σ_i m_i CE(smooth(q_i), S(u_i; θ))
///     θ′  = θ − update(g)                                 the student steps
///     φ′  = φ − update(∇_φ [ feedback_weight · L_l(θ′(φ)) + supervised_weight · CE(y, T(x)) + uda_weight · L_UDA ])
///
/// with L_l(θ′) the cross-entropy of the moved student on (x, y). Its gradient with respect to φ, the feedback, comes in
/// three forms: `exact` for soft labels q; `gradient_dot` and `loss_difference` for hard labels sampled from q. The
/// student never sees a label.
final class MetaPseudoLabels: TwoStepMethod {
  enum Feedback: String, Sendable {
    /// The gradient of L_l(θ′(φ)) through the student's step as it was really made.
    case exact
    /// h = ⟨∇L_l(θ′), update(g) − update(0)⟩, the teacher descends h · Σ_i CE(ŷ_i, T(u_i)).
    case gradientDot = "gradient_dot"
    /// h = L_l(θ) − L_l(θ′), old − new; otherwise the same.
    case lossDifference = "loss_difference"
    /// (L_l(θ′) − L_l(θ)) · CE(q, T(u)) with q a constant, on soft labels: what Google's released code computes. Its
    /// gradient is q − q = 0, which the history shows.
    case releasedCode = "released_code"

    var samplesLabels: Bool { self == .gradientDot || self == .lossDifference }
  }
  enum View: String, Sendable { case weak, strong }
  enum BatchComposition: String, Sendable { case joint, separate }

  static let fields: [Field] =
    [
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
        "supervised_weight", .number(.atLeast(0)), 1, "factor of the teacher's cross-entropy on labelled rows",
        source: "Pham et al. 2021, section 3"),
      Field(
        "uda_weight", .number(.atLeast(0)), 1, "factor of the teacher's consistency loss",
        source: "Pham et al. 2021, section 3; Xie et al. 2020"),
      Field(
        "uda_temperature", .number(.above(0)), 0.7, "temperature that sharpens the consistency target",
        source: "Google's CIFAR-10 command"),
      Field(
        "uda_threshold", .number(.atLeast(0)), 0.6,
        "rows count where the sharpened target's largest probability is at least this",
        source: "Google's CIFAR-10 command"),
      Field(
        "uda_warmup_steps", .number(.atLeast(0)), 0, "steps over which the consistency loss's factor rises from 0",
        source: "Google's Meta Pseudo Labels code"),
      Field(
        "teacher_burn_in_steps", .integer(.atLeast(0)), 0,
        "first steps in which the teacher learns alone, without labelling or feedback"),
      Field(
        "teacher_temperature", .number(.above(0)), 1, "τ of q = softmax(z / τ): divides the teacher's logits alone"),
      Field(
        "label_smoothing", .number(.halfOpen(0, 1)), 0, "ε of the student's targets (1 − ε) q + ε / C",
        source: "Szegedy et al. 2016"),
      Field(
        "pseudo_label_threshold", .number(.atLeast(0)), 0,
        "the student learns from rows where q's largest probability is at least this; the divisor stays N"),
      Field(
        "pseudo_label_view", .choice(["strong", "weak"]), "strong",
        "the view that the teacher labels; the student learns on the strong one"),
      Field(
        "batch_composition", .choice(["separate", "joint"]), "separate",
        "whether the teacher's labelled, weak and strong rows share batch statistics"),
      Field(
        "term_gradient_norms", .boolean, true,
        "report gradient_norm/<term> for each of the teacher's terms; false makes one backward where terms share a "
          + "forward, which is faster, and the norms read 0"),
      Field(
        "eman", .boolean, false,
        "the forward that labels normalises with the running averages of the teacher's own statistics",
        source: "after Cai et al. 2021"),
    ] + optimizerFields("student") + optimizerFields("teacher")

  let learners: [Learner]
  let metricNames = [
    "loss/student", "loss/supervised", "loss/uda", "loss/feedback", "gradient_norm/student",
    "gradient_norm/supervised", "gradient_norm/uda", "gradient_norm/feedback", "feedback", "mask_rate",
    "learning_rate/student", "learning_rate/teacher",
  ]

  let feedback: Feedback
  let student, teacher: Network
  private let studentOptimizer, teacherOptimizer: Optimizer
  let feedbackWeight, supervisedWeight, udaWeight, udaTemperature, udaThreshold: Double
  private let udaRamp: Ramp
  private let burnInSteps: UInt64
  private let teacherTemperature, labelSmoothing, pseudoLabelThreshold: Double
  private let baselineDecay: Double?
  let pseudoLabelView: View
  let isJoint, eman: Bool
  private let reportsTermNorms: Bool
  let streams: Streams
  let kernels: any Kernels
  let objectives: Objectives
  /// Takes one term's gradient at a time [teacher's parameters].
  private let termGradient: Tensor
  /// The moving average that `feedback_baseline_decay` keeps, one float64.
  private let baseline: Tensor
  /// The student's last step, which the teacher's step answers.
  private var pending: Pending?

  /// The random streams of the run.
  struct Streams {
    let pseudoLabels, unlabeledDropout, labeledDropout: RandomStream
    /// The teacher's, by what passes.
    let labeled, weak, strong, joint: RandomStream

    init(seed: UInt64) {
      func stream(_ name: String) -> RandomStream { RandomStream(seed: seed, name: name) }
      pseudoLabels = stream("pseudo_labels")
      unlabeledDropout = stream("student/dropout/unlabeled")
      labeledDropout = stream("student/dropout/labeled")
      labeled = stream("teacher/dropout/labeled")
      weak = stream("teacher/dropout/weak")
      strong = stream("teacher/dropout/strong")
      joint = stream("teacher/dropout/joint")
    }
  }

  struct Pending {
    /// nil while the teacher learns alone.
    let move: StudentMove?
    let views: TeacherViews
    let weak, strong: Tensor
  }

  init(student: Network, teacher: Network, configuration: FieldValues, seed: UInt64) throws {
    self.student = student
    self.teacher = teacher
    streams = Streams(seed: seed)
    kernels = student.kernels
    objectives = Objectives(kernels)
    baseline = try Tensor(Shape(), .float64)
    scalars = [("feedback_baseline", baseline)]
    feedback = try configuration.choice("feedback")
    feedbackWeight = try configuration.number("feedback_weight")
    baselineDecay = try configuration.optionalNumber("feedback_baseline_decay")
    supervisedWeight = try configuration.number("supervised_weight")
    udaWeight = try configuration.number("uda_weight")
    udaTemperature = try configuration.number("uda_temperature")
    udaThreshold = try configuration.number("uda_threshold")
    teacherTemperature = try configuration.number("teacher_temperature")
    labelSmoothing = try configuration.number("label_smoothing")
    pseudoLabelThreshold = try configuration.number("pseudo_label_threshold")
    pseudoLabelView = try configuration.choice("pseudo_label_view")
    let composition: BatchComposition = try configuration.choice("batch_composition")
    // Without batch statistics the two compositions compute the same.
    isJoint = composition == .joint && teacher.usesBatchStatistics
    eman = try configuration.boolean("eman")
    reportsTermNorms = try configuration.boolean("term_gradient_norms")
    guard feedback.samplesLabels || baselineDecay == nil else {
      throw DidactError(
        .invalidArgument, "\"feedback_baseline_decay\" is for sampled labels: use gradient_dot or loss_difference")
    }
    learners = [
      try Learner("student", student, configuration), try Learner("teacher", teacher, configuration),
    ]
    studentOptimizer = learners[0].optimizer
    teacherOptimizer = learners[1].optimizer
    termGradient = try Tensor(teacher.parameters.shape, teacher.elementType)
    udaRamp = Ramp(steps: try configuration.number("uda_warmup_steps"))
    burnInSteps = UInt64(try configuration.integer("teacher_burn_in_steps"))
  }

  let scalars: [(name: String, value: Tensor)]

  // MARK: - The two steps

  func studentStep(weak: Tensor, strong: Tensor, labeled: LabeledBatch?, draw: UInt64, into metrics: inout Metrics)
    throws
  {
    guard draw >= burnInSteps else {
      pending = Pending(move: nil, views: TeacherViews(), weak: weak, strong: strong)
      return
    }
    pending = nil
    let (labeling, views) = try labelingView(
      weak: weak, strong: strong, labeled: labeled, draw: draw, statistics: .batchUpdatingRunning)
    let move = try moveStudent(
      student, studentOptimizer, labeling, strong: strong, pseudoLabels: nil, draw: draw,
      statistics: .batchUpdatingRunning)
    pending = Pending(move: move, views: views, weak: weak, strong: strong)
    metrics["loss/student"] = move.loss
    metrics["gradient_norm/student"] = move.gradientNorm
    metrics["learning_rate/student"] = studentOptimizer.scheduledRate
  }

  func teacherStep(_ labeled: LabeledBatch, draw: UInt64, into metrics: inout Metrics) throws {
    guard let step = pending else {
      throw DidactError(.state, "teacher_step needs a student_step before it: it answers the student's last move")
    }
    do {
      try teacherStep(labeled, answering: step, draw: draw, into: &metrics)
      pending = nil
    } catch let error as DidactError where error.code == .diverged {
      pending = nil
      throw error
    }
  }

  func abandonStep() { pending = nil }

  private func teacherStep(
    _ labeled: LabeledBatch, answering step: Pending, draw: UInt64, into metrics: inout Metrics
  ) throws {
    let views = try auxiliaryViews(step.views, step, labeled, draw: draw)
    kernels.fill(teacher.gradients, 0)
    var terms = Terms()

    if supervisedWeight != 0, let view = views.labeled {
      let targets = try objectives.oneHot(labeled.labels, classes: teacher.classes)
      let term = try objectives.crossEntropy(logits: view.logits, targets: targets)
      try add(term, .supervised, weight: supervisedWeight, through: view, to: &metrics, &terms, draw: draw)
    }
    let udaWeight = udaWeight * udaRamp.factor(at: Int(draw))
    if udaWeight != 0, let weak = views.weak, let strong = views.strong {
      let (term, maskRate) = try objectives.udaConsistency(
        weakLogits: weak.logits, strongLogits: strong.logits, temperature: udaTemperature, threshold: udaThreshold)
      try add(term, .uda, weight: udaWeight, through: strong, to: &metrics, &terms, draw: draw)
      metrics["mask_rate"] = maskRate
    }
    if feedbackWeight != 0, let move = step.move {
      let answer = try feedback(on: move, student, studentOptimizer, labeled, baseline: baseline[0], draw: draw)
      try checkFinite(answer.improvement, term: "feedback", draw: draw)
      metrics["feedback"] = answer.improvement
      try add(
        answer.term, .feedback, weight: feedbackWeight, through: move.labeling, to: &metrics, &terms, draw: draw)
      if let baselineDecay { baseline[0] = baselineDecay * baseline[0] + (1 - baselineDecay) * answer.improvement }
    }
    try terms.finish(into: teacher.gradients)
    metrics["learning_rate/teacher"] = teacherOptimizer.scheduledRate
    try stepOptimizer(teacherOptimizer, of: "teacher", draw: draw)
    metrics.fillWithZeros()
  }

  /// A term of the teacher's objective and its metrics.
  private enum Term: String {
    case supervised, uda, feedback

    // Spelled out, because strings that are put together allocate.
    var metrics: (loss: String, gradientNorm: String) {
      switch self {
      case .supervised: ("loss/supervised", "gradient_norm/supervised")
      case .uda: ("loss/uda", "gradient_norm/uda")
      case .feedback: ("loss/feedback", "gradient_norm/feedback")
      }
    }
  }

  /// Terms that share a forward, put together for one backward.
  private struct Terms {
    var pass: RecordedPass?
    var cotangent: Tensor?

    /// gradient += the gradient of all terms since the last time.
    mutating func finish(into gradient: Tensor) throws {
      if let pass, let cotangent { try pass.backward(cotangent, into: gradient, accumulate: true) }
      pass = nil
      cotangent = nil
    }
  }

  /// teacher.gradients += weight · ∇term, now or by `terms.finish`, and the term's loss and gradient norm into the metrics.
  private func add(
    _ term: LossGradient, _ name: Term, weight: Double, through view: TeacherView, to metrics: inout Metrics,
    _ terms: inout Terms, draw: UInt64
  ) throws {
    try checkFinite(term.loss, term: name.rawValue, draw: draw)
    metrics[name.metrics.loss] = term.loss
    guard reportsTermNorms else {
      if terms.pass !== view.pass { try terms.finish(into: teacher.gradients) }
      let whole = try terms.cotangent ?? objectives.zeros(view.pass.logits.shape)
      kernels.add(term.cotangent, scaledBy: weight, to: whole.rows(view.range))
      terms = Terms(pass: view.pass, cotangent: whole)
      return
    }
    try view.backward(term.cotangent, into: termGradient, objectives)
    metrics[name.metrics.gradientNorm] = kernels.dot(termGradient, termGradient).squareRoot()
    kernels.add(termGradient, scaledBy: weight, to: teacher.gradients)
  }

  // MARK: - The student's move

  /// The student's step on one batch, with all that the feedback needs of it.
  struct StudentMove {
    /// Recorded at the old θ.
    let pass: RecordedPass
    /// The teacher's forward that labelled, and its distribution q [N, C].
    let labeling: TeacherView
    let distribution: Tensor
    /// One-hot ŷ [N, C] where labels are sampled.
    let pseudoLabels: Tensor?
    /// m [N], nil for ones.
    let mask: Tensor?
    /// update(g) − update(0), where the feedback needs it.
    let effect: Tensor?
    let loss, gradientNorm: Double
  }

  private func moveStudent(
    _ student: Network, _ optimizer: Optimizer, _ labeling: TeacherView, strong: Tensor, pseudoLabels: Tensor?,
    draw: UInt64, statistics: PassMode.Normalization
  ) throws -> StudentMove {
    let q = try objectives.softmax(labeling.logits, temperature: teacherTemperature)
    var sampled: Tensor?
    if feedback.samplesLabels {
      if let pseudoLabels {
        sampled = try objectives.oneHot(pseudoLabels, classes: teacher.classes)
      } else {
        sampled = try objectives.sample(q, streams.pseudoLabels.draw(draw))
      }
    }
    let targets = try objectives.smoothed(sampled ?? q, labelSmoothing)
    let mask = pseudoLabelThreshold > 0 ? try objectives.confidenceMask(q, threshold: pseudoLabelThreshold) : nil

    let mode = PassMode(normalization: statistics, noise: streams.unlabeledDropout, draw: draw)
    let pass = try student.record(strong, mode: mode, at: .copy)
    let term = try objectives.crossEntropy(logits: pass.logits, targets: targets, weights: mask)
    try checkFinite(term.loss, term: "student", draw: draw)
    try pass.backward(term.cotangent)
    let gradientNorm = kernels.dot(student.gradients, student.gradients).squareRoot()
    let effect = feedback == .gradientDot ? try objectives.tensor(student.parameters.shape) : nil
    try stepOptimizer(optimizer, of: "student", draw: draw, effect: effect)
    return StudentMove(
      pass: pass, labeling: labeling, distribution: q, pseudoLabels: sampled, mask: mask, effect: effect,
      loss: term.loss, gradientNorm: gradientNorm)
  }

  // MARK: - The feedback

  struct FeedbackAnswer {
    /// The teacher's term: its loss, and the cotangent on the logits that labelled u.
    let term: LossGradient
    /// How much the student's labelled loss fell by the move, L_l(θ) − L_l(θ′); for `gradient_dot` to first order.
    let improvement: Double
    /// L_l(θ′)
    let objective: Double
  }

  /// The gradient of L_l(θ′(φ)) with respect to the logits z that labelled u.
  private func feedback(
    on move: StudentMove, _ student: Network, _ optimizer: Optimizer, _ labeled: LabeledBatch, baseline: Double,
    draw: UInt64
  ) throws -> FeedbackAnswer {
    let targets = try objectives.oneHot(labeled.labels, classes: student.classes)
    // The labelled forwards at θ and θ′ have the same masks and leave running statistics alone.
    let mode = PassMode(normalization: .batch, noise: streams.labeledDropout, draw: draw)
    let new = try student.record(labeled.inputs, mode: mode)
    let newLosses = try objectives.crossEntropies(logits: new.logits, targets: targets)
    let objective = kernels.sum(newLosses, weights: nil) / Double(newLosses.count)

    /// L_l(θ) − L_l(θ′), subtracted example by example.
    func lossDifference() throws -> Double {
      let old = try student.record(labeled.inputs, mode: mode, at: .these(move.pass.parameters))
      let oldLosses = try objectives.crossEntropies(logits: old.logits, targets: targets)
      return kernels.sumOfDifferences(oldLosses, newLosses) / Double(newLosses.count)
    }
    /// v = ∇L_l(θ′), in the student's gradients.
    func labeledGradient() throws -> Tensor {
      try new.backward(objectives.crossEntropy(logits: new.logits, targets: targets).cotangent)
      return student.gradients
    }

    switch feedback {
    case .exact:
      // w = (∂update/∂g)ᵀ v;  a_ic = tangent of log S_c(u_i) at θ along w;
      // ∂L_l/∂z_ik = (1 − ε) m_i q_ik (a_ik − Σ_c q_ic a_ic) / (N τ)
      let w = try objectives.tensor(student.parameters.shape)
      try optimizer.pullback(labeledGradient(), into: w)
      // log S_c differs from its logit by the same amount for every c, which the bracket cancels.
      let a = try move.pass.tangent(w)
      let cotangent = try objectives.tensor(move.distribution.shape)
      kernels.softmaxBackward(
        cotangent, a, probabilities: move.distribution, rowScale: move.mask,
        factor: (1 - labelSmoothing) / (Double(a.rows) * teacherTemperature))
      return FeedbackAnswer(
        term: LossGradient(loss: objective, cotangent: cotangent), improvement: try lossDifference(),
        objective: objective)
    case .releasedCode:
      let h = try lossDifference()
      let term = try objectives.crossEntropy(
        logits: move.labeling.logits, targets: move.distribution, temperature: teacherTemperature,
        factor: -h / Double(move.distribution.rows))
      return FeedbackAnswer(term: term, improvement: h, objective: objective)
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
        logits: move.labeling.logits, targets: pseudoLabels, temperature: teacherTemperature, factor: h - baseline)
      return FeedbackAnswer(term: term, improvement: h, objective: objective)
    }
  }

  /// L_l(θ′) and its gradient with respect to the teacher's parameters, for views and labels as given. Changes nothing:
  /// the student's step is made on a copy.
  /// - Parameter pseudoLabels: ŷ, in place of sampled ones.
  func metaGradient(
    _ labeled: LabeledBatch, weak: Tensor, strong: Tensor, pseudoLabels: Tensor?, draw: UInt64, into gradient: Tensor?
  ) throws -> Double {
    if let pseudoLabels {
      guard feedback.samplesLabels else {
        throw DidactError(
          .invalidArgument, "pseudo_labels are for gradient_dot and loss_difference; exact feedback labels softly")
      }
      guard pseudoLabels.count == strong.rows else {
        throw DidactError(.shape, "\(pseudoLabels.count) pseudo_labels for \(strong.rows) unlabelled rows")
      }
    }
    let student = try student.copy()
    let optimizer = try studentOptimizer.copy(for: student)
    let (labeling, _) = try labelingView(
      weak: weak, strong: strong, labeled: labeled, draw: draw, statistics: .batch)
    let move = try moveStudent(
      student, optimizer, labeling, strong: strong, pseudoLabels: pseudoLabels, draw: draw,
      statistics: .batch)
    let answer = try feedback(on: move, student, optimizer, labeled, baseline: 0, draw: draw)
    if let gradient { try labeling.backward(answer.term.cotangent, into: gradient, objectives) }
    return answer.objective
  }

}
