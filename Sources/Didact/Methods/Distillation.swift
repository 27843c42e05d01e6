/// Knowledge distillation (Hinton, Vinyals and Dean, 2015): a trained teacher's softened predictions teach a student, often
/// a smaller one.
///
/// In the first `teacher_share` of the steps the teacher φ learns from labels: φ ← φ − update(∇_φ CE(smooth(y), T(x))).
/// Then φ stays, and with α = `distillation_weight`, τ = `distillation_temperature`, on M unlabelled rows u:
///
///     q_i = softmax(T(u_i) / τ)                       in evaluation mode, on the weak view; or its most probable class
///     θ ← θ − update(∇_θ [ (1 − α) CE(smooth(y), S(x)) + α τ² (1/M) Σ_i CE(q_i, softmax(S(strong u_i) / τ)) ])
///
/// τ² keeps the size of the gradient independent of τ. Schedules of learning rates run over each of the two stages.
final class Distillation: Method {
  static let definition = MethodDefinition(
    name: "distillation", fields: unlabeledFields + strongViewFields + fields, secondNetwork: MethodDefinition.teacher,
    make: {
      try Distillation(student: $0.student, teacher: $0.second(), configuration: $0.configuration, seed: $0.seed)
    })

  static let fields: [Field] =
    [
      SupervisedTerm.field,
      Field(
        "teacher_share", .number(.closed(0, 1)), 0.5,
        "share of `steps` in which the teacher is trained; 0 for one that is"),
      Field(
        "distillation_weight", .number(.closed(0, 1)), 0.9, "α, the share of the teacher's predictions in the loss"),
      Field(
        "distillation_temperature", .number(.above(0)), 2, "τ, divides the logits of both", source: "Hinton et al. 2015"
      ),
      Field(
        "soft_labels", .boolean, true, "learn from the probabilities; false for the most probable class, and τ = 1"),
    ] + optimizerFields("student") + optimizerFields("teacher")

  let learners: [Learner]
  let metricNames =
    ["loss/teacher", "gradient_norm/teacher"] + SupervisedTerm.metricNames + [
      "loss/distillation", "gradient_norm/distillation", "learning_rate/student", "learning_rate/teacher",
    ]

  private let student, teacher: Network
  private let teaching, supervised: SupervisedTerm
  private let teacherSteps: Int
  private let weight, temperature: Double
  private let usesSoftLabels: Bool
  private let strongDropout: RandomStream
  private let objectives: Objectives
  private let teacherTerms, terms: WeightedTerms

  init(student: Network, teacher: Network, configuration: FieldValues, seed: UInt64) throws {
    self.student = student
    self.teacher = teacher
    learners = [
      try Learner("student", student, configuration), try Learner("teacher", teacher, configuration),
    ]
    objectives = Objectives(student.kernels)
    terms = try WeightedTerms(student)
    teacherTerms = try WeightedTerms(teacher)
    supervised = try SupervisedTerm(student, objectives, configuration, seed: seed)
    teaching = try SupervisedTerm(teacher, objectives, configuration, seed: seed, name: "teacher")
    teacherSteps = Int(try configuration.number("teacher_share") * Double(try configuration.integer("steps")))
    weight = try configuration.number("distillation_weight")
    usesSoftLabels = try configuration.boolean("soft_labels")
    temperature = usesSoftLabels ? try configuration.number("distillation_temperature") : 1
    strongDropout = RandomStream(seed: seed, name: "student/dropout/strong")
  }

  func scheduled(_ step: Int, of steps: Int) -> (step: Int, steps: Int) {
    step < teacherSteps ? (step, teacherSteps) : (step - teacherSteps, max(1, steps - teacherSteps))
  }

  func studentLearns(in step: Int) -> Bool { step >= teacherSteps }

  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    guard Int(draw) >= teacherSteps else {
      teacherTerms.begin()
      try teaching.add(batch.labeled, to: teacherTerms, draw: draw, into: &metrics)
      return try learners[1].step(draw: draw, into: &metrics)
    }
    terms.begin()
    if weight < 1 { try supervised.add(batch.labeled, to: terms, weight: 1 - weight, draw: draw, into: &metrics) }
    if weight > 0 {
      let views = try batch.unlabeledViews()
      let q = try objectives.softmax(
        try teacher.record(views.weak, mode: .evaluation.forLogits).logits, temperature: temperature)
      let pass = try student.record(
        views.strong, mode: PassMode(normalization: .batchUpdatingRunning, noise: strongDropout, draw: draw))
      let term = try objectives.crossEntropy(
        logits: pass.logits, targets: usesSoftLabels ? q : objectives.mostProbable(q), temperature: temperature,
        factor: temperature * temperature / Double(q.rows))
      metrics["loss/distillation"] = term.loss
      metrics["gradient_norm/distillation"] = try terms.add(
        term, "distillation", weight: weight, through: pass, draw: draw)
    }
    try learners[0].step(draw: draw, into: &metrics)
  }
}
