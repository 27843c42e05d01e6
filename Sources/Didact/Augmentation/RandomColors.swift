/// Brightness, contrast, saturation and hue moved at random, one after the other in random order (Chen et al., ICML 2020:
/// SimCLR).
struct ColorJitter: AugmentationStage {
  static let fields = [
    Field(
      "brightness", .number(.closed(0, 10)), 0.4, "most that the factor differs from 1", source: "MoCo v2; SimCLR: 0.8"),
    Field(
      "contrast", .number(.closed(0, 10)), 0.4, "most that the factor differs from 1", source: "MoCo v2; SimCLR: 0.8"),
    Field(
      "saturation", .number(.closed(0, 10)), 0.4, "most that the factor differs from 1", source: "MoCo v2; SimCLR: 0.8"),
    Field(
      "hue", .number(.closed(0, 0.5)), 0.1, "most parts of the colour wheel, either way", source: "MoCo v2; SimCLR: 0.2"
    ),
  ]

  let brightness, contrast, saturation, hue: Double

  init(_ values: FieldValues) throws {
    brightness = try values.number("brightness")
    contrast = try values.number("contrast")
    saturation = try values.number("saturation")
    hue = try values.number("hue")
  }

  func apply(to canvas: inout ImageCanvas, _ random: inout RandomSequence) {
    func factor(_ most: Double) -> Double { random.uniform(max(0, 1 - most), 1 + most) }
    var operations: [ImageOperation] = [
      .brightness(factor(brightness)), .contrast(factor(contrast)), .color(factor(saturation)),
      .hue(random.uniform(-hue, hue)),
    ]
    for last in (1..<operations.count).reversed() { operations.swapAt(last, random.integer(in: 0...last)) }
    for operation in operations { operation.apply(to: &canvas, fill: 0) }
  }
}

/// A Gaussian blur of random width (Chen et al., ICML 2020).
struct GaussianBlur: AugmentationStage {
  static let fields = [
    Field(
      "minimum_deviation", .number(.closed(0.01, 100)), 0.1, "smallest standard deviation, in pixels", source: "SimCLR"),
    Field(
      "maximum_deviation", .number(.closed(0.01, 100)), 2, "largest standard deviation, in pixels", source: "SimCLR"),
  ]

  let deviations: (low: Double, high: Double)

  init(_ values: FieldValues) throws {
    deviations = try values.range("deviation")
  }

  func apply(to canvas: inout ImageCanvas, _ random: inout RandomSequence) {
    ImageOperation.gaussianBlur(deviation: random.uniform(deviations.low, deviations.high)).apply(to: &canvas, fill: 0)
  }
}
