/// Supervised learning on the labelled rows alone: the baseline of every other method.
///
/// θ ← θ − update(∇ mean CE(smooth(y), S(x; θ)))
final class Supervised: Method {
  static let fields: [Field] =
    [labelSmoothingField] + optimizerFields("student")

  let learners: [Learner]
  let metricNames = ["loss/supervised", "gradient_norm/supervised", "learning_rate/student"]
  let needsUnlabeled = false
  let scalars: [(name: String, value: Tensor)] = []

  private let student: Network
  private let optimizer: Optimizer
  private let labelSmoothing: Double
  private let dropout: RandomStream
  private let objectives: Objectives

  init(student: Network, configuration: FieldValues, seed: UInt64) throws {
    self.student = student
    learners = [try Learner("student", student, configuration)]
    optimizer = learners[0].optimizer
    labelSmoothing = try configuration.number("label_smoothing")
    objectives = Objectives(student.kernels)
    dropout = RandomStream(seed: seed, name: "student/dropout/labeled")
  }

  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    let kernels = student.kernels
    let pass = try student.record(
      batch.labeled.inputs, mode: PassMode(normalization: .batchUpdatingRunning, noise: dropout, draw: draw))
    let labels = try objectives.oneHot(batch.labeled.labels, classes: student.classes)
    let targets = try objectives.smoothed(labels, labelSmoothing)
    let term = try objectives.crossEntropy(logits: pass.logits, targets: targets)
    try checkFinite(term.loss, term: "supervised", draw: draw)
    try pass.backward(term.cotangent)
    metrics["loss/supervised"] = term.loss
    metrics["gradient_norm/supervised"] = kernels.dot(student.gradients, student.gradients).squareRoot()
    metrics["learning_rate/student"] = optimizer.scheduledRate
    try stepOptimizer(optimizer, of: "student", draw: draw)
  }
}
