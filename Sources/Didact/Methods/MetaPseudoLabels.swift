/// Meta Pseudo Labels (Pham, Dai, Xie, Luong, Le, CVPR 2021, sections 2 and 3).
///
/// Student θ, teacher φ, unlabelled batch u of N rows, labelled batch (x, y):
///
///     q   = softmax(T(u; φ) / τ)                          the teacher labels u
///     g   = ∇_θ (1/N) Σ_i m_i CE(smooth(q_i), S(u_i; θ))
///     θ′  = θ − update(g)                                 the student steps
///     φ′  = φ − update(∇_φ [ feedback_weight · L_l(θ′(φ)) + supervised_weight · CE(y, T(x)) + uda_weight · L_UDA ])
///
/// with L_l(θ′) the cross-entropy of the moved student on (x, y), or on trusted rows in their place. `StudentFeedback` has the student's step and the gradient
/// of L_l with respect to the logits that labelled. The student never sees a label.
final class MetaPseudoLabels: TwoStepMethod {
  static let definition = MethodDefinition(
    name: "meta_pseudo_labels", fields: unlabeledFields + strongViewFields + fields,
    secondNetwork: MethodDefinition.teacher, tasks: [.classification, .segmentation],
    make: {
      try MetaPseudoLabels(student: $0.student, teacher: $0.second(), configuration: $0.configuration, seed: $0.seed)
    })

  enum View: String, Sendable { case weak, strong }
  enum BatchComposition: String, Sendable { case joint, separate }

