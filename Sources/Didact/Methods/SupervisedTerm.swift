/// The mean cross-entropy of labels, which most methods begin with.
struct SupervisedTerm {
  static let field = Field(
    "label_smoothing", .number(.halfOpen(0, 1)), 0, "ε of the labels' targets (1 − ε) y + ε / C",
    source: "Szegedy et al. 2016")
  static let metricNames = ["loss/supervised", "gradient_norm/supervised"]

  private let network: Network
  private let objectives: Objectives
  private let labelSmoothing: Double
  private let dropout: RandomStream
  private let name, lossName, normName: String

  /// - Parameter name: what metrics call it.
  init(
    _ network: Network, _ objectives: Objectives, _ configuration: FieldValues, seed: UInt64,
    name: String = "supervised"
  ) throws {
    self.name = name
    (lossName, normName) = ("loss/\(name)", "gradient_norm/\(name)")
    self.network = network
    self.objectives = objectives
    labelSmoothing = try configuration.number("label_smoothing")
    dropout = RandomStream(seed: seed, name: "\(name == "teacher" ? "teacher" : "student")/dropout/labeled")
  }

  /// Adds it, and reports it.
  /// - Parameters:
  ///   - rows: the labelled rows of a pass that others are in too; nil where they pass alone.
  ///   - annealing: leaves out labels that are learned already.
  ///   - confidence: is shown what the network says of the labelled rows.
  func add(
    _ labeled: LabeledBatch, to terms: WeightedTerms, weight: Double = 1, through rows: RowsOfPass? = nil,
    annealing: SignalAnnealing? = nil, confidence: ConfidenceRule? = nil, draw: UInt64, into metrics: inout Metrics
  ) throws {
    let pass =
      try rows
      ?? RowsOfPass(
        network.record(
          labeled.inputs, mode: PassMode(normalization: .batchUpdatingRunning, noise: dropout, draw: draw)))
    try confidence?.observe(pass.logits, labels: labeled.labels)
    let labels = try objectives.targets(of: labeled.labels, classes: network.classes, smoothing: labelSmoothing)
    let kept = try annealing?.weights(
      pass.logits, objectives.oneHot(labeled.labels, classes: network.classes), objectives, step: Int(draw))
    let term = try objectives.crossEntropy(
      logits: pass.logits, targets: labels.rows, weights: kept?.mask, factor: kept?.factor ?? labels.factor)
    metrics[lossName] = term.loss
    metrics[normName] = try terms.add(term, name, weight: weight, through: pass, draw: draw)
  }
}

/// Training-signal annealing (UDA: Xie et al., NeurIPS 2020): a label counts as long as its probability is at
/// most a threshold that rises from 1 / C to 1.
struct SignalAnnealing {
  enum Rise: String, Sendable { case none, linear, exponential, logarithmic }

  static let fields: [Field] = [
    Field(
      "signal_annealing", .choice(["none", "linear", "exponential", "logarithmic"]), "none",
      "leave out labels whose probability is above a threshold, which rises over the `steps` from 1 / C to 1",
      source: "Xie et al. 2020"),
    Field(
      "signal_annealing_divisor", .choice(["kept", "all"]), "kept",
      "what the labelled loss is divided by under annealing: the labels that count, or all",
      source: "kept: UDA's code"),
  ]

  let rise: Rise
  let dividesByKept: Bool
  let steps: Int

  /// nil for none.
  init?(_ configuration: FieldValues) throws {
    rise = try configuration.choice("signal_annealing")
    dividesByKept = try configuration.text("signal_annealing_divisor") == "kept"
    steps = try configuration.integer("steps")
    if rise == .none { return nil }
  }

  /// - Parameter t: the share of all steps that are made, in [0, 1].
  func threshold(_ t: Double, classes: Int) -> Double {
    let ratio =
      switch rise {
      case .none: 1.0
      case .linear: t
      case .exponential: exponential(5 * (t - 1))
      case .logarithmic: 1 - exponential(-5 * t)
      }
    return ratio * (1 - 1 / Double(classes)) + 1 / Double(classes)
  }

  /// A mask [N] of the labels that count, and the factor of their sum.
  func weights(_ logits: Tensor, _ labels: Tensor, _ objectives: Objectives, step: Int) throws -> (
    mask: Tensor, factor: Double
  ) {
    let threshold = threshold(min(1, Double(step) / Double(max(1, steps))), classes: logits.columns)
    let losses = try objectives.crossEntropies(logits: logits, targets: labels)
    let mask = try objectives.tensor(Shape(logits.rows))
    var kept = 0.0
    for row in 0..<mask.count {
      let counts = exponential(-losses[row]) <= threshold
      mask[row] = counts ? 1 : 0
      kept += counts ? 1 : 0
    }
    return (mask, 1 / (dividesByKept ? max(1, kept) : Double(mask.count)))
  }
}
