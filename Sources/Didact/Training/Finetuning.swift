/// The stage after a method's own steps: a copy of what predicts learns from the labelled rows alone, by plain SGD with a
/// rate of its own (Pham et al., CVPR 2021, section 3). Its normalisation layers keep their running statistics.
final class Finetuning: Stage {
  static let fields: [Field] = [
    Field(
      "finetune_steps", .integer(.closed(0, 1e11)), 0,
      "fit: steps on labelled rows alone after the others, of a copy of what predicts; it predicts from then on",
      source: "Pham et al. 2021, section 3: 1,000 and 2,000"),
    Field(
      "finetune_learning_rate", .number(.atLeast(0)), 0.001, "fit: learning rate of these steps, plain SGD",
      source: "Pham et al. 2021: 1e-5 for large networks"),
    Field(
      "finetune_batch_size", .integer(.atLeast(1)), 512, "fit: labelled rows in these steps, at most all of them",
      source: "Pham et al. 2021, section 3"),
  ]
  static let metricNames = ["loss/finetune", "gradient_norm/finetune"]
  static let role = "finetuned"
  static let remedy = " yet; set \"finetune_steps\", and fit to the end"

  let network: Network
  let optimizer: Optimizer
  let steps, batchSize: Int
  /// The trainer's step that it began with; nil before.
  var start: Int?
  private let dropout: RandomStream
  private let objectives: Objectives

  /// nil where no such steps are wanted.
  init?(_ student: Network, _ configuration: FieldValues, seed: UInt64) throws {
    steps = try configuration.integer("finetune_steps")
    guard steps > 0 else { return nil }
    batchSize = try configuration.integer("finetune_batch_size")
    network = try student.copy()
    let rate = try configuration.number("finetune_learning_rate")
    let settings: JSONObject = ["momentum": 0, "nesterov": false, "learning_rate": .number(rate)]
    optimizer = try Optimizer.make(network, OptimizerSettings(settings, subject: "finetune"))
    dropout = RandomStream(seed: seed, name: "finetuned/dropout")
    objectives = Objectives(network.kernels)
  }

  var hasBegun: Bool { start != nil }

  /// Its optimiser remembers nothing from step to step.
  var state: [StateEntry] {
    network.state("\(Self.role).", parameters: .afterNotice(optimizer.willMove), statistics: .never)
  }

  func begin(with other: Network, at step: Int) {
    network.setValues(from: other)
    start = step
  }

  func step(_ labeled: LabeledBatch, draw: UInt64, into metrics: inout Metrics) throws {
    let pass = try network.record(
      labeled.inputs, mode: PassMode(normalization: .running, noise: dropout, draw: draw))
    let term = try objectives.crossEntropy(
      logits: pass.logits, labels: objectives.targets(of: labeled.labels, classes: network.classes))
    try checkFinite(term.loss, term: "finetune", draw: draw)
    try pass.backward(term.cotangent)
    metrics["loss/finetune"] = term.loss
    metrics["gradient_norm/finetune"] = network.kernels.dot(network.gradients, network.gradients).squareRoot()
    try stepOptimizer(optimizer, of: "finetuned network", draw: draw)
  }
}
