/// What became of comparing a gradient with what it should be.
///
/// `run` checks the meta-gradient of Meta Pseudo Labels, in float64, over a table of configurations: by central finite
/// differences of the objective where the teacher labels softly, and by enumeration of all pseudo-labels where they are
/// sampled. `gradient_dot` is held against `loss_difference`, which it approximates.
public struct GradientCheck: Sendable, Equatable {
  /// What was checked, in words.
  public let configuration: String
  /// ‖G‖, the norm of the gradient that was checked.
  public let norm: Double
  /// The worst deviation over all directions, relative to ‖G‖; for `gradient_dot`, how far from tenfold its approach is.
  public let error: Double
  /// The largest error that passes.
  public let tolerance: Double

  /// The gradient is not zero, and agrees.
  public var passed: Bool { norm > 0 && error <= tolerance }

  /// The largest relative error of a gradient that agrees with finite differences.
  public static let tolerance = 1e-6
  /// How far from ten the factor may be by which a first-order form nears what it approximates, a decade.
  public static let decadeTolerance = 0.05
}

// MARK: - Finite differences

extension GradientCheck {
  /// Compares a gradient with central differences of its objective.
  ///
  /// The directions d are G/‖G‖ and random unit vectors; the error of one is |difference quotient − ⟨G, d⟩| / ‖G‖ at the
  /// best of four step sizes, since a large one has the error of a parabola and a small one that of rounding. The
  /// objective should be smooth: at the kink of a ReLU a difference quotient is no derivative.
  /// - Parameters:
  ///   - parameters: moved along the directions, and put back; float64.
  ///   - gradient: G, the claimed gradient of `objective` with respect to `parameters`, of the same shape.
  ///   - directions: how many random ones.
  ///   - seed: of the random directions.
  /// - Throws: `DidactError.shape` or `.elementType` where the two vectors differ or are not float64, and whatever
  ///   `objective` throws.
  public static func compare(
    _ configuration: String, gradient: Tensor, parameters: Tensor, directions: Int = 10, seed: UInt64 = 0,
    objective: () throws -> Double
  ) throws -> GradientCheck {
    guard gradient.shape == parameters.shape else {
      throw DidactError(.shape, "gradient has shape \(gradient.shape), the parameters \(parameters.shape)")
    }
    guard gradient.elementType == .float64, parameters.elementType == .float64 else {
      throw DidactError(.elementType, "gradients are checked in float64: float32 rounds finite differences away")
    }
    let start = parameters.values, gradient = gradient.values
    func move(to values: [Double]) {
      for (index, value) in values.enumerated() { parameters[index] = value }
    }
    defer { move(to: start) }
    func value(at distance: Double, along direction: [Double]) throws -> Double {
      move(to: zip(start, direction).map { $0 + distance * $1 })
      return try objective()
    }

    let norm = length(gradient)
    guard norm > 0, norm.isFinite else {
      return GradientCheck(configuration: configuration, norm: norm, error: .infinity, tolerance: tolerance)
    }
    let random = RandomStream(seed: seed, name: "gradient_check/directions")
    var units = [gradient.map { $0 / norm }]
    for number in 0..<max(0, directions) {
      let draw = random.draw(UInt64(number))
      let direction = start.indices.map { draw.normal($0) }
      let length = length(direction)
      units.append(direction.map { $0 / length })
    }
    var worst = 0.0
    for unit in units {
      let expected = zip(gradient, unit).reduce(0) { $0 + $1.0 * $1.1 }
      var best = Double.infinity
      for step in [1e-2, 1e-3, 1e-4, 1e-5] {
        let difference = try value(at: step, along: unit) - value(at: -step, along: unit)
        best = min(best, abs(difference / (2 * step) - expected) / norm)
      }
      worst = max(worst, best)
    }
    return GradientCheck(configuration: configuration, norm: norm, error: worst, tolerance: tolerance)
  }

  private static func length(_ vector: [Double]) -> Double { vector.reduce(0) { $0 + $1 * $1 }.squareRoot() }
}

// MARK: - The meta-gradient

extension GradientCheck {
  /// The ways of feedback, as the configuration key `feedback` knows them.
  public static let feedbacks = ["exact", "gradient_dot", "loss_difference"]

  /// Checks the meta-gradient over the table of configurations.
  /// - Parameters:
  ///   - feedback: one of `feedbacks`.
  ///   - seed: of the networks, the data and the directions.
  /// - Throws: `DidactError.invalidArgument` for an unknown feedback.
  public static func run(feedback: String, seed: UInt64 = 0) throws -> [GradientCheck] {
    guard feedbacks.contains(feedback) else {
      throw DidactError(
        .invalidArgument, "unknown feedback \"\(feedback)\".\(suggestion(for: feedback, among: feedbacks))")
    }
    return try table.map { try run($0.name, $0.configuration, feedback: feedback, seed: seed) }
  }

