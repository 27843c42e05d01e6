/// A moving average of the share of each class among predictions or labels, from equal shares on.
struct ClassShares {
  /// [C] (float64), each an element that a resumed run needs.
  let values: Tensor
  let decay: Double
  private let objectives: Objectives

  /// - Parameter sum: of the shares that it begins with. With 1 − decay the equal ones count as one batch: what sums to less
  ///   than 1 has the same ratios.
  init(classes: Int, decay: Double, sum: Double = 1, _ objectives: Objectives) throws {
    values = try Tensor(Array(repeating: sum / Double(classes), count: classes), shape: Shape(classes))
    self.decay = decay
    self.objectives = objectives
  }

  /// - Parameter name: of the scalars, which are `name/0` and so on.
  func scalars(_ name: String) -> [(name: String, value: Tensor)] {
    (0..<values.count).map { ("\(name)/\($0)", values.view(Shape(1), at: $0)) }
  }

  /// - Parameters:
  ///   - rows: probabilities or one-hot labels [N, C].
  ///   - count: of those that are not zeros; nil for all.
  ///   - decay: of this move; nil for that of all.
  func move(toMeanOf rows: Tensor, count: Int? = nil, decay: Double? = nil) throws {
    let decay = decay ?? self.decay
    let sums = try objectives.tensor(Shape(1, values.count)), ones = try objectives.tensor(rows.shape)
    let pixels = Shape(1, rows.count), kernels = objectives.kernels
    kernels.fill(ones, 1)
    // The rows are the pixels of one image, whose channels are summed.
    kernels.sumPixels(sums, rows.view(pixels), ones.view(pixels))
    for label in 0..<values.count {
      values[label] = decay * values[label] + (1 - decay) * sums[label] / Double(max(1, count ?? rows.rows))
    }
  }

  /// Rows ∝ p_i ⊙ factors, which sum to 1 again.
  /// - Parameters:
  ///   - probabilities: p [N, C].
  ///   - factor: of a class.
  static func reweighted(_ probabilities: Tensor, _ objectives: Objectives, by factor: (Int) -> Double) throws -> Tensor
  {
    let factors = try objectives.tensor(Shape(1, probabilities.columns))
    for label in 0..<factors.count { factors[label] = factor(label) }
    let result = try objectives.tensor(probabilities.shape), pixels = Shape(1, probabilities.count)
    objectives.kernels.scaleChannels(
      result.view(pixels), probabilities.view(pixels), gate: factors, accumulate: false)
    return try objectives.sharpened(result, temperature: 1)
  }
}
