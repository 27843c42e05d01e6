/// A part of the image, as large as it, of the image with a margin on every side.
struct RandomCrop: AugmentationStage {
  static let fields = [
    Field("padding", .integer(.closed(0, 1024)), .null, "pixels of the margin; null for an eighth of the shorter side"),
    Field("fill", .integer(.closed(0, 255)), .null, "of the margin; null mirrors the image at its edges"),
  ]

  let padding: Int
  let fill: UInt8?

  init(_ values: FieldValues, _ extent: Extent) throws {
    padding = try values.optionalInteger("padding") ?? min(extent.height, extent.width) / 8
    fill = try values.optionalInteger("fill").map { UInt8($0) }
  }

  func apply(to canvas: inout ImageCanvas, _ random: inout RandomSequence) {
    let down = random.integer(in: -padding...padding), right = random.integer(in: -padding...padding)
    ImageOperation.crop(down: down, right: right, mirrors: fill == nil).apply(to: &canvas, fill: fill ?? 0)
  }
}

/// A part of random area and shape, at the size of the image (Szegedy et al., CVPR 2015): the "inception crop".
struct RandomResizedCrop: AugmentationStage {
  static let fields = [
    Field("minimum_area", .number(.closed(0.0001, 1)), 0.08, "of the part, as a share of the image's"),
    Field("maximum_area", .number(.closed(0.0001, 1)), 1, "of the part, as a share of the image's"),
    Field("minimum_ratio", .number(.closed(0.01, 100)), .number(3 / 4.0), "of the part's width to its height"),
    Field("maximum_ratio", .number(.closed(0.01, 100)), .number(4 / 3.0), "of the part's width to its height"),
    Field("filter", .choice(ResamplingFilter.allCases.map(\.rawValue)), "bilinear", "of the change of size"),
  ]

  let areas, ratios: (low: Double, high: Double)
  let filter: ResamplingFilter
  let extent: Extent

  init(_ values: FieldValues, _ extent: Extent) throws {
    areas = try values.range("area")
    ratios = try values.range("ratio")
    filter = try values.choice("filter")
    self.extent = extent
  }

  func apply(to canvas: inout ImageCanvas, _ random: inout RandomSequence) {
    let whole = ImageCanvas.Box(rows: 0..<extent.height, columns: 0..<extent.width)
    ImageOperation.resample(part(&random), to: whole, filter).apply(to: &canvas, fill: 0)
  }

  /// Ten tries; then the largest part of an allowed shape, in the middle.
  func part(_ random: inout RandomSequence) -> ImageCanvas.Box {
    for _ in 0..<10 {
      let area = Double(extent.pixels) * random.uniform(areas.low, areas.high)
      let ratio = exponential(random.uniform(logarithm(ratios.low), logarithm(ratios.high)))
      let width = Int((area * ratio).squareRoot().rounded()), height = Int((area / ratio).squareRoot().rounded())
      guard width > 0, width <= extent.width, height > 0, height <= extent.height else { continue }
      let top = random.integer(in: 0...extent.height - height), left = random.integer(in: 0...extent.width - width)
      return ImageCanvas.Box(rows: top..<top + height, columns: left..<left + width)
    }
    let ratio = min(ratios.high, max(ratios.low, Double(extent.width) / Double(extent.height)))
    let width = max(1, min(extent.width, Int((Double(extent.height) * ratio).rounded())))
    let height = max(1, min(extent.height, Int((Double(extent.width) / ratio).rounded())))
    let top = (extent.height - height) / 2, left = (extent.width - width) / 2
    return ImageCanvas.Box(rows: top..<top + height, columns: left..<left + width)
  }
}

/// The image at a random scale: a part of it enlarged, or the whole of it made smaller and put somewhere (Ghiasi et al.,
/// CVPR 2021; Zoph et al., NeurIPS 2020).
struct ScaleJitter: AugmentationStage {
  static let fields = [
    Field("minimum_scale", .number(.closed(0.05, 20)), 0.8, "smallest scale", source: "Zoph et al. 2020: 0.8 or 0.5"),
    Field("maximum_scale", .number(.closed(0.05, 20)), 1.2, "largest scale", source: "Zoph et al. 2020: 1.2 or 2"),
    Field("filter", .choice(ResamplingFilter.allCases.map(\.rawValue)), "bilinear", "of the change of size"),
  ]

  let scales: (low: Double, high: Double)
  let filter: ResamplingFilter
  let fill: UInt8
  let extent: Extent

  init(_ values: FieldValues, _ extent: Extent) throws {
    scales = try values.range("scale")
    filter = try values.choice("filter")
    fill = try values.fill()
    self.extent = extent
  }

