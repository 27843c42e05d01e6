/// One change of an image, with all its numbers. Factors move away from, amounts move to: a factor of 1 and an amount of
/// 0 change nothing.
enum ImageOperation: Equatable, Sendable {
  case identity, flip, grayscale
  case autoContrast(amount: Double), equalize(amount: Double), invert(amount: Double)
  case posterize(bits: Int), solarize(threshold: Int), solarizeAdd(Int, threshold: Int)
  case brightness(Double), color(Double), contrast(Double), sharpness(Double)
  /// By parts of the colour wheel.
  case hue(Double)
  case blur(amount: Double), smooth(amount: Double)
  case gaussianBlur(deviation: Double)
  case transform(AffineMap, Interpolation)
  /// The image that begins so many pixels further on; without a mirror, what is outside is filled.
  case crop(down: Int, right: Int, mirrors: Bool)
  case resample(ImageCanvas.Box, to: ImageCanvas.Box, ResamplingFilter)
  case cutout(row: Int, column: Int, size: Int)

  /// - Parameter fill: of pixels from outside the image.
  func apply(to canvas: inout ImageCanvas, fill: UInt8) {
    switch self {
    case .identity: break
    case .flip: canvas.flip()
    case .grayscale: canvas.grayscale()
    case .autoContrast(let amount): canvas.autoContrast(amount: Float(amount))
    case .equalize(let amount): canvas.equalize(amount: Float(amount))
    case .invert(let amount): canvas.invert(amount: Float(amount))
    case .posterize(let bits): canvas.posterize(bits: bits)
    case .solarize(let threshold): canvas.solarize(threshold: threshold)
    case .solarizeAdd(let addition, let threshold): canvas.solarizeAdd(addition, threshold: threshold)
    case .brightness(let factor): canvas.brightness(Float(factor))
    case .color(let factor): canvas.color(Float(factor))
    case .contrast(let factor): canvas.contrast(Float(factor))
    case .sharpness(let factor): canvas.sharpness(Float(factor))
    case .hue(let turn): canvas.hue(Float(turn))
    case .blur(let amount): canvas.blur(amount: Float(amount))
    case .smooth(let amount): canvas.smooth(amount: Float(amount))
    case .gaussianBlur(let deviation): canvas.gaussianBlur(deviation: deviation)
    case .transform(let map, let interpolation): canvas.transform(map, interpolation, fill: fill)
    case .crop(let down, let right, let mirrors): canvas.crop(down: down, right: right, fill: mirrors ? nil : fill)
    case .resample(let source, let target, let filter): canvas.resample(source, to: target, filter, fill: fill)
    case .cutout(let row, let column, let size): canvas.cutout(row: row, column: column, size: size, fill: fill)
    }
  }

  // MARK: Affine transformations, as Pillow has them

  /// Counter-clockwise around the middle.
  static func rotate(degrees: Double, _ extent: Extent, _ interpolation: Interpolation = .nearest) -> ImageOperation {
    // Rounded as Pillow does, so that quarters of a turn are exact.
    func rounded(_ value: Double) -> Double { (value * 1e15).rounded(.toNearestOrEven) / 1e15 }
    let turns = degrees / 360, angle = -(turns - turns.rounded(.down)) * 2 * .pi
    let (cosine, sine) = (rounded(Didact.cosine(angle)), rounded(Didact.sine(angle)))
    let map = AffineMap(xx: cosine, xy: sine, yx: -sine, yy: cosine)
    return .transform(map.around(x: Double(extent.width) / 2, y: Double(extent.height) / 2), interpolation)
  }

  /// Moves each row to the left, by `factor` times its distance from the upper edge.
  static func shearX(_ factor: Double, _ interpolation: Interpolation = .nearest) -> ImageOperation {
    .transform(AffineMap(xy: factor), interpolation)
  }

  /// Moves each column up, by `factor` times its distance from the left edge.
  static func shearY(_ factor: Double, _ interpolation: Interpolation = .nearest) -> ImageOperation {
    .transform(AffineMap(yx: factor), interpolation)
  }

  /// Moves the image to the left and up.
  static func translate(x: Double = 0, y: Double = 0, _ interpolation: Interpolation = .nearest) -> ImageOperation {
    .transform(AffineMap(x: x, y: y), interpolation)
  }
}
