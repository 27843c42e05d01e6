/// The operations that searched and random policies draw from, with numbers that grow with a level of 0 to 10.
enum LeveledOperation: String, CaseIterable {
  case autoContrast = "AutoContrast"
  case brightness = "Brightness"
  case color = "Color"
  case contrast = "Contrast"
  case cutout = "Cutout"
  case equalize = "Equalize"
  case identity = "Identity"
  case invert = "Invert"
  case posterize = "Posterize"
  case rotate = "Rotate"
  case sharpness = "Sharpness"
  case shearX = "ShearX"
  case shearY = "ShearY"
  case solarize = "Solarize"
  case solarizeAdd = "SolarizeAdd"
  case translateX = "TranslateX"
  case translateY = "TranslateY"

  /// How a level becomes numbers, where published code differs.
  struct Scale: Equatable {
    /// Whether posterize and solarize do more at higher levels, as in code that uses Pillow, or less, as in TensorFlow's.
    let isStrongerWithLevel: Bool
    /// Pixels at level 10; whether they are cut to whole ones.
    let translation: Double
    let isWholeTranslation: Bool
    /// Side of the square of cutout at level 10, and whether it is made of two whole halves.
    let cutout: Double
    let isCutoutOfHalves: Bool
  }

  /// The numbers of a level; left and right, and the two senses of a rotation, are equally likely.
  func operation(
    level: Double, _ scale: Scale, _ extent: Extent, _ random: inout RandomSequence
  ) -> ImageOperation {
    let share = level / 10
    /// Cut to a whole number as Python does.
    func whole(_ largest: Double) -> Int { Int(level * largest / 10) }
    func translation(_ random: inout RandomSequence) -> Double {
      (scale.isWholeTranslation ? Double(whole(scale.translation)) : share * scale.translation) * random.sign()
    }
    switch self {
    case .identity: return .identity
    case .autoContrast: return .autoContrast(amount: 1)
    case .equalize: return .equalize(amount: 1)
    case .invert: return .invert(amount: 1)
    case .posterize: return .posterize(bits: min(8, scale.isStrongerWithLevel ? max(0, 4 - whole(4)) : whole(4)))
    case .solarize: return .solarize(threshold: scale.isStrongerWithLevel ? 256 - whole(256) : whole(256))
    case .solarizeAdd: return .solarizeAdd(whole(110), threshold: 128)
    case .color: return .color(1.8 * share + 0.1)
    case .contrast: return .contrast(1.8 * share + 0.1)
    case .brightness: return .brightness(1.8 * share + 0.1)
    case .sharpness: return .sharpness(1.8 * share + 0.1)
    case .rotate:
      let degrees = scale.isWholeTranslation ? Double(whole(30)) : 30 * share
      return .rotate(degrees: degrees * random.sign(), extent)
    case .shearX: return .shearX(0.3 * share * random.sign())
    case .shearY: return .shearY(0.3 * share * random.sign())
    case .translateX: return .translate(x: translation(&random))
    case .translateY: return .translate(y: translation(&random))
    case .cutout:
      let size = scale.isCutoutOfHalves ? 2 * whole(scale.cutout / 2) : whole(scale.cutout)
      return .cutout(row: random.integer(below: extent.height), column: random.integer(below: extent.width), size: size)
    }
  }
}

/// RandAugment (Cubuk et al., NeurIPS 2020): some operations drawn at random, one after the other. The variants are those
/// of the code that came with the papers they are named after.
struct RandAugment: AugmentationStage {
  enum Variant: String, CaseIterable {
    /// Pham et al., CVPR 2021: 15 operations of a fixed level, each applied with a probability that is drawn for the image.
    case metaPseudoLabels = "meta_pseudo_labels"
    /// Xie et al., CVPR 2020: 16 operations of a fixed level, always applied.
    case noisyStudent = "noisy_student"
    /// Xie et al., NeurIPS 2020: 15 operations of levels 1 to 9, applied every other time.
    case uda
    /// Sohn et al., NeurIPS 2020, on small images: 14 operations of levels 1 to 9, applied every other time.
    case fixmatch
    /// Sohn et al., NeurIPS 2020, on ImageNet: 16 operations of levels 0 to 10, applied every other time.
    case fixmatchImageNet = "fixmatch_imagenet"

