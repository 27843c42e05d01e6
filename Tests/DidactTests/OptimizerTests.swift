import Testing

@testable import Didact

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// An optimiser's settings under a name for the test report.
struct OptimizerCase: CustomTestStringConvertible, Sendable {
  let name: String
  let object: JSONObject
  var testDescription: String { name }

  init(_ name: String, _ object: JSONObject) {
    self.name = name
    self.object = object
  }

  func settings() throws -> OptimizerSettings { try OptimizerSettings(object, subject: "optimizer") }
}

/// The optimisers written down once more, plainly, on arrays: PyTorch's updates after clipping by min(1, c/‖g‖).
struct PlainOptimizer {
  let settings: OptimizerSettings
  /// Whether decay reaches a parameter.
  let decays: [Bool]
  var parameters: [Double]
  var momentum: [Double]
  var first: [Double]
  var second: [Double]
  var steps = 0.0
  let slots: [(range: Range<Int>, isWeight: Bool)]

  init(_ settings: OptimizerSettings, _ network: Network) {
    self.settings = settings
    decays = network.parameterSlots.flatMap { slot in
      [Bool](
        repeating: settings.decayExclude == .none || slot.name.hasPrefix("dense") && slot.name.hasSuffix(".weight"),
        count: slot.shape.count)
    }
    slots = network.parameterSlots.map { ($0.offset..<$0.offset + $0.shape.count, $0.role == .weight) }
    parameters = network.parameters.values
    momentum = parameters.map { _ in 0 }
    first = momentum
    second = momentum
  }

  mutating func step(_ gradient: [Double]) {
    steps += 1
    var g = gradient
    let decay = decays.map { $0 ? settings.weightDecay : 0 }
    if settings.decayBeforeClip || [.adam, .rmsProp].contains(settings.name) {
      for i in g.indices { g[i] += decay[i] * parameters[i] }
    }
    if let limit = settings.clipNorm, norm(g) > limit {
      let scale = limit / norm(g)
      for i in g.indices { g[i] *= scale }
    }
    for i in g.indices {
      switch settings.name {
      case .sgd:
        if !settings.decayBeforeClip { g[i] += decay[i] * parameters[i] }
        momentum[i] = settings.momentum * momentum[i] + g[i]
        let direction = settings.nesterov ? g[i] + settings.momentum * momentum[i] : momentum[i]
        parameters[i] -= settings.learningRate * direction
      case .adamW:
        parameters[i] -= settings.learningRate * decay[i] * parameters[i]
        first[i] = settings.beta1 * first[i] + (1 - settings.beta1) * g[i]
        second[i] = settings.beta2 * second[i] + (1 - settings.beta2) * g[i] * g[i]
        let mean = first[i] / (1 - pow(settings.beta1, steps)), square = second[i] / (1 - pow(settings.beta2, steps))
        parameters[i] -= settings.learningRate * mean / (square.squareRoot() + settings.epsilon)
      case .adam:
        first[i] = settings.beta1 * first[i] + (1 - settings.beta1) * g[i]
        second[i] = settings.beta2 * second[i] + (1 - settings.beta2) * g[i] * g[i]
        let mean = first[i] / (1 - pow(settings.beta1, steps)), square = second[i] / (1 - pow(settings.beta2, steps))
        parameters[i] -= settings.learningRate * mean / (square.squareRoot() + settings.epsilon)
      case .rmsProp:
        // The mean square begins at 1; `second` begins at 0.
        if steps == 1 { second[i] = 1 }
        second[i] = settings.squareDecay * second[i] + (1 - settings.squareDecay) * g[i] * g[i]
        momentum[i] =
          settings.momentum * momentum[i] + settings.learningRate * g[i] / (second[i] + settings.epsilon).squareRoot()
        parameters[i] -= momentum[i]
      case .lars: break
      }
    }
    guard settings.name == .lars else { return }
    for (range, isWeight) in slots {
      if isWeight { for i in range { g[i] += settings.weightDecay * parameters[i] } }
      let ratio = isWeight ? settings.trustCoefficient * norm(Array(parameters[range])) / norm(Array(g[range])) : 1
      for i in range {
        momentum[i] = settings.momentum * momentum[i] + settings.learningRate * ratio * g[i]
        parameters[i] -= momentum[i]
      }
    }
  }
}

