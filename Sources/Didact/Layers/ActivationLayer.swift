/// A scalar function of every element: y = f(x).
struct ActivationLayer: Layer {
  let name: String
  let outputs: Int
  let function: ActivationFunction

  func savedShapes(rows: Int) -> [Shape] { [] }

  func forward(_ pass: LayerPass) {
    pass.kernels.activation(function, pass.output, pass.input)
  }

  /// x̄ = f′(x) ⊙ ȳ
  func backward(
    _ pass: LayerPass, outputCotangent: Tensor, inputCotangent: Tensor?, parameterCotangents: Tensor
  ) {
    guard let inputCotangent else { return }
    pass.kernels.activationDerivative(
      function, inputCotangent, outputCotangent, input: pass.input, output: pass.output)
  }

  /// ẏ = f′(x) ⊙ ẋ
  func tangent(_ pass: LayerPass, inputTangent: Tensor?, parameterTangents: Tensor, outputTangent: Tensor) {
    guard let inputTangent else { return pass.kernels.fill(outputTangent, 0) }
    pass.kernels.activationDerivative(
      function, outputTangent, inputTangent, input: pass.input, output: pass.output)
  }
}
