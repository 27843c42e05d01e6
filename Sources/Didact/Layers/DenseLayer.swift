/// A fully connected layer: output[N, O] = input[N, I] · weight[O, I]ᵀ + bias[O].
struct DenseLayer: Layer {
  let name: String
  let extent: Extent
  let weight: Slot
  let bias: Slot

  func savedShapes(rows: Int) -> [Shape] { [] }
  func images(in form: Tensor.Form, inputs: [Extent?]) -> ImagesInForm { .none }

  func forward(_ pass: LayerPass) {
    pass.kernels.dense(
      pass.output, pass.input, weight: weight[pass.parameters], bias: bias[pass.parameters])
  }

  /// weight̄ += ȳᵀ · x,  bias̄ += Σ_n ȳ,  x̄ = ȳ · weight
  func backward(
    _ pass: LayerPass, outputCotangent: Tensor, inputCotangents: [Tensor?], parameterCotangents: Tensor
  ) {
    pass.kernels.denseParameterCotangents(
      weight[parameterCotangents], bias[parameterCotangents], outputCotangent, input: pass.input)
    if let inputCotangent = inputCotangents[0] {
      pass.kernels.denseInputCotangent(inputCotangent, outputCotangent, weight: weight[pass.parameters])
    }
  }

  /// ẏ = ẋ · weightᵀ + x · weight˙ᵀ + bias˙
  func tangent(_ pass: LayerPass, inputTangents: [Tensor?], parameterTangents: Tensor, outputTangent: Tensor) {
    pass.kernels.denseTangent(
      outputTangent, inputTangents[0], input: pass.input, weight: weight[pass.parameters],
      weightTangent: weight[parameterTangents], biasTangent: bias[parameterTangents])
  }
}
