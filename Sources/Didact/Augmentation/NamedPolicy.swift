/// The policies that have names: what papers do, and plain ones.
struct NamedPolicy: Sendable {
  let name: String
  let meaning: String
  let source: String
  /// The stages, as in a specification.
  let description: JSON

  static let all: [NamedPolicy] = {
    func stage(_ operation: String, _ values: JSONObject = [:]) -> JSON {
      var object: JSONObject = ["operation": .string(operation)]
      for (key, value) in values.members { object[key] = value }
      return .object(object)
    }
    let flip = stage("flip"), crop = stage("crop"), cutout = stage("cutout")
    func randAugment(_ variant: String) -> JSON { stage("rand_augment", ["variant": .string(variant)]) }
    func jitter(_ strength: Double, hue: Double, probability: Double) -> JSON {
      stage(
        "color_jitter",
        [
          "brightness": .number(strength), "contrast": .number(strength), "saturation": .number(strength),
          "hue": .number(hue), "probability": .number(probability),
        ])
    }
    func scales(_ low: Double, _ high: Double) -> JSON {
      stage("scale_jitter", ["minimum_scale": .number(low), "maximum_scale": .number(high)])
    }
    let resizedCrop = stage("resized_crop"), grayscale = stage("grayscale", ["probability": 0.2])
    func blur(_ probability: Double) -> JSON { stage("gaussian_blur", ["probability": .number(probability)]) }
    func policy(_ name: String, _ meaning: String, source: String = "", _ stages: JSON...) -> NamedPolicy {
      NamedPolicy(name: name, meaning: meaning, source: source, description: .array(stages))
    }
    return [
      policy("none", "the images as they are"),
      policy(
        "crop", "a crop of the image with a mirrored margin of an eighth", source: "weak view of SVHN in FixMatch", crop
      ),
      policy("crop_flip", "the same, and a flip", source: "weak view of CIFAR in FixMatch and UDA", crop, flip),
      policy(
        "affine",
        "rotated, sheared, scaled and moved by up to 15 degrees, 0.1, a tenth and an eighth of a side, on black",
        stage(
          "affine",
          [
            "rotation": 15, "shear": 0.1, "minimum_scale": 0.9, "maximum_scale": 1.1, "translation": 0.125,
          ])),
      policy(
        "fixmatch", "crop, flip, RandAugment, Cutout", source: "Sohn et al. 2020", crop, flip, randAugment("fixmatch"),
        cutout),
      policy(
        "uda", "crop, flip, RandAugment, Cutout", source: "Xie et al. 2020 (UDA)", crop, flip, randAugment("uda"),
        cutout),
      policy(
        "meta_pseudo_labels", "RandAugment, Cutout, crop, flip", source: "Pham et al. 2021",
        randAugment("meta_pseudo_labels"), cutout, stage("crop", ["fill": 128]), flip),
      policy(
        "noisy_student", "crop, flip, RandAugment", source: "Xie et al. 2020 (Noisy Student)", crop, flip,
        randAugment("noisy_student")),
      policy(
        "fixmatch_imagenet", "resized crop, flip, RandAugment", source: "Sohn et al. 2020, on ImageNet", resizedCrop,
        flip,
        randAugment("fixmatch_imagenet")),
      policy(
        "ct_augment", "crop, flip, CTAugment, Cutout", source: "Berthelot et al. 2020; Sohn et al. 2020", crop, flip,
        stage("ct_augment"), cutout),
      policy(
        "auto_augment", "crop, flip, AutoAugment's pairs for CIFAR-10, Cutout", source: "Cubuk et al. 2019", crop, flip,
        stage("auto_augment"), cutout),
      policy("s1", "flip, scales of 0.8 to 1.2", source: "Zoph et al. 2020", flip, scales(0.8, 1.2)),
      policy(
        "s2", "the same, and AutoAugment's pairs for ImageNet", source: "Zoph et al. 2020", flip, scales(0.8, 1.2),
        stage("auto_augment", ["policy": "imagenet"])),
      policy(
        "s3", "the same with scales of 0.5 to 2", source: "Zoph et al. 2020", flip, scales(0.5, 2),
        stage("auto_augment", ["policy": "imagenet"])),
      policy(
        "s4", "flip, scales of 0.5 to 2, RandAugment", source: "Zoph et al. 2020", flip, scales(0.5, 2),
        stage("rand_augment", ["variant": "fixmatch_imagenet", "apply_probability": 1, "level": 10])),
      policy(
        "simclr", "resized crop, flip, colours, gray, blur", source: "Chen et al. 2020 (SimCLR)", resizedCrop, flip,
        jitter(0.8, hue: 0.2, probability: 0.8), grayscale, blur(0.5)),
      policy(
        "moco", "resized crop, flip, colours, gray, blur", source: "Chen et al. 2020 (MoCo v2)",
        stage("resized_crop", ["minimum_area": 0.2]), flip, jitter(0.4, hue: 0.1, probability: 0.8), grayscale,
        blur(0.5)),
    ]
  }()
}
