import Synchronization

/// A chain of layers with its parameters, gradients and running statistics, each in one buffer that never moves.
///
/// Forwards that change nothing but workspaces may run from any number of threads. A network of an unbound generic type
/// would be slow across modules, so that the element type is a value: `elementType`.
public final class Network: @unchecked Sendable {
  public let specification: NetworkSpecification
  public let elementType: ElementType
  public let seed: UInt64
  /// The most threads that a call uses.
  public let threads: Int
  public let arithmetic: ConvolutionArithmetic
  let kernels: any Kernels
  let graph: LayerGraph
  /// What it says of an example.
  let task: any Task
  /// Length of a row of logits.
  public let classes: Int
  /// Rows of logits for an example: one, or in segmentation one for each pixel.
  let labelsPerExample: Int
  /// Of one block of a prediction.
  let predictedRows: Int
  let values: Values
  /// The layer that a part of a network ends with; nil for a whole one.
  let end: String?
  /// Parts of this network, by the layer that they end with; made when they are first asked for.
  let parts = Locked<[String: Network]>([:])
  /// Compiled for the batch shapes and modes seen lately, the last used one last.
  private let plans = Locked<[Plan]>([])
  private static let keptPlans = 16
  /// Of large passes, which are made anew each time.
  private let workspaces: LargeMemory
  /// Small passes, to use again.
  private let passes = Locked(Pool<Plan.Key, RecordedPass>(capacity: 16))

  /// - Parameters:
  ///   - elementType: `.float32` or `.float64`.
  ///   - seed: of the initial parameters and of dropout masks.
  ///   - threads: the most to use, at most one a core; 0 for one a core. Small work stays on one.
  ///   - arithmetic: of convolutions.
  ///   - stream: names the random stream of the initial parameters; networks of one seed and different streams differ.
  ///   - other: a network that large passes take turns in memory with.
  /// - Throws: `DidactError.elementType` or `.outOfMemory`.
  public convenience init(
    _ specification: NetworkSpecification, elementType: ElementType = .float32, seed: UInt64 = 0, threads: Int = 0,
    arithmetic: ConvolutionArithmetic = .direct, stream: String = "initialization/network",
    sharingMemoryOf other: Network? = nil
  ) throws {
    let builder = try NetworkBuilder(specification)
    let threads = threads > 0 ? min(threads, availableCores) : availableCores
    try self.init(
      specification, builder.graph, elementType: elementType, seed: seed, threads: threads, arithmetic: arithmetic,
      kernels: makeKernels(elementType, threads: threads, arithmetic: arithmetic), Values(builder, elementType),
      other?.workspaces ?? LargeMemory())
    initialize(stream: stream)
  }

  private init(
    _ specification: NetworkSpecification, _ graph: LayerGraph, elementType: ElementType, seed: UInt64, threads: Int,
    arithmetic: ConvolutionArithmetic, kernels: any Kernels, _ values: Values, _ workspaces: LargeMemory,
    end: String? = nil
  ) throws {
    self.specification = specification
    self.elementType = elementType
    self.seed = seed
    self.threads = threads
    self.arithmetic = arithmetic
    self.kernels = kernels
    self.graph = graph
    self.values = values
    self.workspaces = workspaces
    self.end = end
    task =
      end == nil && specification.task == .segmentation
      ? try Segmentation(output: graph.last.extent) : Classification(classes: graph.last.outputs)
    classes = task.classes
    labelsPerExample = task.labelsPerExample
    predictedRows = try PassLayout.rowsOfBlock(graph, inputs: specification.extent.count)
  }

  /// Of other layers, with all else that `other` has.
  convenience init(
    sharing other: Network, _ values: Values, _ specification: NetworkSpecification, _ graph: LayerGraph,
    end: String? = nil
  ) throws {
    try self.init(
      specification, graph, elementType: other.elementType, seed: other.seed, threads: other.threads,
      arithmetic: other.arithmetic, kernels: other.kernels, values, other.workspaces, end: end)
  }

  /// The same parameters, gradients and statistics, not copies, in a network for images of another size: what one learns
  /// the other knows. For training at another size, make a trainer of the resized specification and load the weights.
  /// - Throws: `DidactError.invalidArgument` for a network whose parameters depend on the size, or a size too small.
  public func resized(height: Int, width: Int) throws -> Network {
    let resized = try specification.resized(height: height, width: width), builder = try NetworkBuilder(resized)
    if let name = Set(builder.parameters.map(\.name)).symmetricDifference(parameterNames).min() {
      throw DidactError(
        .invalidArgument,
        "for \(resized.extent) the network has other layers than for \(specification.extent), such as that of "
          + "\(name); give small_cnn a number of \"stages\"")
    }
    if let (slot, own) = zip(builder.parameters, parameterSlots).first(where: { $0.shape != $1.shape }) {
      throw DidactError(
        .invalidArgument,
        "\(own.name) depends on the size of the images: \(own.shape) for \(specification.extent), "
          + "\(slot.shape) for \(resized.extent)")
    }
    return try Network(sharing: self, values, resized, builder.graph)
  }