  static let fields: [Field] =
    StudentFeedback.fields + [
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
        "uda_wait_steps", .integer(.atLeast(0)), 0,
        "first steps without the consistency loss, in which the teacher learns from labels"),
      Field(
        "uda_warmup_steps", .number(.atLeast(0)), 0,
        "steps over which the consistency loss's factor rises from 0, after uda_wait_steps",
        source: "Google's Meta Pseudo Labels code"),
      ShareGuard.field,
      Field(
        "teacher_burn_in_steps", .integer(.atLeast(0)), 0,
        "first steps in which the teacher learns alone, without labelling or feedback"),
      Field(
        "pseudo_label_view", .choice(["strong", "weak"]), "strong",
        "the view that the teacher labels; the student learns on the strong one"),
      Field(
        "batch_composition", .choice(["separate", "joint"]), "separate",
        "whether the teacher's labelled, weak and strong rows share batch statistics"),
      WeightedTerms.field,
      Field(
        "eman", .boolean, false,
        "the forward that labels normalises with the running averages of the teacher's own statistics",
        source: "after Cai et al. 2021"),
    ] + ConfidenceRule.fields + optimizerFields("student") + optimizerFields("teacher")

  let learners: [Learner]
  let metricNames = [
    "loss/student", "loss/supervised", "loss/uda", "loss/feedback", "gradient_norm/student",
    "gradient_norm/supervised", "gradient_norm/uda", "gradient_norm/feedback", "feedback", "mask_rate",
    "learning_rate/student", "learning_rate/teacher",
  ]

  let student, teacher: Network
  private let studentOptimizer, teacherOptimizer: Optimizer
  let supervisedWeight, udaWeight, udaTemperature: Double
  private let confidence: ConfidenceRule
  private let udaWaitSteps: Int
  private let udaRamp: Ramp
  private let shareGuard: ShareGuard?
  private let burnInSteps: UInt64
  let pseudoLabelView: View
  let isJoint, eman: Bool
  let streams: Streams
  private let feedback: StudentFeedback
  let kernels: any Kernels
  let objectives: Objectives
  /// The terms of the teacher's objective.
  private let terms: WeightedTerms
  /// The teacher's dropout, by what passes.
  struct Streams {
    let labeled, weak, strong, joint: RandomStream

    init(seed: UInt64) {
      func stream(_ name: String) -> RandomStream { RandomStream(seed: seed, name: name) }
      labeled = stream("teacher/dropout/labeled")
      weak = stream("teacher/dropout/weak")
      strong = stream("teacher/dropout/strong")
      joint = stream("teacher/dropout/joint")
    }
  }

  /// The student's step, as the teacher's step answers it.
  struct StudentMove {
    /// nil while the teacher learns alone.
    let move: StudentFeedback.Move?
    /// Whose logits labelled.
    let labeling: RowsOfPass?
    let views: TeacherViews
    let weak, strong: Tensor
  }

  init(student: Network, teacher: Network, configuration: FieldValues, seed: UInt64) throws {
    self.student = student
    self.teacher = teacher
    streams = Streams(seed: seed)
    kernels = student.kernels
    objectives = Objectives(kernels)
    feedback = try StudentFeedback(objectives, configuration, seed: seed)
    supervisedWeight = try configuration.number("supervised_weight")
    udaWeight = try configuration.number("uda_weight")
    udaTemperature = try configuration.number("uda_temperature")
    confidence = try ConfidenceRule(
      configuration, threshold: configuration.number("uda_threshold"), classes: teacher.classes, objectives)
    pseudoLabelView = try configuration.choice("pseudo_label_view")
    let composition: BatchComposition = try configuration.choice("batch_composition")
    // Without batch statistics the two compositions compute the same.
    isJoint = composition == .joint && teacher.usesBatchStatistics
    eman = try configuration.boolean("eman")
    learners = [
      try Learner("student", student, configuration, movesLast: false),
      try Learner("teacher", teacher, configuration),
    ]
    studentOptimizer = learners[0].optimizer
    teacherOptimizer = learners[1].optimizer
    terms = try WeightedTerms(teacher, measuresEach: configuration.boolean("term_gradient_norms"))
    udaWaitSteps = try configuration.integer("uda_wait_steps")
    udaRamp = Ramp(steps: try configuration.number("uda_warmup_steps"))
    let shareLimit = try configuration.optionalNumber("share_limit")
    shareGuard =
      if let shareLimit { try ShareGuard(classes: teacher.classes, limit: shareLimit, objectives) } else { nil }
    scalars = feedback.scalars + (shareGuard?.scalars ?? []) + confidence.scalars
    guard shareGuard == nil || udaWaitSteps > 0 else {
      throw DidactError(
        .invalidArgument,
        "trainer: \"share_limit\" needs \"uda_wait_steps\": steps in which the teacher learns from labels alone, such as "
          + "100")
    }
    guard confidence.kind != .relative || supervisedWeight > 0 else {
      throw DidactError(
        .invalidArgument,
        "trainer: threshold_rule \"relative\" needs what the teacher says of labelled rows; set \"supervised_weight\" above 0"
      )
    }
    burnInSteps = UInt64(try configuration.integer("teacher_burn_in_steps"))
  }

  let scalars: [(name: String, value: Tensor)]

  func studentLearns(in step: Int) -> Bool { UInt64(step) >= burnInSteps }

  // MARK: - The two steps

  func studentStep(weak: Tensor, strong: Tensor, labeled: LabeledBatch?, draw: UInt64, into metrics: inout Metrics)
    throws -> StudentMove
  {
    guard draw >= burnInSteps else {
      return StudentMove(move: nil, labeling: nil, views: TeacherViews(), weak: weak, strong: strong)
    }
    let (labeling, views) = try labelingView(
      weak: weak, strong: strong, labeled: labeled, draw: draw, statistics: .batchUpdatingRunning)
    let move = try feedback.move(
      student, studentOptimizer, on: strong, at: learners[0].parametersBeforeStep, logits: labeling.logits, draw: draw)
    StudentFeedback.report(move, studentOptimizer, into: &metrics)
    return StudentMove(move: move, labeling: labeling, views: views, weak: weak, strong: strong)
  }

  func teacherStep(
    _ labeled: LabeledBatch, trusted: LabeledBatch?, answering step: StudentMove, draw: UInt64,
    into metrics: inout Metrics
  ) throws {
    let views = try auxiliaryViews(step.views, step, labeled, draw: draw)
    terms.begin()
    if supervisedWeight != 0, let view = views.labeled {
      try confidence.observe(view.logits, labels: labeled.labels)
      let term = try objectives.crossEntropy(
        logits: view.logits, labels: objectives.targets(of: labeled.labels, classes: teacher.classes))
      metrics["loss/supervised"] = term.loss
      metrics["gradient_norm/supervised"] = try terms.add(
        term, "supervised", weight: supervisedWeight, through: view, draw: draw)
    }
    if Int(draw) < udaWaitSteps, let weak = views.weak {
      try shareGuard?.support(objectives.softmax(weak.logits, temperature: udaTemperature))
    }
    let udaWeight = udaWeight * consistencyFactor(at: Int(draw))
    if udaWeight != 0, let weak = views.weak, let strong = views.strong {
      let (term, maskRate) = try objectives.udaConsistency(
        weakLogits: weak.logits, strongLogits: strong.logits, temperature: udaTemperature, confidence: confidence,
        labels: labeled.labels, shares: shareGuard)
      metrics["loss/uda"] = term.loss
      metrics["mask_rate"] = maskRate
      metrics["gradient_norm/uda"] = try terms.add(term, "uda", weight: udaWeight, through: strong, draw: draw)
    }
    if feedback.weight != 0, let move = step.move, let labeling = step.labeling {
      let term = try feedback.answer(
        move, student, studentOptimizer, trusted ?? labeled, draw: draw, into: &metrics)
      metrics["loss/feedback"] = term.loss
      metrics["gradient_norm/feedback"] = try terms.add(
        term, "feedback", weight: feedback.weight, through: labeling, draw: draw)
    }
    try terms.finish()
    metrics["learning_rate/teacher"] = teacherOptimizer.scheduledRate
    try stepOptimizer(teacherOptimizer, of: "teacher", draw: draw)
  }

  var consistencyStart: Int { udaWeight == 0 ? 0 : udaWaitSteps }

  private func consistencyFactor(at step: Int) -> Double {
    step < udaWaitSteps ? 0 : udaRamp.factor(at: step - udaWaitSteps)
  }

  /// L_l(θ′) and its gradient with respect to the teacher's parameters, for views and labels as given. Changes nothing:
  /// the student's step is made on a copy.
  /// - Parameter pseudoLabels: ŷ, in place of sampled ones.
  func metaGradient(
    _ labeled: LabeledBatch, trusted: LabeledBatch?, weak: Tensor, strong: Tensor, pseudoLabels: Tensor?, draw: UInt64,
    into gradient: Tensor?
  ) throws -> Double {
    if let pseudoLabels {
      guard feedback.kind.samplesLabels else {
        throw DidactError(
          .invalidArgument, "pseudo_labels are for gradient_dot and loss_difference; exact feedback labels softly")
      }
      let count = strong.rows * student.labelsPerExample
      guard pseudoLabels.count == count else {
        throw DidactError(.shape, "\(pseudoLabels.count) pseudo_labels for \(count) unlabelled rows")
      }
    }
    let student = try student.copy()
    let optimizer = try studentOptimizer.copy(for: student)
    let (labeling, _) = try labelingView(
      weak: weak, strong: strong, labeled: labeled, draw: draw, statistics: .batch)
    let move = try feedback.move(
      student, optimizer, on: strong, logits: labeling.logits, pseudoLabels: pseudoLabels, draw: draw,
      statistics: .batch)
    let answer = try feedback.answer(move, student, optimizer, trusted ?? labeled, baseline: 0, draw: draw)
    try checkFinite(answer.objective, term: "feedback", draw: draw)
    if let gradient {
      try labeling.backward(answer.term.cotangent, into: gradient, objectives)
      guard kernels.allFinite(gradient) else {
        throw DidactError(.diverged, "step \(draw): the gradient of the feedback is not finite")
      }
    }
    return answer.objective
  }
}
