/// Keeps the shares of the classes among guessed labels near those that the true labels support.
///
///     r   the mean prediction on unlabelled rows while the network learns from labels alone
///     p̄   the mean prediction since then
///     q̃ ∝ q ⊙ clip(p̄, r / limit, r · limit) / p̄
///
/// both moving averages over about 20 batches. A network that learns from its own predictions names a class the more often
/// the more often it has named it, until one class has all rows. Within the limit shares are free to move: labels may
/// have been drawn evenly from rows that are not even. Unlike distribution alignment this asks for no shares of its own.
final class ShareGuard {
  static let field = Field(
    "share_limit", .number(.atLeast(1)), .null,
    "by which factor the share of a class among the consistency targets may differ from its share at the end of "
      + "uda_wait_steps, when the teacher has learned from labels alone; null for any")

  private let limit: Double
  private let supported, recent: ClassShares
  private let objectives: Objectives

  init(classes: Int, limit: Double, _ objectives: Objectives) throws {
    self.limit = limit
    supported = try ClassShares(classes: classes, decay: 0.95, objectives)
    recent = try ClassShares(classes: classes, decay: 0.95, objectives)
    self.objectives = objectives
  }

  /// What a resumed run needs.
  var scalars: [(name: String, value: Tensor)] {
    supported.scalars("share_guard/supported") + recent.scalars("share_guard/recent")
  }

  /// Takes predictions [M, C] of a network that learns from labels alone.
  func support(_ probabilities: Tensor) throws {
    try supported.move(toMeanOf: probabilities)
    try recent.move(toMeanOf: probabilities)
  }

  /// - Parameter probabilities: q [M, C].
  /// - Returns: q̃ [M, C].
  func held(_ probabilities: Tensor) throws -> Tensor {
    try recent.move(toMeanOf: probabilities)
    return try ClassShares.reweighted(probabilities, objectives) { label in
      let share = max(recent.values[label], 1e-6), supported = supported.values[label]
      return min(max(share, supported / limit), supported * limit) / share
    }
  }
}
