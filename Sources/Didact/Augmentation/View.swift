/// A random view of rows, for the network: images changed by a policy, or as they are; then scaled; then a `VectorView`.
struct View: Sendable {
  /// Of images; nil for none.
  let augmentation: AugmentationPolicy?
  let vectors: VectorView
  private let pixels: RandomStream

  /// The fields of a view, such as `strong_augmentation` and `strong_noise`.
  static func fields(_ strength: String, noise: Double, featureDropout: Double) -> [Field] {
    [
      Field(
        "\(strength)_augmentation", .augmentation, "none",
        "fit: how the \(strength) view changes uint8 images, before scaling; where it does, the other defaults of the view "
          + "are 0",
        source: "didact info --augmentations")
    ] + VectorView.fields(strength, noise: noise, featureDropout: featureDropout)
  }

  /// - Parameters:
  ///   - augmentation: what the configuration says of it.
  ///   - categories: columns of the network's input that are a category each: see `CategoryColumns`.
  ///   - rows: whose views they are; their random numbers are their own.
  init(
    _ configuration: FieldValues, _ strength: String, _ augmentation: AugmentationPolicy?, categories: [Range<Int>],
    of rows: String, seed: UInt64
  ) throws {
    self.augmentation = augmentation
    vectors = try VectorView(
      configuration, strength, categories: categories,
      stream: RandomStream(seed: seed, name: "views/\(strength)/\(rows)"))
    pixels = RandomStream(seed: seed, name: "augmentation/\(strength)/\(rows)")
  }

  /// The policy of a strength that a configuration describes; nil where the images stay as they are.
  static func policy(
    _ configuration: FieldValues, _ strength: String, of extent: Extent
  ) throws -> AugmentationPolicy? {
    let key = "\(strength)_augmentation"
    guard configuration.has(key), case let description = try configuration.value(key),
      !AugmentationPolicy.isEmpty(description)
    else { return nil }
    do {
      return try AugmentationPolicy(description, extent)
    } catch let error as DidactError {
      throw error.at(key)
    }
  }

  /// Table of a method with the defaults that go with the augmentations of `given`: no noise beside them.
  static func adjusted(_ fields: [Field], for given: JSONObject) -> [Field] {
    fields.map { field in
      for suffix in ["_noise", "_feature_dropout"] where field.key.hasSuffix(suffix) {
        let augmentation = given[field.key.dropLast(suffix.utf8.count) + "_augmentation"]
        if let augmentation, !AugmentationPolicy.isEmpty(augmentation) { return field.prefixed("", default: 0) }
      }
      return field
    }
  }

  /// Images [N, height · width · channels] (uint8) changed by the policy.
  func changed(_ images: Tensor, draw: UInt64, threads: Int, in memory: TensorPool) throws -> Tensor {
    guard let augmentation else { return images }
    let result = try memory.tensor(images.shape, .uint8)
    try withExtendedLifetime((images, result)) {
      try augmentation.apply(
        BorrowedArray(images), to: BorrowedArray(result), pixels, draw: draw, threads: threads)
    }
    return result
  }
}
