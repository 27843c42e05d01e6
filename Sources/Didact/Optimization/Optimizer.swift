/// Moves the parameters of one network along a gradient, and can pull a gradient back through its own last move.
///
/// θ′ = θ − update(g). The gradient is first clipped by min(1, c / ‖g‖), then weight decay is added
/// (`decayBeforeClip` for the other order).
public class Optimizer: @unchecked Sendable {
  public let network: Network
  public let settings: OptimizerSettings
  public internal(set) var learningRate: Double
  /// What a schedule multiplies the learning rate by in the next step.
  var scheduleFactor = 1.0
  /// β1 and β2 of the next step, for those that have them.
  var betas: (Double, Double)
  /// The learning rate of the next step.
  var scheduledRate: Double { learningRate * scheduleFactor }
  /// Steps taken, one int64; writable, as are all parts of `state`.
  public let stepCount: Tensor

  /// Given by a step that can no longer fail, before it moves anything but `stepCount`.
  let willMove = Notice()

  let kernels: any Kernels
  /// The vector that entered the clip in the last step: the gradient, or gradient + decay · parameters.
  let entered: Tensor
  /// ‖entered‖ and min(1, clip / ‖entered‖) of the last step.
  private(set) var enteredNorm = 0.0
  private(set) var clipScale = 1.0
  /// Whether a step was taken since this object was made.
  private var hasStepped = false
  /// Parts of the flat buffer that are decayed, and parts that are not.
  let segments: [(range: Range<Int>, weightDecay: Double)]

  init(_ network: Network, _ settings: OptimizerSettings) throws {
    self.network = network
    self.settings = settings
    learningRate = settings.learningRate
    betas = (settings.beta1, settings.beta2)
    kernels = network.kernels
    entered = try Tensor(network.parameters.shape, network.elementType)
    stepCount = try Tensor(Shape(), .int64)
    var segments: [(range: Range<Int>, weightDecay: Double)] = []
    for slot in network.parameterSlots {
      let range = slot.offset..<slot.offset + slot.shape.count
      let decay = settings.decayExclude == .biasAndNorm && slot.role != .weight ? 0 : settings.weightDecay
      if let last = segments.last, last.weightDecay == decay {
        segments[segments.count - 1].range = last.range.lowerBound..<range.upperBound
      } else {
        segments.append((range, decay))
      }
    }
    self.segments = segments
  }

  /// The optimiser that the settings name.
  public static func make(_ network: Network, _ settings: OptimizerSettings) throws -> Optimizer {
    switch settings.name {
    case .sgd: try SGD(network, settings)
    case .adamW, .adam: try AdamW(network, settings)
    case .rmsProp: try RMSProp(network, settings)
    case .lars: try LARS(network, settings)
    }
  }

  /// Vectors of state as long as the parameters, by kind.
  var vectors: [(name: String, flat: Tensor)] { [] }

  /// The state by name: `momentum.<parameter>`, `first_moment.<parameter>`, `second_moment.<parameter>`, `step`.
  public var state: [(name: String, tensor: Tensor)] {
    vectors.flatMap { vector in
      network.parameterSlots.map { ("\(vector.name).\($0.name)", $0[vector.flat]) }
    } + [("step", stepCount)]
  }

  /// The names of `state`, in order, and where each is; made when they are first asked for.
  private let knownNames = Locked<(list: [String], places: [String: Int])?>(nil)

  private func names() -> (list: [String], places: [String: Int]) {
    knownNames.withLock { known in
      if let known { return known }
      let list = state.map(\.name)
      let made = (list, Dictionary(uniqueKeysWithValues: zip(list, list.indices)))
      known = made
      return made
    }
  }

  public var stateNames: [String] { names().list }

  /// A part of the state.
  /// - Throws: `DidactError.invalidArgument` naming the nearest known name.
  public func state(named name: String) throws -> Tensor {
    let names = names(), slots = network.parameterSlots
    guard let place = names.places[name] else {
      throw DidactError(
        .invalidArgument, "no optimiser state \"\(name)\".\(suggestion(for: name, among: names.list))")
    }
    return place == vectors.count * slots.count
      ? stepCount : slots[place % slots.count][vectors[place / slots.count].flat]
  }

  /// Steps taken.
  var steps: Int {
    get { Int(stepCount.integer) }
    set { stepCount.integer = Int64(newValue) }
  }

  /// - Throws: `DidactError.invalidArgument` for a rate that is negative or not finite.
  public func setLearningRate(_ rate: Double) throws {
    guard rate.isFinite, rate >= 0 else {
      throw DidactError(.invalidArgument, "learning_rate must be a number in [0, ∞); got \(rate)")
    }
    learningRate = rate
  }

  /// Forgets all steps.
  func reset() {
    steps = 0
    for vector in vectors { kernels.fill(vector.flat, 0) }
  }

