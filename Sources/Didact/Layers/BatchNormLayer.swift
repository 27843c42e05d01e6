/// Batch normalisation (Ioffe and Szegedy, ICML 2015): y = weight ⊙ (x − mean) / √(variance + ε) + bias, by channel, over the
/// examples and their pixels.
///
/// Conventions are PyTorch's: the biased variance normalises, the unbiased one enters the running variance, and
/// running ← (1 − momentum) · running + momentum · batch.
struct BatchNormLayer: Layer {
  let name: String
  let extent: Extent
  let epsilon, momentum: Double
  let weight: Slot
  let bias: Slot
  let runningMean: Slot
  let runningVariance: Slot

  /// moments, and room for the kernels' sums
  func savedShapes(rows: Int) -> [Shape] { [Shape(4, extent.channels), Shape(4, extent.channels)] }
  var regions: Regions { .begins }

  func forward(_ pass: LayerPass) {
    pass.kernels.batchNormalization(
      extent.pixels(of: pass.output), extent.pixels(of: pass.input), weight: weight[pass.parameters],
      bias: bias[pass.parameters],
      runningMean: runningMean[pass.statistics], runningVariance: runningVariance[pass.statistics],
      moments: pass.saved[0], epsilon: epsilon, usesBatch: pass.mode.normalization != .running,
      momentum: pass.mode.normalization == .batchUpdatingRunning ? momentum : nil)
  }

  /// weight̄ += Σ_n ȳ ⊙ x̂,  bias̄ += Σ_n ȳ,  x̄ = J (weight ⊙ ȳ), with J the symmetric Jacobian of x ↦ x̂
  func backward(
    _ pass: LayerPass, outputCotangent: Tensor, inputCotangents: [Tensor?], parameterCotangents: Tensor
  ) {
    pass.kernels.batchNormalizationBackward(
      inputCotangents[0].map(extent.pixels), weightCotangent: weight[parameterCotangents],
      biasCotangent: bias[parameterCotangents],
      extent.pixels(of: outputCotangent), input: extent.pixels(of: pass.input), weight: weight[pass.parameters],
      moments: pass.saved[0], sums: pass.saved[1], usesBatch: pass.mode.normalization != .running)
  }

  /// ẏ = weight ⊙ J ẋ + weight˙ ⊙ x̂ + bias˙: the tangent runs through the batch statistics.
  func tangent(_ pass: LayerPass, inputTangents: [Tensor?], parameterTangents: Tensor, outputTangent: Tensor) {
    pass.kernels.batchNormalizationTangent(
      extent.pixels(of: outputTangent), inputTangents[0].map(extent.pixels), input: extent.pixels(of: pass.input),
      weight: weight[pass.parameters], weightTangent: weight[parameterTangents],
      biasTangent: bias[parameterTangents], moments: pass.saved[0], sums: pass.saved[1],
      usesBatch: pass.mode.normalization != .running)
  }
}
