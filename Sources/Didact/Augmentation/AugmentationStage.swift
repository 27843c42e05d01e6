/// A random change of an image: one step of a policy.
protocol AugmentationStage: Sendable {
  func apply(to canvas: inout ImageCanvas, _ random: inout RandomSequence)
}

/// The stages by name, with what each can be told.
struct AugmentationStageKind: Sendable {
  let name: String
  let fields: [Field]
  /// Whether it computes a luma or a hue, which takes images of 1 or 3 channels.
  let needsColor: Bool
  private let make: @Sendable (FieldValues, Extent) throws -> any AugmentationStage

  init(
    _ name: String, _ fields: [Field] = [], needsColor: Bool = false, probability: JSON? = 1,
    fill: JSON? = nil, _ make: @escaping @Sendable (FieldValues, Extent) throws -> any AugmentationStage
  ) {
    self.name = name
    self.needsColor = needsColor
    self.fields =
      [Field("operation", .choice([name]), nil, "")] + fields
      + (probability.map { [Field("probability", .number(.closed(0, 1)), $0, "of changing an image at all")] } ?? [])
      + (fill.map {
        [Field("fill", .integer(.closed(0, 255)), $0, "value of the pixels from outside the image, in every channel")]
      } ?? [])
    self.make = make
  }

  /// One that always makes the same change of the images that it changes.
  private static func fixed(
    _ name: String, _ fields: [Field] = [], needsColor: Bool = false, probability: JSON = 1, fill: JSON? = nil,
    _ operation: @escaping @Sendable (FieldValues, Extent) throws -> ImageOperation
  ) -> AugmentationStageKind {
    AugmentationStageKind(name, fields, needsColor: needsColor, probability: probability, fill: fill) {
      values, extent in
      FixedOperation(operation: try operation(values, extent), fill: fill == nil ? 0 : try values.fill())
    }
  }

  /// - Parameter object: the values of `fields`.
  /// - Throws: `DidactError.invalidArgument` naming key, value and what the key takes.
  func stage(_ object: JSONObject, _ extent: Extent) throws -> any AugmentationStage {
    let values = try FieldValues(object, fields: fields, subject: "augmentation: \(name)")
    let stage = try make(values, extent)
    guard values.has("probability"), case let probability = try values.number("probability"), probability < 1 else {
      return stage
    }
    return OccasionalStage(stage: stage, probability: probability)
  }