@Suite struct OptimizerTests {
  static let cases: [OptimizerCase] = [
    OptimizerCase("sgd", ["learning_rate": 0.1, "momentum": 0, "nesterov": false]),
    OptimizerCase("heavy ball", ["learning_rate": 0.1, "momentum": 0.8, "nesterov": false]),
    OptimizerCase("nesterov", ["learning_rate": 0.1, "momentum": 0.8, "nesterov": true]),
    OptimizerCase("decay", ["learning_rate": 0.1, "momentum": 0.8, "nesterov": true, "weight_decay": 0.3]),
    OptimizerCase(
      "decay, excluded", ["learning_rate": 0.1, "momentum": 0.8, "weight_decay": 0.3, "decay_exclude": "bias_and_norm"]),
    OptimizerCase("clip, active", ["learning_rate": 0.1, "clip_norm": 0.5]),
    OptimizerCase("clip, inactive", ["learning_rate": 0.1, "clip_norm": 1e6]),
    OptimizerCase("clip, then decay", ["learning_rate": 0.1, "clip_norm": 0.5, "weight_decay": 0.3]),
    OptimizerCase(
      "decay, then clip", ["learning_rate": 0.1, "clip_norm": 0.5, "weight_decay": 0.3, "decay_before_clip": true]),
    OptimizerCase(
      "decay, then clip, heavy ball, excluded",
      [
        "learning_rate": 0.1, "clip_norm": 0.5, "weight_decay": 0.3, "decay_before_clip": true, "nesterov": false,
        "decay_exclude": "bias_and_norm",
      ]),
    OptimizerCase("adamw", ["name": "adamw", "learning_rate": 0.1]),
    OptimizerCase(
      "adamw, other settings",
      ["name": "adamw", "learning_rate": 0.01, "beta1": 0.7, "beta2": 0.9, "epsilon": 0.01, "weight_decay": 0.3]),
    OptimizerCase(
      "adamw, clip, decay",
      [
        "name": "adamw", "learning_rate": 0.1, "clip_norm": 0.5, "weight_decay": 0.3, "decay_exclude": "bias_and_norm",
        "beta2": 0.9,
      ]),
    OptimizerCase("adam, clip, decay", ["name": "adam", "learning_rate": 0.1, "clip_norm": 0.5, "weight_decay": 0.3]),
    OptimizerCase("rmsprop", ["name": "rmsprop", "learning_rate": 0.1]),
    OptimizerCase(
      "rmsprop, clip, decay",
      [
        "name": "rmsprop", "learning_rate": 0.1, "clip_norm": 0.5, "weight_decay": 0.3, "epsilon": 0.01,
        "square_decay": 0.7, "momentum": 0.5,
      ]),
    OptimizerCase("lars", ["name": "lars", "learning_rate": 3, "trust_coefficient": 0.1]),
    OptimizerCase(
      "lars, clip, decay",
      ["name": "lars", "learning_rate": 3, "trust_coefficient": 0.1, "clip_norm": 0.5, "weight_decay": 0.3]),
  ]

  static func makeNetwork(_ elementType: ElementType = .float64) throws -> Network {
    let network = try Network(
      .multilayerPerceptron(inputs: 3, hidden: [4], classes: 2, batchNorm: true), elementType: elementType, seed: 3)
    try network.randomize(seed: 30)
    return network
  }

  /// The gradient of step `number`, of varied size.
  static func gradient(_ network: Network, _ number: UInt64) throws -> Tensor {
    try randomTensor(network.parameters.shape, network.elementType, seed: 40 + number, scale: 1 / Double(1 + number))
  }

