import Testing

@testable import Didact

/// A layer, or a chain of them, in one of the modes of a pass.
struct PassCase: CustomTestStringConvertible, Sendable {
  let name: String
  let specification: NetworkSpecification
  let normalization: PassMode.Normalization
  let hasNoise: Bool
  var testDescription: String { name }

  init(
    _ name: String, _ specification: NetworkSpecification, _ normalization: PassMode.Normalization = .batch,
    noise: Bool = true
  ) {
    self.name = name
    self.specification = specification
    self.normalization = normalization
    hasNoise = noise
  }

  var mode: PassMode {
    PassMode(normalization: normalization, noise: hasNoise ? RandomStream(seed: 5, name: "tests") : nil, draw: 3)
  }
}

/// The three passes of every layer against central differences, in float64. A new layer is one more line of `cases`.
@Suite struct LayerTests {
  static let cases: [PassCase] = makeCases()

  private static func makeCases() -> [PassCase] {
    let activations = ActivationFunction.allCases.map(\.rawValue)
    do {
      var cases = try activations.map { PassCase($0, try sequential(4, [layer($0)])) }
      cases += [
        PassCase("dense", try sequential(4, [dense(3)])),
        PassCase("dense, 1 -> 1", try sequential(1, [dense(1)])),
        PassCase("dense, dense", try sequential(4, [dense(5), dense(2)])),
        PassCase("batch norm, batch", try sequential(4, [layer("batch_norm")])),
        PassCase(
          "batch norm, batch, updating running", try sequential(4, [layer("batch_norm")]), .batchUpdatingRunning),
        PassCase("batch norm, running", try sequential(4, [layer("batch_norm")]), .running),
        PassCase("dropout", try sequential(4, [dropoutLayer(0.4)])),
        PassCase("dropout without noise", try sequential(4, [dropoutLayer(0.4)]), noise: false),
        PassCase("two dropouts", try sequential(4, [dropoutLayer(0.3), dense(6), dropoutLayer(0.3)])),
        PassCase(
          "batch norm, dense, batch norm, swish, dropout, dense",
          try sequential(
            4, [layer("batch_norm"), dense(5), layer("batch_norm"), layer("swish"), dropoutLayer(0.3), dense(3)])),
        PassCase(
          "tanh, batch norm, running, dense",
          try sequential(4, [layer("tanh"), layer("batch_norm"), dense(3), layer("sigmoid")]), .running),
      ]
      cases += try imageCases()
      for activation in activations {
        for batchNorm in [false, true] {
          let specification = try NetworkSpecification.multilayerPerceptron(
            inputs: 4, hidden: [6, 5], classes: 3, activation: activation, batchNorm: batchNorm, dropout: 0.2)
          cases.append(PassCase("mlp, \(activation)\(batchNorm ? ", batch norm" : "")", specification))
        }
      }
      return cases
    } catch {
      fatalError("the table of layers: \(error)")
    }
  }

