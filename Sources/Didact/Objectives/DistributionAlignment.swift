/// Distribution alignment (Berthelot et al., ICLR 2020: ReMixMatch, section 3.1): guessed labels that name each class as
/// often as the labels do.
///
///     q̃ ∝ q ⊙ p / p̄
///
/// p is the share of each class among the labels and p̄ the mean prediction on unlabelled rows, both moving averages over
/// about 128 batches, as in the paper, from equal shares on. A class that is hardly predicted any more is so brought back.
final class DistributionAlignment {
  private static let decay = 1 - 1 / 128.0
  /// p and p̄ [C] (float64).
  private let labeled, predicted: Tensor
  private let objectives: Objectives

  init(classes: Int, _ objectives: Objectives) throws {
    labeled = try Tensor(Array(repeating: 1 / Double(classes), count: classes), shape: Shape(classes))
    predicted = try Tensor(labeled.values, shape: Shape(classes))
    self.objectives = objectives
  }

  /// What a resumed run needs.
  var scalars: [(name: String, value: Tensor)] {
    [("labeled", labeled), ("predicted", predicted)].flatMap { name, shares in
      (0..<shares.count).map { ("alignment/\(name)/\($0)", shares.view(Shape(1), at: $0)) }
    }
  }

  /// - Parameters:
  ///   - probabilities: q [M, C].
  ///   - targets: of the labelled batch [N, C].
  /// - Returns: q̃ [M, C].
  func aligned(_ probabilities: Tensor, targets: Tensor) throws -> Tensor {
    try move(labeled, toMeanOf: targets)
    try move(predicted, toMeanOf: probabilities)
    let ratios = try objectives.tensor(Shape(1, labeled.count))
    for label in 0..<labeled.count { ratios[label] = labeled[label] / max(predicted[label], 1e-6) }
    let result = try objectives.tensor(probabilities.shape), kernels = objectives.kernels
    // The rows are the pixels of one image, whose channels are scaled.
    let pixels = Shape(1, probabilities.count)
    kernels.scaleChannels(result.view(pixels), probabilities.view(pixels), gate: ratios, accumulate: false)
    return try objectives.sharpened(result, temperature: 1)
  }

  private func move(_ average: Tensor, toMeanOf rows: Tensor) throws {
    let sums = try objectives.tensor(Shape(1, average.count)), ones = try objectives.tensor(rows.shape)
    let pixels = Shape(1, rows.count)
    objectives.kernels.fill(ones, 1)
    objectives.kernels.sumPixels(sums, rows.view(pixels), ones.view(pixels))
    for label in 0..<average.count {
      let mean = sums[label] / Double(rows.rows), decay = DistributionAlignment.decay
      average[label] = decay * average[label] + (1 - decay) * mean
    }
  }
}
