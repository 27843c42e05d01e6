import CKernels

/// Convolution, pooling and what else knows pixels.
extension FusedKernels {
  // MARK: Convolution

  private func images(_ window: Window, accumulates: Bool = false) -> kernels_images {
    kernels_images(
      height: Int64(window.input.height), width: Int64(window.input.width), output_height: Int64(window.output.height),
      output_width: Int64(window.output.width), window_height: Int64(window.height), window_width: Int64(window.width),
      stride: Int64(window.stride), padding: Int64(window.padding), groups: Int64(window.groups),
      accumulates: accumulates)
  }

  private func convolve(
    _ code: kernels_code, rows: Int, _ window: Window, accumulates: Bool = false, _ operands: Operands
  ) {
    call(code, rows: rows, columns: window.output.channels, inner: window.input.channels, operands) {
      $0.images = images(window, accumulates: accumulates)
    }
  }

  func convolution(
    _ output: Tensor, _ input: Tensor, weight: Tensor, bias: Tensor?, _ window: Window, accumulate: Bool
  ) {
    convolve(
      KERNELS_CONVOLUTION, rows: input.rows, window, accumulates: accumulate,
      operands(output, input, weight, bias))
  }

  func convolutionInputCotangent(_ inputCotangent: Tensor, _ outputCotangent: Tensor, weight: Tensor, _ window: Window)
  {
    convolve(
      KERNELS_CONVOLUTION_INPUT_COTANGENT, rows: outputCotangent.rows, window,
      operands(inputCotangent, outputCotangent, weight))
  }

  func convolutionParameterCotangents(
    _ weightCotangent: Tensor, _ biasCotangent: Tensor?, _ outputCotangent: Tensor, input: Tensor, _ window: Window
  ) {
    convolve(
      KERNELS_CONVOLUTION_PARAMETER_COTANGENTS, rows: input.rows, window,
      operands(weightCotangent, biasCotangent, outputCotangent, input))
  }

  // MARK: Pooling

  /// `count` times as many examples of so many times fewer channels, as which images in blocks are kept.
  private func blocks(_ image: Tensor, channels: Int) -> (count: Int, channels: Int) {
    image.form == .inBlocks ? (channels / channelsOfBlock, channelsOfBlock) : (1, channels)
  }

  private func pool(_ code: kernels_code, _ image: Tensor, _ window: Window, _ operands: Operands) {
    let blocks = blocks(image, channels: window.input.channels)
    call(code, rows: image.rows * blocks.count, columns: blocks.channels, operands) { $0.images = images(window) }
  }

  func averagePool(_ output: Tensor, _ input: Tensor, _ window: Window) {
    pool(KERNELS_AVERAGE_POOL, input, window, operands(output, input))
  }

  func averagePoolBackward(_ inputCotangent: Tensor, _ outputCotangent: Tensor, _ window: Window) {
    pool(
      KERNELS_AVERAGE_POOL_BACKWARD, inputCotangent, window,
      operands(inputCotangent, outputCotangent))
  }

  func maxPool(_ output: Tensor, _ input: Tensor, places: Tensor, _ window: Window) {
    pool(KERNELS_MAX_POOL, input, window, operands(output, input, places))
  }

  func maxPoolBackward(_ inputCotangent: Tensor, _ outputCotangent: Tensor, places: Tensor, _ window: Window) {
    pool(
      KERNELS_MAX_POOL_BACKWARD, inputCotangent, window,
      operands(inputCotangent, outputCotangent, places))
  }

  func maxPoolTangent(_ outputTangent: Tensor, _ inputTangent: Tensor, places: Tensor, _ window: Window) {
    pool(
      KERNELS_MAX_POOL_TANGENT, inputTangent, window,
      operands(outputTangent, inputTangent, places))
  }

  // MARK: Gates

  func scaleChannels(_ result: Tensor, _ x: Tensor, gate: Tensor, accumulate: Bool) {
    let blocks = blocks(x, channels: gate.columns)
    call(
      KERNELS_SCALE_CHANNELS, rows: gate.rows * blocks.count, columns: blocks.channels, inner: x.count / gate.count,
      option: accumulate ? 1 : 0, operands(result, x, gate))
  }

  func sumPixels(_ gate: Tensor, _ a: Tensor, _ b: Tensor) {
    let blocks = blocks(a, channels: gate.columns)
    call(
      KERNELS_SUM_PIXELS, rows: gate.rows * blocks.count, columns: blocks.channels, inner: a.count / gate.count,
      operands(gate, a, b))
  }

  func scaleRows(_ result: Tensor, _ x: Tensor, factors: Tensor) {
    call(
      KERNELS_SCALE_ROWS, rows: x.rows, columns: x.columns, operands(result, x, factors))
  }
}

extension Window {
  /// The greatest height and width of an image that a convolution takes: oneDNN generates code in proportion to the width, at
  /// 65,536 pixels 64 MiB a layer, in ten seconds.
  static let longestSide = 16_384

  /// Whether convolutions are fast with images in blocks of channels. Measured: for other channels (the images themselves
  /// have one to three), and where the window is larger than the image, oneDNN 2.6 may have nothing but its reference
  /// implementation.
  var isFastInBlocks: Bool {
    let isWhole = { $0 % channelsOfBlock == 0 }
    return groups == 1 && (isWhole(input.channels) || input.channels <= 3) && isWhole(output.channels)
      && height <= input.height && width <= input.width
  }
}
