/// Virtual adversarial training (VAT: Miyato, Maeda, Koyama and Ishii, TPAMI 2018) with entropy minimisation (Grandvalet
/// and Bengio, 2005): predictions stay the same in the direction in which they change most.
///
/// Student θ, labelled batch (x, y), unlabelled batch u of M rows:
///
///     p_i = softmax(S(u_i; θ))                                                  constants
///     d_i ← a normal vector, normalised;  `power_iterations` times:  d_i ← (JᵀF J d)_i, normalised
///     θ ← θ − update(∇_θ [ CE(smooth(y), S(x)) + λ(k) (1/M) Σ_i KL(p_i ‖ softmax(S(u_i + adversarial_radius · d_i)))
///                          + entropy_weight · H(S(u)) ])
///
/// J is the Jacobian of the logits with respect to the rows, F that of the softmax: JᵀF J is the Hessian of the divergence
/// at u. The paper takes a finite difference of its gradient; here a forward and a reverse sweep give the product itself.
/// All passes of a step have the same dropout masks. λ rises to `unlabeled_weight`.
final class VirtualAdversarialTraining: Method {
  static let definition = MethodDefinition(
    name: "vat", fields: unlabeledFields + fields,
    make: { try VirtualAdversarialTraining(student: $0.student, configuration: $0.configuration, seed: $0.seed) })

  static let fields: [Field] =
    [
      SupervisedTerm.field,
      Field(
        "unlabeled_weight", .number(.atLeast(0)), 0.3, "λ, the factor of the divergence, after its ramp",
        source: "FixMatch's code"),
      Field(
        "unlabeled_ramp", .number(.closed(0, 1)), 0.4, "share of `steps` over which λ rises linearly from 0",
        source: "FixMatch's code"),
      Field(
        "adversarial_radius", .number(.above(0)), 1, "length of the step in the unit of the network's input",
        source: "FixMatch's code: 6 on images"),
      Field(
        "power_iterations", .integer(.closed(0, 100)), 1, "refinements of the direction", source: "Miyato et al. 2018"),
      Field(
        "entropy_weight", .number(.atLeast(0)), 0.06, "factor of the mean entropy of predictions",
        source: "FixMatch's code"),
    ] + optimizerFields("student")

  let learners: [Learner]
  let metricNames =
    SupervisedTerm.metricNames + [
      "loss/consistency", "gradient_norm/consistency", "loss/entropy", "gradient_norm/entropy", "learning_rate/student",
    ]

  private let student: Network
  private let training: StudentTraining
  private let objectives: Objectives
  private let radius, entropyWeight: Double
  private let iterations: Int
  private let dropout, directions: RandomStream

  init(student: Network, configuration: FieldValues, seed: UInt64) throws {
    self.student = student
    training = try StudentTraining(student, configuration, seed: seed)
    learners = [training.learner]
    objectives = training.objectives
    radius = try configuration.number("adversarial_radius")
    entropyWeight = try configuration.number("entropy_weight")
    iterations = try configuration.integer("power_iterations")
    dropout = RandomStream(seed: seed, name: "student/dropout/unlabeled")
    directions = RandomStream(seed: seed, name: "adversarial directions")
  }

  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    try training.begin(batch, draw: draw, into: &metrics)
    let rows = try batch.unlabeledViews().weak, weight = training.unlabeledWeight(at: draw)
    if weight > 0 || entropyWeight > 0 {
      let mode = PassMode(normalization: .batch, noise: dropout, draw: draw)
      let clean = try student.record(rows, mode: mode)
      if weight > 0 {
        let target = try objectives.softmax(clean.logits)
        let pass = try student.record(
          try adversarialRows(rows, clean, target, draw: draw),
          // Rows made to confuse do not enter the running statistics.
          mode: mode)
        let term = try objectives.divergence(logits: pass.logits, targets: target)
        metrics["loss/consistency"] = term.loss
        metrics["gradient_norm/consistency"] = try training.terms.add(
          term, "consistency", weight: weight, through: pass, draw: draw)
      }
      if entropyWeight > 0 {
        let entropy = try objectives.entropy(logits: clean.logits)
        metrics["loss/entropy"] = entropy.loss
        metrics["gradient_norm/entropy"] = try training.terms.add(
          entropy, "entropy", weight: entropyWeight, through: clean, draw: draw)
      }
    }
    try training.end(draw: draw, into: &metrics)
  }

  /// u + adversarial_radius · d
  private func adversarialRows(_ rows: Tensor, _ clean: RecordedPass, _ p: Tensor, draw: UInt64) throws -> Tensor {
    let direction = try objectives.zeros(rows.shape)
    student.kernels.addNormal(direction, deviation: 1, directions.draw(draw))
    objectives.normalizeRows(direction)
    let still = try objectives.zeros(student.parameters.shape),
      unused = try objectives.tensor(student.parameters.shape)
    for _ in 0..<iterations {
      let change = try clean.tangent(still, inputDirection: direction)
      let cotangent = try objectives.softmaxPullback(change, probabilities: p)
      try clean.backward(cotangent, into: unused, inputCotangent: direction)
      objectives.normalizeRows(direction)
    }
    let adversarial = try objectives.tensor(rows.shape)
    student.kernels.copy(rows, to: adversarial)
    student.kernels.add(direction, scaledBy: radius, to: adversarial)
    return adversarial
  }
}
