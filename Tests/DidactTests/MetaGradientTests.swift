import Testing

@testable import Didact

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// A configuration of Meta Pseudo Labels whose exact feedback is checked.
struct MetaCase: CustomTestStringConvertible, Sendable {
  let name: String
  let configuration: JSONObject
  /// Real steps before the check, which fill momenta, moments and running statistics.
  let warmUp: Int
  /// Whether the student's loss is measured on other rows than the labelled ones.
  let isTrusted: Bool
  var testDescription: String { name }

  /// - Parameters:
  ///   - network: keys of the `mlp` specification that differ from the tests' own.
  ///   - configuration: keys of the trainer that differ from the tests' own.
  init(
    _ name: String, network: JSONObject = [:], warmUp: Int = 3, isTrusted: Bool = false,
    _ configuration: JSONObject = [:]
  ) {
    self.name = name
    self.warmUp = warmUp
    self.isTrusted = isTrusted
    self.configuration = MetaProblem.configuration(network: network).setting(configuration)
  }
}

/// A small classification task with its batches, and a trainer on it.
struct MetaProblem {
  let trainer: Trainer
  let inputs, weak, strong: Tensor
  let labels: [Int]
  let trusted: (inputs: Tensor, labels: [Int])?

  static let specification: JSONObject = [
    "type": "mlp", "inputs": 3, "hidden": [6, 5], "classes": 3, "activation": "tanh",
  ]

  static func configuration(network: JSONObject = [:]) -> JSONObject {
    [
      "method": "meta_pseudo_labels", "network": .object(specification.setting(network)), "dtype": "float64", "seed": 7,
      "student_optimizer.learning_rate": 0.3, "teacher_optimizer.learning_rate": 0.1,
    ]
  }

  init(_ configuration: JSONObject, unlabeledRows: Int = 7, warmUp: Int = 0, isTrusted: Bool = false) throws {
    trusted = isTrusted ? (try randomTensor(Shape(4, 3), seed: 85), [2, 0, 1, 1]) : nil
    trainer = try Trainer(configuration: configuration)
    inputs = try randomTensor(Shape(5, 3), seed: 80)
    labels = [0, 1, 2, 1, 0]
    weak = try randomTensor(Shape(unlabeledRows, 3), seed: 81)
    strong = try weak.copy()
    strong.add(try randomTensor(weak.shape, seed: 82), scaledBy: 0.3)
    // Confident enough that the feedback is not tiny.
    let teacher = try trainer.network("teacher"), student = trainer.student
    teacher.parameters.add(try randomTensor(teacher.parameters.shape, seed: 83), scaledBy: 0.3)
    student.parameters.add(try randomTensor(student.parameters.shape, seed: 84), scaledBy: 0.3)
    for _ in 0..<warmUp { try step() }
  }

  init(_ metaCase: MetaCase) throws {
    try self.init(metaCase.configuration, warmUp: metaCase.warmUp, isTrusted: metaCase.isTrusted)
  }

  var phi: Tensor { get throws { try trainer.network("teacher").parameters } }

  @discardableResult
  func step() throws -> Metrics {
    try trainer.step(inputs, labels, unlabeled: weak, strong: strong, trusted: trusted)
  }

  func gradient(pseudoLabels: [Int]? = nil, draw: UInt64 = 11) throws -> Tensor {
    try trainer.metaGradient(
      inputs, labels, unlabeled: weak, strong: strong, trusted: trusted, pseudoLabels: pseudoLabels, draw: draw)
  }

  func objective(pseudoLabels: [Int]? = nil, draw: UInt64 = 11) throws -> Double {
    try trainer.metaObjective(
      inputs, labels, unlabeled: weak, strong: strong, trusted: trusted, pseudoLabels: pseudoLabels, draw: draw)
  }
}

/// The exact feedback is the gradient of the student's labelled loss after its step, through everything that the step
/// really did: in float64, |fd − ⟨G, d⟩| ≤ 1e-6 ‖G‖ along G and ten random directions, best of four step sizes.
@Suite struct MetaGradientTests {
  private static let sgd: JSONObject = ["student_optimizer.momentum": 0, "student_optimizer.nesterov": false]
  private static let heavyBall: JSONObject = ["student_optimizer.momentum": 0.8, "student_optimizer.nesterov": false]
  private static let adamW: JSONObject = ["student_optimizer.name": "adamw", "student_optimizer.learning_rate": 0.05]
  private static let normalized: JSONObject = ["batch_norm": true]
  private static let everything: JSONObject = ["batch_norm": true, "dropout": 0.2]

