/// The mean over a window, or over the whole image. Linear: y = P x.
struct AveragePoolLayer: Layer {
  let name: String
  let window: Window

  var extent: Extent { window.output }
  func savedShapes(rows: Int) -> [Shape] { [] }
  var reads: PassValues { [] }

  func forward(_ pass: LayerPass) { pass.kernels.averagePool(pass.output, pass.input, window) }

  /// x̄ = Pᵀ ȳ
  func backward(
    _ pass: LayerPass, outputCotangent: Tensor, inputCotangents: [Tensor?], parameterCotangents: Tensor
  ) {
    if let inputCotangent = inputCotangents[0] {
      pass.kernels.averagePoolBackward(inputCotangent, outputCotangent, window)
    }
  }

  /// ẏ = P ẋ
  func tangent(_ pass: LayerPass, inputTangents: [Tensor?], parameterTangents: Tensor, outputTangent: Tensor) {
    guard let inputTangent = inputTangents[0] else { return pass.kernels.fill(outputTangent, 0) }
    pass.kernels.averagePool(outputTangent, inputTangent, window)
  }
}

/// The largest of a window, channel by channel.
struct MaxPoolLayer: Layer {
  let name: String
  let window: Window

  var extent: Extent { window.output }
  /// where in its window each output came from [N, outputs]
  func savedShapes(rows: Int) -> [Shape] { [Shape(rows, outputs)] }
  var reads: PassValues { [] }

  func forward(_ pass: LayerPass) { pass.kernels.maxPool(pass.output, pass.input, places: pass.saved[0], window) }

  /// x̄ is ȳ at the places that y came from, 0 elsewhere.
  func backward(
    _ pass: LayerPass, outputCotangent: Tensor, inputCotangents: [Tensor?], parameterCotangents: Tensor
  ) {
    if let inputCotangent = inputCotangents[0] {
      pass.kernels.maxPoolBackward(inputCotangent, outputCotangent, places: pass.saved[0], window)
    }
  }

  /// ẏ is ẋ at these places.
  func tangent(_ pass: LayerPass, inputTangents: [Tensor?], parameterTangents: Tensor, outputTangent: Tensor) {
    guard let inputTangent = inputTangents[0] else { return pass.kernels.fill(outputTangent, 0) }
    pass.kernels.maxPoolTangent(outputTangent, inputTangent, places: pass.saved[0], window)
  }
}
