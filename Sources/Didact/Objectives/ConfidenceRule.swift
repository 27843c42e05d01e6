/// A rule says how much each row with a guessed label counts.
///
/// q_i is what a network predicts for row i, τ the configured threshold, and c_i = argmax q_i:
///
///     fixed     w_i = 1 where max q_i ≥ τ, else 0                           (FixMatch: Sohn et al., NeurIPS 2020)
///     relative  w_i = 1 where max q_i ≥ τ · mean_j max p_j, p_j the predictions on the labelled rows
///                                                                            (AdaMatch: Berthelot et al., ICLR 2022)
///     adaptive  w_i = 1 where max q_i ≥ t · s_{c_i} / max_c s_c, t the average of mean max q and s that of mean q
///                                                                            (FreeMatch: Wang et al., ICLR 2023, without
///                                                                             its fairness loss)
///     soft      w_i = exp(−½ (n · min(0, max q̃_i − μ) / σ)²), n = 2, μ and σ² the averages of mean and variance of max q̃
///                                                                            (SoftMatch: Chen et al., ICLR 2023)
///
/// with q̃ ∝ q ⊙ r / p̄, r the shares of the labels where the paper has equal ones: see `DistributionAlignment`. Averages
/// over steps begin at 1 / C, 1 / C and 1, as one step would count, and are means of all steps until `threshold_decay` has
/// seen enough of them.
final class ConfidenceRule {
  enum Kind: String, CaseIterable, Sendable { case fixed, relative, adaptive, soft }

  static let fields = [
    Field(
      "threshold_rule", .choice(Kind.allCases.map(\.rawValue)), "fixed",
      "which rows with a guessed label count: at a confidence that is fixed; relative to that on labelled rows; adaptive, by "
        + "averages of confidence and class shares, which replace the threshold; or soft, by a weight that falls below the average",
      source: "fixed: Sohn et al. 2020; relative: AdaMatch; adaptive: FreeMatch; soft: SoftMatch"),
    Field(
      "threshold_decay", .number(.halfOpen(0, 1)), 0.999, "adaptive and soft: decay of the averages over steps",
      source: "FreeMatch and SoftMatch"),
  ]

  /// The weights of rows [N], and their mean.
  typealias Weights = (rows: Tensor, rate: Double)

  /// The rule with the averages that are its own.
  private enum Rule {
    case fixed, relative
    case adaptive(ClassShares)
    case soft(DistributionAlignment)
  }

  let kind: Kind
  private let rule: Rule
  private let threshold, decay: Double
  private let objectives: Objectives
  /// Steps that the averages have seen, the average confidence, and the average of its variance (float64).
  private let count, level, variance: Tensor
  /// The mean confidence on the labelled rows of the step.
  private var labeledConfidence = 1.0

  /// - Parameter threshold: τ.
  convenience init(_ configuration: FieldValues, threshold: Double, classes: Int, _ objectives: Objectives) throws {
    try self.init(
      configuration.choice("threshold_rule"), threshold: threshold, decay: configuration.number("threshold_decay"),
      classes: classes, objectives)
  }

  init(_ kind: Kind, threshold: Double, decay: Double, classes: Int, _ objectives: Objectives) throws {
    self.kind = kind
    self.threshold = threshold
    self.decay = decay
    self.objectives = objectives
    count = try Tensor([1.0], shape: Shape(1))
    level = try Tensor([1 / Double(classes)], shape: Shape(1))
    variance = try Tensor([1.0], shape: Shape(1))
    rule =
      switch kind {
      case .fixed: .fixed
      case .relative: .relative
      case .adaptive: .adaptive(try ClassShares(classes: classes, decay: decay, objectives))
      case .soft: .soft(try DistributionAlignment(classes: classes, objectives))
      }
  }

  /// A resumed run needs these.
  var scalars: [(name: String, value: Tensor)] {
    let own: [(name: String, value: Tensor)]
    switch rule {
    case .fixed, .relative: return []
    case .adaptive(let shares): own = shares.scalars("confidence/shares")
    case .soft(let alignment): own = [("confidence/variance", variance)] + alignment.scalars
    }
    return [("confidence/count", count), ("confidence/level", level)] + own
  }

  /// Takes what a network says of the labelled rows of a step, before its `weights`.
  /// - Parameter labels: [N] (int64), −1 for none.
  func observe(_ logits: Tensor, labels: Tensor) throws {
    guard kind == .relative else { return }
    let largest = try objectives.rowMaximum(objectives.softmax(logits))
    var sum = 0.0, known = 0
    for row in 0..<labels.count where labels.integer(at: row) >= 0 {
      sum += largest[row]
      known += 1
    }
    labeledConfidence = known > 0 ? sum / Double(known) : 1
  }

  /// - Parameters:
  ///   - probabilities: q [N, C].
  ///   - labels: of the labelled batch (int64), −1 for none.
  func weights(of probabilities: Tensor, labels: Tensor) throws -> Weights {
    switch rule {
    case .fixed: return try counted(probabilities, threshold)
    case .relative: return try counted(probabilities, threshold * labeledConfidence)
    case .adaptive(let shares): return try adaptive(probabilities, shares)
    case .soft(let alignment):
      let targets = try objectives.targets(of: labels, classes: probabilities.columns)
      return try soft(alignment.aligned(probabilities, labels: targets))
    }
  }

  private func counted(_ probabilities: Tensor, _ threshold: Double) throws -> Weights {
    let mask = try objectives.confidenceMask(probabilities, threshold: threshold)
    return (mask, objectives.rate(mask))
  }

  private func adaptive(_ probabilities: Tensor, _ shares: ClassShares) throws -> Weights {
    let largest = try objectives.rowMaximum(probabilities), classes = try objectives.mostProbableClass(probabilities)
    let decay = nextDecay(), rows = largest.count
    let mean = (0..<rows).reduce(0) { $0 + largest[$1] } / Double(rows)
    level[0] = decay * level[0] + (1 - decay) * mean
    try shares.move(toMeanOf: probabilities, decay: decay)
    let most = (0..<shares.values.count).reduce(0) { max($0, shares.values[$1]) }
    return try weights(rows) { row in
      largest[row] >= level[0] * shares.values[classes.integer(at: row)] / most ? 1 : 0
    }
  }

  private func soft(_ aligned: Tensor) throws -> Weights {
    let largest = try objectives.rowMaximum(aligned), decay = nextDecay(), rows = largest.count
    let mean = (0..<rows).reduce(0) { $0 + largest[$1] } / Double(rows)
    let squares = (0..<rows).reduce(0) { $0 + (largest[$1] - mean) * (largest[$1] - mean) }
    level[0] = decay * level[0] + (1 - decay) * mean
    variance[0] = decay * variance[0] + (1 - decay) * squares / Double(max(1, rows - 1))
    return try weights(rows) { row in
      let below = min(0, largest[row] - level[0])
      // n² = 4. Where all rows are alike the variance may be 0.
      return exponential(-2 * below * below / max(variance[0], 1e-12))
    }
  }

  /// The averages decay by this at the step: they are means of all steps while these are few.
  private func nextDecay() -> Double {
    count[0] += 1
    return min(decay, 1 - 1 / count[0])
  }

  private func weights(_ rows: Int, _ weight: (Int) -> Double) throws -> Weights {
    let weights = try objectives.tensor(Shape(rows))
    var sum = 0.0
    for row in 0..<rows {
      weights[row] = weight(row)
      sum += weights[row]
    }
    return (weights, sum / Double(rows))
  }
}
