/// Reduced Meta Pseudo Labels (Pham, Dai, Xie, Luong, Le, CVPR 2021, appendix E): what a large, trained teacher predicted is
/// stored before, and a small perceptron that corrects it is all of the teacher that is trained and in memory.
///
/// Student θ, corrector φ, unlabelled batch u of N rows with stored distributions p₁, …, p_K of K teachers, labelled batch
/// (x, y), or trusted rows in its place:
///
///     z  = log (1/K) Σ_k p_k + f(p₁, …, p_K; φ)          f = 0 at the start
///     q  = softmax(z / τ)
///     g  = ∇_θ (1/N) Σ_i m_i CE(smooth(q_i), S(u_i; θ))
///     θ′ = θ − update(g)                                 the student steps
///     φ′ = φ − update(feedback_weight · ∇_φ L_l(θ′(φ)))  by `StudentFeedback`
///
/// The corrector learns from the student's result alone what, and of several teachers whom, to trust. Only a fit knows which
/// rows a batch has.
final class ReducedMetaPseudoLabels: Method {
  static let definition = MethodDefinition(
    name: "reduced_meta_pseudo_labels", fields: unlabeledFields + strongViewFields + fields,
    secondNetwork: { configuration, _, classes in
      ("corrector", try correctorSpecification(configuration, classes: classes))
    },
    make: {
      try ReducedMetaPseudoLabels(
        student: $0.student, corrector: $0.second(), configuration: $0.configuration, seed: $0.seed)
    })

  static let fields: [Field] =
    [
      Field(
        "teacher_distributions", .textOrTexts, .null,
        "fit: safetensors file of a teacher's distributions for the rows of X, then of X_unlabeled, which "
          + "store_distributions writes; or a list of them, one for each teacher. Needed, unless a fit is given distributions "
          + "themselves"),
      Field(
        "teachers", .integer(.closed(1, Double(TeacherDistributions.mostTeachers))), 1,
        "fit: how many teachers' distributions it is given where it is given those themselves; of files there is one for each"
      ),
      Field(
        "corrector_hidden", .integers(.closed(1, 16_777_216)), [128],
        "length of each hidden layer of the corrector; deeper ones follow sampled feedback less surely"),
      Field(
        "corrector_activation", .choice(ActivationFunction.allCases.map(\.rawValue)), "relu",
        "scalar function of its hidden layers"),
    ] + StudentFeedback.fields + optimizerFields("student")
    + optimizerFields("corrector", defaults: ["name": "adamw", "learning_rate": 0.003])

  /// From the distributions of all teachers, side by side, to what is added to the logarithms of their mean.
  static func correctorSpecification(_ configuration: FieldValues, classes: Int) throws -> NetworkSpecification {
    try .multilayerPerceptron(
      inputs: classes * teacherCount(configuration), hidden: configuration.integers("corrector_hidden"),
      classes: classes,
      activation: configuration.text("corrector_activation"))
  }

  private static func paths(_ configuration: FieldValues) throws -> [String] {
    let value = try configuration.value("teacher_distributions")
    return value.text.map { [$0] } ?? value.list?.compactMap(\.text) ?? []
  }

  private static func teacherCount(_ configuration: FieldValues) throws -> Int {
    let files = try paths(configuration).count, teachers = try configuration.integer("teachers")
    guard files == 0 || teachers == 1 || teachers == files else {
      throw DidactError(
        .invalidArgument,
        "\"teachers\" is \(teachers), but \"teacher_distributions\" has \(files) files; there is one for each")
    }
    guard files <= TeacherDistributions.mostTeachers else {
      throw DidactError(
        .invalidArgument,
        "\"teacher_distributions\" has \(files) files; there can be \(TeacherDistributions.mostTeachers) teachers")
    }
    return max(files, teachers)
  }

  /// Smaller probabilities count as this one, so that their logarithms are finite.
  private static let leastProbability = 1e-8

  let learners: [Learner]
  let metricNames = [
    "loss/student", "loss/feedback", "gradient_norm/student", "gradient_norm/feedback", "feedback",
    "learning_rate/student", "learning_rate/corrector",
  ]

  private let student, corrector: Network
  private let feedback: StudentFeedback
  private let objectives: Objectives
  private let terms: WeightedTerms
  private let paths: [String], teachers: Int
  private var distributions: TeacherDistributions?
  private let memory = TensorPool()

  init(student: Network, corrector: Network, configuration: FieldValues, seed: UInt64) throws {
    self.student = student
    self.corrector = corrector
    // It begins by correcting nothing.
    if let last = corrector.parameterNames.last(where: { $0.hasSuffix("weight") }) {
      corrector.kernels.fill(try corrector.parameter(last), 0)
    }
    learners = [
      try Learner("student", student, configuration, movesLast: false),
      try Learner("corrector", corrector, configuration),
    ]
    objectives = Objectives(student.kernels)
    feedback = try StudentFeedback(objectives, configuration, seed: seed)
    terms = try WeightedTerms(corrector)
    paths = try Self.paths(configuration)
    teachers = try Self.teacherCount(configuration)
  }

  var scalars: [(name: String, value: Tensor)] { feedback.scalars }

  func prepare(_ rows: UnlabeledRows) throws {
    if let given = rows.teacherDistributions {
      distributions = try TeacherDistributions(given, teachers: teachers, of: rows.count, classes: student.classes)
    } else if paths.isEmpty {
      throw DidactError(
        .invalidArgument,
        "\"teacher_distributions\" is not set: store those of a trained teacher with store_distributions, and give the file; "
          + "or give distributions themselves to the fit")
    } else {
      distributions = try TeacherDistributions(paths, of: rows, classes: student.classes)
    }
  }

  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    guard let rows = batch.unlabeledRows, let distributions else {
      throw DidactError(
        .unsupported, "reduced_meta_pseudo_labels must know which rows a batch has: train by fit, not by single steps")
    }
    let (p, mean) = try distributions.rows(rows, student.kernels, in: memory)
    let correction = try corrector.record(p, mode: .evaluation)
    let logits = try objectives.logarithms(of: mean, least: Self.leastProbability)
    student.kernels.add(correction.logits, scaledBy: 1, to: logits)

    let optimizer = learners[0].optimizer
    let move = try feedback.move(
      student, optimizer, on: batch.unlabeledViews().strong, at: learners[0].parametersBeforeStep, logits: logits,
      draw: draw)
    StudentFeedback.report(move, optimizer, into: &metrics)

    terms.begin()
    if feedback.weight != 0 {
      let term = try feedback.answer(
        move, student, optimizer, batch.trusted ?? batch.labeled, draw: draw, into: &metrics)
      metrics["loss/feedback"] = term.loss
      metrics["gradient_norm/feedback"] = try terms.add(
        term, "feedback", weight: feedback.weight, through: correction, draw: draw)
    }
    try learners[1].step(draw: draw, into: &metrics)
  }
}
