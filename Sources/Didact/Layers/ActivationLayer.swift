/// A scalar function of every element: y = f(x).
struct ActivationLayer: Layer {
  let name: String
  let extent: Extent
  let function: ActivationFunction
  /// Of a leaky ReLU below zero.
  let slope: Double

  func savedShapes(rows: Int) -> [Shape] { [] }

  func forward(_ pass: LayerPass) {
    pass.kernels.activation(function, slope: slope, pass.output, pass.input)
  }

  /// x̄ = f′(x) ⊙ ȳ
  func backward(
    _ pass: LayerPass, outputCotangent: Tensor, inputCotangents: [Tensor?], parameterCotangents: Tensor
  ) {
    guard let inputCotangent = inputCotangents[0] else { return }
    pass.kernels.activationDerivative(
      function, slope: slope, inputCotangent, outputCotangent, input: pass.input, output: pass.output)
  }

  /// ẏ = f′(x) ⊙ ẋ
  func tangent(_ pass: LayerPass, inputTangents: [Tensor?], parameterTangents: Tensor, outputTangent: Tensor) {
    guard let inputTangent = inputTangents[0] else { return pass.kernels.fill(outputTangent, 0) }
    pass.kernels.activationDerivative(
      function, slope: slope, outputTangent, inputTangent, input: pass.input, output: pass.output)
  }
}