  /// An optimiser after `steps` steps.
  static func warm(_ optimizerCase: OptimizerCase, steps: Int) throws -> Optimizer {
    let network = try makeNetwork(), optimizer = try Optimizer.make(network, optimizerCase.settings())
    for number in 0..<steps { try optimizer.step(gradient(network, UInt64(number))) }
    return optimizer
  }

  // MARK: Updates

  @Test(arguments: cases) func updatesAreAsWrittenDown(_ optimizerCase: OptimizerCase) throws {
    for elementType in [ElementType.float64, .float32] {
      let network = try Self.makeNetwork(elementType)
      let optimizer = try Optimizer.make(network, optimizerCase.settings())
      var plain = PlainOptimizer(try optimizerCase.settings(), network)
      for number in 0..<6 {
        let gradient = try Self.gradient(network, UInt64(number))
        try optimizer.step(gradient)
        plain.step(gradient.values)
        #expect(
          relativeError(network.parameters.values, plain.parameters) < (elementType == .float64 ? 1e-13 : 1e-5),
          "\(elementType), step \(number)")
      }
      #expect(optimizer.stepCount.values == [6])
      let expected: [(String, [Double])] = [
        ("momentum", plain.momentum), ("first_moment", plain.first), ("second_moment", plain.second),
        ("mean_square", plain.second),
      ]
      for vector in optimizer.vectors {
        let values = try #require(expected.first { $0.0 == vector.name }).1
        // 1 − 0.999 has few digits left in Float.
        #expect(relativeError(vector.flat.values, values) < (elementType == .float64 ? 1e-13 : 5e-5))
      }
    }
  }

  @Test func gradientsOfTheNetworkAreTheDefault() throws {
    let network = try Self.makeNetwork(), other = try network.copy()
    let gradient = try Self.gradient(network, 0)
    network.gradients.set(gradient.values)
    try Optimizer.make(network, Self.cases[0].settings()).step()
    try Optimizer.make(other, Self.cases[0].settings()).step(gradient)
    #expect(network.parameters.bytes == other.parameters.bytes)
  }

  /// Without an epsilon, a clipped step has exactly the length of the limit.
  @Test func clippedLength() throws {
    let network = try Self.makeNetwork(), start = network.parameters.values
    let settings = try OptimizerCase("", ["learning_rate": 1, "momentum": 0, "nesterov": false, "clip_norm": 0.25])
      .settings()
    let optimizer = try Optimizer.make(network, settings)
    try optimizer.step(Self.gradient(network, 0))
    #expect(abs(norm(zip(network.parameters.values, start).map { $0 - $1 }) - 0.25) < 1e-15)
    let moved = network.parameters.bytes
    try optimizer.step(Tensor(network.parameters.shape, .float64))
    #expect(network.parameters.bytes == moved, "a gradient of 0 is no division by 0")
  }

  @Test func learningRateIsOfTheNextStep() throws {
    let network = try Self.makeNetwork(), start = network.parameters.bytes
    let optimizer = try Optimizer.make(network, Self.cases[2].settings())
    optimizer.learningRate = 0
    try optimizer.step(Self.gradient(network, 0))
    #expect(network.parameters.bytes == start)
    optimizer.learningRate = 0.1
    try optimizer.step(Self.gradient(network, 0))
    #expect(network.parameters.bytes != start)
  }

  /// A model with an infinite square could not be saved.
  @Test(arguments: ["adam", "adamw", "rmsprop"]) func refusesGradientsWhoseSquareIsNotFinite(name: String) throws {
    let specification = try NetworkSpecification.multilayerPerceptron(inputs: 2, hidden: [], classes: 2)
    for (elementType, clipNorm, isRefused) in [
      (ElementType.float32, JSON.null, true), (.float32, 1, false), (.float64, .null, false),
    ] {
      let network = try Network(specification, elementType: elementType)
      let settings = try OptimizerSettings(
        ["name": .string(name), "clip_norm": clipNorm] as JSONObject, subject: "test")
      let optimizer = try Optimizer.make(network, settings),
        gradient = try Tensor(network.parameters.shape, elementType)
      gradient[1] = 1e20
      let before = network.parameters.bytes
      do {
        try optimizer.step(gradient)
        #expect(!isRefused && optimizer.state.allSatisfy { $0.tensor.values.allSatisfy(\.isFinite) })
      } catch let error as DidactError {
        #expect(isRefused && error.code == .diverged && network.parameters.bytes == before)
      }
    }
  }

  @Test(arguments: cases) func refusesGradientsThatAreNotFinite(_ optimizerCase: OptimizerCase) throws {
    let optimizer = try Self.warm(optimizerCase, steps: 2), network = optimizer.network
    func bytes() -> [[UInt8]] { [network.parameters.bytes] + optimizer.state.map(\.tensor.bytes) }
    let before = bytes()
    for value in [Double.nan, .infinity] {
      let gradient = try Self.gradient(network, 1)
      gradient[5] = value
      let error = #expect(throws: DidactError.self) { try optimizer.step(gradient) }
      #expect(error?.code == .diverged)
      #expect(bytes() == before)
    }
    #expect(throws: DidactError.self) { try optimizer.step(Tensor(Shape(3), .float64)) }
    #expect(throws: DidactError.self) { try optimizer.step(Tensor(network.parameters.shape, .float32)) }
  }

  // MARK: Pulling back

  /// ⟨v, update(g + hd) − update(g − hd)⟩ / 2h = ⟨pullback(v), d⟩, after no, one and several steps.
  @Test(arguments: cases) func pullbackIsTheTransposedJacobian(_ optimizerCase: OptimizerCase) throws {
    let isAdam = [.adam, .adamW].contains(try optimizerCase.settings().name)
    for steps in isAdam ? [1, 3, 10] : [0, 1, 5] {
      let optimizer = try Self.warm(optimizerCase, steps: steps), network = optimizer.network
      let gradient = try Self.gradient(network, 77), v = try randomTensor(gradient.shape, seed: 78)
      // As a schedule may change them on the way.
      if steps == 3 { optimizer.betas = (0.6, 0.97) }
      /// ⟨v, −parameters⟩ after the step from this state with another gradient.
      func objective(_ gradient: Tensor) throws -> Double {
        let copy = try network.copy()
        try optimizer.copy(for: copy).step(gradient)
        return -v.dot(copy.parameters)
      }
      // AdamW's update bends sharply where the moments are small: the best of three step sizes.
      let numeric = try [1e-4, 1e-5, 1e-6].map {
        try differenceGradient(of: { try objective(gradient) }, by: gradient, step: $0)
      }
      try optimizer.step(gradient)
      let result = try Tensor(v.shape, .float64)
      try optimizer.pullback(v, into: result)
      #expect(result.norm > 0)
      let error = numeric.map { relativeError(result.values, $0) }.min()!
      #expect(error < 1e-8, "after \(steps) steps")
    }
  }

  @Test func pullbackScales() throws {
    for (optimizerCase, scale) in [(Self.cases[0], 0.1), (Self.cases[1], 0.1), (Self.cases[2], 0.18)] {
      let optimizer = try Self.warm(optimizerCase, steps: 1)
      let v = try Self.gradient(optimizer.network, 5), result = try Tensor(v.shape, .float64)
      try optimizer.pullback(v, into: result)
      #expect(
        relativeError(result.values, v.values.map { scale * $0 }) < 1e-14, "η, η and η(1 + μ), first step included")
    }
  }

  /// Where the clip is active, the gradient's own direction is pulled back to nothing: its length is fixed.
  @Test func clipForgetsTheLength() throws {
    let optimizer = try Self.warm(Self.cases[5], steps: 1)
    let gradient = try Self.gradient(optimizer.network, 0), result = try Tensor(gradient.shape, .float64)
    try optimizer.pullback(gradient, into: result)
    #expect(result.norm < 1e-15)
    try optimizer.pullback(Self.gradient(optimizer.network, 9), into: result)
    #expect(result.norm > 1e-3)
  }

  @Test(arguments: cases) func pullbackNeedsAStep(_ optimizerCase: OptimizerCase) throws {
    let optimizer = try Self.warm(optimizerCase, steps: 0)
    let v = try Self.gradient(optimizer.network, 0), result = try Tensor(v.shape, .float64)
    let error = #expect(throws: DidactError.self) { try optimizer.pullback(v, into: result) }
    #expect(error?.code == .state)
    try optimizer.step(v)
    try optimizer.pullback(v, into: result)
    #expect(throws: DidactError.self) { try optimizer.pullback(Tensor(Shape(2), .float64), into: result) }
    #expect(throws: DidactError.self) { try optimizer.pullback(v, into: Tensor(v.shape, .float32)) }
  }

  // MARK: The effect of a gradient

  /// update(g) − update(0) is how far two copies part that step with g and with 0.
  @Test(arguments: cases, [0, 1, 5]) func effectIsTheGradientsShare(_ optimizerCase: OptimizerCase, steps: Int) throws {
    let optimizer = try Self.warm(optimizerCase, steps: steps), network = optimizer.network
    let control = try network.copy(), controlOptimizer = try optimizer.copy(for: control)
    let gradient = try Self.gradient(network, 55), effect = try Tensor(gradient.shape, .float64)
    let plain = try network.copy()
    try optimizer.copy(for: plain).step(gradient)
    try optimizer.step(gradient, effect: effect)
    try controlOptimizer.step(Tensor(gradient.shape, .float64))
    #expect(plain.parameters.bytes == network.parameters.bytes, "asking for the effect changes no bit of the step")
    #expect(effect.norm > 0)
    #expect(
      relativeError(effect.values, zip(control.parameters.values, network.parameters.values).map { $0 - $1 }) < 1e-12)
  }

  /// At AdamW's first step m̂/√v̂ is the gradient's sign: its pullback is near 0, its effect is not.
  @Test func firstStepOfAdamW() throws {
    let optimizer = try Self.warm(OptimizerCase("", ["name": "adamw", "learning_rate": 0.1]), steps: 0)
    let gradient = try Self.gradient(optimizer.network, 0), effect = try Tensor(gradient.shape, .float64)
    try optimizer.step(gradient, effect: effect)
    #expect(relativeError(effect.values, gradient.values.map { $0 > 0 ? 0.1 : -0.1 }) < 1e-5)
    let v = try Self.gradient(optimizer.network, 1), result = try Tensor(v.shape, .float64)
    try optimizer.pullback(v, into: result)
    // d sign(g)/dg = ε / (|g| + ε)²
    #expect(result.norm < 1e-4 * v.norm)
    try optimizer.step(Self.gradient(optimizer.network, 1))
    try optimizer.pullback(v, into: result)
    #expect(result.norm > 1e-3 * v.norm)
  }

  @Test func zeroSecondMomentIsNoDivisionByZero() throws {
    let optimizer = try Self.warm(OptimizerCase("", ["name": "adamw", "learning_rate": 0.1]), steps: 0)
    let gradient = try Self.gradient(optimizer.network, 0), v = try Self.gradient(optimizer.network, 1)
    gradient[0] = 0
    try optimizer.step(gradient)
    let result = try Tensor(v.shape, .float64)
    try optimizer.pullback(v, into: result)
    #expect(result.values.allSatisfy { $0.isFinite }, "no 0 / 0 where v̂ is 0")
  }

  // MARK: State

  @Test func stateNames() throws {
    let parameters = try Self.makeNetwork().parameterNames
    func names(_ index: Int) throws -> [String] { try Self.warm(Self.cases[index], steps: 0).state.map(\.name) }
    #expect(try names(0) == ["step"])
    #expect(try names(1) == parameters.map { "momentum.\($0)" } + ["step"])
    let adamW = try #require(Self.cases.firstIndex { $0.name == "adamw" })
    #expect(
      try names(adamW)
        == parameters.map { "first_moment.\($0)" } + parameters.map { "second_moment.\($0)" } + ["step"])
  }

  /// State written by name before the first step is what the first step starts from.
  @Test(arguments: cases) func stateIsWritable(_ optimizerCase: OptimizerCase) throws {
    let trained = try Self.warm(optimizerCase, steps: 4)
    let network = try trained.network.copy(), fresh = try Optimizer.make(network, optimizerCase.settings())
    for (source, target) in zip(trained.state, fresh.state) {
      #expect(source.name == target.name && source.tensor.shape == target.tensor.shape)
      target.tensor.set(source.tensor.values)
    }
    let gradient = try Self.gradient(network, 9)
    try trained.step(gradient)
    try fresh.step(gradient)
    #expect(network.parameters.bytes == trained.network.parameters.bytes)
    #expect(fresh.state.map(\.tensor.bytes) == trained.state.map(\.tensor.bytes))
  }

  // MARK: Settings

  @Test func settingsAreChecked() throws {
    let refused: [(JSONObject, String)] = [
      (["name": "sgdd"], "\"sgd\""), (["learning_rate": -0.1], "learning_rate"), (["momentum": 1], "momentum"),
      (["clip_norm": 0], "clip_norm"), (["weight_decay": -1], "weight_decay"), (["lr": 0.1], "unknown key"),
      (["learning_rat": 0.1], "Did you mean \"learning_rate\"?"), (["beta1": 0.5], "no effect on sgd"),
      (["name": "adamw", "momentum": 0.5], "no effect on adamw"),
      (["name": "adamw", "decay_before_clip": true], "no effect"),
    ]
    for (object, message) in refused {
      let error = #expect(throws: DidactError.self) { try OptimizerSettings(object, subject: "optimizer") }
      #expect(error?.code == .invalidArgument)
      #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    }
    #expect(try OptimizerCase("", [:]).settings().learningRate == 0.05)
    #expect(try OptimizerCase("", ["name": "adamw"]).settings().learningRate == 0.001)
  }
}