    var operations: [LeveledOperation] {
      let all = LeveledOperation.allCases
      switch self {
      case .metaPseudoLabels, .uda: return all.filter { $0 != .identity && $0 != .solarizeAdd }
      case .noisyStudent: return all.filter { $0 != .identity }
      case .fixmatch: return all.filter { $0 != .invert && $0 != .cutout && $0 != .solarizeAdd }
      case .fixmatchImageNet: return all.filter { $0 != .cutout }
      }
    }

    /// nil where each image draws its own.
    var probability: Double? {
      switch self {
      case .metaPseudoLabels: nil
      case .noisyStudent: 1
      case .uda, .fixmatch, .fixmatchImageNet: 0.5
      }
    }

    var levels: ClosedRange<Double> {
      switch self {
      case .metaPseudoLabels: 16...16
      case .noisyStudent: 27...27
      case .uda, .fixmatch: 1...9
      case .fixmatchImageNet: 0...10
      }
    }

    /// - Parameter side: of the image. Published numbers of pixels are for 32 and for 224.
    func scale(side: Int) -> LeveledOperation.Scale {
      let isSmall = side < 64, small = Double(side) / 32, large = Double(side) / 224
      switch self {
      case .metaPseudoLabels, .noisyStudent, .fixmatchImageNet:
        return LeveledOperation.Scale(
          isStrongerWithLevel: false, translation: isSmall ? 4 * small : 100 * large, isWholeTranslation: false,
          cutout: isSmall ? 8 * small : 80 * large, isCutoutOfHalves: true)
      case .uda, .fixmatch: return .pillow(side: side)
      }
    }
  }

  static let fields = [
    Field(
      "variant", .choice(Variant.allCases.map(\.rawValue)), "fixmatch", "whose operations, levels and probability",
      source: "Cubuk et al. 2020"),
    Field("layers", .integer(.closed(1, 16)), 2, "operations, one after the other"),
    Field(
      "level", .number(.closed(0, 30)), .null,
      "of every operation; null for the variant's: 16 and 27, or drawn from 1 to 9 or from 0 to 10"),
    Field(
      "apply_probability", .number(.closed(0, 1)), .null,
      "of each operation; null for the variant's: 0.5, always, or drawn from 0.2 to 0.8 for each image"),
  ]

  let operations: [LeveledOperation]
  let layers: Int
  let levels: ClosedRange<Double>
  let probability: Double?
  let scale: LeveledOperation.Scale
  let extent: Extent
  let fill: UInt8

  init(_ values: FieldValues, _ extent: Extent) throws {
    let variant: Variant = try values.choice("variant")
    operations = variant.operations
    layers = try values.integer("layers")
    levels = try values.optionalNumber("level").map { $0...$0 } ?? variant.levels
    probability = try values.optionalNumber("apply_probability") ?? variant.probability
    scale = variant.scale(side: min(extent.height, extent.width))
    self.extent = extent
    fill = try values.fill()
  }

  func apply(to canvas: inout ImageCanvas, _ random: inout RandomSequence) {
    let probability = self.probability ?? random.uniform(0.2, 0.8)
    for _ in 0..<layers {
      let operation = operations[random.integer(below: operations.count)], isApplied = random.happens(probability)
      // Levels are whole numbers where they are drawn.
      let level =
        levels.lowerBound == levels.upperBound
        ? levels.lowerBound : Double(random.integer(in: Int(levels.lowerBound)...Int(levels.upperBound)))
      let drawn = operation.operation(level: level, scale, extent, &random)
      if isApplied { drawn.apply(to: &canvas, fill: fill) }
    }
  }
}

extension LeveledOperation.Scale {
  /// Of AutoAugment's, UDA's and FixMatch's code: 10 pixels and a square of 20 on images of 32.
  static func pillow(side: Int) -> LeveledOperation.Scale {
    let ratio = Double(side) / 32
    return LeveledOperation.Scale(
      isStrongerWithLevel: true, translation: 10 * ratio, isWholeTranslation: true, cutout: 20 * ratio,
      isCutoutOfHalves: false)
  }
}