  /// An optimiser of its own for a copy of the network, with the same state.
  func copy(for network: Network) throws -> Optimizer {
    let copy = try Optimizer.make(network, settings)
    copy.learningRate = learningRate
    copy.scheduleFactor = scheduleFactor
    copy.betas = betas
    copy.steps = steps
    for (from, to) in zip(vectors, copy.vectors) { kernels.copy(from.flat, to: to.flat) }
    return copy
  }

  /// One step: parameters ← parameters − update(gradient).
  /// - Parameters:
  ///   - gradient: flat in public order; nil for the network's `gradients`.
  ///   - effect: takes update(gradient) − update(0), the part of the move that the gradient caused, unless nil.
  /// - Throws: `DidactError.diverged`, with nothing changed, where the gradient is not finite.
  public func step(_ gradient: Tensor? = nil, effect: Tensor? = nil) throws {
    let gradient = gradient ?? network.gradients
    guard gradient.shape == entered.shape, gradient.elementType == network.elementType else {
      throw DidactError(
        .shape,
        "gradient is \(gradient.elementType) \(gradient.shape); expected \(network.elementType) \(entered.shape)")
    }
    kernels.copy(gradient, to: entered)
    if settings.decaysBeforeClip { addDecay(to: entered) }
    let norm = kernels.dot(entered, entered).squareRoot()
    guard norm.isFinite, !Fault.isDue(.gradient) else {
      throw DidactError(.diverged, "the gradient is not finite; lower the learning rate or set clip_norm")
    }
    let clipScale = scale(ofNorm: norm)
    guard
      !settings.keepsSquares || network.elementType == .float64 || Float(clipScale * norm * clipScale * norm).isFinite
    else {
      throw DidactError(
        .diverged,
        "the square of the gradient, which \(settings.name.rawValue) keeps, is not finite; lower the learning rate, set clip_norm or "
          + "scale the input")
    }
    enteredNorm = norm
    self.clipScale = clipScale
    steps &+= 1
    hasStepped = true
    if let effect { try computeEffect(effect) }
    willMove.give()
    update()
  }

  /// (∂update/∂g)ᵀ v of the last step, so that a gradient v at the new parameters becomes one at the fresh gradient: the
  /// transposes in reverse order, the optimiser's diagonal first and the clip's Jacobian last.
  /// - Throws: `DidactError.state` before the first step.
  public func pullback(_ v: Tensor, into result: Tensor) throws {
    guard hasStepped else {
      throw DidactError(.state, "pullback needs a step: it is the transposed Jacobian of the last update")
    }
    for tensor in [v, result] where tensor.shape != entered.shape || tensor.elementType != network.elementType {
      throw DidactError(
        .shape, "pullback: \(tensor.elementType) \(tensor.shape); expected \(network.elementType) \(entered.shape)")
    }
    pullbackThroughUpdate(v, into: result)
    guard clipScale < 1 else { return }
    // (c/‖g‖) (I − ĝĝᵀ)
    let projection = kernels.dot(entered, result) / (enteredNorm * enteredNorm)
    kernels.add(entered, scaledBy: -projection, to: result)
    kernels.scale(result, by: clipScale)
  }

  /// min(1, c/‖·‖), without an epsilon.
  func scale(ofNorm norm: Double) -> Double {
    guard let limit = settings.clipNorm, norm > limit else { return 1 }
    return limit / norm
  }

  /// What the weight decay alone would enter the clip as, already clipped: update(0) of those that decay before it.
  func clippedDecay() throws -> Tensor {
    let decay = try Tensor(entered.shape, entered.elementType)
    addDecay(to: decay)
    kernels.scale(decay, by: scale(ofNorm: kernels.dot(decay, decay).squareRoot()))
    return decay
  }

  /// vector += weightDecay · parameters
  func addDecay(to vector: Tensor) {
    for segment in segments where segment.weightDecay != 0 {
      kernels.add(
        part(network.parameters, segment.range), scaledBy: segment.weightDecay, to: part(vector, segment.range))
    }
  }

  func part(_ flat: Tensor, _ range: Range<Int>) -> Tensor { flat.view(Shape(range.count), at: range.lowerBound) }

  // What each optimiser is.

  /// Moves parameters and state by the clipped gradient.
  func update() {}
  /// result ← v through the update, the clip left out.
  func pullbackThroughUpdate(_ v: Tensor, into result: Tensor) {}
  /// result ← update(g) − update(0), before parameters and state move.
  func computeEffect(_ result: Tensor) throws {}
}

/// What an optimiser does, as a value.
public struct OptimizerSettings: Sendable, Equatable {
  public enum Name: String, Sendable { case sgd, adam, adamW = "adamw", lars, rmsProp = "rmsprop" }
  public enum DecayExclusion: String, Sendable { case none, biasAndNorm = "bias_and_norm" }

