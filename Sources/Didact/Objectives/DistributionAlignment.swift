/// Distribution alignment (Berthelot et al., ICLR 2020: ReMixMatch, section 3.1): guessed labels that name each class as
/// often as the labels do.
///
///     q̃ ∝ q ⊙ p / p̄
///
/// p is the share of each class among the labels and p̄ the mean prediction on unlabelled rows, both moving averages over
/// about 128 batches, as in the paper; before there are so many, over those there are, and one of equal shares. A class that
/// is hardly predicted any more is so brought back.
final class DistributionAlignment {
  /// p and p̄.
  private let labeled, predicted: ClassShares
  private let objectives: Objectives

  init(classes: Int, _ objectives: Objectives) throws {
    labeled = try ClassShares(classes: classes, decay: 1 - 1 / 128.0, sum: 1 / 128.0, objectives)
    predicted = try ClassShares(classes: classes, decay: 1 - 1 / 128.0, sum: 1 / 128.0, objectives)
    self.objectives = objectives
  }

  /// What a resumed run needs.
  var scalars: [(name: String, value: Tensor)] {
    labeled.scalars("alignment/labeled") + predicted.scalars("alignment/predicted")
  }

  /// - Parameters:
  ///   - probabilities: q [M, C].
  ///   - labels: of the labelled batch.
  /// - Returns: q̃ [M, C].
  func aligned(_ probabilities: Tensor, labels: LabelTargets) throws -> Tensor {
    try labeled.move(toMeanOf: labels.rows, count: labels.count)
    try predicted.move(toMeanOf: probabilities)
    return try ClassShares.reweighted(probabilities, objectives) { label in
      labeled.values[label] / max(predicted.values[label], 1e-6)
    }
  }
}
