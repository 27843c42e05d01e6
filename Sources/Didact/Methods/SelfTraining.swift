/// Self-training in stages: the "Pseudo Labels" that Meta Pseudo Labels compares itself with (Pham et al., CVPR 2021,
/// section 2), and its iterated form (Scudder 1965; Xie et al., CVPR 2020, without their noise).
///
/// The `steps` are divided into `rounds` + 1 stages of equal length:
///
///     stage 0       the teacher φ learns from labels:    φ ← φ − update(∇_φ CE(smooth(y), T(x)))
///     stage r ≥ 1   φ stays; q_i = softmax(T(u_i)) in evaluation mode labels, softly or by its most probable class ŷ_i;
///                   θ ← θ − update(∇_θ [ supervised_weight · CE(smooth(y), S(x))
///                                        + unlabeled_weight · (1/M) Σ_i m_i CE(ŷ_i, S(u_i)) ])
///     between r and r + 1   the student becomes the teacher, and a student with new initial values begins
///
/// with m_i = 1 where max q_i ≥ pseudo_label_threshold. The teacher labels the weak view, the student learns on the
/// strong one. Schedules of learning rates run over each stage. Until stage 1 the student has its initial values.
final class SelfTraining: Method {
  static let definition = MethodDefinition(
    name: "self_training", fields: unlabeledFields + strongViewFields + fields,
    secondNetwork: MethodDefinition.teacher,
    tasks: [.classification, .segmentation],
    make: {
      try SelfTraining(student: $0.student, teacher: $0.second(), configuration: $0.configuration, seed: $0.seed)
    })

  static let fields: [Field] =
    [
      Field(
        "rounds", .integer(.closed(1, 1000)), 1, "how often a new student learns from the last one's labels",
        source: "Xie et al. 2020 (Noisy Student): 3"),
      Field(
        "soft_labels", .boolean, false, "learn from the teacher's probabilities instead of its most probable class"),
      Field(
        "pseudo_label_threshold", .number(.atLeast(0)), 0,
        "rows count where the teacher's largest probability is at least this; the divisor stays the number of rows"),
      Field(
        "supervised_weight", .number(.atLeast(0)), 1,
        "factor of the student's cross-entropy on labelled rows; 0 as in Pham et al. 2021"),
      Field("unlabeled_weight", .number(.atLeast(0)), 1, "factor of the student's loss on pseudo-labels"),
      SupervisedTerm.field,
    ] + optimizerFields("student") + optimizerFields("teacher")

  let learners: [Learner]
  let metricNames =
    ["loss/teacher", "gradient_norm/teacher"] + SupervisedTerm.metricNames + [
      "loss/pseudo_label", "gradient_norm/pseudo_label", "mask_rate", "learning_rate/student", "learning_rate/teacher",
    ]

  private let student, teacher: Network
  private let stageSteps: Int
  private let rounds: Int
  private let usesSoftLabels: Bool
  private let threshold, supervisedWeight, unlabeledWeight: Double
  private let teaching, supervised: SupervisedTerm
  private let dropout: RandomStream
  private let objectives: Objectives
  private let teacherTerms, terms: WeightedTerms

  init(student: Network, teacher: Network, configuration: FieldValues, seed: UInt64) throws {
    self.student = student
    self.teacher = teacher
    // A round begins with other parameters.
    learners = try [("student", student), ("teacher", teacher)].map {
      try Learner($0.0, $0.1, configuration, movesLast: false)
    }
    rounds = try configuration.integer("rounds")
    stageSteps = max(1, try configuration.integer("steps") / (rounds + 1))
    usesSoftLabels = try configuration.boolean("soft_labels")
    threshold = try configuration.number("pseudo_label_threshold")
    supervisedWeight = try configuration.number("supervised_weight")
    unlabeledWeight = try configuration.number("unlabeled_weight")
    objectives = Objectives(student.kernels)
    terms = try WeightedTerms(student)
    teacherTerms = try WeightedTerms(teacher)
    supervised = try SupervisedTerm(student, objectives, configuration, seed: seed)
    teaching = try SupervisedTerm(teacher, objectives, configuration, seed: seed, name: "teacher")
    dropout = RandomStream(seed: seed, name: "student/dropout/unlabeled")
    guard student.specification.json == teacher.specification.json || rounds == 1 else {
      throw DidactError(
        .invalidArgument,
        "self_training: with more than one round the student becomes the teacher, so that both must "
          + "have the same network; leave \"student_network\" out")
    }
  }

  private func stage(at step: Int) -> Int { min(rounds, step / stageSteps) }

  func scheduled(_ step: Int, of steps: Int) -> (step: Int, steps: Int) {
    let stage = stage(at: step), start = stage * stageSteps
    return (step - start, stage < rounds ? stageSteps : max(1, steps - start))
  }

  func studentLearns(in step: Int) -> Bool { stage(at: step) > 0 }

  func studentIsReplaced(in step: Int) -> Bool { stage(at: step) > 1 && step == stage(at: step) * stageSteps }

  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    let stage = stage(at: Int(draw))
    if studentIsReplaced(in: Int(draw)) { begin(round: stage) }
    if stage == 0 {
      teacherTerms.begin()
      try teaching.add(batch.labeled, to: teacherTerms, draw: draw, into: &metrics)
      try learners[1].step(draw: draw, into: &metrics)
    } else {
      try learnFromTeacher(batch, draw: draw, into: &metrics)
    }
  }

  private func begin(round: Int) {
    teacher.setValues(from: student)
    student.initialize(stream: "initialization/student/round \(round)")
    learners[0].optimizer.reset()
  }

  private func learnFromTeacher(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    let views = try batch.unlabeledViews()
    let probabilities = try objectives.softmax(try teacher.record(views.weak, mode: .evaluation.forLogits).logits)
    guard student.kernels.allFinite(probabilities) else {
      throw DidactError(
        .diverged,
        "step \(draw): the teacher's labels are not finite; the last finite state is kept. Lower its learning rate or set "
          + "clip_norm")
    }
    let targets = usesSoftLabels ? probabilities : try objectives.mostProbable(probabilities)
    let mask = try objectives.confidenceMask(probabilities, threshold: threshold)

    terms.begin()
    if supervisedWeight > 0 {
      try supervised.add(batch.labeled, to: terms, weight: supervisedWeight, draw: draw, into: &metrics)
    }
    if unlabeledWeight > 0 {
      let pass = try student.record(
        views.strong, mode: PassMode(normalization: .batchUpdatingRunning, noise: dropout, draw: draw))
      let term = try objectives.crossEntropy(logits: pass.logits, targets: targets, weights: mask)
      metrics["loss/pseudo_label"] = term.loss
      metrics["gradient_norm/pseudo_label"] = try terms.add(
        term, "pseudo-label", weight: unlabeledWeight, through: pass, draw: draw)
    }
    metrics["mask_rate"] = objectives.rate(mask)
    try learners[0].step(draw: draw, into: &metrics)
  }
}
