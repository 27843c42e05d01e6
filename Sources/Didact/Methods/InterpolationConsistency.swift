/// Interpolation consistency training (ICT: Verma et al., IJCAI 2019): between two rows, the student predicts what lies
/// between the teacher's predictions.
///
/// Student θ, its moving average θ̄, labelled batch (x, y), unlabelled batch u of M rows, π a permutation of them:
///
///     β ~ Beta(mixing_parameter, mixing_parameter), β ← max(β, 1 − β)          one for each step
///     t_i = softmax(T(u_i; θ̄))                                                 constants
///     θ ← θ − update(∇_θ [ CE(smooth(y), S(x))
///                          + λ(k) (1 / M C) Σ_i ‖softmax(S(β u_i + (1 − β) u_π(i))) − (β t_i + (1 − β) t_π(i))‖² ])
///
/// λ rises to `unlabeled_weight`. The teacher passes in training mode, as in the authors' code, or in evaluation mode
/// (`teacher_mode`). Rows are mixed as they come, in their weak view.
final class InterpolationConsistency: Method {
  static let definition = MethodDefinition(
    name: "ict", fields: unlabeledFields + fields,
    defaults: ["average_decay": 0.999, "average_warmup": "mean_teacher"], labelsByAverage: true,
    make: {
      try InterpolationConsistency(
        student: $0.student, average: $0.average, configuration: $0.configuration, seed: $0.seed)
    })

  static let fields: [Field] =
    [
      SupervisedTerm.field,
      Field(
        "unlabeled_weight", .number(.atLeast(0)), 10,
        "λ, the factor of the consistency loss, the mean over rows and classes, after its ramp",
        source: "FixMatch's code: 50 on images"),
      Field(
        "unlabeled_ramp", .number(.closed(0, 1)), 0.4, "share of `steps` over which λ rises linearly from 0",
        source: "FixMatch's code"),
      Field(
        "mixing_parameter", .number(.above(0)), 0.5, "both parameters of the Beta distribution of β",
        source: "FixMatch's code"),
      Field(
        "teacher_mode", .choice(["training", "evaluation"]), "training",
        "whether the teacher has dropout and batch statistics, or neither", source: "training: the authors' code",
        absentInFile: "evaluation"),
    ] + optimizerFields("student")

  let learners: [Learner]
  let metricNames =
    SupervisedTerm.metricNames + ["loss/consistency", "gradient_norm/consistency", "learning_rate/student"]

  private let student, teacher: Network
  private let training: StudentTraining
  private let objectives: Objectives
  private let mixingParameter: Double
  private let teacherTrains: Bool
  private let mixing, dropout, teacherDropout: RandomStream

  init(student: Network, average: MovingAverage?, configuration: FieldValues, seed: UInt64) throws {
    guard let average else {
      throw DidactError(.invalidArgument, "ict: the teacher is the student's average; set \"average_decay\"")
    }
    self.student = student
    teacher = average.network
    training = try StudentTraining(student, configuration, seed: seed)
    learners = [training.learner]
    objectives = training.objectives
    mixingParameter = try configuration.number("mixing_parameter")
    teacherTrains = try configuration.text("teacher_mode") == "training"
    mixing = RandomStream(seed: seed, name: "mixing")
    teacherDropout = RandomStream(seed: seed, name: "teacher/dropout/weak")
    dropout = RandomStream(seed: seed, name: "student/dropout/unlabeled")
  }

  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    try training.begin(batch, draw: draw, into: &metrics)
    let rows = try batch.unlabeledViews().weak, weight = training.unlabeledWeight(at: draw)
    if weight > 0 {
      let beta = mixing.draw(draw, lane: 1).beta(mixingParameter), share = max(beta, 1 - beta)
      let order = mixing.draw(draw).permutation(rows.rows)
      let mode = teacherTrains ? PassMode(normalization: .batch, noise: teacherDropout, draw: draw) : .evaluation
      let target = try objectives.softmax(try teacher.record(rows, mode: mode.forLogits).logits)
      let pass = try student.record(
        try objectives.mixed(rows, order, share: share),
        mode: PassMode(normalization: .batchUpdatingRunning, noise: dropout, draw: draw))
      let term = try objectives.squaredDifference(
        logits: pass.logits, targets: try objectives.mixed(target, order, share: share))
      metrics["loss/consistency"] = term.loss
      metrics["gradient_norm/consistency"] = try training.terms.add(
        term, "consistency", weight: weight, through: pass, draw: draw)
    }
    try training.end(draw: draw, into: &metrics)
  }
}
