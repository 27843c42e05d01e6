/// Batch normalisation (Ioffe and Szegedy, ICML 2015): y = weight ⊙ (x − mean) / √(variance + ε) + bias, by channel, over the
/// examples and their pixels.
///
/// Conventions are PyTorch's: the biased variance normalises, the unbiased one enters the running variance, and
/// running ← (1 − momentum) · running + momentum · batch.
struct BatchNormLayer: Layer {
  let name: String
  let extent: Extent
  let epsilon, momentum: Double
  /// Parts of a batch, of as many examples each, that are normalised each by itself where batch statistics are used; they
  /// move the running ones in turn.
  let groups: Int
  let weight: Slot
  let bias: Slot
  let runningMean: Slot
  let runningVariance: Slot

  /// of each group the moments, and room for the kernels' sums
  func savedShapes(rows: Int) -> [Shape] { Array(repeating: Shape(4, extent.channels), count: 2 * groups) }
  var batchGroups: Int? { groups }
  var regions: Regions { .begins }
  var isRepeatable: Bool { true }
  /// Once the sums are known.
  var derivativesAreElementwise: Bool { true }

  /// What the kernels see of one group.
  private struct Group {
    let index: Int
    let moments, sums: Tensor
    /// Of examples [N, outputs], those of the group as pixels [N / groups · pixels, channels].
    let pixels: (Tensor) -> Tensor
  }

  private func eachGroup(_ pass: LayerPass, _ body: (Group) -> Void) {
    let count = pass.mode.normalization == .running ? 1 : groups, rows = pass.input.rows / count
    for index in 0..<count {
      if count > 1 { pass.kernels.beginRegion() }
      body(
        Group(index: index, moments: pass.saved[2 * index], sums: pass.saved[2 * index + 1]) {
          extent.pixels(of: $0.rows(index * rows..<(index + 1) * rows))
        })
    }
    if count > 1 { pass.kernels.beginRegion() }
  }

  func forward(_ pass: LayerPass) {
    eachGroup(pass) { group in
      pass.kernels.batchNormalization(
        group.pixels(pass.output), group.pixels(pass.input), weight: weight[pass.parameters],
        bias: bias[pass.parameters], runningMean: runningMean[pass.statistics],
        runningVariance: runningVariance[pass.statistics], moments: group.moments, epsilon: epsilon,
        usesBatch: pass.mode.normalization != .running,
        momentum: pass.mode.normalization == .batchUpdatingRunning ? momentum : nil)
    }
  }

  func repeatForward(_ pass: LayerPass) {
    eachGroup(pass) { group in
      pass.kernels.normalize(
        group.pixels(pass.output), group.pixels(pass.input), weight: weight[pass.parameters],
        bias: bias[pass.parameters], moments: group.moments)
    }
  }

  /// weight̄ += Σ_n ȳ ⊙ x̂,  bias̄ += Σ_n ȳ,  x̄ = J (weight ⊙ ȳ), with J the symmetric Jacobian of x ↦ x̂
  func backward(
    _ pass: LayerPass, outputCotangent: Tensor, inputCotangents: [Tensor?], parameterCotangents: Tensor
  ) {
    eachGroup(pass) { group in
      pass.kernels.batchNormalizationBackward(
        inputCotangents[0].map(group.pixels), weightCotangent: weight[parameterCotangents],
        biasCotangent: bias[parameterCotangents], group.pixels(outputCotangent), input: group.pixels(pass.input),
        weight: weight[pass.parameters], bias: bias[pass.parameters], moments: group.moments, sums: group.sums,
        usesBatch: pass.mode.normalization != .running, adds: group.index > 0)
    }
  }

  /// ẏ = weight ⊙ J ẋ + weight˙ ⊙ x̂ + bias˙: the tangent runs through the batch statistics.
  func tangent(_ pass: LayerPass, inputTangents: [Tensor?], parameterTangents: Tensor, outputTangent: Tensor) {
    eachGroup(pass) { group in
      pass.kernels.batchNormalizationTangent(
        group.pixels(outputTangent), inputTangents[0].map(group.pixels), input: group.pixels(pass.input),
        weight: weight[pass.parameters], weightTangent: weight[parameterTangents],
        biasTangent: bias[parameterTangents], moments: group.moments, sums: group.sums,
        usesBatch: pass.mode.normalization != .running)
    }
  }
}
