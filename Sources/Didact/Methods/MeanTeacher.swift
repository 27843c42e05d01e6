/// Mean Teacher (Tarvainen and Valpola, NeurIPS 2017), and with EMAN (Cai et al., CVPR 2021).
///
/// Student θ, its moving average θ̄, labelled batch (x, y), unlabelled batch u of M rows in a weak and a strong view:
///
///     t_i = softmax(T(u_i; θ̄))                       on the weak view, constants
///     θ ← θ − update(∇_θ [ CE(smooth(y), S(x)) + λ(k) (1 / M C) Σ_i ‖softmax(S(strong u_i)) − t_i‖² ])
///     θ̄ ← decay · θ̄ + (1 − decay) · θ                `average_decay`, `average_warmup`
///
/// Labelled and unlabelled rows pass together, as in the authors' code, or each by themselves (`student_batch`).
/// The teacher passes in training mode with dropout and batch statistics of its own, or in evaluation mode
/// (`teacher_mode`); with `eman`, in evaluation mode with averaged statistics. λ rises to `unlabeled_weight`.
final class MeanTeacher: Method {
  static let definition = MethodDefinition(
    name: "mean_teacher", fields: unlabeledFields + strongViewFields + fields,
    defaults: ["average_decay": 0.999, "average_warmup": "mean_teacher"], labelsByAverage: true,
    tasks: [.classification, .segmentation],
    make: { try MeanTeacher(student: $0.student, average: $0.average, configuration: $0.configuration, seed: $0.seed) })

  static let fields: [Field] =
    [
      SupervisedTerm.field,
      Field(
        "unlabeled_weight", .number(.atLeast(0)), 10,
        "λ, the factor of the consistency loss, the mean over rows and classes, after its ramp",
        source: "the authors' code: 100 on images; between C and C²"),
      Field(
        "unlabeled_ramp", .number(.closed(0, 1)), 0.25,
        "share of `steps` over which λ rises as exp(−5 (1 − t)²)", source: "the authors' code: 40,000 of 150,000"),
      Field(
        "teacher_mode", .choice(["training", "evaluation"]), "training",
        "whether the teacher has dropout and batch statistics, or neither", source: "training: the authors' code"),
      Field(
        "eman", .boolean, false, "the teacher passes in evaluation mode, with averaged statistics",
        source: "Cai et al. 2021"),
    ] + StudentTraining.batchFields + optimizerFields("student")

  let learners: [Learner]
  let metricNames =
    SupervisedTerm.metricNames + ["loss/consistency", "gradient_norm/consistency", "learning_rate/student"]

  private let student, teacher: Network
  private let training: StudentTraining
  private let objectives: Objectives
  private let teacherTrains: Bool
  private let teacherDropout, strongDropout: RandomStream

  init(student: Network, average: MovingAverage?, configuration: FieldValues, seed: UInt64) throws {
    guard let average else {
      throw DidactError(.invalidArgument, "mean_teacher: the teacher is the student's average; set \"average_decay\"")
    }
    self.student = student
    teacher = average.network
    training = try StudentTraining(student, configuration, seed: seed, ramp: .exponential)
    learners = [training.learner]
    objectives = training.objectives
    let isEMAN = try configuration.boolean("eman")
    teacherTrains = try configuration.text("teacher_mode") == "training" && !isEMAN
    teacherDropout = RandomStream(seed: seed, name: "teacher/dropout/weak")
    strongDropout = RandomStream(seed: seed, name: "student/dropout/strong")
  }

  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    let views = try batch.unlabeledViews(), weight = training.unlabeledWeight(at: draw)
    let together = try training.begin(batch, beside: [views.strong], draw: draw, into: &metrics)
    if weight > 0 {
      let mode = teacherTrains ? PassMode(normalization: .batch, noise: teacherDropout, draw: draw) : .evaluation
      // The teacher sees the labelled rows beside the others where the student does.
      let labeling =
        teacherTrains && together != nil
        ? try teacher.record(together: [batch.labeled.inputs, views.weak], mode: mode.forLogits, objectives)[1].logits
        : try teacher.record(views.weak, mode: mode.forLogits).logits
      let target = try objectives.softmax(labeling)
      let pass =
        try together?[0]
        ?? RowsOfPass(
          student.record(
            views.strong, mode: PassMode(normalization: .batchUpdatingRunning, noise: strongDropout, draw: draw)))
      let term = try objectives.squaredDifference(logits: pass.logits, targets: target)
      metrics["loss/consistency"] = term.loss
      metrics["gradient_norm/consistency"] = try training.terms.add(
        term, "consistency", weight: weight, through: pass, draw: draw)
    }
    try training.end(draw: draw, into: &metrics)
  }
}