  static let all: [AugmentationStageKind] = {
    let amount = Field("amount", .number(.closed(0, 1)), 1, "how far to go: 0 changes nothing")
    let factor = Field("factor", .number(.closed(0, 100)), nil, "1 changes nothing, 0 takes all away, more exaggerates")
    let shear = Field("factor", .number(.closed(-10, 10)), nil, "pixels moved by pixel of distance")
    let pixels = Field("pixels", .number(.closed(-65_536, 65_536)), nil, "how far; above 0 is left or up")
    let interpolation = Field("interpolation", .choice(["nearest", "bilinear"]), "nearest", "of pixel values")
    return [
      // Values.
      fixed("autocontrast", [amount]) { values, _ in .autoContrast(amount: try values.number("amount")) },
      fixed("equalize", [amount]) { values, _ in .equalize(amount: try values.number("amount")) },
      fixed("invert", [amount]) { values, _ in .invert(amount: try values.number("amount")) },
      fixed("posterize", [Field("bits", .integer(.closed(0, 8)), nil, "the highest bits, which stay")]) { values, _ in
        .posterize(bits: try values.integer("bits"))
      },
      fixed(
        "solarize",
        [Field("threshold", .integer(.closed(0, 256)), 128, "the smallest value that is inverted")]
      ) { values, _ in .solarize(threshold: try values.integer("threshold")) },
      fixed(
        "solarize_add",
        [
          Field("addition", .integer(.closed(-255, 255)), nil, "what is added"),
          Field("threshold", .integer(.closed(0, 256)), 128, "the smallest value that stays"),
        ]
      ) { values, _ in
        .solarizeAdd(try values.integer("addition"), threshold: try values.integer("threshold"))
      },
      fixed("brightness", [factor]) { values, _ in .brightness(try values.number("factor")) },
      fixed("contrast", [factor], needsColor: true) { values, _ in .contrast(try values.number("factor")) },
      fixed("color", [factor], needsColor: true) { values, _ in .color(try values.number("factor")) },
      fixed(
        "hue", [Field("turn", .number(.closed(-1, 1)), nil, "of the colour wheel, in parts of it")], needsColor: true
      ) { values, _ in .hue(try values.number("turn")) },
      fixed("grayscale", needsColor: true) { _, _ in .grayscale },
      AugmentationStageKind("color_jitter", ColorJitter.fields, needsColor: true) { values, _ in
        try ColorJitter(values)
      },
      // Neighbours.
      fixed("sharpness", [factor]) { values, _ in .sharpness(try values.number("factor")) },
      fixed("smooth", [amount]) { values, _ in .smooth(amount: try values.number("amount")) },
      fixed("blur", [amount]) { values, _ in .blur(amount: try values.number("amount")) },
      AugmentationStageKind("gaussian_blur", GaussianBlur.fields) { values, _ in try GaussianBlur(values) },
      // Places.
      fixed("flip", probability: 0.5) { _, _ in .flip },
      fixed(
        "rotate", [Field("degrees", .number(.closed(-360, 360)), nil, "counter-clockwise"), interpolation], fill: 0
      ) { values, extent in
        .rotate(degrees: try values.number("degrees"), extent, try values.choice("interpolation"))
      },
      fixed("shear_x", [shear, interpolation], fill: 0) { values, _ in
        .shearX(try values.number("factor"), try values.choice("interpolation"))
      },
      fixed("shear_y", [shear, interpolation], fill: 0) { values, _ in
        .shearY(try values.number("factor"), try values.choice("interpolation"))
      },
      fixed("translate_x", [pixels, interpolation], fill: 0) { values, _ in
        .translate(x: try values.number("pixels"), try values.choice("interpolation"))
      },
      fixed("translate_y", [pixels, interpolation], fill: 0) { values, _ in
        .translate(y: try values.number("pixels"), try values.choice("interpolation"))
      },
      AugmentationStageKind("affine", RandomAffine.fields, fill: 0) { values, extent in
        try RandomAffine(values, extent)
      },
      AugmentationStageKind("crop", RandomCrop.fields) { values, extent in try RandomCrop(values, extent) },
      AugmentationStageKind("resized_crop", RandomResizedCrop.fields) { values, extent in
        try RandomResizedCrop(values, extent)
      },
      AugmentationStageKind("scale_jitter", ScaleJitter.fields, fill: 128) { values, extent in
        try ScaleJitter(values, extent)
      },
      AugmentationStageKind("cutout", Cutout.fields, fill: 128) { values, extent in try Cutout(values, extent) },
      // Policies.
      AugmentationStageKind(
        "rand_augment", RandAugment.fields, needsColor: true, probability: nil, fill: 128
      ) { values, extent in try RandAugment(values, extent) },
      AugmentationStageKind(
        "auto_augment", AutoAugment.fields, needsColor: true, probability: nil, fill: 128
      ) { values, extent in try AutoAugment(values, extent) },
      AugmentationStageKind(
        "ct_augment", CTAugment.fields, needsColor: true, probability: nil, fill: 128
      ) { values, extent in try CTAugment(values, extent) },
    ]
  }()
}

extension FieldValues {
  func fill() throws -> UInt8 { UInt8(try integer("fill")) }
}

/// The same operation for every image.
struct FixedOperation: AugmentationStage {
  let operation: ImageOperation
  let fill: UInt8

  func apply(to canvas: inout ImageCanvas, _ random: inout RandomSequence) {
    operation.apply(to: &canvas, fill: fill)
  }
}

/// A stage that leaves some images as they are.
struct OccasionalStage: AugmentationStage {
  let stage: any AugmentationStage
  let probability: Double

  func apply(to canvas: inout ImageCanvas, _ random: inout RandomSequence) {
    if random.happens(probability) { stage.apply(to: &canvas, &random) }
  }
}