  /// Checks the meta-gradient of one configuration, on a small problem of four columns and three classes.
  /// - Parameters:
  ///   - name: what the result is called.
  ///   - configuration: values for keys of Meta Pseudo Labels; a network without inputs and classes gets those of the
  ///     problem. Activations should be smooth.
  /// - Throws: `DidactError.invalidArgument` for a configuration that does not fit, and where `dtype` is not float64.
  public static func run(
    _ name: String, _ configuration: JSONObject, feedback: String, seed: UInt64 = 0
  ) throws -> GradientCheck {
    let title = "\(feedback): \(name)"
    guard feedback != "gradient_dot" else { return try firstOrderCheck(title, configuration, seed: seed) }
    let problem = try MetaProblem(configuration, feedback: feedback, seed: seed)
    let gradient = try feedback == "exact" ? problem.gradient() : problem.expectedGradient()
    return try compare(title, gradient: gradient, parameters: problem.teacher.parameters, seed: seed) {
      try feedback == "exact" ? problem.objective() : problem.expectedObjective()
    }
  }

  /// Each row changes one thing or two; the last one everything that goes together.
  private static let table: [(name: String, configuration: JSONObject)] = [
    ("gradient descent", [:]),
    ("momentum", ["student_optimizer": ["momentum": 0.9]]),
    ("Nesterov", ["student_optimizer": ["momentum": 0.9, "nesterov": true]]),
    ("weight decay", ["student_optimizer": ["weight_decay": 0.1]]),
    ("clipping", ["student_optimizer": ["clip_norm": 0.01]]),
    (
      "clipping after decay, Nesterov",
      [
        "student_optimizer": [
          "clip_norm": 0.01, "weight_decay": 0.1, "decay_before_clip": true, "momentum": 0.9, "nesterov": true,
        ]
      ]
    ),
    ("AdamW", ["student_optimizer": ["name": "adamw", "learning_rate": 0.01]]),
    (
      "AdamW, clipping, weight decay",
      ["student_optimizer": ["name": "adamw", "learning_rate": 0.01, "clip_norm": 0.01, "weight_decay": 0.1]]
    ),
    ("batch norm", ["network": ["batch_norm": true]]),
    ("batch norm, joint batch", ["network": ["batch_norm": true], "batch_composition": "joint"]),
    ("batch norm, EMAN", ["network": ["batch_norm": true], "eman": true]),
    ("dropout", ["network": ["dropout": 0.3]]),
    ("batch norm, dropout", ["network": ["batch_norm": true, "dropout": 0.3]]),
    ("label smoothing", ["label_smoothing": 0.2]),
    ("teacher temperature", ["teacher_temperature": 0.5]),
    ("confidence mask", ["pseudo_label_threshold": 0.45]),
    ("weak view labels", ["pseudo_label_view": "weak"]),
    (
      "sigmoid, smaller student",
      ["network": ["activation": "sigmoid"], "student_network": ["hidden": [4], "activation": "swish"]]
    ),
    (
      "all together",
      [
        "network": ["batch_norm": true, "dropout": 0.2], "label_smoothing": 0.1, "teacher_temperature": 0.7,
        "pseudo_label_threshold": 0.4, "eman": true,
        "student_optimizer": ["momentum": 0.9, "nesterov": true, "weight_decay": 0.01, "clip_norm": 0.01],
      ]
    ),
  ]

  /// `gradient_dot` is the first-order form of `loss_difference`: in expectation they part in proportion to the learning
  /// rate, ten times less for a tenth of it. The error is how far from ten, at the best of three decades: a high rate
  /// has the error of a parabola and a low one that of rounding.
  private static func firstOrderCheck(
    _ title: String, _ configuration: JSONObject, seed: UInt64
  ) throws -> GradientCheck {
    let dot = try MetaProblem(configuration, feedback: "gradient_dot", seed: seed)
    let difference = try MetaProblem(configuration, feedback: "loss_difference", seed: seed)
    let optimizers = try [dot, difference].map { try $0.trainer.optimizer("student") }
    let firstRate = optimizers[0].learningRate
    let norm = length(try dot.expectedGradient().values)
    let deviations = try [0.1, 0.01, 0.001, 0.0001].map { factor in
      for optimizer in optimizers { try optimizer.setLearningRate(factor * firstRate) }
      let gradient = try dot.expectedGradient().values, reference = try difference.expectedGradient().values
      return length(zip(gradient, reference).map { $0 - $1 }) / length(reference)
    }
    let error = zip(deviations, deviations.dropFirst()).map { abs($0 / $1 / 10 - 1) }.min() ?? .infinity
    return GradientCheck(configuration: title, norm: norm, error: error, tolerance: decadeTolerance)
  }
}

// MARK: - The problem

/// A trainer with batches so small that every assignment of pseudo-labels can be tried.
private struct MetaProblem {
  let trainer: Trainer
  let teacher: Network
  private let inputs: Tensor
  private let labels: [Int]
  private let weak, strong: Tensor

  private static let columns = 4, classes = 3

