import Testing

@testable import Didact

/// Programs against the reference over whole networks and trainings; threads, plans and passes.
@Suite struct FastPathTests {
  static let networks: [JSONObject] = [
    ["type": "mlp", "inputs": 5, "hidden": [64, 64], "classes": 3],
    ["type": "mlp", "inputs": 150, "hidden": [200, 7], "classes": 5, "activation": "leaky_relu"],
    ["type": "mlp", "inputs": 3, "hidden": [20, 20], "classes": 2, "batch_norm": true, "dropout": 0.3],
    ["type": "mlp", "inputs": 3, "hidden": [33], "classes": 11, "activation": "swish"],
    ["type": "mlp", "inputs": 9, "hidden": [130], "classes": 4, "activation": "tanh", "batch_norm": true],
    ["type": "mlp", "inputs": 140, "hidden": [], "classes": 2],
    // What a ReLU reads, others read too.
    [
      "type": "sequential", "inputs": 5,
      "layers": [
        ["type": "dense", "outputs": 20, "name": "d"], ["type": "relu", "name": "r"],
        ["type": "add", "from": ["d", "r"]], ["type": "dense", "outputs": 3],
      ],
    ],
  ]

  /// Images that are kept in blocks, beside such that are not; derivatives that a normalisation's backward computes on its
  /// way, and such that others read too.
  static let imageNetworks: [JSONObject] = [
    [
      "type": "sequential", "inputs": [5, 4, 3],
      "layers": [
        ["type": "convolution", "outputs": 16, "size": 3], ["type": "batch_norm"], ["type": "relu"],
        ["type": "convolution", "outputs": 32, "size": 3, "stride": 2], ["type": "batch_norm"],
        ["type": "leaky_relu"], ["type": "convolution", "outputs": 10, "size": 1], ["type": "batch_norm"],
        ["type": "relu"], ["type": "global_average_pool"], ["type": "dense", "outputs": 3],
      ],
    ],
    [
      "type": "sequential", "inputs": [4, 4, 2],
      "layers": [
        ["type": "convolution", "outputs": 16, "size": 3, "name": "c"], ["type": "batch_norm", "name": "n"],
        ["type": "add", "from": ["c", "n"]], ["type": "batch_norm", "name": "m"], ["type": "relu", "name": "r"],
        ["type": "add", "from": ["m", "r"]], ["type": "batch_norm", "groups": 1], ["type": "relu"],
        ["type": "average_pool", "size": 2, "name": "p"], ["type": "swish"], ["type": "flatten"],
        ["type": "dense", "outputs": 4],
      ],
    ],
  ]

  /// The same parameters in both element types.
  private static func pair(_ specification: JSONObject, threads: Int) throws -> (fast: Network, reference: Network) {
    let specification = try NetworkSpecification(.object(specification))
    let reference = try Network(specification, elementType: .float64, seed: 1)
    let fast = try Network(specification, seed: 1, threads: threads)
    reference.parameters.set(fast.parameters.values)
    return (fast, reference)
  }

  private static func narrowed(_ tensor: Tensor) throws -> Tensor {
    try Tensor(tensor.values, shape: tensor.shape, elementType: .float32)
  }

  @Test(arguments: networks + (isOptimizedBuild ? imageNetworks : []), [1, 2])
  func passesAgreeWithTheReference(_ specification: JSONObject, threads: Int) throws {
    let (fast, reference) = try Self.pair(specification, threads: threads)
    let direction = try unitDirection(reference.parameters.count, seed: 2)
    for rows in [2, 3, 31, 32, 97, 700] where rows < 700 || !reference.graph.hasConvolutions {
      for training in [false, true] {
        let input = try randomTensor(Shape(rows, reference.inputs), seed: 3)
        let cotangent = try randomTensor(Shape(rows, reference.classes), seed: 4)
        let inputDirection = try randomTensor(input.shape, seed: 5)
        var results: [[[Double]]] = []
        for network in [fast, reference] {
          func own(_ tensor: Tensor) throws -> Tensor { network === fast ? try Self.narrowed(tensor) : tensor }
          let pass = try network.record(own(input), training: training, draw: 7)
          let ofInput = try Tensor(input.shape, network.elementType)
          try pass.backward(own(cotangent), inputCotangent: ofInput)
          var parts = [pass.logits.values, network.gradients.values, ofInput.values]
          try pass.backward(own(cotangent), accumulate: true)
          parts.append(network.gradients.values)
          parts.append(try pass.tangent(own(direction)).values)
          parts.append(try pass.tangent(own(direction), inputDirection: own(inputDirection)).values)
          parts.append(network.statistics.values)
          results.append(parts)
        }
        for (part, (a, b)) in zip(results[0], results[1]).enumerated() {
          // A ReLU whose input rounds to the other side of 0 moves the gradient by one row's part.
          #expect(relativeError(a, b) < 2e-4, "\(rows) rows, training \(training), part \(part)")
        }
      }
    }
  }