  static let cases: [MetaCase] = [
    MetaCase("plain sgd", warmUp: 0, sgd),
    MetaCase("plain sgd, swish", network: ["activation": "swish"], sgd),
    MetaCase("plain sgd, sigmoid", network: ["activation": "sigmoid"], sgd),
    MetaCase("linear networks", network: ["hidden": []], sgd),
    MetaCase("heavy ball", heavyBall),
    MetaCase("nesterov, first step", warmUp: 0),
    MetaCase("nesterov"),
    MetaCase("weight decay", ["student_optimizer.weight_decay": 0.1]),
    MetaCase(
      "weight decay, excluded",
      ["student_optimizer.weight_decay": 0.1, "student_optimizer.decay_exclude": "bias_and_norm"]),
    MetaCase("clip", ["student_optimizer.clip_norm": 0.02]),
    MetaCase("clip, inactive", ["student_optimizer.clip_norm": 1e6]),
    MetaCase("clip, then decay", ["student_optimizer.clip_norm": 0.02, "student_optimizer.weight_decay": 0.1]),
    MetaCase(
      "decay, then clip",
      [
        "student_optimizer.clip_norm": 0.02, "student_optimizer.weight_decay": 0.1,
        "student_optimizer.decay_before_clip": true,
      ]),
    MetaCase("adamw", warmUp: 10, adamW),
    MetaCase(
      "adamw, clip, decay", warmUp: 10,
      adamW.setting(["student_optimizer.clip_norm": 0.02, "student_optimizer.weight_decay": 0.1])),
    MetaCase("batch norm", network: normalized),
    MetaCase("batch norm, swish", network: ["batch_norm": true, "activation": "swish"]),
    MetaCase("dropout", network: ["dropout": 0.3]),
    MetaCase("batch norm, dropout", network: everything),
    MetaCase("label smoothing", ["label_smoothing": 0.2]),
    MetaCase("teacher temperature 2", ["teacher_temperature": 2]),
    MetaCase("teacher temperature 0.5", ["teacher_temperature": 0.5]),
    MetaCase("trusted rows", isTrusted: true),
    MetaCase("trusted rows, joint, dropout", network: everything, isTrusted: true, ["batch_composition": "joint"]),
    MetaCase("mask", ["pseudo_label_threshold": 0.6]),
    MetaCase("weak view", ["pseudo_label_view": "weak"]),
    MetaCase("weak view, batch norm, dropout", network: everything, ["pseudo_label_view": "weak"]),
    MetaCase("eman", network: normalized, ["eman": true]),
    MetaCase("eman, joint", network: everything, ["eman": true, "batch_composition": "joint"]),
    MetaCase("joint", network: normalized, ["batch_composition": "joint"]),
    MetaCase(
      "joint, weak view, dropout", network: everything, ["batch_composition": "joint", "pseudo_label_view": "weak"]),
    MetaCase(
      "another student",
      ["student_network": ["type": "mlp", "inputs": 3, "hidden": [4], "classes": 3, "activation": "sigmoid"]]),
    MetaCase(
      "another student, batch norm", network: normalized,
      [
        "student_network": [
          "type": "mlp", "inputs": 3, "hidden": [7, 4], "classes": 3, "activation": "swish", "batch_norm": true,
        ]
      ]),
    MetaCase(
      "all at once", network: everything, warmUp: 5,
      [
        "label_smoothing": 0.1, "teacher_temperature": 1.5, "pseudo_label_threshold": 0.45,
        "pseudo_label_view": "weak", "batch_composition": "joint", "student_optimizer.clip_norm": 0.02,
        "student_optimizer.weight_decay": 0.1, "uda_weight": 2, "feedback_weight": 3,
      ]),
    MetaCase(
      "all at once, adamw", network: everything, warmUp: 10,
      adamW.setting([
        "label_smoothing": 0.1, "teacher_temperature": 0.7, "pseudo_label_threshold": 0.45, "eman": true,
        "student_optimizer.clip_norm": 0.02,
      ])),
  ]

  @Test(arguments: cases) func exactFeedbackIsTheGradient(_ metaCase: MetaCase) throws {
    let problem = try MetaProblem(metaCase), phi = try problem.phi
    let gradient = try problem.gradient(), size = gradient.norm
    try #require(size > 1e-8, "‖G‖ = \(size): nothing to check")
    let along = try gradient.copy()
    along.scale(by: 1 / size)
    let directions = try [along] + (0..<10).map { try unitDirection(phi.count, seed: 90 + UInt64($0)) }
    for (index, direction) in directions.enumerated() {
      let expected = gradient.dot(direction)
      let errors = try [3e-3, 1e-3, 3e-4, 1e-4].map { h in
        let numeric = try centralDifference(of: { try problem.objective() }, moving: phi, along: direction, step: h)
        return abs(numeric - expected) / size
      }
      #expect(errors.min()! <= 1e-6, "direction \(index), ‖G‖ \(size): \(errors)")
    }
  }

