import Testing

@testable import Didact

/// What policies draw. The operations themselves are compared with plain NumPy and with Pillow in Python.
@Suite struct AugmentationTests {
  private static let extent = Extent(32, 32, 3)

  private func random(_ draw: UInt64) -> RandomSequence {
    RandomSequence(RandomStream(seed: 7, name: "test").draw(draw))
  }

  private func operation(
    _ operation: LeveledOperation, _ level: Double, _ variant: RandAugment.Variant, side: Int = 32, draw: UInt64 = 0
  ) -> ImageOperation {
    var random = random(draw)
    return operation.operation(level: level, variant.scale(side: side), Extent(side, side, 3), &random)
  }

  // MARK: RandAugment

  @Test func eachVariantHasItsOperations() {
    let counts = RandAugment.Variant.allCases.map { $0.operations.count }
    #expect(counts == [15, 16, 15, 14, 16])
    #expect(!RandAugment.Variant.fixmatch.operations.contains(.invert))
    #expect(RandAugment.Variant.fixmatchImageNet.operations.contains(.solarizeAdd))
    #expect(RandAugment.Variant.noisyStudent.operations.contains(.solarizeAdd))
    #expect(!RandAugment.Variant.metaPseudoLabels.operations.contains(.identity))
  }

  /// Of the code that came with the papers: TensorFlow's keep more bits and invert less at higher levels, Pillow's do the
  /// opposite.
  @Test func posterizeAndSolarizeRunInEachVariantsDirection() {
    for variant in [RandAugment.Variant.metaPseudoLabels, .noisyStudent, .fixmatchImageNet] {
      #expect(operation(.posterize, 5, variant) == .posterize(bits: 2))
      #expect(operation(.posterize, 9, variant) == .posterize(bits: 3))
      #expect(operation(.solarize, 3, variant) == .solarize(threshold: 76))
    }
    // At the level of the paper neither does much: six bits stay, and nothing is inverted.
    #expect(operation(.posterize, 16, .metaPseudoLabels) == .posterize(bits: 6))
    #expect(operation(.solarize, 16, .metaPseudoLabels) == .solarize(threshold: 409))
    for variant in [RandAugment.Variant.uda, .fixmatch] {
      #expect(operation(.posterize, 1, variant) == .posterize(bits: 4))
      #expect(operation(.posterize, 9, variant) == .posterize(bits: 1))
      #expect(operation(.solarize, 1, variant) == .solarize(threshold: 231))
      #expect(operation(.solarize, 9, variant) == .solarize(threshold: 26))
    }
  }

  @Test func numbersGrowWithTheLevel() {
    for variant in RandAugment.Variant.allCases {
      for (kind, expected) in [
        (LeveledOperation.color, ImageOperation.color(1)), (.contrast, .contrast(1)), (.brightness, .brightness(1)),
        (.sharpness, .sharpness(1)),
      ] { #expect(operation(kind, 5, variant) == expected) }
      #expect(operation(.color, 10, variant) == .color(1.8 + 0.1))
      let shears = (0..<50).map { operation(.shearX, 5, variant, draw: $0) }
      #expect(Set(shears.map { "\($0)" }).count == 2)
      #expect(shears.contains(.shearX(0.15)) && shears.contains(.shearX(-0.15)))
      let rotations = (0..<50).map { operation(.rotate, 10, variant, draw: $0) }
      #expect(
        rotations.contains(.rotate(degrees: 30, Self.extent)) && rotations.contains(.rotate(degrees: -30, Self.extent)))
    }
    #expect(operation(.solarizeAdd, 10, .noisyStudent) == .solarizeAdd(110, threshold: 128))
  }

