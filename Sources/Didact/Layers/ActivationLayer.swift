/// A scalar function of every element: y = f(x).
struct ActivationLayer: Layer {
  let name: String
  let extent: Extent
  let function: ActivationFunction
  /// Of a leaky ReLU below zero.
  let slope: Double

  func savedShapes(rows: Int) -> [Shape] { [] }
  /// The derivative is a function of the output, but for swish, which is not monotone.
  var reads: PassValues { function == .swish ? [.inputs, .output] : .output }
  var isElementwise: Bool { true }
  var isRepeatable: Bool { true }

  func forward(_ pass: LayerPass) {
    pass.kernels.activation(
      function, slope: slope, extent.pixels(of: pass.output), extent.pixels(of: pass.input))
  }

  /// x̄ = f′(x) ⊙ ȳ
  func backward(
    _ pass: LayerPass, outputCotangent: Tensor, inputCotangents: [Tensor?], parameterCotangents: Tensor
  ) {
    guard let inputCotangent = inputCotangents[0] else { return }
    pass.kernels.activationDerivative(
      function, slope: slope, extent.pixels(of: inputCotangent), extent.pixels(of: outputCotangent),
      input: extent.pixels(of: pass.input), output: extent.pixels(of: pass.output))
  }

  /// ẏ = f′(x) ⊙ ẋ
  func tangent(_ pass: LayerPass, inputTangents: [Tensor?], parameterTangents: Tensor, outputTangent: Tensor) {
    guard let inputTangent = inputTangents[0] else { return pass.kernels.fill(outputTangent, 0) }
    pass.kernels.activationDerivative(
      function, slope: slope, extent.pixels(of: outputTangent), extent.pixels(of: inputTangent),
      input: extent.pixels(of: pass.input), output: extent.pixels(of: pass.output))
  }
}