  /// That the cases above test what their names say.
  @Test func casesAreWhatTheySay() throws {
    func named(_ name: String) throws -> MetaProblem {
      try MetaProblem(#require(Self.cases.first { $0.name == name }))
    }
    func q(_ problem: MetaProblem) throws -> Tensor {
      try problem.trainer.network("teacher").predictProbabilities(problem.strong)
    }
    let objectives = Objectives(ReferenceKernels<Double>())
    let mask = try objectives.confidenceMask(q(named("mask")), threshold: 0.6)
    #expect((0.2...0.8).contains(objectives.rate(mask)), "some rows masked, some not")
    for name in ["clip", "clip, then decay", "decay, then clip"] {
      let problem = try named(name)
      try problem.step()
      #expect(try problem.trainer.optimizer("student").clipScale < 0.9, "\(name) is active")
    }
    let buffers = try named("nesterov").trainer.optimizer("student").state
    #expect(buffers.first { $0.name == "momentum.dense0.weight" }!.tensor.norm > 0.01)
  }

  /// Wherever the gradient could be reached by two ways, the configurations do differ.
  @Test func everyIngredientMatters() throws {
    let base = try MetaProblem(MetaCase("", network: Self.everything)).gradient()
    let changes: [JSONObject] = [
      ["label_smoothing": 0.2], ["teacher_temperature": 2], ["pseudo_label_threshold": 0.6],
      ["pseudo_label_view": "weak"], ["eman": true], ["batch_composition": "joint"],
      ["student_optimizer.clip_norm": 0.02], ["student_optimizer.nesterov": false],
      ["student_optimizer.weight_decay": 0.1],
    ]
    for change in changes {
      let other = try MetaProblem(MetaCase("", network: Self.everything, change)).gradient()
      #expect(relativeError(base, other) > 1e-3, "\(change.keys)")
    }
    let problem = try MetaProblem(MetaCase("", network: Self.everything))
    #expect(try problem.gradient(draw: 11).bytes == problem.gradient(draw: 11).bytes)
    #expect(try relativeError(problem.gradient(draw: 11), problem.gradient(draw: 12)) > 1e-3, "other masks")
  }

  /// In Float the same gradient to Float's precision.
  @Test func floatAgreesWithDouble() throws {
    for name in ["nesterov", "clip, then decay", "batch norm, dropout", "all at once"] {
      let configuration = try #require(Self.cases.first { $0.name == name }).configuration
      let double = try MetaProblem(configuration), single = try MetaProblem(configuration.setting(["dtype": "float32"]))
      #expect(try relativeError(double.gradient(), single.gradient()) < 1e-3, "\(name)")
    }
  }

  // MARK: Nothing changes

  @Test(arguments: ["exact", "gradient_dot", "loss_difference"], ["separate", "joint"])
  func changesNothing(feedback: String, composition: String) throws {
    let problem = try MetaProblem(
      MetaCase(
        "", network: Self.everything,
        [
          "feedback": .string(feedback), "batch_composition": .string(composition), "average_decay": 0.9,
          "average_statistics": true,
        ]))
    let before = problem.trainer.snapshot, twin = try problem.trainer.copy()
    _ = try problem.gradient()
    _ = try problem.objective()
    if feedback != "exact" { _ = try problem.gradient(pseudoLabels: [0, 1, 2, 0, 1, 2, 0]) }
    #expect(Trainer.differences(problem.trainer.snapshot, before) == [])
    // Nor anything that shows later.
    try problem.step()
    try twin.step(problem.inputs, problem.labels, unlabeled: problem.weak, strong: problem.strong)
    #expect(Trainer.differences(problem.trainer, twin) == [])
  }

  /// Between a student's and its teacher's step too: the teacher's step answers the student's as if nothing was asked.
  @Test func changesNothingBetweenTheHalves() throws {
    let problem = try MetaProblem(MetaCase("", network: Self.everything)), twin = try problem.trainer.copy()
    for trainer in [problem.trainer, twin] {
      try trainer.studentStep(problem.weak, strong: problem.strong)
      if trainer === problem.trainer { _ = try problem.gradient() }
      try trainer.teacherStep(problem.inputs, problem.labels)
    }
    #expect(Trainer.differences(problem.trainer, twin) == [])
  }

  @Test func refusals() throws {
    let exact = try MetaProblem(MetaProblem.configuration())
    #expect(throws: DidactError.self) { try exact.gradient(pseudoLabels: [0, 1, 2, 0, 1, 2, 0]) }
    let sampled = try MetaProblem(MetaProblem.configuration().setting(["feedback": "loss_difference"]))
    for labels in [[0, 1], [0, 1, 2, 0, 1, 2, 3], [0, 1, 2, 0, 1, 2, -1]] {
      #expect(throws: DidactError.self) { try sampled.gradient(pseudoLabels: labels) }
    }
    let supervised = try Trainer([
      "method": "supervised", "network": .object(MetaProblem.specification), "dtype": "float64",
    ])
    let error = #expect(throws: DidactError.self) {
      try supervised.metaGradient(exact.inputs, exact.labels, unlabeled: exact.weak)
    }
    #expect(error?.code == .unsupported)
  }