  @Test func pixelsFollowTheSizeOfTheImage() {
    func translations(_ variant: RandAugment.Variant, _ level: Double, side: Int) -> [ImageOperation] {
      (0..<50).map { operation(.translateX, level, variant, side: side, draw: $0) }
    }
    #expect(translations(.metaPseudoLabels, 10, side: 32).contains(.translate(x: 4)))
    #expect(translations(.metaPseudoLabels, 16, side: 32).contains(.translate(x: -6.4)))
    #expect(translations(.metaPseudoLabels, 10, side: 224).contains(.translate(x: 100)))
    #expect(translations(.uda, 10, side: 32).contains(.translate(x: -10)))
    #expect(translations(.fixmatch, 7, side: 32).contains(.translate(x: 7)))
    func side(_ operation: ImageOperation) -> Int? { if case .cutout(_, _, let size) = operation { size } else { nil } }
    #expect(side(operation(.cutout, 16, .metaPseudoLabels)) == 12)
    #expect(side(operation(.cutout, 10, .noisyStudent, side: 224)) == 80)
    #expect(side(operation(.cutout, 9, .uda)) == 18)
  }

  /// How often an image stays as it is, E (1 − p a)² for two layers that are applied with probability p and change it with
  /// probability a: at level 5 identity and the factors of colours, contrast, brightness and sharpness change nothing.
  @Test(
    arguments: [
      ("noisy_student", 0.0625), ("uda", 0.4011), ("fixmatch", 0.4605), ("fixmatch_imagenet", 0.4307),
      // p is uniform on [0.2, 0.8], and the same for both layers.
      ("meta_pseudo_labels", 0.4172),
    ])
  func operationsAreAppliedAsOftenAsInTheirCode(variant: String, unchanged: Double) throws {
    let count = 3000, size = 32 * 32 * 3, images = try Tensor(Shape(checking: [count, 32, 32, 3]), .uint8)
    var values = random(99)
    for i in 0..<size { images[i] = values.uniform(20, 230).rounded() }
    for i in size..<images.count { images[i] = images[i % size] }
    let changed = try augment(
      images, .object(["operation": "rand_augment", "variant": .string(variant), "level": 5]), seed: 3)
    let kept = (0..<count).count { image in (0..<size).allSatisfy { changed[image * size + $0] == images[$0] } }
    // Four times the standard error.
    #expect(abs(Double(kept) / Double(count) - unchanged) < 4 * (0.25 / Double(count)).squareRoot())
  }

  // MARK: AutoAugment

  @Test func autoAugmentHasTheReleasedPairs() throws {
    let pairs = try AutoAugment.Policy.allCases.map { try AutoAugment.pairs($0) }
    #expect(pairs.map(\.count) == [95, 40, 25])
    #expect(pairs.allSatisfy { $0.allSatisfy { $0.count == 2 } })
    #expect(pairs.joined().joined().allSatisfy { (0...1).contains($0.probability) && (0...9).contains($0.level) })
    let first = pairs[0][0][0], last = pairs[1][39][1]
    #expect(first.operation == .invert && first.probability == 0.1 && first.level == 7)
    #expect(last.operation == .rotate && last.probability == 0.7 && last.level == 5)
  }

  // MARK: CTAugment

  @Test func binsThatTheNetworkDoesNotBearAreNoLongerDrawn() throws {
    let rates = try CTAugmentRates(threshold: 0.85, decay: 0.99)
    func bins() -> Set<Int> {
      Set(
        (0..<UInt64(2000)).map { draw in
          var random = random(draw)
          return Int(rates.level(.rotate, 0, &random) * 17)
        })
    }
    #expect(bins() == Set(0..<17))
    // Only the strong rotations fail.
    for _ in 0..<40 {
      for bin in 0..<17 {
        let level = (Double(bin) + 0.5) / 17, probe = CTAugment.Probe(operation: .rotate, level: [level])
        rates.update(probe, proximity: abs(bin - 8) > 5 ? 0 : 1)
      }
    }
    #expect(bins() == Set(3...13))
    // 0.99⁴⁰ = 0.669, of the others 1.
    let start = CTAugment.Operation.allCases.prefix(CTAugment.Operation.rotate.rawValue).flatMap(\.bins).reduce(0, +)
    #expect(abs(rates.values[start] - power(0.99, 40)) < 1e-12)
    #expect(rates.values[start + 8] == 1)
  }

