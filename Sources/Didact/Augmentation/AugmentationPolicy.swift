/// How images are changed at random: stages, one after the other. Each image has random numbers of its own, so that what
/// becomes of it depends neither on the images beside it nor on threads.
public struct AugmentationPolicy: Sendable {
  let extent: Extent
  let stages: [any AugmentationStage]

  /// - Parameters:
  ///   - description: the name of a policy, or of an operation that needs no values; or a stage, an object such as
  ///     `{"operation": "crop", "padding": 4}`; or a list of them, in the order in which they work.
  ///   - height: of the images, in pixels.
  /// - Throws: `DidactError.invalidArgument` naming what is unknown, or does not fit the images.
  public init(_ description: JSON, height: Int, width: Int, channels: Int) throws {
    try self.init(description, Extent(checking: height, width, channels, of: "images"))
  }

  init(_ description: JSON, _ extent: Extent) throws {
    guard extent.isImage else {
      let found = extent.count == 0 ? "have none" : "are vectors of \(extent.count)"
      throw DidactError(.invalidArgument, "augmentation changes images of more than one pixel; these \(found)")
    }
    self.extent = extent
    stages = try AugmentationPolicy.stages(description, extent)
  }

  private static func stages(_ description: JSON, _ extent: Extent) throws -> [any AugmentationStage] {
    switch description {
    case .string(let name):
      guard let policy = NamedPolicy.all.first(where: { $0.name == name }) else {
        let operations = AugmentationStageKind.all.map(\.name), known = NamedPolicy.all.map(\.name) + operations
        guard !operations.contains(name) else { return try stages(.object(["operation": .string(name)]), extent) }
        throw DidactError(
          .invalidArgument, "augmentation: unknown policy \"\(name)\".\(suggestion(for: name, among: known))")
      }
      return try stages(policy.description, extent)
    case .array(let list): return try list.flatMap { try stages($0, extent) }
    case .object(let object):
      let names = AugmentationStageKind.all.map(\.name)
      guard let name = object["operation"]?.text else {
        throw DidactError(
          .invalidArgument, "augmentation: \"operation\" must be one of: \(names.joined(separator: ", "))")
      }
      guard let kind = AugmentationStageKind.all.first(where: { $0.name == name }) else {
        throw DidactError(
          .invalidArgument, "augmentation: unknown operation \"\(name)\".\(suggestion(for: name, among: names))")
      }
      guard !kind.needsColor || extent.channels == 1 || extent.channels == 3 else {
        throw DidactError(
          .invalidArgument,
          "augmentation: \(name) works on images of 1 or 3 channels (gray; red, green, blue), not \(extent.channels)")
      }
      return [try kind.stage(object, extent)]
    default:
      throw DidactError(
        .invalidArgument,
        "augmentation: expected the name of a policy, an operation or a list; got \(description.serialized().prefix(80))"
      )
    }
  }

  /// Whether a description is one of no stages, such as "none": it fits all data, images or not.
  static func isEmpty(_ description: JSON) -> Bool {
    switch description {
    case .string(let name): NamedPolicy.all.first { $0.name == name }.map { isEmpty($0.description) } ?? false
    case .array(let list): list.allSatisfy(isEmpty)
    default: false
    }
  }

  /// The policies that have names.
  public static var named: [(name: String, meaning: String)] { NamedPolicy.all.map { ($0.name, $0.meaning) } }

  /// The operations, with the keys that each takes.
  public static var operations: [(name: String, fields: [Field])] {
    AugmentationStageKind.all.map { ($0.name, Array($0.fields.dropFirst())) }
  }

  /// The stage that learns from how the network bears its probes, if there is one.
  var adaptive: CTAugment? { stages.lazy.compactMap { $0 as? CTAugment }.first }

  // MARK: - Images

  /// Images [N, …] of uint8, side by side, changed.
  /// - Parameters:
  ///   - result: as many, side by side.
  ///   - draw: which of the stream's draws; image i takes its lane `first` + i.
  ///   - threads: the most to use, at least 1.
  func apply(
    _ images: BorrowedArray, to result: BorrowedArray, _ stream: RandomStream, draw: UInt64, first: UInt64 = 0,
    threads: Int
  ) throws {
    try forEachImage(images, result, stream, draw: draw, first: first, threads: threads) { _, canvas, random in
      for stage in stages { stage.apply(to: &canvas, &random) }
    }
  }