  /// Sets parameters and statistics to initial values.
  /// - Parameter stream: names the random stream.
  func initialize(stream: String) {
    let random = RandomStream(seed: seed, name: stream)
    for (index, slot) in parameterSlots.enumerated() {
      switch values.initializations[index] {
      case .constant(let value): kernels.fill(slot[parameters], value)
      case .uniform(let bound):
        kernels.uniform(slot[parameters], low: -bound, high: bound, random.draw(0, lane: UInt32(index)))
      case .normal(let deviation):
        kernels.fill(slot[parameters], 0)
        kernels.addNormal(slot[parameters], deviation: deviation, random.draw(0, lane: UInt32(index)))
      }
    }
    for slot in statisticSlots {
      kernels.fill(slot[statistics], slot.name.hasSuffix("running_variance") ? 1 : 0)
    }
  }

  /// From a specification with `dtype` (default `"float32"`) and `seed` (default 0) beside its own keys.
  /// - Throws: `DidactError.invalidArgument` naming the key.
  public convenience init(description: JSON) throws {
    var specification = description.members ?? [:]
    var own = JSONObject()
    for field in Self.fields {
      own[field.key] = specification[field.key]
      specification[field.key] = nil
    }
    let values = try FieldValues(own, fields: Self.fields, subject: "network")
    let elementType: ElementType = try values.text("dtype") == "float64" ? .float64 : .float32
    let arithmetic = try ConvolutionArithmetic(values, elementType)
    try self.init(
      NetworkSpecification(description.members == nil ? description : .object(specification)),
      elementType: elementType, seed: UInt64(try values.integer("seed")), threads: try values.integer("threads"),
      arithmetic: arithmetic)
    try arithmetic.check(hasConvolutions: graph.hasConvolutions)
  }

  private static let fields =
    [
      Field("dtype", .choice(["float32", "float64"]), "float32", "element type of all computation"),
      Field("seed", .integer(.atLeast(0)), 0, "seed of initial parameters and dropout masks"),
      Field("threads", .integer(.closed(0, 1024)), 0, "most threads to use, at most one a core; 0 for one a core"),
    ] + ConvolutionArithmetic.fields

  /// What `init(description:)` reads.
  public var description: JSON {
    var object = specification.json.members ?? [:]
    object["dtype"] = .string(elementType.description)
    object["seed"] = .integer(Int64(clamping: seed))
    return .object(object)
  }

  /// Length of an input row.
  public var inputs: Int { specification.inputs }
  /// Whether a training-mode forward depends on which rows stand in the batch together.
  var usesBatchStatistics: Bool { !graph.normalizations.isEmpty }

  public var parameterNames: [String] { values.parameterNames }
  public var statisticNames: [String] { values.statisticNames }

  /// A view of one parameter, such as `dense0.weight` [outputs, inputs].
  /// - Throws: `DidactError.invalidArgument` naming the nearest known name.
  public func parameter(_ name: String) throws -> Tensor { try parameterSlot(name)[parameters] }

  /// A view of the gradient of one parameter.
  public func gradient(_ name: String) throws -> Tensor { try parameterSlot(name)[gradients] }

  /// A view of one running statistic, such as `batch_norm0.running_mean`.
  public func statistic(_ name: String) throws -> Tensor {
    guard let index = values.indices[name], index >= parameterSlots.count else {
      throw DidactError(
        .invalidArgument, "no statistic \"\(name)\".\(suggestion(for: name, among: statisticNames))")
    }
    return statisticSlots[index - parameterSlots.count][statistics]
  }

  private func parameterSlot(_ name: String) throws -> Slot {
    guard let index = values.indices[name], index < parameterSlots.count else {
      throw DidactError(
        .invalidArgument, "no parameter \"\(name)\".\(suggestion(for: name, among: parameterNames))")
    }
    return parameterSlots[index]
  }

  /// A network of its own with the same values.
  public func copy() throws -> Network {
    let whole = try Network(
      specification, elementType: elementType, seed: seed, threads: threads, arithmetic: arithmetic)
    let copy = try end.map { try whole.part(endingWith: $0) } ?? whole
    copy.setValues(from: self)
    let count = draws.withLock { $0 }
    copy.draws.withLock { $0 = count }
    return copy
  }

  /// Copies parameters and statistics of a network of the same specification.
  func setValues(from other: Network) {
    kernels.copy(other.parameters, to: parameters)
    kernels.copy(other.statistics, to: statistics)
  }

  // MARK: - Passes

  /// Runs the layers and remembers what backward and tangent need.
  /// - Parameters:
  ///   - input: [N, inputs] of this network's element type; kept, and must stay as it is as long as the pass is used.
  ///   - parameters: what the pass is about, which must stay as it is as long as the pass is used; nil for the network's own.
  /// - Throws: `DidactError.shape`, `.elementType`, or `.data` for a batch of one where batch statistics are needed.
  func record(_ input: Tensor, mode: PassMode, at parameters: Tensor? = nil) throws -> RecordedPass {
    try checkInput(input.shape)
    guard input.elementType == elementType else {
      throw DidactError(.elementType, "input is \(input.elementType); the network computes in \(elementType)")
    }
    if mode.normalization != .running { try checkGroups(rows: input.rows) }
    let pass = try takePass(rows: input.rows, mode: mode)
    try pass.forward(input, mode: mode, at: parameters)
    return pass
  }

