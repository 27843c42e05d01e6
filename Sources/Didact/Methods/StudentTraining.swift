/// What the methods that train one network share: the student with its optimiser, the labelled loss, and the factor of
/// the loss on unlabelled rows.
struct StudentTraining {
  let learner: Learner
  let objectives: Objectives
  let terms: WeightedTerms
  let supervised: SupervisedTerm
  private let unlabeledWeight: Double
  private let ramp: Ramp

  /// - Parameter ramp: how the factor rises over the share `unlabeled_ramp` of the steps, where the method has that key.
  init(_ student: Network, _ configuration: FieldValues, seed: UInt64, ramp: Ramp.Shape = .linear) throws {
    learner = try Learner("student", student, configuration)
    objectives = Objectives(student.kernels)
    terms = try WeightedTerms(student)
    supervised = try SupervisedTerm(student, objectives, configuration, seed: seed)
    unlabeledWeight = try configuration.number("unlabeled_weight")
    let share = configuration.has("unlabeled_ramp") ? try configuration.number("unlabeled_ramp") : 0
    self.ramp = Ramp(steps: share * Double(try configuration.integer("steps")), shape: ramp)
  }

  /// The factor of the loss on unlabelled rows in a step.
  func unlabeledWeight(at draw: UInt64) -> Double { unlabeledWeight * ramp.factor(at: Int(draw)) }

  /// Begins a step's gradient with that of the labelled loss.
  func begin(
    _ batch: Batch, annealing: SignalAnnealing? = nil, confidence: ConfidenceRule? = nil, draw: UInt64,
    into metrics: inout Metrics
  ) throws {
    terms.begin()
    try supervised.add(
      batch.labeled, to: terms, annealing: annealing, confidence: confidence, draw: draw, into: &metrics)
  }
}
