/// AutoAugment (Cubuk et al., CVPR 2019): one of the pairs of operations that a search found, drawn for each image; each of
/// the two is applied with a probability of its own.
struct AutoAugment: AugmentationStage {
  /// The data that a policy was found on.
  enum Policy: String, CaseIterable {
    case cifar10, svhn, imagenet

    /// Operation, probability and level of the first and of the second; pairs are divided by semicolons. These are the
    /// lists of Google's code, which are longer than the papers' tables for CIFAR-10 and SVHN.
    var text: String {
      switch self {
      case .cifar10: AutoAugment.cifar10
      case .svhn: AutoAugment.svhn
      case .imagenet: AutoAugment.imagenet
      }
    }
  }

  struct Step {
    let operation: LeveledOperation
    let probability, level: Double
  }

  static let fields = [
    Field(
      "policy", .choice(Policy.allCases.map(\.rawValue)), "cifar10", "the data that the pairs were found on",
      source: "Cubuk et al. 2019")
  ]

  let pairs: [[Step]]
  let scale: LeveledOperation.Scale
  let extent: Extent
  let fill: UInt8

  init(_ values: FieldValues, _ extent: Extent) throws {
    pairs = try AutoAugment.pairs(try values.choice("policy"))
    scale = .pillow(side: min(extent.height, extent.width))
    self.extent = extent
    fill = try values.fill()
  }

  static func pairs(_ policy: Policy) throws -> [[Step]] {
    func words<Part: StringProtocol>(_ part: Part, _ separator: Character) -> [Part.SubSequence] {
      part.split { $0 == separator || $0 == "\n" }
    }
    return try words(policy.text, ";").map { pair in
      try words(pair, ",").map { step in
        let parts = words(step, " ")
        guard parts.count == 3, let operation = LeveledOperation(rawValue: String(parts[0])),
          let probability = Double(parts[1]), let level = Double(parts[2])
        else { throw DidactError(.internalError, "the table of AutoAugment has \"\(step)\"") }
        return Step(operation: operation, probability: probability, level: level)
      }
    }
  }

  func apply(to canvas: inout ImageCanvas, _ random: inout RandomSequence) {
    for step in pairs[random.integer(below: pairs.count)] {
      let isApplied = random.happens(step.probability)
      let operation = step.operation.operation(level: step.level, scale, extent, &random)
      if isApplied { operation.apply(to: &canvas, fill: fill) }
    }
  }