  private static func imageCases() throws -> [PassCase] {
    let pool: JSON = ["type": "max_pool", "size": 3, "stride": 2, "padding": 1]
    let average: JSON = ["type": "average_pool", "size": 2, "stride": 1, "padding": 1]
    let gated: [JSON] = [
      named(convolution(4), "image"), layer("global_average_pool"), dense(4), named(layer("sigmoid"), "gate"),
      named(layer("gate"), "gated", from: ["image", "gate"]),
    ]
    let residual: [JSON] = [
      named(layer("batch_norm"), "bn"), named(layer("swish"), "activated"), convolution(3, ["stride": 2]),
      named(["type": "stochastic_depth", "rate": 0.4], "branch"),
      named(convolution(3, ["size": 1, "stride": 2]), "shortcut", from: ["activated"]),
      named(layer("add"), "sum", from: ["branch", "shortcut"]), named(layer("add"), "twice", from: ["sum", "sum"]),
      layer("global_average_pool"), dense(2),
    ]
    return [
      PassCase("convolution", try images(4, 5, 2, [convolution(3)])),
      PassCase("convolution with bias, stride 2", try images(5, 4, 2, [convolution(3, ["bias": true, "stride": 2])])),
      PassCase("convolution without padding", try images(4, 5, 2, [convolution(3, ["padding": 0, "size": 2])])),
      PassCase("convolution 1 x 1", try images(3, 3, 4, [convolution(2, ["size": 1])])),
      PassCase("grouped convolution", try images(4, 4, 4, [convolution(6, ["groups": 2])])),
      PassCase("depthwise convolution", try images(4, 3, 3, [convolution(3, ["groups": 3, "size": 5])])),
      PassCase("max pool", try images(5, 6, 2, [pool])),
      PassCase("average pool", try images(4, 3, 2, [average])),
      PassCase("global average pool", try images(4, 3, 2, [layer("global_average_pool")])),
      PassCase("batch norm of images", try images(3, 2, 4, [layer("batch_norm")])),
      PassCase("batch norm in groups", try images(3, 2, 2, [["type": "batch_norm", "groups": 3], dense(2)])),
      PassCase(
        "ReLU whose input others read",
        try images(
          3, 3, 1,
          [
            named(convolution(4), "a"), named(["type": "leaky_relu", "slope": 0.3], "r"),
            named(layer("add"), "s", from: ["r", "a"]), named(dense(3), "d"),
            named(convolution(4), "b", from: ["input"]), named(dense(3), "e"),
            named(layer("add"), "sum", from: ["d", "e"]),
          ])),
      PassCase("flatten", try images(3, 2, 2, [convolution(2), layer("flatten"), layer("batch_norm"), dense(2)])),
      PassCase("batch norm of images, running", try images(3, 2, 4, [layer("batch_norm")]), .running),
      PassCase("gate", try images(3, 3, 2, gated)),
      PassCase("residual block", try images(4, 4, 3, residual)),
      PassCase("leaky ReLU of another slope", try images(2, 2, 3, [["type": "leaky_relu", "slope": 0.2]])),
      PassCase("input read twice", try images(2, 2, 2, [named(layer("add"), "sum", from: ["input", "input"])])),
      PassCase(
        "small network",
        try NetworkSpecification(["type": "small_cnn", "inputs": [4, 4, 1], "classes": 3, "width": 3, "stages": 2])),
    ]
  }

  /// A network away from its starting values, an input, and a random cotangent.
  struct Problem {
    let network: Network
    let input, cotangent: Tensor
    let mode: PassMode

    init(_ passCase: PassCase, rows: Int = 6) throws {
      network = try Network(passCase.specification, elementType: .float64, seed: 1)
      try network.randomize(seed: 2)
      input = try randomTensor(Shape(rows, network.inputs), seed: 4)
      cotangent = try randomTensor(Shape(rows, network.classes), seed: 5)
      mode = passCase.mode
    }

    func record() throws -> RecordedPass { try network.record(input, mode: mode, at: network.parameters.copy()) }
    func logits() throws -> [Double] { try network.record(input, mode: mode).logits.values }
    /// ⟨cotangent, logits⟩
    func objective() throws -> Double { try network.record(input, mode: mode).logits.dot(cotangent) }
  }

  private static let tolerance = 1e-8

  @Test(arguments: cases) func backwardIsTheGradient(_ passCase: PassCase) throws {
    let problem = try Problem(passCase)
    let inputGradient = try Tensor(problem.input.shape, .float64)
    try problem.record().backward(problem.cotangent, inputCotangent: inputGradient)
    // A step too small to cross the kink of a rectifier.
    let ofParameters = try differenceGradient(of: problem.objective, by: problem.network.parameters, step: 1e-5)
    let ofInput = try differenceGradient(of: problem.objective, by: problem.input, step: 1e-5)
    #expect(relativeError(problem.network.gradients.values, ofParameters) < Self.tolerance)
    #expect(relativeError(inputGradient.values, ofInput) < Self.tolerance)
    #expect(inputGradient.norm > 0)
    #expect(problem.network.gradients.norm > 0 || problem.network.parameters.count == 0)
  }