  init(_ configuration: JSONObject, feedback: String, seed: UInt64) throws {
    let isExact = feedback == "exact"
    var merged = try Trainer.mergedConfiguration(
      [
        [
          "dtype": "float64", "seed": .integer(Int64(clamping: seed)), "network": ["activation": "tanh"],
          "student_optimizer": ["learning_rate": 0.2, "momentum": 0, "nesterov": false],
          "teacher_optimizer": ["learning_rate": 0.05],
          // The first steps are to be the same whatever the feedback; the meta-gradient has no weight.
          "feedback_weight": 0,
        ],
        configuration, ["method": "meta_pseudo_labels", "feedback": .string(feedback)],
      ], method: "meta_pseudo_labels")
    guard merged["dtype"] == "float64" else {
      throw DidactError(.invalidArgument, "gradients are checked in float64: float32 rounds finite differences away")
    }
    for key in ["network", "student_network"] {
      // A student's network is given where it differs.
      guard let given = merged[key]?.members else { continue }
      merged[key] = .object(
        given.completed(columns: MetaProblem.columns, hidden: [8, 6], classes: MetaProblem.classes))
    }
    trainer = try Trainer(configuration: merged)
    teacher = try trainer.network("teacher")

    let random = RandomStream(seed: seed, name: "gradient_check/data")
    func normal(rows: Int, _ number: UInt64) throws -> Tensor {
      let draw = random.draw(number)
      let values = (0..<rows * MetaProblem.columns).map { draw.normal($0) }
      return try Tensor(values, shape: Shape(rows, MetaProblem.columns))
    }
    // All 3ⁿ assignments of labels to n rows are tried where they are sampled.
    let labeledRows = 9, unlabeledRows = isExact ? 14 : 3
    inputs = try normal(rows: labeledRows, 0)
    labels = (0..<labeledRows).map { $0 % MetaProblem.classes }
    weak = try normal(rows: unlabeledRows, 1)
    let noise = try normal(rows: unlabeledRows, 2).values
    strong = try Tensor(zip(weak.values, noise).map { $0 + 0.2 * $1 }, shape: weak.shape)
    // So that momenta, moments and running statistics are not what they start as.
    for _ in 0..<10 { try trainer.step(inputs, labels, unlabeled: weak, strong: strong) }
  }

  func objective(pseudoLabels: [Int]? = nil) throws -> Double {
    try trainer.metaObjective(inputs, labels, unlabeled: weak, strong: strong, pseudoLabels: pseudoLabels)
  }

  func gradient(pseudoLabels: [Int]? = nil) throws -> Tensor {
    try trainer.metaGradient(inputs, labels, unlabeled: weak, strong: strong, pseudoLabels: pseudoLabels)
  }

  /// E[L_l(θ′(ŷ))] over ŷ ~ q.
  func expectedObjective() throws -> Double {
    var sum = 0.0
    for (pseudoLabels, probability) in try assignments() {
      sum += try probability * objective(pseudoLabels: pseudoLabels)
    }
    return sum
  }

  /// E[G(ŷ)] over ŷ ~ q.
  func expectedGradient() throws -> Tensor {
    let sum = try Tensor(teacher.parameters.shape, .float64)
    for (pseudoLabels, probability) in try assignments() {
      teacher.kernels.add(try gradient(pseudoLabels: pseudoLabels), scaledBy: probability, to: sum)
    }
    return sum
  }

  /// Every ŷ with its probability under the teacher.
  private func assignments() throws -> [(labels: [Int], probability: Double)] {
    let q = try teacherDistribution().values
    var assignments: [(labels: [Int], probability: Double)] = [([], 1)]
    for row in 0..<weak.rows {
      assignments = assignments.flatMap { assignment in
        (0..<MetaProblem.classes).map {
          (assignment.labels + [$0], assignment.probability * q[row * MetaProblem.classes + $0])
        }
      }
    }
    return assignments
  }

  /// q, as the method's definition has it: a forward of its own.
  private func teacherDistribution() throws -> Tensor {
    let configuration = trainer.configuration
    let view = try configuration.text("pseudo_label_view")
    let rows = view == "weak" ? weak : strong
    let noise = RandomStream(seed: trainer.seed, name: "teacher/dropout/\(view)")
    let statistics: PassMode.Normalization = try configuration.boolean("eman") ? .running : .batch
    var input = rows, mode = PassMode(normalization: statistics, noise: noise, draw: 0), start = 0
    if try configuration.text("batch_composition") == "joint", statistics == .batch, teacher.usesBatchStatistics {
      mode.noise = RandomStream(seed: trainer.seed, name: "teacher/dropout/joint")
      let values = inputs.values + weak.values + strong.values
      input = try Tensor(values, shape: Shape(inputs.rows + 2 * rows.rows, MetaProblem.columns))
      start = inputs.rows + (view == "weak" ? 0 : rows.rows)
    }
    let logits = try teacher.record(input, mode: mode).logits.rows(start..<start + rows.rows)
    return try Objectives(teacher.kernels).softmax(logits, temperature: configuration.number("teacher_temperature"))
  }
}