  private static let cifar10 = """
    Invert 0.1 7, Contrast 0.2 6; Rotate 0.7 2, TranslateX 0.3 9; Sharpness 0.8 1, Sharpness 0.9 3;
    ShearY 0.5 8, TranslateY 0.7 9; AutoContrast 0.5 8, Equalize 0.9 2; Solarize 0.4 5, AutoContrast 0.9 3;
    TranslateY 0.9 9, TranslateY 0.7 9; AutoContrast 0.9 2, Solarize 0.8 3; Equalize 0.8 8, Invert 0.1 3;
    TranslateY 0.7 9, AutoContrast 0.9 1; Solarize 0.4 5, AutoContrast 0.0 2; TranslateY 0.7 9, TranslateY 0.7 9;
    AutoContrast 0.9 0, Solarize 0.4 3; Equalize 0.7 5, Invert 0.1 3; TranslateY 0.7 9, TranslateY 0.7 9;
    Solarize 0.4 5, AutoContrast 0.9 1; TranslateY 0.8 9, TranslateY 0.9 9; AutoContrast 0.8 0, TranslateY 0.7 9;
    TranslateY 0.2 7, Color 0.9 6; Equalize 0.7 6, Color 0.4 9; ShearY 0.2 7, Posterize 0.3 7;
    Color 0.4 3, Brightness 0.6 7; Sharpness 0.3 9, Brightness 0.7 9; Equalize 0.6 5, Equalize 0.5 1;
    Contrast 0.6 7, Sharpness 0.6 5; Brightness 0.3 7, AutoContrast 0.5 8; AutoContrast 0.9 4, AutoContrast 0.5 6;
    Solarize 0.3 5, Equalize 0.6 5; TranslateY 0.2 4, Sharpness 0.3 3; Brightness 0.0 8, Color 0.8 8;
    Solarize 0.2 6, Color 0.8 6; Solarize 0.2 6, AutoContrast 0.8 1; Solarize 0.4 1, Equalize 0.6 5;
    Brightness 0.0 0, Solarize 0.5 2; AutoContrast 0.9 5, Brightness 0.5 3; Contrast 0.7 5, Brightness 0.0 2;
    Solarize 0.2 8, Solarize 0.1 5; Contrast 0.5 1, TranslateY 0.2 9; AutoContrast 0.6 5, TranslateY 0.0 9;
    AutoContrast 0.9 4, Equalize 0.8 4; Brightness 0.0 7, Equalize 0.4 7; Solarize 0.2 5, Equalize 0.7 5;
    Equalize 0.6 8, Color 0.6 2; Color 0.3 7, Color 0.2 4; AutoContrast 0.5 2, Solarize 0.7 2;
    AutoContrast 0.2 0, Equalize 0.1 0; ShearY 0.6 5, Equalize 0.6 5; Brightness 0.9 3, AutoContrast 0.4 1;
    Equalize 0.8 8, Equalize 0.7 7; Equalize 0.7 7, Solarize 0.5 0; Equalize 0.8 4, TranslateY 0.8 9;
    TranslateY 0.8 9, TranslateY 0.6 9; TranslateY 0.9 0, TranslateY 0.5 9; AutoContrast 0.5 3, Solarize 0.3 4;
    Solarize 0.5 3, Equalize 0.4 4; Color 0.7 7, TranslateX 0.5 8; Equalize 0.3 7, AutoContrast 0.4 8;
    TranslateY 0.4 3, Sharpness 0.2 6; Brightness 0.9 6, Color 0.2 8; Solarize 0.5 2, Invert 0.0 3;
    AutoContrast 0.1 5, Brightness 0.0 0; Cutout 0.2 4, Equalize 0.1 1; Equalize 0.7 7, AutoContrast 0.6 4;
    Color 0.1 8, ShearY 0.2 3; ShearY 0.4 2, Rotate 0.7 0; ShearY 0.1 3, AutoContrast 0.9 5;
    TranslateY 0.3 6, Cutout 0.3 3; Equalize 0.5 0, Solarize 0.6 6; AutoContrast 0.3 5, Rotate 0.2 7;
    Equalize 0.8 2, Invert 0.4 0; Equalize 0.9 5, Color 0.7 0; Equalize 0.1 1, ShearY 0.1 3;
    AutoContrast 0.7 3, Equalize 0.7 0; Brightness 0.5 1, Contrast 0.1 7; Contrast 0.1 4, Solarize 0.6 5;
    Solarize 0.2 3, ShearX 0.0 0; TranslateX 0.3 0, TranslateX 0.6 0; Equalize 0.5 9, TranslateY 0.6 7;
    ShearX 0.1 0, Sharpness 0.5 1; Equalize 0.8 6, Invert 0.3 6; AutoContrast 0.3 9, Cutout 0.5 3;
    ShearX 0.4 4, AutoContrast 0.9 2; ShearX 0.0 3, Posterize 0.0 3; Solarize 0.4 3, Color 0.2 4;
    Equalize 0.1 4, Equalize 0.7 6; Equalize 0.3 8, AutoContrast 0.4 3; Solarize 0.6 4, AutoContrast 0.7 6;
    AutoContrast 0.2 9, Brightness 0.4 8; Equalize 0.1 0, Equalize 0.0 6; Equalize 0.8 4, Equalize 0.0 4;
    Equalize 0.5 5, AutoContrast 0.1 2; Solarize 0.5 5, AutoContrast 0.9 5; AutoContrast 0.6 1, AutoContrast 0.7 8;
    Equalize 0.2 0, AutoContrast 0.1 2; Equalize 0.6 9, Equalize 0.4 4
    """
  private static let svhn = """
    ShearX 0.9 4, Invert 0.2 3; ShearY 0.9 8, Invert 0.7 5; Equalize 0.6 5, Solarize 0.6 6;
    Invert 0.9 3, Equalize 0.6 3; Equalize 0.6 1, Rotate 0.9 3; ShearX 0.9 4, AutoContrast 0.8 3;
    ShearY 0.9 8, Invert 0.4 5; ShearY 0.9 5, Solarize 0.2 6; Invert 0.9 6, AutoContrast 0.8 1;
    Equalize 0.6 3, Rotate 0.9 3; ShearX 0.9 4, Solarize 0.3 3; ShearY 0.8 8, Invert 0.7 4;
    Equalize 0.9 5, TranslateY 0.6 6; Invert 0.9 4, Equalize 0.6 7; Contrast 0.3 3, Rotate 0.8 4;
    ShearX 0.9 3, Invert 0.5 3; ShearY 0.9 8, Invert 0.4 5; Equalize 0.6 3, Solarize 0.2 3;
    Invert 0.9 4, Equalize 0.5 6; Equalize 0.6 1, Rotate 0.9 3; Invert 0.8 5, TranslateY 0.0 2;
    ShearY 0.7 6, Solarize 0.4 8; Invert 0.6 4, Rotate 0.8 4; ShearY 0.3 7, TranslateX 0.9 3;
    ShearX 0.1 6, Invert 0.6 5; Solarize 0.7 2, TranslateY 0.6 7; ShearY 0.8 4, Invert 0.8 8;
    ShearX 0.7 9, TranslateY 0.8 3; ShearY 0.8 5, AutoContrast 0.7 3; ShearX 0.7 2, Invert 0.1 5;
    ShearY 0.8 9, ShearX 0.7 7; ShearY 0.7 4, Solarize 0.9 7; ShearY 0.9 5, Invert 0.0 4;
    TranslateX 0.8 3, ShearY 0.7 7; Invert 0.1 7, Solarize 0.3 9; Invert 0.6 2, Invert 0.9 4;
    Equalize 0.5 2, Solarize 0.9 7; ShearY 0.6 7, Solarize 0.8 3; ShearY 0.6 3, Invert 0.6 1;
    ShearX 0.4 2, Rotate 0.7 5
    """
  private static let imagenet = """
    Posterize 0.4 8, Rotate 0.6 9; Solarize 0.6 5, AutoContrast 0.6 5; Equalize 0.8 8, Equalize 0.6 3;
    Posterize 0.6 7, Posterize 0.6 6; Equalize 0.4 7, Solarize 0.2 4; Equalize 0.4 4, Rotate 0.8 8;
    Solarize 0.6 3, Equalize 0.6 7; Posterize 0.8 5, Equalize 1.0 2; Rotate 0.2 3, Solarize 0.6 8;
    Equalize 0.6 8, Posterize 0.4 6; Rotate 0.8 8, Color 0.4 0; Rotate 0.4 9, Equalize 0.6 2;
    Equalize 0.0 7, Equalize 0.8 8; Invert 0.6 4, Equalize 1.0 8; Color 0.6 4, Contrast 1.0 8;
    Rotate 0.8 8, Color 1.0 2; Color 0.8 8, Solarize 0.8 7; Sharpness 0.4 7, Invert 0.6 8;
    ShearX 0.6 5, Equalize 1.0 9; Color 0.4 0, Equalize 0.6 3; Equalize 0.4 7, Solarize 0.2 4;
    Solarize 0.6 5, AutoContrast 0.6 5; Invert 0.6 4, Equalize 1.0 8; Color 0.6 4, Contrast 1.0 8;
    Equalize 0.8 8, Equalize 0.6 3
    """
}