  /// The same with the adaptive stage's probes in its place.
  /// - Returns: for each image what it was changed by.
  func applyProbes(
    _ images: BorrowedArray, to result: BorrowedArray, _ stream: RandomStream, draw: UInt64
  ) throws -> [[CTAugment.Probe]] {
    var probes: [[CTAugment.Probe]] = Array(repeating: [], count: images.rows)
    try forEachImage(images, result, stream, draw: draw, first: 0, threads: 1) { index, canvas, random in
      for stage in stages {
        if let adaptive = stage as? CTAugment {
          probes[index] = adaptive.applyProbe(to: &canvas, &random)
        } else {
          stage.apply(to: &canvas, &random)
        }
      }
    }
    return probes
  }

  private func forEachImage(
    _ images: BorrowedArray, _ result: BorrowedArray, _ stream: RandomStream, draw: UInt64, first: UInt64,
    threads: Int, _ body: (Int, inout ImageCanvas, inout RandomSequence) -> Void
  ) throws {
    // Images without values take no memory, so that there can be more of them than anybody can wait for.
    guard images.count > 0 else { return }
    let parts = max(1, min(threads, images.rows, availableCores))
    let canvases = try (0..<parts).map { _ in try ImageCanvas(extent) }
    parallelLoop(images.rows, parts: parts) { part, range in
      var canvas = canvases[part]
      for index in range {
        let lane = UInt32(truncatingIfNeeded: first &+ UInt64(index))
        var random = RandomSequence(stream.draw(draw, lane: lane))
        canvas.load(images, index)
        body(index, &canvas, &random)
        canvas.store(result, index)
      }
    }
  }
}

/// Changes images [N, height, width, channels] or [N, height, width] of uint8 by a policy, as a fit does.
/// - Parameters:
///   - description: of the policy; see `AugmentationPolicy`.
///   - result: takes as many images; may be `images`.
///   - draw: which of the seed's draws.
///   - first: the position of the first image among all, where these are a part of them.
///   - threads: the most to use; 0 for one a core.
/// - Throws: `DidactError.elementType` or `.shape` for what are no images; `.invalidArgument` for the policy.
package func augment(
  _ images: BorrowedArray, to result: BorrowedArray, _ description: JSON, seed: UInt64, draw: UInt64, first: UInt64,
  threads: Int
) throws {
  guard images.elementType == .uint8 else {
    throw DidactError(.elementType, "images are \(images.elementType); augmentation changes uint8 images")
  }
  let shape = images.shape
  guard shape.rank == 3 || shape.rank == 4 else {
    throw DidactError(.shape, "images have shape \(shape); expected [N, height, width, channels] or [N, height, width]")
  }
  guard threads >= 0 else { throw DidactError(.invalidArgument, "threads must be 0 or more; got \(threads)") }
  try result.check(shape, .uint8, "out")
  let policy = try AugmentationPolicy(
    description, height: shape[1], width: shape[2], channels: shape.rank == 4 ? shape[3] : 1)
  func changed(_ images: BorrowedArray, to result: BorrowedArray) throws {
    try policy.apply(
      images, to: result, RandomStream(seed: seed, name: "augmentation"), draw: draw, first: first,
      threads: threads == 0 ? availableCores : threads)
  }
  guard !images.isContiguous || !result.isContiguous else { return try changed(images, to: result) }
  let copy = try Tensor(shape, .uint8)
  images.copyElements(to: copy)
  try withExtendedLifetime(copy) { try changed(BorrowedArray(copy), to: BorrowedArray(copy)) }
  try result.take(copy, "out")
}

/// The same into memory of their own.
public func augment(
  _ images: Tensor, _ description: JSON, seed: UInt64 = 0, draw: UInt64 = 0, first: UInt64 = 0, threads: Int = 0
) throws -> Tensor {
  let result = try Tensor(images.shape, .uint8)
  try withExtendedLifetime((images, result)) {
    try augment(
      BorrowedArray(images), to: BorrowedArray(result), description, seed: seed, draw: draw, first: first,
      threads: threads)
  }
  return result
}

/// The named policies and the operations, for documentation and bindings.
public func augmentationTable() -> JSON {
  let policies = NamedPolicy.all.map { policy in
    JSON.object([
      "name": .string(policy.name), "meaning": .string(policy.meaning), "source": .string(policy.source),
      "description": policy.description,
    ])
  }
  let operations = AugmentationPolicy.operations.map { operation in
    JSON.object(["name": .string(operation.name), "fields": .array(operation.fields.map(\.json))])
  }
  return .object(["policies": .array(policies), "operations": .array(operations)])
}
