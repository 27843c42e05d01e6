import CKernels

/// Convolution, pooling and what else knows pixels.
extension OneDNNKernels {
  // MARK: Convolution

  private func convolve(
    _ code: kernels_code, rows: Int, _ window: Window, accumulate: Bool = false, _ operands: Operands
  ) {
    call(
      code, rows: rows, columns: window.output.channels, inner: window.input.channels, option: Int32(window.groups),
      operands,
      (
        Double(window.input.height), Double(window.input.width), Double(window.output.height),
        Double(window.output.width), Double(window.height), Double(window.stride), Double(window.padding),
        accumulate ? 1 : 0
      ))
  }

  func convolution(
    _ output: Tensor, _ input: Tensor, weight: Tensor, bias: Tensor?, _ window: Window, accumulate: Bool
  ) {
    convolve(
      KERNELS_CONVOLUTION, rows: input.rows, window, accumulate: accumulate,
      (bits(output), bits(input), bits(weight), bits(bias), 0, 0, 0, 0))
  }

  func convolutionInputCotangent(_ inputCotangent: Tensor, _ outputCotangent: Tensor, weight: Tensor, _ window: Window)
  {
    convolve(
      KERNELS_CONVOLUTION_INPUT_COTANGENT, rows: outputCotangent.rows, window,
      (bits(inputCotangent), bits(outputCotangent), bits(weight), 0, 0, 0, 0, 0))
  }

  func convolutionParameterCotangents(
    _ weightCotangent: Tensor, _ biasCotangent: Tensor?, _ outputCotangent: Tensor, input: Tensor, _ window: Window
  ) {
    convolve(
      KERNELS_CONVOLUTION_PARAMETER_COTANGENTS, rows: input.rows, window,
      (bits(weightCotangent), bits(biasCotangent), bits(outputCotangent), bits(input), 0, 0, 0, 0))
  }

  // MARK: Pooling

  /// `count` times as many examples of so many times fewer channels, as which images in blocks are kept.
  private func blocks(_ image: Tensor, channels: Int) -> (count: Int, channels: Int) {
    image.form == .inBlocks ? (channels / channelsOfBlock, channelsOfBlock) : (1, channels)
  }

  private func pool(_ code: kernels_code, _ image: Tensor, _ window: Window, _ operands: Operands) {
    let blocks = blocks(image, channels: window.input.channels)
    call(
      code, rows: image.rows * blocks.count, columns: blocks.channels, inner: window.stride,
      option: Int32(window.padding), operands,
      (
        Double(window.input.height), Double(window.input.width), Double(window.output.height),
        Double(window.output.width), Double(window.height), Double(window.width), 0, 0
      ))
  }

  func averagePool(_ output: Tensor, _ input: Tensor, _ window: Window) {
    pool(KERNELS_AVERAGE_POOL, input, window, (bits(output), bits(input), 0, 0, 0, 0, 0, 0))
  }

  func averagePoolBackward(_ inputCotangent: Tensor, _ outputCotangent: Tensor, _ window: Window) {
    pool(
      KERNELS_AVERAGE_POOL_BACKWARD, inputCotangent, window,
      (bits(inputCotangent), bits(outputCotangent), 0, 0, 0, 0, 0, 0))
  }

  func maxPool(_ output: Tensor, _ input: Tensor, places: Tensor, _ window: Window) {
    pool(KERNELS_MAX_POOL, input, window, (bits(output), bits(input), bits(places), 0, 0, 0, 0, 0))
  }

  func maxPoolBackward(_ inputCotangent: Tensor, _ outputCotangent: Tensor, places: Tensor, _ window: Window) {
    pool(
      KERNELS_MAX_POOL_BACKWARD, inputCotangent, window,
      (bits(inputCotangent), bits(outputCotangent), bits(places), 0, 0, 0, 0, 0))
  }

  func maxPoolTangent(_ outputTangent: Tensor, _ inputTangent: Tensor, places: Tensor, _ window: Window) {
    pool(
      KERNELS_MAX_POOL_TANGENT, inputTangent, window,
      (bits(outputTangent), bits(inputTangent), bits(places), 0, 0, 0, 0, 0))
  }

  // MARK: Gates

  func scaleChannels(_ result: Tensor, _ x: Tensor, gate: Tensor, accumulate: Bool) {
    let blocks = blocks(x, channels: gate.columns)
    call(
      KERNELS_SCALE_CHANNELS, rows: gate.rows * blocks.count, columns: blocks.channels, inner: x.count / gate.count,
      option: accumulate ? 1 : 0, (bits(result), bits(x), bits(gate), 0, 0, 0, 0, 0))
  }

  func sumPixels(_ gate: Tensor, _ a: Tensor, _ b: Tensor) {
    let blocks = blocks(a, channels: gate.columns)
    call(
      KERNELS_SUM_PIXELS, rows: gate.rows * blocks.count, columns: blocks.channels, inner: a.count / gate.count,
      (bits(gate), bits(a), bits(b), 0, 0, 0, 0, 0))
  }

  func scaleRows(_ result: Tensor, _ x: Tensor, factors: Tensor) {
    call(
      KERNELS_SCALE_ROWS, rows: x.rows, columns: x.columns, (bits(result), bits(x), bits(factors), 0, 0, 0, 0, 0))
  }
}
