/// CTAugment (Berthelot et al., ICLR 2020: ReMixMatch): operations drawn at random whose strengths are learned. The range of
/// each number is divided into bins; a bin is drawn where the network still knew the labels of images that it changed.
///
/// Rates begin at 1. After a step on probes, labelled images changed with bins drawn from all of them:
///
///     r ← decay · r + (1 − decay) · (1 − ½ ‖p − onehot(y)‖₁)
///
/// and a bin is drawn with a probability in proportion to (r + 1 − decay) / max, 0 where that is below `threshold`.
struct CTAugment: AugmentationStage {
  static let fields = [
    Field("layers", .integer(.closed(1, 16)), 2, "operations, one after the other", source: "Berthelot et al. 2020"),
    Field(
      "threshold", .number(.closed(0, 1)), 0.85, "rates below this share of the largest are not drawn",
      source: "Berthelot et al. 2020: 0.85; FixMatch's code: 0.8"),
    Field(
      "decay", .number(.halfOpen(0, 1)), 0.99, "of the rates' moving averages", source: "Berthelot et al. 2020"),
  ]

  enum Operation: Int, CaseIterable {
    case autoContrast, blur, brightness, color, contrast, cutout, equalize, identity, invert, posterize, rescale, rotate
    case sharpness, shearX, shearY, smooth, solarize, translateX, translateY

    /// Of each of its numbers.
    var bins: [Int] {
      switch self {
      case .identity: []
      case .posterize: [8]
      case .rescale: [17, 6]
      default: [17]
      }
    }

    /// - Parameter level: where each number is in its range, from 0 to 1.
    func operation(_ level: [Double], _ extent: Extent, _ random: inout RandomSequence) -> ImageOperation {
      let first = level.first ?? 0, factor = 0.1 + 1.9 * first, signed = 2 * first - 1
      switch self {
      case .identity: return .identity
      case .autoContrast: return .autoContrast(amount: first)
      case .equalize: return .equalize(amount: first)
      case .invert: return .invert(amount: first)
      case .blur: return .blur(amount: first)
      case .smooth: return .smooth(amount: first)
      case .brightness: return .brightness(factor)
      case .color: return .color(factor)
      case .contrast: return .contrast(factor)
      case .sharpness: return .sharpness(factor)
      case .posterize: return .posterize(bits: 1 + Int(first * 7.999))
      case .solarize: return .solarize(threshold: Int(first * 255.999))
      case .rotate: return .rotate(degrees: (signed * 45).rounded(), extent)
      case .shearX: return .shearX(signed * 0.3)
      case .shearY: return .shearY(signed * 0.3)
      // Of a side, as in the paper; its code takes the number for pixels, which hardly moves the image.
      case .translateX: return .translate(x: signed * 0.3 * Double(extent.width))
      case .translateY: return .translate(y: signed * 0.3 * Double(extent.height))
      case .cutout:
        let size = 1 + Int(first * Double(min(extent.height, extent.width)) * 0.499)
        return .cutout(
          row: random.integer(below: extent.height), column: random.integer(below: extent.width), size: size)
      case .rescale:
        func part(_ length: Int) -> Range<Int> {
          let margin = first * 0.25 * Double(length)
          let low = Int(margin.rounded()), high = Int((Double(length) - margin).rounded())
          return low..<max(low + 1, high)
        }
        let whole = ImageCanvas.Box(rows: 0..<extent.height, columns: 0..<extent.width)
        let filters: [ResamplingFilter] = [.lanczos, .bicubic, .bilinear, .box, .hamming, .nearest]
        return .resample(
          ImageCanvas.Box(rows: part(extent.height), columns: part(extent.width)), to: whole,
          filters[min(5, Int((level.last ?? 0) * 5.99))])
      }
    }
  }

  let layers: Int
  let extent: Extent
  let fill: UInt8
  let rates: CTAugmentRates

  init(_ values: FieldValues, _ extent: Extent) throws {
    layers = try values.integer("layers")
    fill = try values.fill()
    rates = try CTAugmentRates(threshold: values.number("threshold"), decay: values.number("decay"))
    self.extent = extent
  }

  func apply(to canvas: inout ImageCanvas, _ random: inout RandomSequence) {
    for _ in 0..<layers {
      let operation = Operation.allCases[random.integer(below: Operation.allCases.count)]
      let level = operation.bins.indices.map { rates.level(operation, $0, &random) }
      operation.operation(level, extent, &random).apply(to: &canvas, fill: fill)
    }
  }

  /// What a probe's image was changed by.
  struct Probe {
    let operation: Operation
    let level: [Double]
  }

  /// Changes an image with numbers drawn from their whole ranges.
  func applyProbe(to canvas: inout ImageCanvas, _ random: inout RandomSequence) -> [Probe] {
    (0..<layers).map { _ in
      let operation = Operation.allCases[random.integer(below: Operation.allCases.count)]
      let level = operation.bins.map { _ in random.uniform() }
      operation.operation(level, extent, &random).apply(to: &canvas, fill: fill)
      return Probe(operation: operation, level: level)
    }
  }
}

/// How well the network bears each bin of each operation. Read by many threads, changed by one between their work.
final class CTAugmentRates: @unchecked Sendable {
  private let threshold, decay: Double
  /// All bins, one after the other (float64); part of a trainer's file.
  let values: Tensor
  /// Where the bins of each number of each operation begin.
  private let starts: [[Int]]

  init(threshold: Double, decay: Double) throws {
    self.threshold = threshold
    self.decay = decay
    var starts: [[Int]] = [], count = 0
    for operation in CTAugment.Operation.allCases {
      starts.append(
        operation.bins.map { bins in
          defer { count += bins }
          return count
        })
    }
    self.starts = starts
    values = try Tensor(Array(repeating: 1, count: count), shape: Shape(count))
  }

  /// Draws a bin by its rate, and a place in it.
  func level(_ operation: CTAugment.Operation, _ number: Int, _ random: inout RandomSequence) -> Double {
    let start = starts[operation.rawValue][number], bins = operation.bins[number]
    let place = random.uniform(), weights = weights(start..<start + bins)
    var rest = random.uniform() * weights.reduce(0, +)
    let bin = weights.firstIndex { weight in
      rest -= weight
      return rest < 0
    }
    return (Double(bin ?? weights.lastIndex { $0 > 0 } ?? 0) + place) / Double(bins)
  }

  private func weights(_ bins: Range<Int>) -> [Double] {
    let shifted = bins.map { values[$0] + 1 - decay }, largest = shifted.max() ?? 1
    return shifted.map { $0 / largest < threshold ? 0 : $0 / largest }
  }

  /// - Parameter proximity: 1 − ½ ‖p − onehot(y)‖₁ of the image that a probe changed.
  func update(_ probe: CTAugment.Probe, proximity: Double) {
    for (number, level) in probe.level.enumerated() {
      let bins = probe.operation.bins[number]
      let bin = starts[probe.operation.rawValue][number] + Int(level * Double(bins) * 0.999)
      values[bin] = decay * values[bin] + (1 - decay) * proximity
    }
  }
}