@Suite struct MovingAverageTests {
  @Test func averages() throws {
    let source = try OptimizerTests.makeNetwork()
    let plain = try MovingAverage(source, decay: 0.75),
      both = try MovingAverage(source, decay: 0.75, averagesStatistics: true)
    #expect(plain.network.parameters.bytes == source.parameters.bytes, "starts as a copy")
    let old = (source.parameters.values, source.statistics.values)
    try source.randomize(seed: 60)
    plain.update()
    both.update()
    func mixed(_ old: [Double], _ new: Tensor) -> [Double] { zip(old, new.values).map { 0.75 * $0 + 0.25 * $1 } }
    #expect(relativeError(plain.network.parameters.values, mixed(old.0, source.parameters)) < 1e-15)
    #expect(plain.network.statistics.bytes == source.statistics.bytes, "statistics are copied")
    #expect(relativeError(both.network.statistics.values, mixed(old.1, source.statistics)) < 1e-15)
  }

  @Test func extremes() throws {
    let source = try OptimizerTests.makeNetwork()
    let follower = try MovingAverage(source, decay: 0), still = try MovingAverage(source, decay: 1)
    let start = source.parameters.bytes
    try source.randomize(seed: 61)
    follower.update()
    still.update()
    #expect(follower.network.parameters.bytes == source.parameters.bytes)
    #expect(still.network.parameters.bytes == start)
    for decay in [-0.1, 1.1, .nan] {
      #expect(throws: DidactError.self) { try MovingAverage(source, decay: decay) }
    }
  }
}