  // MARK: The feedback that training applies

  /// With no other term and plain SGD, the teacher moves by −η times the gradient of the step's own draw.
  @Test(
    arguments: ["exact", "gradient_dot", "loss_difference"], ["separate", "joint", "eman", "weak view", "trusted"])
  func trainingAppliesTheMetaGradient(feedback: String, option: String) throws {
    let options: [String: JSONObject] = [
      "joint": ["batch_composition": "joint"], "eman": ["eman": true], "weak view": ["pseudo_label_view": "weak"],
    ]
    let problem = try MetaProblem(
      MetaCase(
        "", network: Self.everything, isTrusted: option == "trusted",
        options[option, default: [:]].setting([
          "feedback": .string(feedback), "supervised_weight": 0, "uda_weight": 0, "feedback_weight": 1.5,
          "label_smoothing": 0.1, "student_optimizer.clip_norm": 0.05, "teacher_optimizer.momentum": 0,
          "teacher_optimizer.nesterov": false,
        ])))
    for _ in 0..<2 {
      let phi = try problem.phi, before = phi.values
      let gradient = try problem.gradient(draw: UInt64(problem.trainer.steps))
      #expect(gradient.norm > 0)
      if option == "joint" {
        try problem.step()
      } else {
        try problem.trainer.studentStep(problem.weak, strong: problem.strong)
        try problem.trainer.teacherStep(problem.inputs, problem.labels, trusted: problem.trusted)
      }
      let moved = zip(phi.values, before).map { ($0 - $1) / (-0.1 * 1.5) }
      #expect(relativeError(moved, gradient.values) < 1e-10)
      let metrics = problem.trainer.lastMetrics
      #expect(relativeError([metrics["gradient_norm/feedback"]!], [gradient.norm]) < 1e-12)
    }
  }

  /// h is ⟨v, update(g) − update(0)⟩ and not ⟨pullback(v), g⟩, which vanishes where the clip is active and at AdamW's
  /// first step.
  @Test func gradientDotSurvivesClippingAndAdamW() throws {
    let optimizers: [JSONObject] = [
      ["student_optimizer.clip_norm": 0.02], Self.adamW,
      Self.adamW.setting(["student_optimizer.clip_norm": 0.02]),
    ]
    for optimizer in optimizers {
      let configuration = MetaProblem.configuration().setting(optimizer)
      let dot = try MetaProblem(configuration.setting(["feedback": "gradient_dot"]))
      #expect(try dot.gradient().norm > 1e-6)
      let metrics = try dot.step()
      #expect(abs(metrics["feedback"]!) > 1e-6)
      #expect(metrics["gradient_norm/feedback"]! > 1e-6)
    }
    // The exact feedback of AdamW's first step is near 0, as documented.
    let exact = try MetaProblem(MetaProblem.configuration().setting(Self.adamW))
    let first = try exact.gradient().norm
    for _ in 0..<10 { try exact.step() }
    #expect(try first < 1e-3 * exact.gradient().norm)
  }

  /// Old − new: the feedback is positive where the student's labelled loss fell.
  @Test func signOfTheFeedback() throws {
    for feedback in ["exact", "gradient_dot", "loss_difference"] {
      let problem = try MetaProblem(
        MetaProblem.configuration().setting(Self.sgd).setting([
          "feedback": .string(feedback), "student_optimizer.learning_rate": 0.01,
        ]))
      func labeledLoss() throws -> Double {
        let objectives = Objectives(ReferenceKernels<Double>())
        let targets = try objectives.oneHot(Tensor(problem.labels), classes: 3)
        return try objectives.crossEntropy(
          logits: problem.trainer.student.forward(problem.inputs), targets: targets
        ).loss
      }
      let old = try labeledLoss()
      let metrics = try problem.step()
      let fell = old - (try labeledLoss())
      #expect(abs(metrics["feedback"]! - fell) < (feedback == "gradient_dot" ? 0.1 : 1e-10) * abs(fell))
    }
  }
}