  public let name: Name
  public let learningRate, momentum, weightDecay, beta1, beta2, epsilon, squareDecay, trustCoefficient: Double
  public let nesterov, decayBeforeClip: Bool
  public let decayExclude: DecayExclusion
  public let clipNorm: Double?

  public static let fields: [Field] = [
    Field("name", .choice(["sgd", "adam", "adamw", "lars", "rmsprop"]), "sgd", "the optimiser"),
    Field(
      "learning_rate", .number(.atLeast(0)), .null,
      "step size; null for 0.05 (sgd), 0.001 (adam, adamw, rmsprop) or 0.2 (lars)"),
    Field(
      "momentum", .number(.halfOpen(0, 1)), 0.9, "sgd, lars, rmsprop: factor of the momentum buffer",
      source: "as in PyTorch"),
    Field("nesterov", .boolean, true, "sgd: look ahead along the momentum", source: "as in PyTorch"),
    Field(
      "weight_decay", .number(.atLeast(0)), 0,
      "added to the gradient (before the clip for adam and rmsprop); adamw: decoupled",
      source: "Loshchilov and Hutter 2019"),
    Field(
      "decay_exclude", .choice(["none", "bias_and_norm"]), "none", "parameters left out of weight decay",
      source: "none as in PyTorch"),
    Field(
      "clip_norm", .number(.above(0)), .null, "largest norm of the whole gradient; null for no clipping",
      source: "Pascanu et al. 2013"),
    Field(
      "decay_before_clip", .boolean, false, "sgd: add weight decay before clipping instead of after",
      source: "true in Google's Meta Pseudo Labels code"),
    Field(
      "beta1", .number(.halfOpen(0, 1)), 0.9, "adam, adamw: decay of the first moment", source: "Kingma and Ba 2015"),
    Field(
      "beta2", .number(.halfOpen(0, 1)), 0.999, "adam, adamw: decay of the second moment", source: "Kingma and Ba 2015"),
    Field(
      "epsilon", .number(.above(0)), .null,
      "adam, adamw: added outside the root; rmsprop: inside; null for 1e-8, or 1e-3",
      source: "as in PyTorch; TensorFlow and Noisy Student"),
    Field(
      "square_decay", .number(.halfOpen(0, 1)), 0.9, "rmsprop: decay of the mean square", source: "Noisy Student's code"
    ),
    Field(
      "trust_coefficient", .number(.above(0)), 0.001, "lars: η of the ratio η ‖w‖ / ‖g‖", source: "You et al. 2017"),
  ]

  /// Whether the optimiser's state has squares of the gradient.
  var keepsSquares: Bool { name == .adam || name == .adamW || name == .rmsProp }
  /// Whether weight decay is a part of the gradient that is clipped.
  var decaysBeforeClip: Bool { decayBeforeClip || name == .adam || name == .rmsProp }

  /// The optimisers that each of the keys is for, where it is not for all.
  private static let owners: [String: Set<Name>] = [
    "momentum": [.sgd, .lars, .rmsProp], "nesterov": [.sgd], "decay_before_clip": [.sgd], "beta1": [.adam, .adamW],
    "beta2": [.adam, .adamW], "epsilon": [.adam, .adamW, .rmsProp], "square_decay": [.rmsProp],
    "trust_coefficient": [.lars],
  ]

  /// - Throws: `DidactError.invalidArgument` for values out of range, and for ones that the named optimiser would ignore.
  public init(_ json: JSON, subject: String) throws {
    guard let object = json.members else {
      throw DidactError(.invalidArgument, "\(subject): expected an object such as {\"name\": \"sgd\"}")
    }
    try self.init(object, subject: subject)
  }

  public init(_ object: JSONObject, subject: String) throws {
    let values = try FieldValues(object, fields: Self.fields, subject: subject)
    let name: Name = try values.choice("name")
    for field in Self.fields where !(Self.owners[field.key]?.contains(name) ?? true) {
      guard try values.value(field.key) == field.defaultValue else {
        throw DidactError(.invalidArgument, "\(subject): \"\(field.key)\" has no effect on \(name.rawValue)")
      }
    }
    self.name = name
    let usualRate = name == .sgd ? 0.05 : name == .lars ? 0.2 : 0.001
    learningRate = try values.optionalNumber("learning_rate") ?? usualRate
    momentum = try values.number("momentum")
    nesterov = try values.boolean("nesterov")
    weightDecay = try values.number("weight_decay")
    decayExclude = try values.choice("decay_exclude")
    clipNorm = try values.optionalNumber("clip_norm")
    decayBeforeClip = try values.boolean("decay_before_clip")
    beta1 = try values.number("beta1")
    beta2 = try values.number("beta2")
    epsilon = try values.optionalNumber("epsilon") ?? (name == .rmsProp ? 1e-3 : 1e-8)
    squareDecay = try values.number("square_decay")
    trustCoefficient = try values.number("trust_coefficient")
  }
}
