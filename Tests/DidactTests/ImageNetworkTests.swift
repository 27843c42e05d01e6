import Testing

@testable import Didact

/// Networks of images: what they are made of, and the gradients through them.
@Suite struct ImageNetworkTests {
  private func wideResNet(_ changes: JSONObject = [:]) throws -> NetworkSpecification {
    let base: JSONObject = ["type": "wide_resnet", "inputs": [32, 32, 3], "classes": 10]
    return try NetworkSpecification(.object(base.setting(changes)))
  }

  @Test(arguments: [
    ("uda", 1_467_610), ("usb", 1_467_626), ("fixmatch", 1_469_642), ("meta_pseudo_labels", 1_472_170),
  ]) func wideResNetsHaveTheirPublishedSizes(variant: String, count: Int) throws {
    let builder = try NetworkBuilder(wideResNet(["variant": .string(variant)]))
    #expect(builder.parameterCount == count)
    #expect(builder.graph.last.outputs == 10)
  }

  @Test(arguments: [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032)])
  func resNetsHaveTheirPublishedSizes(depth: Int, count: Int) throws {
    let builder = try NetworkBuilder(
      NetworkSpecification([
        "type": "resnet", "inputs": [224, 224, 3], "classes": 1000, "depth": .integer(Int64(depth)),
      ]))
    #expect(builder.parameterCount == count)
    let last = builder.graph.nodes.last { $0.layer is AdditionLayer }
    #expect(last?.layer.extent.pixels == 49)
    let small = try NetworkBuilder(
      NetworkSpecification([
        "type": "resnet", "inputs": [32, 32, 3], "classes": 10, "depth": .integer(Int64(depth)), "small_images": true,
      ]))
    #expect(small.graph.nodes.last { $0.layer is AdditionLayer }?.layer.extent.pixels == 16)
  }

  @Test(arguments: [
    ("b0", 5_288_548), ("b1", 7_794_184), ("b2", 9_109_994), ("b3", 12_233_232), ("b4", 19_341_616), ("b5", 30_389_784),
    ("b6", 43_040_704), ("b7", 66_347_960), ("b8", 87_413_142), ("l2", 480_309_308),
  ]) func efficientNetsHaveTheirPublishedSizes(variant: String, count: Int) throws {
    let builder = try NetworkBuilder(
      NetworkSpecification([
        "type": "efficientnet", "inputs": [224, 224, 3], "classes": 1000, "variant": .string(variant),
      ]))
    #expect(builder.parameterCount == count)
  }

  /// The exact feedback through EfficientNet's blocks, with gates and stochastic depth, along its own direction.
  @Test(.enabled(if: isOptimizedBuild)) func metaGradientThroughAnEfficientNet() throws {
    let trainer = try Trainer(configuration: [
      "method": "meta_pseudo_labels", "dtype": "float64", "seed": 3,
      "network": ["type": "efficientnet", "inputs": [8, 8, 3], "classes": 3, "small_images": true, "dropout": 0],
      "student_network": [
        "type": "sequential", "inputs": [8, 8, 3],
        "layers": .array(try efficientBlocks()),
      ],
    ])
    let x = try randomTensor(Shape(4, 192), seed: 1), u = try randomTensor(Shape(4, 192), seed: 2)
    let gradient = try trainer.metaGradient(x, [0, 1, 2, 0], unlabeled: u), norm = gradient.norm
    let teacher = try trainer.network("teacher"), start = teacher.parameters.values
    #expect(norm > 1e-8)
    func objective(_ distance: Double) throws -> Double {
      for index in start.indices { teacher.parameters[index] = start[index] + distance * gradient[index] / norm }
      return try trainer.metaObjective(x, [0, 1, 2, 0], unlabeled: u)
    }
    let errors = try [1e-3, 1e-4, 1e-5].map { step in
      abs((try objective(step) - objective(-step)) / (2 * step) - norm) / norm
    }
    #expect(errors.min() ?? 1 <= 1e-5, "\(errors)")
  }

  /// The first blocks of an EfficientNet-B0.
  private func efficientBlocks() throws -> [JSON] {
    let whole = try NetworkSpecification([
      "type": "efficientnet", "inputs": [8, 8, 3], "classes": 3, "small_images": true, "stochastic_depth": 0.5,
    ])
    let cut = whole.layers.firstIndex { $0.name == "blocks.2.0.expand" } ?? 0
    return whole.layers[..<cut].map { named(.object($0.values.object), $0.name ?? "", from: $0.from) } + [
      layer("global_average_pool"), dense(3),
    ]
  }

  /// Gates start as the 1 × 1 convolutions of the published codes, the last layer within 1 / √classes.
  @Test func efficientNetsStartAsPublished() throws {
    let network = try Network(
      NetworkSpecification(["type": "efficientnet", "inputs": [32, 32, 3], "classes": 25]), seed: 1)
    func deviation(_ name: String) throws -> Double {
      let values = try network.parameter(name).values
      return (values.map { $0 * $0 }.reduce(0, +) / Double(values.count)).squareRoot()
    }
    // 1152 outputs; fan-out 5 · 5 of a depthwise convolution; uniform within 1 / 5
    #expect(abs(try deviation("blocks.5.3.excite.weight") / (2.0 / 1152).squareRoot() - 1) < 0.02)
    #expect(abs(try deviation("blocks.5.3.depthwise.weight") / (2.0 / 25).squareRoot() - 1) < 0.02)
    #expect(abs(try deviation("classifier.weight") / (0.2 / 3.0.squareRoot()) - 1) < 0.02)
    #expect(try network.parameter("classifier.weight").values.allSatisfy { abs($0) <= 0.2 })
  }

  /// A pass keeps one array a convolution; normalised and activated images are computed again, and cotangents take turns.
  @Test func passesShareMemory() throws {
    let graph = try NetworkBuilder(wideResNet()).graph, rows = 8
    let outputs = graph.nodes.map(\.layer.outputs).reduce(0, +) * rows
    let kept = try PassLayout(graph, inputs: 3072, rows: rows, isKept: true)
    let forLogits = try PassLayout(graph, inputs: 3072, rows: rows, isKept: false)
    #expect(kept.workspaceCount < outputs / 3)
    // At most four images of the first stage at a time, whatever came before.
    let largest = 32 * 32 * 32 * rows
    #expect(kept.workingCount <= 4 * largest)
    #expect(forLogits.workspaceCount < largest / 10)
    #expect(forLogits.workingCount <= 4 * largest)
  }

  /// In blocks where oneDNN has fast convolutions for it, on both sides; the others are a hundred times as slow.
  @Test func imagesInBlocks() throws {
    func forms(_ extent: [JSON], _ layers: [JSONObject]) throws -> [Bool] {
      let specification = try NetworkSpecification(
        .object([
          "type": "sequential", "inputs": .array(extent),
          "layers": .array((layers + [["type": "dense", "outputs": 2]]).map { .object($0) }),
        ]))
      return try NetworkBuilder(specification).graph.forms(.inBlocks).map { $0 == .inBlocks }
    }
    func convolution(_ outputs: Int, _ size: Int = 3) -> JSONObject {
      ["type": "convolution", "outputs": .integer(Int64(outputs)), "size": .integer(Int64(size))]
    }
    let relu: JSONObject = ["type": "relu"], pool: JSONObject = ["type": "global_average_pool"]
    let flat: JSONObject = ["type": "flatten"], dropout: JSONObject = ["type": "dropout", "rate": 0.5]
    #expect(try forms([6, 6, 3], [convolution(16), relu, pool]) == [false, true, true, false, false])
    // Channels that fill no block, before or behind.
    #expect(try forms([6, 6, 4], [convolution(16), pool]) == [false, false, false, false])
    #expect(
      try forms([6, 6, 3], [convolution(16), convolution(8), convolution(16), pool])
        == Array(repeating: false, count: 6))
    // A window larger than the image.
    #expect(try forms([2, 9, 3], [convolution(16), pool]) == [false, false, false, false])
    // Elements whose order matters.
    #expect(try forms([6, 6, 3], [convolution(16), flat, relu]) == [false, false, false, false])
    #expect(try forms([6, 6, 3], [convolution(16), dropout, pool]) == [false, false, false, false, false])
  }

  /// What shares memory computes what has memory of its own does, on several threads, through branches.
  @Test func sharedMemoryChangesNothing() throws {
    let specification = try wideResNet(["inputs": [16, 16, 3], "depth": 10, "variant": "fixmatch"])
    let rows = 40, x = try randomTensor(Shape(rows, 768), seed: 1),
      cotangent = try randomTensor(Shape(rows, 10), seed: 2)
    var results: [[Double]] = []
    for (elementType, threads) in [(ElementType.float64, 1), (.float32, 1), (.float32, 3)] {
      let network = try Network(specification, elementType: elementType, seed: 1, threads: threads)
      let input = try network.converted(x), mode = PassMode(normalization: .batch, noise: nil, draw: 0)
      let pass = try network.record(input, mode: mode), inputCotangent = try Tensor(input.shape, elementType)
      try pass.backward(try network.converted(cotangent), inputCotangent: inputCotangent)
      let logits = try network.record(input, mode: mode.forLogits).logits.values
      #expect(largestDifference(logits, pass.logits.values) == 0)
      let tangent = try pass.tangent(try network.gradients.copy(), inputDirection: inputCotangent)
      results.append(logits + network.gradients.values + inputCotangent.values + tangent.values)
    }
    let scale = results[0].map(abs).max() ?? 1
    #expect(largestDifference(results[0], results[1]) < 1e-4 * scale)
    #expect(largestDifference(results[1], results[2]) < 1e-5 * scale)
  }

  /// Logits, gradients, the input's cotangent, and the tangent along both.
  private func threePasses(_ network: Network, _ x: Tensor, _ cotangent: Tensor) throws -> [[Double]] {
    let mode = PassMode(normalization: .batch, noise: nil, draw: 0)
    let pass = try network.record(try network.converted(x), mode: mode)
    let inputCotangent = try Tensor(x.shape, network.elementType)
    try pass.backward(try network.converted(cotangent), inputCotangent: inputCotangent)
    let tangent = try pass.tangent(try network.gradients.copy(), inputDirection: inputCotangent)
    return [pass.logits, network.gradients, inputCotangent, tangent].map(\.values)
  }

  /// Regions of convolutions and what stands around them, of several blocks of examples a thread, or that must not be made:
  /// of normalisation by groups, of which one has as many values as the convolution behind makes.
  @Test(arguments: convolutionArithmetics, [1, 2, 3])
  func regionsOfImagesAgreeWithDouble(arithmetic: ConvolutionArithmetic, threads: Int) throws {
    let specification = try images(
      16, 16, 3,
      [
        convolution(16), ["type": "batch_norm", "groups": 4], named(layer("relu"), "a"),
        named(convolution(16, ["stride": 2]), "b"), layer("batch_norm"), layer("relu"), convolution(16),
        convolution(16), named(layer("swish"), "c"), named(layer("add"), "d", from: ["b", "c"]),
        ["type": "batch_norm", "groups": 2],
        convolution(32, ["size": 1]), layer("batch_norm"), layer("relu"), layer("max_pool"),
        named(convolution(32, ["bias": true]), "e"), layer("batch_norm"), named(layer("relu"), "f"),
        named(layer("add"), "g", from: ["e", "f"]), layer("batch_norm"), layer("global_average_pool"), dense(5),
      ])
    let rows = 96, x = try randomTensor(Shape(rows, 768), seed: 1)
    let cotangent = try randomTensor(Shape(rows, 5), seed: 2)
    let network = try Network(specification, seed: 1, threads: threads, arithmetic: arithmetic)
    let reference = try Network(specification, elementType: .float64, seed: 1)
    let values = network.parameters.values
    for index in values.indices { reference.parameters[index] = values[index] }
    let found = try threePasses(network, x, cotangent), exact = try threePasses(reference, x, cotangent)
    for (a, b) in zip(found, exact) {
      #expect(relativeError(a, b) < ([.direct, .fast].contains(arithmetic) ? 1e-4 : 0.2))
    }
    for _ in 0..<10 { #expect(try threePasses(network, x, cotangent) == found) }
  }

  /// A group may have as many pixels as the batch has examples, or pixels of smaller images; what reads all groups waits for
  /// them nevertheless.
  @Test(arguments: convolutionArithmetics, [1, 2]) func groupsOfAsManyRowsAsTheBatch(
    arithmetic: ConvolutionArithmetic, threads: Int
  ) throws {
    func normalization(_ groups: Int) -> JSON { ["type": "batch_norm", "groups": .integer(Int64(groups))] }
    let gated: [JSON] = [
      convolution(8), named(normalization(4), "a"), layer("global_average_pool"), named(dense(8), "b"),
      named(layer("gate"), "c", from: ["a", "b"]), dense(5),
    ]
    let specifications = try [
      images(2, 2, 8, gated),
      images(4, 4, 3, [layer("max_pool"), normalization(4), dense(5)]),
      images(4, 4, 16, [convolution(16), normalization(16), layer("max_pool"), dense(5)]),
      images(4, 4, 16, [convolution(16), layer("max_pool"), normalization(4), layer("relu"), dense(5)]),
      images(
        2, 2, 16,
        [
          convolution(24), layer("batch_norm"), layer("relu"), convolution(16, ["padding": 2]), normalization(4),
          layer("relu"), dense(5),
        ]),
    ]
    for specification in specifications {
      let network = try Network(specification, seed: 1, threads: threads, arithmetic: arithmetic)
      let reference = try Network(specification, elementType: .float64, seed: 1)
      let rows = 288
      // Other data each time, so that what is left in memory is wrong.
      for seed in 1..<4 {
        let x = try randomTensor(Shape(rows, network.inputs), seed: UInt64(seed))
        let cotangent = try randomTensor(Shape(rows, 5), seed: UInt64(10 + seed))
        let found = try threePasses(network, x, cotangent), exact = try threePasses(reference, x, cotangent)
        for (a, b) in zip(found, exact) {
          #expect(relativeError(a, b) < ([.direct, .fast].contains(arithmetic) ? 1e-4 : 0.2))
        }
      }
    }
  }

  /// What a run leaves in working memory, another network's included, nobody reads.
  @Test(arguments: [
    (ElementType.float64, ConvolutionArithmetic.direct), (.float32, .direct), (.float32, .fast),
    (.float32, .emulatedBFloat16),
  ]) func workingMemoryIsForOneRun(elementType: ElementType, arithmetic: ConvolutionArithmetic) throws {
    let specification = try wideResNet(["inputs": [16, 16, 3], "depth": 10])
    let rows = 40, x = try randomTensor(Shape(rows, 768), seed: 1),
      cotangent = try randomTensor(Shape(rows, 10), seed: 2)
    let results = try [false, true].map { isOverwritten in
      let network = try Network(specification, elementType: elementType, seed: 1, threads: 2, arithmetic: arithmetic)
      let memory = LargeMemory()
      func overwrite() throws {
        let byteCounts = memory.byteCounts
        #expect(!byteCounts.isEmpty, "that of the pass")
        guard isOverwritten else { return }
        for byteCount in byteCounts {
          // NaN in every form.
          let buffer = try memory.buffer(byteCount: byteCount)
          UnsafeMutableRawBufferPointer(start: buffer.address, count: buffer.byteCount).initializeMemory(
            as: UInt8.self, repeating: 0xff)
        }
        #expect(memory.byteCounts == byteCounts)
      }
      let mode = PassMode(normalization: .batch, noise: nil, draw: 0), input = try network.converted(x)
      let key = Plan.Key(rows: rows, normalization: .batch, isNoisy: false, isKept: true)
      let pass = try RecordedPass(network, Plan(network, key, memory), LargeMemory())
      try pass.forward(input, mode: mode, at: nil)
      try overwrite()
      let inputCotangent = try Tensor(input.shape, elementType)
      try pass.backward(try network.converted(cotangent), inputCotangent: inputCotangent)
      try overwrite()
      let tangent = try pass.tangent(try network.gradients.copy(), inputDirection: inputCotangent)
      try overwrite()
      return [pass.logits, network.gradients, inputCotangent, tangent].map(\.bytes)
    }
    #expect(results[0] == results[1])
  }

  @Test func piecesOfLargeMemoryAreUsedAgain() throws {
    let memory = LargeMemory()
    func address(_ byteCount: Int) throws -> UnsafeMutableRawPointer {
      let piece = try memory.buffer(byteCount: byteCount)
      #expect(piece.byteCount >= byteCount)
      return piece.address
    }
    let first = try address(5 << 20)
    #expect(try address(3 << 20) == first)
    // Not while somebody refers to it.
    let held = try memory.buffer(byteCount: 4 << 20)
    try withExtendedLifetime(held) {
      #expect(held.address == first)
      let second = try address(4 << 20)
      #expect(second != first)
      #expect(try address(5 << 20) != first)
    }
    // Not by somebody who needs much less.
    let small = try memory.buffer(byteCount: 5 << 17 - 1)
    #expect(small.byteCount < 5 << 18)
    #expect(throws: DidactError.self) { try address(1 << 50) }
    let shared = LargeMemory.shared()
    #expect(LargeMemory.shared() === shared)
  }

  /// What a pass finds in memory that another one had, nobody reads; and while it is referred to, nobody else has it.
  @Test(arguments: [
    (ElementType.float64, ConvolutionArithmetic.direct), (.float32, .direct), (.float32, .fast),
    (.float32, .emulatedBFloat16),
  ]) func passesTakeTurnsInMemory(elementType: ElementType, arithmetic: ConvolutionArithmetic) throws {
    let specification = try wideResNet(["inputs": [16, 16, 3], "depth": 10]), rows = 40
    let mode = PassMode(normalization: .batch, noise: RandomStream(seed: 1, name: "dropout"), draw: 0)
    let x = try randomTensor(Shape(rows, 768), elementType, seed: 1)
    let cotangent = try randomTensor(Shape(rows, 10), elementType, seed: 2)
    func network(_ other: Network? = nil) throws -> Network {
      try Network(
        specification, elementType: elementType, seed: 1, threads: 2, arithmetic: arithmetic, sharingMemoryOf: other)
    }
    func memory(_ pass: RecordedPass) -> UnsafeMutableRawBufferPointer {
      UnsafeMutableRawBufferPointer(start: pass.logits.buffer.address, count: pass.logits.buffer.byteCount)
    }
    func results(_ network: Network) throws -> (bytes: [[UInt8]], memory: UnsafeMutableRawBufferPointer) {
      let pass = try network.record(x, mode: mode)
      #expect(pass.plan.isLarge)
      let logits = pass.logits.bytes
      try pass.backward(cotangent)
      let tangent = try pass.tangent(network.gradients.copy())
      return ([logits, network.gradients.bytes, tangent.bytes], memory(pass))
    }
    let first = try network(), second = try network(first)
    let usual = try results(first)
    // NaN in every form.
    usual.memory.initializeMemory(as: UInt8.self, repeating: 0xff)
    let again = try results(second)
    #expect(again.memory.baseAddress == usual.memory.baseAddress && again.bytes == usual.bytes)
    let held = try second.record(x, mode: mode)
    let beside = try results(first)
    #expect(beside.memory.baseAddress != memory(held).baseAddress && beside.bytes == usual.bytes)
    #expect(held.logits.bytes == usual.bytes[0])
  }

  /// Normalisation of the network's input has no sums in a tangent, so that it runs in the region of what stands before it.
  @Test func tangentsOnTwoThreadsAreAlwaysTheSame() throws {
    let specification = try images(
      8, 8, 2,
      [
        named(layer("add"), "twice", from: ["input", "input"]), convolution(16, ["size": 5]),
        named(layer("swish"), "a"),
        named(layer("batch_norm"), "bn", from: ["input"]),
        named(convolution(4, ["size": 2, "stride": 2, "padding": 0]), "b"),
        named(layer("global_average_pool"), "pool", from: ["a"]), named(dense(3), "c"),
        named(dense(3), "d", from: ["b"]), named(layer("add"), "sum", from: ["c", "d"]),
      ])
    let network = try Network(specification, seed: 1, threads: 2)
    let input = try network.converted(try randomTensor(Shape(34, 128), seed: 1))
    let direction = try network.converted(try randomTensor(network.parameters.shape, seed: 2))
    let pass = try network.record(input, mode: PassMode(normalization: .batch, noise: nil, draw: 0))
    let expected = try pass.tangent(direction).bytes
    for _ in 0..<500 { #expect(try pass.tangent(direction).bytes == expected) }
    let reference = try Network(specification, elementType: .float64, seed: 1)
    let values = network.parameters.values
    for index in values.indices { reference.parameters[index] = values[index] }
    let exact = try reference.record(
      try reference.converted(input), mode: PassMode(normalization: .batch, noise: nil, draw: 0)
    ).tangent(try reference.converted(direction))
    #expect(largestDifference(try pass.tangent(direction).values, exact.values) < 1e-4)
  }

  /// Convolutions that are made on several threads at a time, at shapes that follow each other too fast to be kept.
  @Test func networksMadeOnFourThreadsComputeTheSerialBits() async throws {
    let specification = try images(
      9, 9, 3,
      [
        convolution(17, ["size": 3]), layer("relu"), convolution(33, ["size": 3, "stride": 2]), layer("swish"),
        convolution(16, ["size": 1]), convolution(32, ["size": 5]), layer("batch_norm"), layer("relu"),
        convolution(32, ["size": 3, "groups": 32]), convolution(5, ["size": 2]), layer("flatten"), dense(3),
      ])
    let cases = convolutionArithmetics.flatMap { arithmetic in (2..<12).map { (arithmetic, rows: $0) } }
    @Sendable func passes(_ arithmetic: ConvolutionArithmetic, rows: Int) throws -> [[Double]] {
      let network = try Network(specification, seed: 1, threads: 2, arithmetic: arithmetic)
      let x = try randomTensor(Shape(rows, network.inputs), seed: 1)
      return try threePasses(network, x, randomTensor(Shape(rows, 3), seed: 2))
    }
    let serial = try cases.map { try passes($0.0, rows: $0.rows) }
    try await withThrowingTaskGroup(of: Void.self) { group in
      for task in 0..<4 {
        group.addTask {
          for round in 0..<3 * cases.count {
            let index = (round * 7 + task * 11) % cases.count, (arithmetic, rows) = cases[index]
            let isSame = try passes(arithmetic, rows: rows) == serial[index]
            #expect(isSame, "\(arithmetic), \(rows) rows")
          }
        }
      }
      try await group.waitForAll()
    }
  }

  @Test func layersThatNobodyReads() throws {
    func network(_ layers: [JSON]) throws -> Network { try Network(images(4, 4, 1, layers)) }
    #expect(throws: DidactError.self) {
      try network([named(dense(3), "a"), layer("relu"), named(layer("flatten"), "f", from: ["a"])])
    }
    #expect(throws: DidactError.self) { try network([dense(3), named(layer("flatten"), "f", from: ["input"])]) }
    #expect(throws: DidactError.self) {
      try network([named(layer("flatten"), "f"), named(convolution(2), "c", from: ["input"]), dense(2)])
    }
    #expect(try network([convolution(2), layer("flatten")]).classes == 32)
    #expect(try network([named(layer("flatten"), "f"), named(dense(2), "d", from: ["f"])]).classes == 2)
  }

  @Test func resizedNetworksShareTheirParameters() throws {
    let network = try Network(
      NetworkSpecification([
        "type": "wide_resnet", "inputs": [16, 16, 3], "classes": 4, "depth": 10, "width": 1,
      ]), elementType: .float64, seed: 1)
    let larger = try network.resized(height: 20, width: 24), x = try randomTensor(Shape(2, 1440), seed: 2)
    let before = try larger.predictProbabilities(x).values
    network.parameters[0] += 1
    #expect(try larger.predictProbabilities(x).values != before)
    #expect(try network.predictProbabilities(try randomTensor(Shape(2, 768), seed: 2)).shape == Shape(2, 4))
    let fixed = try Network(
      NetworkSpecification(["type": "sequential", "inputs": [4, 4, 1], "layers": [["type": "dense", "outputs": 2]]]))
    #expect(throws: DidactError.self) { try fixed.resized(height: 5, width: 4) }
    #expect(throws: DidactError.self) { try network.resized(height: 0, width: 4) }
    let vectors = try Network(try sequential(3, [dense(2)]))
    #expect(throws: DidactError.self) { try vectors.resized(height: 5, width: 4) }
  }

  /// A group is normalised as if it were the batch.
  @Test func groupsAreNormalisedByThemselves() throws {
    let whole = try Network(try images(3, 2, 2, [layer("batch_norm"), dense(3)]), elementType: .float64, seed: 1)
    let grouped = try Network(
      try images(3, 2, 2, [["type": "batch_norm", "groups": 3], dense(3)]), elementType: .float64, seed: 1)
    let x = try randomTensor(Shape(6, 12), seed: 1), mode = PassMode(normalization: .batch, noise: nil, draw: 0)
    let logits = try grouped.record(x, mode: mode).logits.values
    let parts = try (0..<3).flatMap { try whole.record(x.rows(2 * $0..<2 * $0 + 2), mode: mode).logits.values }
    #expect(largestDifference(logits, parts) < 1e-14)
    #expect(throws: DidactError.self) { try grouped.record(x.rows(0..<4), mode: mode) }
    #expect(try grouped.forward(x.rows(0..<4)).shape == Shape(4, 3))
  }

  /// Weights by other packages' names.
  @Test func pretrainedWeights() throws {
    let specification = try NetworkSpecification([
      "type": "resnet", "inputs": [16, 16, 3], "classes": 5, "depth": 18, "small_images": true,
    ])
    let source = try Network(specification, seed: 1), target = try Network(specification, seed: 2)
    try source.randomize(seed: 3)
    func tensors(_ change: (String) -> String?) throws -> [(name: String, tensor: Tensor)] {
      let slots =
        source.parameterSlots.map { ($0, source.parameters) } + source.statisticSlots.map { ($0, source.statistics) }
      return try slots.compactMap { slot, flat in
        guard let name = change(slot.name) else { return nil }
        return (name, try slot[flat].copy())
      }
    }
    func torch(_ name: String) -> String {
      "module." + (name.hasSuffix("running_variance") ? String(name.dropLast(8)) + "var" : name)
    }
    let folder = try TemporaryDirectory()
    func file(_ change: (String) -> String?) throws -> String {
      let path = folder.path("weights.safetensors")
      try SafetensorsFile(tensors: try tensors(change)).write(to: path)
      return path
    }
    let weights = try PretrainedWeights(try file(torch), for: target)
    #expect(weights.report.names == "torchvision")
    #expect(weights.report.kept.isEmpty && weights.report.unused.isEmpty)
    try weights.apply()
    #expect(target.parameters.bytes == source.parameters.bytes)
    #expect(target.statistics.bytes == source.statistics.bytes)

    // Another number of classes keeps the last layer.
    let other = try Network(
      NetworkSpecification(.object((specification.json.members ?? [:]).setting(["classes": 7]))), seed: 4)
    let last = try other.parameter("fc.weight").values
    let partial = try PretrainedWeights(try file(torch), for: other)
    #expect(partial.report.kept == ["fc.weight", "fc.bias"])
    try partial.apply()
    #expect(try other.parameter("fc.weight").values == last)
    #expect(try other.parameter("conv1.weight").values == source.parameter("conv1.weight").values)

    let before = target.parameters.bytes
    let incomplete = try file { $0 == "layer1.0.conv1.weight" ? nil : torch($0) }
    let error = #expect(throws: DidactError.self) { try PretrainedWeights(incomplete, for: target) }
    #expect(error?.message.contains("layer1.0.conv1.weight") == true)
    #expect(try PretrainedWeights(incomplete, for: target, strict: false).report.kept == ["layer1.0.conv1.weight"])
    let deeper = try Network(NetworkSpecification(.object((specification.json.members ?? [:]).setting(["depth": 50]))))
    #expect(throws: DidactError.self) { try PretrainedWeights(try file(torch), for: deeper) }
    let foreign = try Network(try sequential(3, [dense(2)]))
    #expect(throws: DidactError.self) { try PretrainedWeights(try file(torch), for: foreign) }
    try source.statistic("bn1.running_variance")[1] = -1
    #expect(throws: DidactError.self) { try PretrainedWeights(try file(torch), for: target).apply() }
    try source.statistic("bn1.running_variance")[1] = 1
    try source.parameter("conv1.weight")[3] = .nan
    #expect(throws: DidactError.self) { try PretrainedWeights(try file(torch), for: target).apply() }
    #expect(target.parameters.bytes == before)
  }

  @Test func smallNetworksHaveStagesForTheirImages() throws {
    for (side, stages) in [(4, 1), (8, 2), (16, 3), (32, 3)] {
      let builder = try NetworkBuilder(
        NetworkSpecification([
          "type": "small_cnn", "inputs": .array([side, side, 3].map { .integer(Int64($0)) }), "classes": 10,
        ]))
      #expect(builder.graph.nodes.count { $0.layer is MaxPoolLayer } == stages - 1, "side \(side)")
    }
  }

  /// Exact feedback through a WideResNet-10-1 with batch normalisation: some entries of every parameter against central
  /// differences. With smooth activations, as a ReLU's kinks are no derivatives.
  @Test(.enabled(if: isOptimizedBuild)) func metaGradientThroughAWideResNet() throws {
    let network = try wideResNet([
      "inputs": [8, 8, 3], "depth": 10, "width": 1, "variant": "meta_pseudo_labels", "classes": 4, "dropout": 0,
    ])
    let smooth = network.layers.map { layer -> JSON in
      var values = layer.values.object
      if values["type"] == "leaky_relu" { values = ["type": "swish"] }
      return named(.object(values), layer.name ?? "", from: layer.from)
    }
    let trainer = try Trainer(configuration: [
      "method": "meta_pseudo_labels", "dtype": "float64", "seed": 3,
      "network": ["type": "sequential", "inputs": [8, 8, 3], "layers": .array(smooth)],
      "student_optimizer": ["learning_rate": 0.1, "momentum": 0.9, "nesterov": true, "clip_norm": 1],
    ])
    let x = try randomTensor(Shape(4, 192), seed: 1), u = try randomTensor(Shape(4, 192), seed: 2)
    let strong = try randomTensor(Shape(4, 192), seed: 3), labels = [0, 1, 2, 3]
    func objective() throws -> Double { try trainer.metaObjective(x, labels, unlabeled: u, strong: strong) }
    let gradient = try trainer.metaGradient(x, labels, unlabeled: u, strong: strong)
    let teacher = try trainer.network("teacher"), norm = gradient.norm
    #expect(norm > 1e-6)
    var square = 0.0, difference = 0.0, entries = 0
    for slot in teacher.parameterSlots {
      let draw = testDraw(UInt64(slot.offset))
      for sample in 0..<min(50, slot.shape.count) {
        let index = slot.offset + draw.integer(sample, below: slot.shape.count), value = teacher.parameters[index]
        let step = 1e-5
        teacher.parameters[index] = value + step
        let above = try objective()
        teacher.parameters[index] = value - step
        let below = try objective()
        teacher.parameters[index] = value
        let expected = (above - below) / (2 * step)
        square += expected * expected
        difference += (expected - gradient[index]) * (expected - gradient[index])
        entries += 1
      }
    }
    #expect(entries > 1000)
    #expect((difference / square).squareRoot() <= 1e-5)
  }

  /// Float32 on oneDNN's convolutions against the float64 reference, over ten steps of training.
  @Test func tenStepsFollowTheReference() throws {
    for network in [
      ["type": "small_cnn", "inputs": [8, 8, 1], "classes": 3, "width": 8] as JSON,
      ["type": "wide_resnet", "inputs": [8, 8, 3], "classes": 3, "depth": 10, "width": 1],
    ] {
      let specification = try NetworkSpecification(network)
      func trained(_ dtype: String) throws -> Trainer {
        let trainer = try Trainer(configuration: [
          "method": "meta_pseudo_labels", "network": network, "dtype": .string(dtype), "seed": 2, "average_decay": 0.9,
          "student_optimizer": ["learning_rate": 0.02], "teacher_optimizer": ["learning_rate": 0.02],
        ])
        for role in ["student", "teacher", "average"] {
          let network = try trainer.network(role), values = try Network(specification, elementType: .float32, seed: 9)
          for index in 0..<network.parameters.count { network.parameters[index] = values.parameters[index] }
        }
        for step in 0..<UInt64(10) {
          let x = try randomTensor(Shape(6, specification.inputs), .float32, seed: step)
          let u = try randomTensor(Shape(12, specification.inputs), .float32, seed: 50 + step)
          try trainer.step(x, (0..<6).map { $0 % 3 }, unlabeled: u)
        }
        return trainer
      }
      let single = try trained("float32"), double = try trained("float64")
      for role in ["student", "teacher", "average"] {
        let a = try single.network(role), b = try double.network(role)
        #expect(relativeError(a.parameters.values, b.parameters.values) < 1e-3, "\(role)")
        #expect(relativeError(a.statistics.values, b.statistics.values) < 1e-3, "\(role)")
      }
    }
  }

  @Test func impossibleNetworksAreRefused() throws {
    let cases: [(JSON, [String])] = [
      (["type": "wide_resnet", "inputs": [32, 32, 3], "classes": 10, "depth": 27], ["depth", "6 n + 4"]),
      (["type": "wide_resnet", "inputs": [32, 32], "classes": 10], ["inputs", "[height, width, channels]"]),
      (chain([["type": "convolution", "outputs": 2, "size": 9, "padding": 0]]), ["does not fit", "4 × 4"]),
      (chain([["type": "convolution", "outputs": 3, "groups": 2]]), ["2 groups"]),
      (chain([["type": "max_pool", "size": 2, "padding": 2]]), ["padding"]),
      (chain([["type": "convolution", "outputs": 2, "stride": 0]]), ["stride"]),
      (chain([["type": "relu", "name": "a", "from": ["b"]], ["type": "relu", "name": "b"]]), ["\"a\"", "\"b\""]),
      (chain([["type": "relu", "name": "a", "from": ["a"]]]), ["no layer before it is called \"a\""]),
      (chain([["type": "relu", "name": "a"], ["type": "relu", "name": "a"]]), ["two layers", "\"a\""]),
      (
        chain([["type": "relu", "name": "a"], ["type": "relu", "name": "b", "from": ["input"]]]),
        ["nothing reads", "\"a\""]
      ),
      (chain([["type": "add"]]), ["takes 2"]),
      (chain([["type": "relu", "from": ["input", "input"]]]), ["takes 1"]),
      (
        chain([["type": "dense", "outputs": 3, "name": "d"], ["type": "add", "from": ["input", "d"]]]), ["cannot add"]
      ),
      (chain([["type": "dense", "outputs": 3, "name": "d"], ["type": "gate", "from": ["input", "d"]]]), ["gate"]),
      (chain([["type": "relu", "name": "input"]]), ["\"name\""]),
    ]
    for (json, words) in cases {
      let error = Training.error { _ = try NetworkBuilder(NetworkSpecification(json)) }
      #expect(error.code == .invalidArgument, "\(error)")
      for word in words { #expect(error.message.contains(word), "\(error.message)") }
    }
  }

  private func chain(_ layers: JSON) -> JSON { ["type": "sequential", "inputs": [4, 4, 2], "layers": layers] }

  @Test func imageNetworksAreSavedAndLoaded() throws {
    let directory = try TemporaryDirectory(), path = directory.path("network.safetensors")
    let specification = try images(
      6, 6, 2,
      [named(convolution(3), "first"), named(layer("leaky_relu"), "f"), layer("global_average_pool"), dense(2)])
    let network = try Network(specification, seed: 4)
    #expect(network.parameterNames == ["first.weight", "dense0.weight", "dense0.bias"])
    try network.save(to: path)
    let loaded = try Network(loading: path)
    #expect(loaded.specification == specification && loaded.parameters.bytes == network.parameters.bytes)
    #expect(try NetworkSpecification(specification.json) == specification)
  }
}
