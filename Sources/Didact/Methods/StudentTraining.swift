/// What the methods that train one network share: the student with its optimiser, the labelled loss, and the factor of
/// the loss on unlabelled rows.
struct StudentTraining {
  enum Composition: String, Sendable { case joint, separate }

  /// For the methods whose released code has labelled and unlabelled rows in one batch.
  static let batchFields = [
    Field(
      "student_batch", .choice(["joint", "separate"]), "joint",
      "whether a step's labelled and unlabelled rows pass the student together and share batch statistics",
      source: "joint: the authors' code", absentInFile: "separate"),
    WeightedTerms.field,
  ]

  let learner: Learner
  let objectives: Objectives
  let terms: WeightedTerms
  let supervised: SupervisedTerm
  private let student: Network
  private let unlabeledWeight: Double
  private let ramp: Ramp
  private let isJoint: Bool
  private let jointDropout: RandomStream

  /// - Parameter ramp: how the factor rises over the share `unlabeled_ramp` of the steps, where the method has that key.
  init(_ student: Network, _ configuration: FieldValues, seed: UInt64, ramp: Ramp.Shape = .linear) throws {
    learner = try Learner("student", student, configuration)
    objectives = Objectives(student.kernels)
    self.student = student
    terms = try WeightedTerms(
      student,
      measuresEach: !configuration.has(WeightedTerms.field.key) || configuration.boolean(WeightedTerms.field.key))
    isJoint = try Self.isJoint(student, configuration)
    jointDropout = RandomStream(seed: seed, name: "student/dropout/joint")
    supervised = try SupervisedTerm(student, objectives, configuration, seed: seed)
    unlabeledWeight = try configuration.number("unlabeled_weight")
    let share = configuration.has("unlabeled_ramp") ? try configuration.number("unlabeled_ramp") : 0
    self.ramp = Ramp(steps: share * Double(try configuration.integer("steps")), shape: ramp)
  }

  /// The factor of the loss on unlabelled rows in a step.
  func unlabeledWeight(at draw: UInt64) -> Double { unlabeledWeight * ramp.factor(at: Int(draw)) }

  /// Without batch statistics the two compositions compute the same.
  static func isJoint(_ student: Network, _ configuration: FieldValues) throws -> Bool {
    guard configuration.has("student_batch") else { return false }
    let composition: Composition = try configuration.choice("student_batch")
    return composition == .joint && student.usesBatchStatistics
  }

  /// Begins a step's gradient with that of the labelled loss.
  /// - Parameter views: of unlabelled rows, which pass beside the labelled ones where the student's batch is joint.
  /// - Returns: their rows of that pass; nil where the labelled rows passed alone.
  @discardableResult
  func begin(
    _ batch: Batch, beside views: [Tensor] = [], annealing: SignalAnnealing? = nil, confidence: ConfidenceRule? = nil,
    draw: UInt64, into metrics: inout Metrics
  ) throws -> [RowsOfPass]? {
    terms.begin()
    let together = try together(batch, views, noise: jointDropout, draw: draw)
    try supervised.add(
      batch.labeled, to: terms, through: together?.first, annealing: annealing, confidence: confidence, draw: draw,
      into: &metrics)
    return together.map { Array($0.dropFirst()) }
  }

  /// The labelled rows and views of unlabelled ones in one pass; nil where each passes by itself.
  func together(_ batch: Batch, _ views: [Tensor], noise: RandomStream, draw: UInt64) throws -> [RowsOfPass]? {
    // Views whose loss has weight 0 are as not there.
    guard isJoint, unlabeledWeight > 0, !views.isEmpty else { return nil }
    return try student.record(
      together: [batch.labeled.inputs] + views,
      mode: PassMode(normalization: .batchUpdatingRunning, noise: noise, draw: draw), objectives)
  }

  /// Ends a step: the student moves.
  func end(draw: UInt64, into metrics: inout Metrics) throws {
    try terms.finish()
    try learner.step(draw: draw, into: &metrics)
  }
}
