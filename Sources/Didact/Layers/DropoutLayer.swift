/// Inverted dropout (Srivastava et al., JMLR 2014): y = mask ⊙ x, mask 0 with probability `rate`, else 1 / (1 − rate).
/// The identity where the pass has no noise.
struct DropoutLayer: Layer {
  let name: String
  let extent: Extent
  /// In [0, 1).
  let rate: Double
  /// Keeps this layer's mask apart from those of other dropout layers in the same draw.
  let lane: UInt32

  /// mask [N, outputs]
  func savedShapes(rows: Int) -> [Shape] { [Shape(rows, outputs)] }
  var reads: PassValues { [] }
  var isElementwise: Bool { true }
  /// Which elements are left out depends on their order.
  func images(in form: Tensor.Form, inputs: [Extent?]) -> ImagesInForm { form == .inBlocks ? .none : .allOrNone }

  func forward(_ pass: LayerPass) {
    if let noise = pass.mode.noise {
      pass.kernels.dropoutMask(pass.saved[0], rate: rate, noise.draw(pass.mode.draw, lane: lane))
    } else {
      pass.kernels.fill(pass.saved[0], 1)
    }
    pass.kernels.multiply(pass.output, pass.input, pass.saved[0])
  }

  /// x̄ = mask ⊙ ȳ
  func backward(
    _ pass: LayerPass, outputCotangent: Tensor, inputCotangents: [Tensor?], parameterCotangents: Tensor
  ) {
    guard let inputCotangent = inputCotangents[0] else { return }
    pass.kernels.multiply(inputCotangent, outputCotangent, pass.saved[0])
  }

  /// ẏ = mask ⊙ ẋ
  func tangent(_ pass: LayerPass, inputTangents: [Tensor?], parameterTangents: Tensor, outputTangent: Tensor) {
    guard let inputTangent = inputTangents[0] else { return pass.kernels.fill(outputTangent, 0) }
    pass.kernels.multiply(outputTangent, inputTangent, pass.saved[0])
  }
}