  @Test(arguments: ["exact", "gradient_dot", "loss_difference"], ["relu", "tanh"])
  func tenStepsAgreeWithTheReference(feedback: String, activation: String) throws {
    func trainer(_ elementType: String) throws -> Trainer {
      let network: JSONObject = [
        "type": "mlp", "inputs": 3, "hidden": [40, 40], "classes": 3, "activation": .string(activation),
      ]
      return try Trainer(
        configuration: Training.configuration([
          "network": .object(network), "dtype": .string(elementType), "feedback": .string(feedback),
        ]))
    }
    let fast = try trainer("float32"), reference = try trainer("float64")
    for role in ["teacher", "student"] {
      try reference.network(role).parameters.set(fast.network(role).parameters.values)
    }
    for number in 0..<10 {
      let batches = try Training.Batches(UInt64(number))
      for trainer in [fast, reference] {
        try trainer.step(batches.inputs, Training.labels, unlabeled: batches.weak, strong: batches.strong)
      }
    }
    for role in ["teacher", "student"] {
      let error = relativeError(
        try fast.network(role).parameters.values, try reference.network(role).parameters.values)
      #expect(error < 1e-4, "\(role): the stated tolerance of docs/performance.md")
    }
  }

  // MARK: Bits

  /// Large enough for several threads.
  private static func trained(_ method: String, _ elementType: String, seed: Int64 = 1, steps: Int = 4) throws
    -> Trainer
  {
    let network: JSONObject = ["type": "mlp", "inputs": 6, "hidden": [64, 64], "classes": 3, "dropout": 0.2]
    var configuration: JSONObject = [
      "method": .string(method), "network": .object(network), "dtype": .string(elementType), "seed": .integer(seed),
    ]
    if method == "meta_pseudo_labels" { configuration["average_decay"] = 0.9 }
    let trainer = try Trainer(configuration: configuration)
    let labels = (0..<64).map { $0 % 3 }
    for step in 0..<UInt64(steps) {
      let inputs = try randomTensor(Shape(64, 6), .float32, seed: step),
        weak = try randomTensor(Shape(448, 6), seed: 50 + step)
      try trainer.step(inputs, labels, unlabeled: method == "supervised" ? nil : weak)
    }
    return trainer
  }

  private static func bits(_ trainer: Trainer) -> [[UInt8]] {
    (trainer.method.learners.map(\.network) + [trainer.average].compactMap { $0 }).map(\.parameters.bytes)
  }