/// Sampled labels, all of them enumerated on a tiny problem: the average of the estimators against the gradient of the
/// average, E[L_l(θ′(ŷ))] = Σ_ŷ p(ŷ; φ) L_l(θ′(ŷ)).
@Suite struct EnumerationTests {
  private static let rows = 2, classes = 3
  /// All ŷ.
  private static let assignments = (0..<9).map { [$0 / 3, $0 % 3] }

  private func problem(_ feedback: String, learningRate: Double, _ changes: JSONObject = [:]) throws -> MetaProblem {
    let configuration = MetaProblem.configuration(network: ["hidden": [3]]).setting([
      "feedback": .string(feedback), "student_optimizer.learning_rate": .number(learningRate),
      "student_optimizer.nesterov": true, "student_optimizer.momentum": 0.5, "teacher_temperature": 1.3,
      "label_smoothing": 0.1,
    ])
    return try MetaProblem(configuration.setting(changes), unlabeledRows: Self.rows)
  }

  /// p(ŷ; φ) for every ŷ.
  private func probabilities(_ problem: MetaProblem) throws -> [Double] {
    let logits = try problem.trainer.network("teacher").forward(problem.strong)
    let q = try Objectives(ReferenceKernels<Double>()).softmax(logits, temperature: 1.3)
    return Self.assignments.map { q[$0[0]] * q[Self.classes + $0[1]] }
  }

  /// Σ_ŷ p(ŷ) · metaGradient(ŷ)
  private func averageEstimate(_ problem: MetaProblem) throws -> [Double] {
    let sum = try Tensor(problem.phi.shape, .float64)
    for (labels, probability) in zip(Self.assignments, try probabilities(problem)) {
      sum.add(try problem.gradient(pseudoLabels: labels), scaledBy: probability)
    }
    return sum.values
  }

  /// ∇_φ Σ_ŷ p(ŷ; φ) L_l(θ′(ŷ)) by central differences. Only p depends on φ.
  private func gradientOfAverage(_ problem: MetaProblem) throws -> [Double] {
    let losses = try Self.assignments.map { try problem.objective(pseudoLabels: $0) }
    // A constant in the losses adds nothing to the gradient but rounding.
    let centered = losses.map { $0 - losses[0] }
    #expect(Set(losses).count == losses.count, "every ŷ moves the student elsewhere")
    return try differenceGradient(
      of: { zip(try probabilities(problem), centered).reduce(0) { $0 + $1.0 * $1.1 } }, by: problem.phi)
  }

  @Test func theObjectiveAveragesToo() throws {
    let problem = try problem("loss_difference", learningRate: 0.2)
    #expect(abs(try probabilities(problem).reduce(0, +) - 1) < 1e-14)
    // An objective with labels given does not depend on the teacher at all.
    let before = try problem.objective(pseudoLabels: [1, 2])
    try problem.phi.add(randomTensor(problem.phi.shape, seed: 99), scaledBy: 0.1)
    #expect(try problem.objective(pseudoLabels: [1, 2]) == before)
  }

  @Test(arguments: [0.5, 0.05, 0.005]) func lossDifferenceIsUnbiased(learningRate: Double) throws {
    for changes: JSONObject in [
      [:], ["student_optimizer.clip_norm": 0.1],
      ["student_optimizer.name": "adamw", "student_optimizer.momentum": 0.9],
    ] {
      let problem = try problem("loss_difference", learningRate: learningRate, changes)
      let estimate = try averageEstimate(problem), expected = try gradientOfAverage(problem)
      #expect(norm(expected) > 1e-8)
      #expect(relativeError(estimate, expected) < 1e-8)
    }
  }

  /// To first order in η: tenfold less error for each decade of the learning rate.
  @Test func gradientDotDeviatesInProportionToTheLearningRate() throws {
    let errors = try [3e-4, 3e-5, 3e-6].map { learningRate in
      let problem = try problem("gradient_dot", learningRate: learningRate)
      return relativeError(try averageEstimate(problem), try gradientOfAverage(problem))
    }
    #expect(errors[0] < 0.01 && errors[0] > 1e-7, "\(errors)")
    #expect((8...12).contains(errors[0] / errors[1]), "\(errors)")
    #expect((8...12).contains(errors[1] / errors[2]), "\(errors)")
  }
}
