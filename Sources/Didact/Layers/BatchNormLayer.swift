/// Batch normalisation (Ioffe and Szegedy, ICML 2015): y = weight ⊙ (x − mean) / √(variance + ε) + bias, by column.
///
/// Conventions are PyTorch's: ε 1e-5, the biased variance normalises, the unbiased one enters the running variance, and
/// running ← 0.9 · running + 0.1 · batch.
struct BatchNormLayer: Layer {
  static let epsilon = 1e-5
  static let momentum = 0.1

  let name: String
  let outputs: Int
  let weight: Slot
  let bias: Slot
  let runningMean: Slot
  let runningVariance: Slot

  /// normalized x̂ [N, outputs], inverse deviation [outputs], room for the kernels' sums
  func savedShapes(rows: Int) -> [Shape] { [Shape(rows, outputs), Shape(outputs), Shape(4, outputs)] }

  func forward(_ pass: LayerPass) {
    pass.kernels.batchNormalization(
      pass.output, pass.input, weight: weight[pass.parameters], bias: bias[pass.parameters],
      runningMean: runningMean[pass.statistics], runningVariance: runningVariance[pass.statistics],
      normalized: pass.saved[0], inverseDeviation: pass.saved[1], sums: pass.saved[2],
      epsilon: BatchNormLayer.epsilon, usesBatch: pass.mode.normalization != .running,
      momentum: pass.mode.normalization == .batchUpdatingRunning ? BatchNormLayer.momentum : nil)
  }

  /// weight̄ += Σ_n ȳ ⊙ x̂,  bias̄ += Σ_n ȳ,  x̄ = J (weight ⊙ ȳ), with J the symmetric Jacobian of x ↦ x̂
  func backward(
    _ pass: LayerPass, outputCotangent: Tensor, inputCotangent: Tensor?, parameterCotangents: Tensor
  ) {
    pass.kernels.batchNormalizationBackward(
      inputCotangent, weightCotangent: weight[parameterCotangents], biasCotangent: bias[parameterCotangents],
      outputCotangent, weight: weight[pass.parameters], normalized: pass.saved[0], inverseDeviation: pass.saved[1],
      sums: pass.saved[2], usesBatch: pass.mode.normalization != .running)
  }

  /// ẏ = weight ⊙ J ẋ + weight˙ ⊙ x̂ + bias˙: the tangent runs through the batch statistics.
  func tangent(_ pass: LayerPass, inputTangent: Tensor?, parameterTangents: Tensor, outputTangent: Tensor) {
    pass.kernels.batchNormalizationTangent(
      outputTangent, inputTangent, weight: weight[pass.parameters], weightTangent: weight[parameterTangents],
      biasTangent: bias[parameterTangents], normalized: pass.saved[0], inverseDeviation: pass.saved[1],
      sums: pass.saved[2], usesBatch: pass.mode.normalization != .running)
  }
}