  @Test(arguments: cases) func tangentIsTheDirectionalDerivative(_ passCase: PassCase) throws {
    let problem = try Problem(passCase)
    let direction = try randomTensor(problem.network.parameters.shape, seed: 6)
    let inputDirection = try randomTensor(problem.input.shape, seed: 7)
    let zeroDirection = try Tensor(direction.shape, .float64)
    /// The derivative of the logits along the directions that are given, of fourth order.
    func difference(_ direction: Tensor?, _ inputDirection: Tensor?) throws -> [Double] {
      let parameters = problem.network.parameters, input = problem.input, start = (parameters.values, input.values)
      func logits(_ distance: Double) throws -> [Double] {
        defer {
          parameters.set(start.0)
          input.set(start.1)
        }
        if let direction { parameters.add(direction, scaledBy: distance) }
        if let inputDirection { input.add(inputDirection, scaledBy: distance) }
        return try problem.logits()
      }
      // A step too small to cross the kink of a rectifier.
      let h = 1e-5
      let near = zip(try logits(h), try logits(-h)).map { $0 - $1 }
      let far = zip(try logits(2 * h), try logits(-2 * h)).map { $0 - $1 }
      return zip(near, far).map { (8 * $0 - $1) / (12 * h) }
    }
    let pass = try problem.record()
    let along = try pass.tangent(direction, inputDirection: inputDirection).values
    #expect(relativeError(along, try difference(direction, inputDirection)) < Self.tolerance)
    let alongInput = try pass.tangent(zeroDirection, inputDirection: inputDirection).values
    #expect(relativeError(alongInput, try difference(nil, inputDirection)) < Self.tolerance)
    // No input direction is a zero one, also where the first layer has no parameters.
    let alongParameters = try pass.tangent(direction).values
    #expect(relativeError(alongParameters, try difference(direction, nil)) < Self.tolerance)
    #expect(
      try pass.tangent(direction, inputDirection: Tensor(problem.input.shape, .float64)).values == alongParameters)
  }

  /// ⟨ȳ, J d⟩ = ⟨Jᵀ ȳ, d⟩, exact up to rounding, in both element types.
  @Test(arguments: cases) func backwardAndTangentAreTransposes(_ passCase: PassCase) throws {
    for elementType in [ElementType.float64, .float32] {
      let network = try Network(passCase.specification, elementType: elementType, seed: 1)
      try network.randomize(seed: 2)
      let rows = 6
      let input = try randomTensor(Shape(rows, network.inputs), elementType, seed: 4)
      let cotangent = try randomTensor(Shape(rows, network.classes), elementType, seed: 5)
      let direction = try randomTensor(network.parameters.shape, elementType, seed: 6)
      let inputDirection = try randomTensor(input.shape, elementType, seed: 7)
      let inputGradient = try Tensor(input.shape, elementType)
      let pass = try network.record(input, mode: passCase.mode, at: network.parameters.copy())
      try pass.backward(cotangent, inputCotangent: inputGradient)
      let tangent = try pass.tangent(direction, inputDirection: inputDirection)
      let forward = cotangent.dot(tangent)
      let reverse = network.gradients.dot(direction) + inputGradient.dot(inputDirection)
      let scale = cotangent.norm * tangent.norm
      #expect(scale > 0)
      #expect(abs(forward - reverse) <= (elementType == .float64 ? 1e-13 : 1e-5) * scale)
    }
  }

  @Test func accumulateAddsToWhatIsThere() throws {
    let problem = try Problem(Self.cases.last!)
    let pass = try problem.record(), gradients = try Tensor(problem.network.parameters.shape, .float64)
    try pass.backward(problem.cotangent, into: gradients)
    let once = gradients.values
    try pass.backward(problem.cotangent, into: gradients, accumulate: true)
    #expect(relativeError(gradients.values, once.map { 2 * $0 }) < 1e-14)
    try pass.backward(problem.cotangent, into: gradients)
    #expect(gradients.values == once)
    #expect(problem.network.gradients.norm == 0, "gradients that go elsewhere leave the network's own")
  }

  /// The sum of two passes' gradients, computed with both alive at once and in either order, is that of each alone.
  @Test func severalPassesAtOnce() throws {
    let problem = try Problem(Self.cases.last!), network = problem.network
    let otherInput = try randomTensor(problem.input.shape, seed: 20)
    func gradient(_ pass: RecordedPass) throws -> [Double] {
      try pass.backward(problem.cotangent)
      return network.gradients.values
    }
    let firstAlone = try gradient(try network.record(problem.input, mode: problem.mode))
    let secondAlone = try gradient(try network.record(otherInput, mode: problem.mode))
    #expect(firstAlone != secondAlone)
    let first = try network.record(problem.input, mode: problem.mode)
    let second = try network.record(otherInput, mode: problem.mode)
    let third = try network.record(problem.input, mode: problem.mode)
    #expect(try gradient(second) == secondAlone)
    #expect(try gradient(first) == firstAlone)
    #expect(try gradient(third) == firstAlone)
    #expect(first.logits.values == third.logits.values)
  }

  /// Recorded at a snapshot, a pass is about the old parameters, whatever the network's own have become.
  @Test(arguments: cases) func snapshotOutlivesItsParameters(_ passCase: PassCase) throws {
    let problem = try Problem(passCase), network = problem.network
    let direction = try randomTensor(network.parameters.shape, seed: 6)
    let inputDirection = try randomTensor(problem.input.shape, seed: 7)
    let inputGradient = try Tensor(problem.input.shape, .float64)
    func results(_ pass: RecordedPass) throws -> [Double] {
      try pass.backward(problem.cotangent, inputCotangent: inputGradient)
      return pass.logits.values + network.gradients.values + inputGradient.values
        + (try pass.tangent(direction, inputDirection: inputDirection).values)
    }
    let before = try results(try problem.record())
    let pass = try problem.record()
    network.parameters.add(direction, scaledBy: 10)
    _ = try problem.logits()
    #expect(try results(pass) == before)
    // As the building blocks record, the input may change too.
    let block = try network.record(problem.input, draw: 0)
    let ofBlock = try results(block)
    problem.input.add(inputDirection, scaledBy: 10)
    #expect(try results(block) == ofBlock)
  }

  // MARK: Batch normalisation's modes

  /// Running statistics move by 0.1 towards the batch's mean and unbiased variance in one mode, and stay in the others.
  @Test func runningStatistics() throws {
    let network = try Network(try sequential(2, [layer("batch_norm")]), elementType: .float64)
    let input = try Tensor(rows: [[1, 10], [3, 20], [5, 60]])
    func pass(_ normalization: PassMode.Normalization) throws -> [Double] {
      try network.record(input, mode: PassMode(normalization: normalization, noise: nil, draw: 0)).logits.values
    }
    let start = network.statistics.bytes
    let ofBatch = try pass(.batch)
    #expect(network.statistics.bytes == start)
    let ofRunning = try pass(.running)
    #expect(network.statistics.bytes == start)
    #expect(largestDifference(ofRunning, input.values.map { $0 / (1 + 1e-5).squareRoot() }) < 1e-12)
    #expect(try pass(.batchUpdatingRunning) == ofBatch)
    // means 3 and 30, unbiased variances 4 and 700
    #expect(largestDifference(try network.statistic("batch_norm0.running_mean").values, [0.3, 3]) < 1e-12)
    #expect(largestDifference(try network.statistic("batch_norm0.running_variance").values, [1.3, 70.9]) < 1e-12)
    #expect(try pass(.batch) == ofBatch)
  }

  @Test func oneRowCannotBeNormalisedByItself() throws {
    let network = try Network(try sequential(2, [dense(3), layer("batch_norm")]), elementType: .float64)
    let row = try Tensor(rows: [[1, 2]])
    for normalization in [PassMode.Normalization.batch, .batchUpdatingRunning] {
      let error = #expect(throws: DidactError.self) {
        try network.record(row, mode: PassMode(normalization: normalization, noise: nil, draw: 0))
      }
      #expect(error?.code == .data)
      #expect(error?.message.contains("batch_norm0") == true)
    }
    #expect(try network.forward(row).shape == Shape(1, 3))
    #expect(try network.predictProbabilities(row).shape == Shape(1, 3))
    #expect(throws: DidactError.self) { try network.forward(row, training: true) }
    let statisticsAfter = network.statistics.values
    #expect(statisticsAfter == [0, 0, 0, 1, 1, 1], "a refused pass moves nothing")
  }

  // MARK: Dropout's masks

  /// One draw is one mask: the same again for the same draw, another for another draw, layer or stream.
  @Test func masksFollowTheDraw() throws {
    let network = try Network(try sequential(50, [dropoutLayer(0.5), dropoutLayer(0.5)]), elementType: .float64)
    let ones = try Tensor([Double](repeating: 1, count: 100), shape: Shape(2, 50))
    func mask(_ name: String, _ draw: UInt64) throws -> [Double] {
      let mode = PassMode(normalization: .batch, noise: RandomStream(seed: 1, name: name), draw: draw)
      return try network.record(ones, mode: mode).logits.values
    }
    let first = try mask("a", 0)
    #expect(try mask("a", 0) == first)
    #expect(try mask("a", 1) != first)
    #expect(try mask("b", 0) != first)
    // Two layers of rate 1/2 with masks of their own leave a quarter, of value 4.
    #expect(Set(first) == [0, 4])
    #expect((10..<40).contains(first.count { $0 == 4 }))
    #expect(try network.forward(ones).values == ones.values, "none outside training")
    #expect(try network.forward(ones, training: true).values != network.forward(ones, training: true).values)
    #expect(
      try network.forward(ones, training: true, draw: 9).values == network.forward(ones, training: true, draw: 9).values
    )
  }
}