  @Test func probesReachAllBinsWhateverTheRates() throws {
    let policy = try AugmentationPolicy("ct_augment", Self.extent)
    let rates = try #require(policy.adaptive?.rates)
    for bin in 0..<rates.values.count { rates.values[bin] = bin % 2 == 0 ? 1 : 0 }
    let images = try Tensor(Shape(3000, 32 * 32 * 3), .uint8), result = try Tensor(images.shape, .uint8)
    let probes = try withExtendedLifetime((images, result)) {
      try policy.applyProbes(
        BorrowedArray(images), to: BorrowedArray(result), RandomStream(seed: 1, name: "probes"), draw: 0)
    }
    #expect(probes.count == 3000 && probes.allSatisfy { $0.count == 2 })
    #expect(Set(probes.joined().map(\.operation)).count == CTAugment.Operation.allCases.count)
    let rotations = Set(probes.joined().filter { $0.operation == .rotate }.map { Int($0.level[0] * 17) })
    #expect(rotations == Set(0..<17))
  }

  // MARK: Places

  @Test func partsOfImagesKeepToTheirBounds() throws {
    let extent = Extent(40, 60, 3)
    let kind = try #require(AugmentationStageKind.all.first { $0.name == "resized_crop" })
    let values = try FieldValues(
      ["operation": "resized_crop", "minimum_area": 0.2, "maximum_area": 0.5], fields: kind.fields, subject: "test")
    let crop = try RandomResizedCrop(values, extent)
    var areas: [Double] = []
    for draw in 0..<500 {
      var random = random(UInt64(draw))
      let part = crop.part(&random)
      #expect(part.rows.lowerBound >= 0 && part.rows.upperBound <= 40)
      #expect(part.columns.lowerBound >= 0 && part.columns.upperBound <= 60)
      areas.append(Double(part.rows.count * part.columns.count) / 2400)
      let ratio = Double(part.columns.count) / Double(part.rows.count)
      #expect(ratio > 0.68 && ratio < 1.45)
    }
    #expect((areas.min() ?? 0) < 0.22 && (areas.min() ?? 0) > 0.17)
    #expect((areas.max() ?? 0) > 0.48 && (areas.max() ?? 1) < 0.53)
  }

  /// Any image, however small or oddly shaped, through every operation of every policy.
  @Test(arguments: [(1, 2, 1), (2, 1, 3), (1, 7, 3), (3, 3, 1), (5, 4, 3), (64, 3, 1)])
  func smallImagesPassThroughEveryPolicy(height: Int, width: Int, channels: Int) throws {
    let images = try Tensor(Shape(checking: [40, height, width, channels]), .uint8)
    for i in 0..<images.count { images[i] = Double(i * 37 % 256) }
    for policy in NamedPolicy.all {
      for draw in 0..<5 {
        let changed = try augment(images, .string(policy.name), draw: UInt64(draw))
        #expect(changed.shape == images.shape)
      }
    }
  }

  @Test func imagesAreChangedAlikeWholeAndPartByPart() throws {
    let images = try Tensor(Shape(checking: [7, 5, 4, 3]), .uint8), size = 5 * 4 * 3
    for i in 0..<images.count { images[i] = Double(i * 37 % 256) }
    let whole = try augment(images, "fixmatch", seed: 3, draw: 2)
    for first in 0..<7 {
      let part = Tensor(
        try Shape(checking: [7 - first, 5, 4, 3]), .uint8, buffer: images.buffer, offset: images.offset + first * size)
      let changed = try augment(part, "fixmatch", seed: 3, draw: 2, first: UInt64(first))
      #expect((0..<changed.count).allSatisfy { changed[$0] == whole[first * size + $0] })
    }
  }

  @Test func descriptionsOfNoStagesAreEmpty() {
    for description: JSON in ["none", [], ["none", []]] { #expect(AugmentationPolicy.isEmpty(description)) }
    for description: JSON in ["crop", "flip", "nothing", ["none", "crop"], ["operation": "flip"]] {
      #expect(!AugmentationPolicy.isEmpty(description))
    }
  }

  // MARK: Ahead of time

  @Test func aWorkerMakesWhatItIsAskedFor() throws {
    let worker = BackgroundWorker<Int>()
    for value in 0..<100 {
      worker.begin { value * value }
      #expect(try worker.take() == value * value)
    }
    worker.begin { throw DidactError(.data, "no such row") }
    #expect(throws: DidactError.self) { try worker.take() }
    worker.begin { 1 }
    #expect(try worker.take() == 1)
    // It ends with a value that nobody takes.
    worker.begin { 2 }
  }
}