  /// Records a pass as the building blocks do: at a snapshot of the parameters, in training mode with the network's own
  /// dropout stream, moving the running statistics.
  /// - Parameters:
  ///   - input: [N, inputs] of any element type.
  ///   - training: false for running statistics and no dropout.
  ///   - draw: which dropout masks; nil for the next ones.
  public func record(_ input: Tensor, training: Bool = true, draw: UInt64? = nil) throws -> RecordedPass {
    let mode = trainingMode(training, draw)
    // The caller's own may change.
    let own = try converted(input)
    let kept = own.buffer === input.buffer ? try own.copy() : own
    return try record(kept, mode: mode, at: self.parameters.copy())
  }

  /// The logits [N, classes], of a network that segments [N, height, width, classes], in evaluation mode or, on request, in
  /// training mode (which moves running statistics).
  public func forward(_ input: Tensor, training: Bool = false, draw: UInt64? = nil) throws -> Tensor {
    let pass = try record(try converted(input), mode: trainingMode(training, draw).forLogits)
    // While it is referred to, no other thread takes it.
    return try withExtendedLifetime(pass) { try pass.logits.view(task.logitsShape(examples: input.rows)).copy() }
  }

  private func trainingMode(_ training: Bool, _ draw: UInt64?) -> PassMode {
    guard training else { return .evaluation }
    let next =
      draw
      ?? draws.withLock { count in
        defer { count += 1 }
        return count
      }
    return PassMode(
      normalization: .batchUpdatingRunning, noise: RandomStream(seed: seed, name: "dropout"), draw: next)
  }

  /// `input` in this network's element type, images as rows: itself where that is so already.
  package func converted(_ input: Tensor) throws -> Tensor {
    guard input.elementType != elementType || input.shape.rank > 2 else { return input }
    return try withExtendedLifetime(input) {
      let given = BorrowedArray(input), examples = given.examples(of: specification.extent)
      let result = try Tensor(examples.map { Shape($0.rows, $0.columns) } ?? input.shape, elementType)
      _ = kernels.convert(result, examples ?? given, mean: nil, scale: nil)
      return result
    }
  }

  /// Examples as this network takes them.
  /// - Throws: `DidactError.shape` for arrays of other shapes, and for none.
  func examples(_ input: BorrowedArray) throws -> BorrowedArray {
    guard let examples = input.examples(of: specification.extent) else {
      throw DidactError(.shape, "input has shape \(input.shape); expected \(specification.extent.expected)")
    }
    guard examples.rows > 0 else { throw DidactError(.shape, "input has no rows") }
    return examples
  }

  /// Each group of a normalisation needs two values of a channel, and as many rows as the others.
  private func checkGroups(rows: Int) throws {
    for layer in graph.normalizations {
      let groups = layer.batchGroups ?? 1
      guard rows % groups == 0 else {
        throw DidactError(
          .data, "\(layer.name) cannot divide a batch of \(rows) rows into \(groups) groups; take a multiple of them")
      }
      guard rows / groups * layer.extent.pixels > 1 else {
        let least = 2 * groups
        throw DidactError(
          .data, "\(layer.name) needs at least \(least) rows to normalise with batch statistics; got \(rows)")
      }
    }
  }

  private func checkInput(_ shape: Shape) throws {
    guard shape.rank == 2, shape[1] == inputs else {
      throw DidactError(.shape, "input has shape \(shape); expected \(specification.extent.expected)")
    }
    guard shape[0] > 0 else { throw DidactError(.shape, "input has no rows") }
  }

  /// What runs passes of this shape and mode: compiled when first asked for, and again after many others were used.
  private func plan(_ key: Plan.Key) throws -> Plan {
    try plans.withLock { plans in
      if let index = plans.lastIndex(where: { $0.key == key }) {
        if index < plans.count - 1 { plans.append(plans.remove(at: index)) }
        return plans[plans.count - 1]
      }
      let plan = try Plan(self, key)
      if plans.count == Network.keptPlans { plans.removeFirst() }
      plans.append(plan)
      return plan
    }
  }

  /// How many plans there are at the moment.
  var keptPlanCount: Int { plans.withLock { $0.count } }

  /// A pass to record with: one that was used before and is free, or a new one.
  func takePass(rows: Int, mode: PassMode) throws -> RecordedPass {
    let key = Plan.Key(rows: rows, normalization: mode.normalization, isNoisy: mode.noise != nil, isKept: mode.isKept)
    return try passes.withLock { passes in
      if let free = passes.take(key) { return free }
      let plan = try plan(key)
      func made() throws -> RecordedPass { try RecordedPass(self, plan, workspaces) }
      return try plan.isLarge ? made() : passes.add(key, byteCount: plan.workspaceByteCount, make: made)
    }
  }

  /// Lets go of passes, and memory for them, that nobody uses.
  func dropFreePasses() {
    passes.withLock { $0.removeAll() }
    workspaces.clear()
  }
}
