/// The sum of two branches: y = a + b.
struct AdditionLayer: Layer {
  let name: String
  let extent: Extent

  func savedShapes(rows: Int) -> [Shape] { [] }
  var reads: PassValues { [] }
  var isElementwise: Bool { true }

  func forward(_ pass: LayerPass) {
    pass.kernels.add(
      extent.pixels(of: pass.output), extent.pixels(of: pass.inputs[0]), extent.pixels(of: pass.inputs[1]))
  }

  /// ā = b̄ = ȳ
  var passesCotangentOn: Bool { true }

  func backward(
    _ pass: LayerPass, outputCotangent: Tensor, inputCotangents: [Tensor?], parameterCotangents: Tensor
  ) {}

  /// ẏ = ȧ + ḃ
  func tangent(_ pass: LayerPass, inputTangents: [Tensor?], parameterTangents: Tensor, outputTangent: Tensor) {
    switch (inputTangents[0], inputTangents[1]) {
    case (nil, nil): pass.kernels.fill(outputTangent, 0)
    case (let one?, nil), (nil, let one?): pass.kernels.copy(one, to: outputTangent)
    case (let a?, let b?):
      pass.kernels.add(extent.pixels(of: outputTangent), extent.pixels(of: a), extent.pixels(of: b))
    }
  }
}

/// Channels times a gate of their own in each example: y = x ⊙ g, the same at every pixel (squeeze-and-excitation: Hu,
/// Shen and Sun, CVPR 2018).
struct ChannelGateLayer: Layer {
  let name: String
  let extent: Extent

  func savedShapes(rows: Int) -> [Shape] { [] }

  func forward(_ pass: LayerPass) {
    pass.kernels.scaleChannels(pass.output, pass.inputs[0], gate: pass.inputs[1], accumulate: false)
  }

  /// x̄ = ȳ ⊙ g,  ḡ = Σ_pixels ȳ ⊙ x
  func backward(
    _ pass: LayerPass, outputCotangent: Tensor, inputCotangents: [Tensor?], parameterCotangents: Tensor
  ) {
    if let ofImage = inputCotangents[0] {
      pass.kernels.scaleChannels(ofImage, outputCotangent, gate: pass.inputs[1], accumulate: false)
    }
    if let ofGate = inputCotangents[1] { pass.kernels.sumPixels(ofGate, outputCotangent, pass.inputs[0]) }
  }

  /// ẏ = ẋ ⊙ g + x ⊙ ġ
  func tangent(_ pass: LayerPass, inputTangents: [Tensor?], parameterTangents: Tensor, outputTangent: Tensor) {
    if let image = inputTangents[0] {
      pass.kernels.scaleChannels(outputTangent, image, gate: pass.inputs[1], accumulate: false)
    } else {
      pass.kernels.fill(outputTangent, 0)
    }
    if let gate = inputTangents[1] {
      pass.kernels.scaleChannels(outputTangent, pass.inputs[0], gate: gate, accumulate: true)
    }
  }
}

/// Stochastic depth (Huang et al., ECCV 2016): whole examples are left out of a branch with probability `rate`, the others
/// divided by 1 − rate: y_n = m_n x_n. The identity where the pass has no noise.
struct StochasticDepthLayer: Layer {
  let name: String
  let extent: Extent
  /// In [0, 1).
  let rate: Double
  let lane: UInt32

  /// m [N, 1]
  func savedShapes(rows: Int) -> [Shape] { [Shape(rows, 1)] }
  var reads: PassValues { [] }
  var isElementwise: Bool { true }

  func forward(_ pass: LayerPass) {
    if let noise = pass.mode.noise {
      pass.kernels.dropoutMask(pass.saved[0], rate: rate, noise.draw(pass.mode.draw, lane: lane))
    } else {
      pass.kernels.fill(pass.saved[0], 1)
    }
    pass.kernels.scaleRows(pass.output, pass.input, factors: pass.saved[0])
  }

  /// x̄_n = m_n ȳ_n
  func backward(
    _ pass: LayerPass, outputCotangent: Tensor, inputCotangents: [Tensor?], parameterCotangents: Tensor
  ) {
    guard let inputCotangent = inputCotangents[0] else { return }
    pass.kernels.scaleRows(inputCotangent, outputCotangent, factors: pass.saved[0])
  }

  /// ẏ_n = m_n ẋ_n
  func tangent(_ pass: LayerPass, inputTangents: [Tensor?], parameterTangents: Tensor, outputTangent: Tensor) {
    guard let inputTangent = inputTangents[0] else { return pass.kernels.fill(outputTangent, 0) }
    pass.kernels.scaleRows(outputTangent, inputTangent, factors: pass.saved[0])
  }
}