  func apply(to canvas: inout ImageCanvas, _ random: inout RandomSequence) {
    let scale = random.uniform(scales.low, scales.high)
    let whole = ImageCanvas.Box(rows: 0..<extent.height, columns: 0..<extent.width)
    let part = box(scale < 1 ? scale : 1 / scale, &random)
    ImageOperation.resample(scale < 1 ? whole : part, to: scale < 1 ? part : whole, filter).apply(
      to: &canvas, fill: fill)
  }

  /// Somewhere in the image, as large as `share` of each side.
  private func box(_ share: Double, _ random: inout RandomSequence) -> ImageCanvas.Box {
    func range(_ length: Int) -> Range<Int> {
      let part = max(1, Int((Double(length) * share).rounded()))
      let start = random.integer(in: 0...length - part)
      return start..<start + part
    }
    return ImageCanvas.Box(rows: range(extent.height), columns: range(extent.width))
  }
}

/// Rotated, sheared, scaled and moved at once, by random amounts, around the middle.
struct RandomAffine: AugmentationStage {
  static let fields = [
    Field("rotation", .number(.closed(0, 180)), 0, "most degrees, either way"),
    Field("translation", .number(.closed(0, 1)), 0, "most of a side, either way, along each axis"),
    Field("shear", .number(.closed(0, 2)), 0, "most pixels by pixel of distance, either way, along each axis"),
    Field("minimum_scale", .number(.closed(0.05, 20)), 1, "smallest scale"),
    Field("maximum_scale", .number(.closed(0.05, 20)), 1, "largest scale"),
    Field("interpolation", .choice(["nearest", "bilinear"]), "bilinear", "of pixel values"),
  ]

  let rotation, translation, shear: Double
  let scales: (low: Double, high: Double)
  let interpolation: Interpolation
  let fill: UInt8
  let extent: Extent

  init(_ values: FieldValues, _ extent: Extent) throws {
    rotation = try values.number("rotation")
    translation = try values.number("translation")
    shear = try values.number("shear")
    scales = try values.range("scale")
    interpolation = try values.choice("interpolation")
    fill = try values.fill()
    self.extent = extent
  }

  func apply(to canvas: inout ImageCanvas, _ random: inout RandomSequence) {
    ImageOperation.transform(map(&random), interpolation).apply(to: &canvas, fill: fill)
  }

  /// From a pixel of the result to where it comes from: moved, then rotated, sheared, and divided by the scale.
  func map(_ random: inout RandomSequence) -> AffineMap {
    let angle = random.uniform(-rotation, rotation) * .pi / 180
    let shearX = random.uniform(-shear, shear), shearY = random.uniform(-shear, shear)
    let scale = random.uniform(scales.low, scales.high), (cos, sin) = (cosine(angle), sine(angle))
    var map = AffineMap(
      xx: (cos + shearX * sin) / scale, xy: (-sin + shearX * cos) / scale,
      yx: (sin + shearY * cos) / scale, yy: (cos - shearY * sin) / scale
    ).around(x: Double(extent.width) / 2, y: Double(extent.height) / 2)
    map.x += random.uniform(-translation, translation) * Double(extent.width)
    map.y += random.uniform(-translation, translation) * Double(extent.height)
    return map
  }
}

/// A square of one value at a random place (DeVries and Taylor, 2017), of which parts may lie outside.
struct Cutout: AugmentationStage {
  static let fields = [
    Field(
      "size", .integer(.closed(1, 65_536)), .null, "pixels of a side; null for half of the image's shorter one",
      source: "16 of 32 in UDA and FixMatch")
  ]

  let size: Int
  let fill: UInt8
  let extent: Extent

  init(_ values: FieldValues, _ extent: Extent) throws {
    size = try values.optionalInteger("size") ?? max(1, min(extent.height, extent.width) / 2)
    fill = try values.fill()
    self.extent = extent
  }

  func apply(to canvas: inout ImageCanvas, _ random: inout RandomSequence) {
    ImageOperation.cutout(
      row: random.integer(below: extent.height), column: random.integer(below: extent.width), size: size
    )
    .apply(to: &canvas, fill: fill)
  }
}

extension FieldValues {
  /// Of the keys `minimum_…` and `maximum_…`.
  /// - Throws: `DidactError.invalidArgument` where the one is larger than the other.
  func range(_ name: String) throws -> (low: Double, high: Double) {
    let low = try number("minimum_\(name)"), high = try number("maximum_\(name)")
    guard low <= high else {
      throw DidactError(
        .invalidArgument, "augmentation: \"minimum_\(name)\" \(low) is more than \"maximum_\(name)\" \(high)")
    }
    return (low, high)
  }
}