/// Networks made from specifications.
@Suite struct NetworkTests {
  @Test func namesAndShapes() throws {
    let network = try Network(
      .multilayerPerceptron(inputs: 4, hidden: [6], classes: 3, batchNorm: true, dropout: 0.5), elementType: .float32)
    #expect(
      network.parameterNames
        == ["dense0.weight", "dense0.bias", "batch_norm0.weight", "batch_norm0.bias", "dense1.weight", "dense1.bias"])
    #expect(network.statisticNames == ["batch_norm0.running_mean", "batch_norm0.running_variance"])
    #expect(try network.parameter("dense0.weight").shape == Shape(6, 4))
    #expect(try network.parameter("dense1.weight").shape == Shape(3, 6))
    #expect(network.parameters.count == 6 * 4 + 6 + 6 + 6 + 3 * 6 + 3)
    #expect(network.inputs == 4 && network.classes == 3)
    let error = #expect(throws: DidactError.self) { try network.parameter("dense0.wieght") }
    #expect(error?.message.contains("\"dense0.weight\"") == true)
  }

  /// He's bound for rectifiers, Glorot's for saturating functions and the last layer; biases 0, scales 1.
  @Test func initialization() throws {
    for (activation, bound) in [("relu", (6.0 / 100).squareRoot()), ("tanh", (6.0 / 180).squareRoot())] {
      let network = try Network(
        .multilayerPerceptron(inputs: 100, hidden: [80], classes: 10, activation: activation, batchNorm: true))
      let weights = try network.parameter("dense0.weight").values.map(abs).sorted()
      #expect(weights.last! <= bound && weights.last! > 0.99 * bound)
      #expect(abs(weights[weights.count / 2] - bound / 2) < 0.03 * bound, "uniform")
      let last = try network.parameter("dense1.weight").values.map(abs).max()!
      #expect(last <= (6.0 / 90).squareRoot() && last > 0.9 * (6.0 / 90).squareRoot())
      #expect(try network.parameter("dense0.bias").values.allSatisfy { $0 == 0 })
      #expect(try network.parameter("batch_norm0.weight").values.allSatisfy { $0 == 1 })
      #expect(try network.parameter("batch_norm0.bias").values.allSatisfy { $0 == 0 })
    }
  }

  @Test func seedsAndStreams() throws {
    let specification = try NetworkSpecification.multilayerPerceptron(inputs: 4, hidden: [6], classes: 3)
    let network = try Network(specification, seed: 1, stream: "a")
    #expect(try Network(specification, seed: 1, stream: "a").parameters.bytes == network.parameters.bytes)
    #expect(try Network(specification, seed: 2, stream: "a").parameters.bytes != network.parameters.bytes)
    #expect(try Network(specification, seed: 1, stream: "b").parameters.bytes != network.parameters.bytes)
    let copy = try network.copy()
    #expect(copy.parameters.bytes == network.parameters.bytes)
    copy.parameters[0] = 99
    #expect(network.parameters[0] != 99)
  }

  /// A prediction does not depend on what else is in the batch, on its size, or on the input's element type.
  @Test func predictionsAreRowByRow() throws {
    let network = try Network(
      .multilayerPerceptron(inputs: 3, hidden: [8], classes: 4, batchNorm: true, dropout: 0.5), elementType: .float64)
    try network.randomize(seed: 3)
    let input = try randomTensor(Shape(2100, 3), .float32, seed: 8)
    let all = try network.predictProbabilities(input)
    for row in [0, 1023, 1024, 2099] {
      let alone = try network.predictProbabilities(input.rows(row..<row + 1)).values
      #expect(alone == all.rows(row..<row + 1).values)
      #expect(abs(alone.reduce(0, +) - 1) < 1e-12)
    }
    let doubles = try Tensor(input.values, shape: input.shape)
    #expect(try network.predictProbabilities(doubles).bytes == all.bytes)
  }

  @Test func refusesWhatDoesNotFit() throws {
    let network = try Network(.multilayerPerceptron(inputs: 3, hidden: [], classes: 2))
    let cases: [(Shape, DidactError.Code)] = [(Shape(2, 4), .shape), (Shape(3), .shape), (Shape(0, 3), .shape)]
    for (shape, code) in cases {
      let error = #expect(throws: DidactError.self) { try network.forward(Tensor(shape, .float32)) }
      #expect(error?.code == code)
    }
    let pass = try network.record(try Tensor(Shape(2, 3), .float32))
    #expect(throws: DidactError.self) { try pass.backward(Tensor(Shape(2, 3), .float32)) }
    #expect(throws: DidactError.self) { try pass.backward(Tensor(Shape(2, 2), .float64)) }
    #expect(throws: DidactError.self) { try pass.tangent(Tensor(Shape(7), .float32)) }
    #expect(throws: DidactError.self) {
      try pass.tangent(Tensor(Shape(8), .float32), inputDirection: Tensor(Shape(3, 2), .float32))
    }
    #expect(throws: DidactError.self) { try Network(network.specification, elementType: .int64) }
  }
}