  // Some are for fits alone, which other tests repeat.
  @Test(
    arguments: Trainer.methodNames.filter { !["temporal_ensembling", "reduced_meta_pseudo_labels"].contains($0) },
    ["float32", "float64"])
  func sameBitsAgain(method: String, dtype: String) throws {
    let steps = dtype == "float64" ? 1 : 4
    #expect(
      try Self.bits(Self.trained(method, dtype, steps: steps)) == Self.bits(Self.trained(method, dtype, steps: steps)))
  }

  @Test func trainersInTwoThreadsLearnTheSerialBits() async throws {
    let serial = try (1...2).map { Self.bits(try Self.trained("meta_pseudo_labels", "float32", seed: $0, steps: 20)) }
    for _ in 0..<5 {
      async let first = Self.bits(Self.trained("meta_pseudo_labels", "float32", seed: 1, steps: 20))
      async let second = Self.bits(Self.trained("meta_pseudo_labels", "float32", seed: 2, steps: 20))
      #expect(try await [first, second] == serial)
    }
  }

  @Test(arguments: [1, 5, 700]) func eightThreadsPredictTheSerialBits(rows: Int) async throws {
    let specification = try NetworkSpecification.multilayerPerceptron(inputs: 5, hidden: [64, 150], classes: 3)
    let network = try Network(specification, seed: 1), input = try randomTensor(Shape(rows, 5), .float32, seed: 1)
    let serial = try network.predictProbabilities(input).bytes
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for _ in 0..<8 {
        group.addTask {
          for _ in 0..<20 where try network.predictProbabilities(input).bytes != serial { return false }
          return true
        }
      }
      for try await isSame in group { #expect(isSame) }
    }
  }

  // MARK: Plans

  /// Every step another shape: right results, and no more plans and passes than are kept.
  @Test func shapesThatChangeEveryStep() throws {
    let (fast, reference) = try Self.pair(Self.networks[0], threads: 2)
    for rows in (1...60) {
      let input = try randomTensor(Shape(rows, 5), seed: UInt64(rows))
      let a = try fast.forward(Self.narrowed(input)).values, b = try reference.forward(input).values
      #expect(relativeError(a, b) < 1e-5, "\(rows) rows")
    }
    #expect(fast.keptPlanCount <= 16)
  }

  /// A deeper network needs no more scratch memory, because its regions take turns, but for its weights.
  @Test func scratchMemoryIsThatOfTheLargestRegion() throws {
    func scratch(depth: Int64) throws -> Int {
      let specification: JSONObject = [
        "type": "wide_resnet", "inputs": [8, 8, 3], "classes": 3, "depth": .integer(depth), "width": 1,
      ]
      let network = try Network(NetworkSpecification(.object(specification)), threads: 2)
      let plan = try Plan(network, Plan.Key(rows: 8, normalization: .batch, isNoisy: false, isKept: true))
      let program = try #require(try plan.program(.backward(toInput: false)))
      return program.scratchByteCount - 4 * program.weightCount
    }
    let least = try scratch(depth: 16)
    #expect(least > 0)
    #expect(try scratch(depth: 28) == least)
  }

  /// Steps of another size each would keep all of them otherwise.
  @Test func aTensorPoolKeepsSoManyBytes() throws {
    let pool = TensorPool(), count = 25 << 20
    func take(_ count: Int) throws -> Buffer { try pool.tensor(Shape(count), .float32).buffer }
    weak var first = try take(count)
    weak var second = try take(count + 1)
    #expect(first != nil && second != nil, "200 MiB")
    weak var third = try take(count + 2)
    #expect(first == nil && second != nil && third != nil, "300 MiB are too many: the oldest goes")
    let used = try take(count + 1)
    #expect(used === second)
    weak var large = try take(80 << 20)
    #expect(third == nil && second != nil && large != nil, "what is used stays")
  }

  @Test func aPassIsUsedAgainOnlyWhenFree() throws {
    let network = try Self.pair(Self.networks[0], threads: 1).fast
    let inputs = try (0..<3).map { try randomTensor(Shape(4, 5), .float32, seed: UInt64($0)) }
    let alone = try inputs.map { try network.record($0, mode: .evaluation).logits.values }
    let passes = try inputs.map { try network.record($0, mode: .evaluation) }
    #expect(passes.map(\.logits.values) == alone, "three passes alive at once")
    var address = passes[0].logits.buffer
    #expect(!isKnownUniquelyReferenced(&address))
  }

  @Test func predictorIsFrozenAndBound() throws {
    let network = try Self.pair(Self.networks[0], threads: 1).fast
    let input = try randomTensor(Shape(2, 5), .float32, seed: 1), output = try Tensor(Shape(2, 3), .float64)
    try withExtendedLifetime((input, output)) {
      let predictor = try Predictor(network, BorrowedArray(input), BorrowedArray(output))
      let before = try network.predictProbabilities(input).values
      try predictor.run()
      #expect(output.values == before)
      network.parameters.scale(by: 2)
      try predictor.run()
      #expect(output.values == before, "frozen")
      input[0] = 3
      try predictor.run()
      #expect(output.values != before, "bound to the input")
      input[0] = .nan
      #expect(Training.error { try predictor.run() }.code == .data)
      input[0] = 0
      try predictor.run()
    }
  }
}
