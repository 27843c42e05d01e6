/// A convolution of images, channels last: output[n, y, x, o] = Σ weight[o, i, ky, kx] · input[n, y·s + ky − p,
/// x·s + kx − p, i] + bias[o], with stride s and padding p. Groups of channels are not mixed; as many groups as channels
/// make it depthwise.
struct ConvolutionLayer: Layer {
  let name: String
  let window: Window
  let weight: Slot
  let bias: Slot?

  var extent: Extent { window.output }
  func savedShapes(rows: Int) -> [Shape] { [] }
  var regions: Regions { .ends }
  func images(in form: Tensor.Form, inputs: [Extent?]) -> ImagesInForm {
    guard form == .inBlocks else { return .any }
    return window.isFastInBlocks && (inputs[0] ?? window.input) == window.input ? .any : .none
  }

  func forward(_ pass: LayerPass) {
    pass.kernels.convolution(
      pass.output, pass.input, weight: weight[pass.parameters], bias: bias?[pass.parameters], window, accumulate: false)
  }

  /// weight̄ += Σ_n ȳ ⋆ x,  bias̄ += Σ ȳ,  x̄ = the transposed convolution of ȳ
  func backward(
    _ pass: LayerPass, outputCotangent: Tensor, inputCotangents: [Tensor?], parameterCotangents: Tensor
  ) {
    pass.kernels.convolutionParameterCotangents(
      weight[parameterCotangents], bias?[parameterCotangents], outputCotangent, input: pass.input, window)
    if let inputCotangent = inputCotangents[0] {
      pass.kernels.convolutionInputCotangent(
        inputCotangent, outputCotangent, weight: weight[pass.parameters], window)
    }
  }

  /// ẏ = x ⋆ weight˙ + bias˙ + ẋ ⋆ weight
  func tangent(_ pass: LayerPass, inputTangents: [Tensor?], parameterTangents: Tensor, outputTangent: Tensor) {
    pass.kernels.convolution(
      outputTangent, pass.input, weight: weight[parameterTangents], bias: bias?[parameterTangents], window,
      accumulate: false)
    if let inputTangent = inputTangents[0] {
      pass.kernels.convolution(
        outputTangent, inputTangent, weight: weight[pass.parameters], bias: nil, window, accumulate: true)
    }
  }
}
