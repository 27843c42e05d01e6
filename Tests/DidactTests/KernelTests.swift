import Testing

@testable import Didact

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

// MARK: - Values

/// Every operation on a problem small enough to work out by hand, in both element types.
@Suite struct KernelValueTests {
  static let implementations: [any Kernels] = [
    ReferenceKernels<Float>(), ReferenceKernels<Double>(), FusedKernels(threads: 2),
  ]

  /// The tests' short hand for one implementation.
  private struct Bench {
    let kernels: any Kernels

    func matrix(_ rows: [[Double]]) throws -> Tensor {
      try Tensor(rows.flatMap { $0 }, shape: Shape(rows.count, rows[0].count), elementType: kernels.elementType)
    }
    func vector(_ values: [Double]) throws -> Tensor {
      try Tensor(values, shape: Shape(values.count), elementType: kernels.elementType)
    }
    func expect(
      _ tensor: Tensor, _ expected: [Double], _ comment: Comment? = nil, at location: SourceLocation = #_sourceLocation
    ) {
      let tolerance = kernels.elementType == .float32 ? 2e-6 : 1e-14
      let scale = max(1, expected.map(abs).max() ?? 1)
      #expect(
        largestDifference(tensor.values, expected) <= tolerance * scale, comment ?? "\(tensor.values) \(expected)",
        sourceLocation: location)
    }
  }

  @Test(arguments: implementations.indices) func vectors(_ index: Int) throws {
    let bench = Bench(kernels: Self.implementations[index]), kernels = bench.kernels
    let x = try bench.vector([1, -2, 3]), y = try bench.vector([4, 5, 6])
    #expect(kernels.dot(x, y) == 12)
    kernels.add(x, scaledBy: 2, to: y)
    bench.expect(y, [6, 1, 12])
    kernels.scale(y, by: 0.5)
    bench.expect(y, [3, 0.5, 6])
    let product = try bench.vector([9, 9, 9])
    kernels.multiply(product, x, y)
    bench.expect(product, [3, -1, 18])
    kernels.add(product, x, y)
    bench.expect(product, [4, -1.5, 9])
    kernels.copy(x, to: product)
    bench.expect(product, [1, -2, 3])
    kernels.fill(product, 7)
    bench.expect(product, [7, 7, 7])
    kernels.movingAverage(product, of: x, decay: 0.75)
    bench.expect(product, [5.5, 4.75, 6])
    kernels.movingAverage(product, of: x, decay: 0)
    bench.expect(product, [1, -2, 3])
    kernels.logarithm(product, try bench.vector([1, 0, -3]), least: 0.25)
    bench.expect(product, [0, log(0.25), log(0.25)])
    kernels.logarithm(product, try bench.vector([exp(2), .nan, 0.5]), least: 1e-30)
    #expect(abs(product[0] - 2) < 1e-6 && product[1].isNaN && abs(product[2] - log(0.5)) < 1e-7)
    #expect(kernels.allFinite(x))
    for value in [Double.nan, .infinity, -.infinity] {
      #expect(!kernels.allFinite(try bench.vector([1, value, 3])))
    }
  }

  @Test(arguments: implementations.indices) func data(_ index: Int) throws {
    let bench = Bench(kernels: Self.implementations[index]), kernels = bench.kernels
    let mean = try Tensor([1, 2], shape: Shape(2)), scale = try Tensor([2, 4], shape: Shape(2))
    for type in ElementType.allCases {
      let input = try Tensor([3, 2, 5, 10], shape: Shape(2, 2), elementType: type)
      let output = try bench.matrix([[0, 0], [0, 0]])
      #expect(kernels.convert(output, BorrowedArray(input), mean: nil, scale: nil))
      bench.expect(output, [3, 2, 5, 10])
      #expect(kernels.convert(output, BorrowedArray(input), mean: mean, scale: scale))
      bench.expect(output, [1, 0, 2, 2])
    }
    for type in ElementType.allCases {
      // Every other column of every other row, backwards.
      let input = try Tensor((0..<15).map { Double($0) }, shape: Shape(3, 5), elementType: type)
      let size = type.byteCount, output = try bench.matrix([[0, 0], [0, 0]])
      let strided = BorrowedArray(
        Shape(2, 2), type, address: input.address + 14 * size, strides: (-10 * size, -2 * size, 0, 0))
      #expect(kernels.convert(output, strided, mean: nil, scale: nil))
      bench.expect(output, [14, 12, 4, 2])
    }
    for value in [Double.nan, .infinity, 1e300] where value != 1e300 || kernels.elementType == .float32 {
      let input = try Tensor([3, 2, value, 10], shape: Shape(2, 2)), output = try bench.matrix([[0, 0], [0, 0]])
      #expect(!kernels.convert(output, BorrowedArray(input), mean: nil, scale: nil))
    }
    let gathered = try bench.matrix([[0, 0], [0, 0], [0, 0]])
    kernels.gather(gathered, try bench.matrix([[1, 2], [3, 4]]), rows: [1, 0, 1])
    bench.expect(gathered, [3, 4, 1, 2, 3, 4])
    let drawn = try bench.vector([0, 0, 0]), draw = testDraw(3)
    kernels.uniform(drawn, low: -2, high: 5, draw)
    bench.expect(drawn, (0..<3).map { -2 + 7 * draw.uniform($0) })
    let losses = try Tensor([3, 1.5], shape: Shape(2)), others = try Tensor([1, 2], shape: Shape(2))
    #expect(kernels.sumOfDifferences(losses, others) == 1.5, "of losses in float64")
  }

  @Test(arguments: implementations.indices) func denseLayer(_ index: Int) throws {
    let bench = Bench(kernels: Self.implementations[index]), kernels = bench.kernels
    let input = try bench.matrix([[1, 2], [3, 4]])
    let weight = try bench.matrix([[1, 0], [0, 1], [1, -1]]), bias = try bench.vector([0.5, -0.5, 0])
    let output = try bench.matrix([[9, 9, 9], [9, 9, 9]])
    kernels.dense(output, input, weight: weight, bias: bias)
    bench.expect(output, [1.5, 1.5, -1, 3.5, 3.5, -1])
    kernels.dense(output, input, weight: weight, bias: nil)
    bench.expect(output, [1, 2, -1, 3, 4, -1])

    let cotangent = try bench.matrix([[1, 2, 3], [0, 1, 0]]), inputCotangent = try bench.matrix([[9, 9], [9, 9]])
    kernels.denseInputCotangent(inputCotangent, cotangent, weight: weight)
    bench.expect(inputCotangent, [4, -1, 0, 1])
    let ofWeight = try bench.matrix([[1, 1], [1, 1], [1, 1]]), ofBias = try bench.vector([1, 1, 1])
    kernels.denseParameterCotangents(ofWeight, ofBias, cotangent, input: input)
    bench.expect(ofWeight, [2, 3, 6, 9, 4, 7], "added to the ones that stood there")
    bench.expect(ofBias, [2, 4, 4])

    let weightTangent = try bench.matrix([[1, 1], [0, 0], [2, 0]]), biasTangent = try bench.vector([1, 0, 0])
    let inputTangent = try bench.matrix([[1, 0], [0, 1]])
    kernels.denseTangent(
      output, inputTangent, input: input, weight: weight, weightTangent: weightTangent, biasTangent: biasTangent)
    bench.expect(output, [5, 0, 3, 8, 1, 5])
    kernels.denseTangent(
      output, nil, input: input, weight: weight, weightTangent: weightTangent, biasTangent: biasTangent)
    bench.expect(output, [4, 0, 2, 8, 0, 6])
  }

  /// f and f′ at −2, 0 and ln 3, where the logistic function is 3/4 and the hyperbolic tangent 4/5.
  @Test(arguments: implementations.indices) func activations(_ index: Int) throws {
    let bench = Bench(kernels: Self.implementations[index]), kernels = bench.kernels
    let l = log(3.0), s = 1 / (1 + exp(2.0)), t = tanh(2.0)
    let expected: [(ActivationFunction, values: [Double], slopes: [Double])] = [
      (.relu, [0, 0, l], [0, 0, 1]),
      (.leakyReLU, [-0.02, 0, l], [0.01, 0.01, 1]),
      (.sigmoid, [s, 0.5, 0.75], [s * (1 - s), 0.25, 0.1875]),
      (.tanh, [-t, 0, 0.8], [1 - t * t, 1, 0.36]),
      (.swish, [-2 * s, 0, 0.75 * l], [s - 2 * s * (1 - s), 0.5, 0.75 + 0.1875 * l]),
    ]
    #expect(Set(expected.map(\.0)) == Set(ActivationFunction.allCases))
    let input = try bench.vector([-2, 0, l]), direction = try bench.vector([2, 2, 2])
    for (function, values, slopes) in expected {
      let output = try bench.vector([9, 9, 9]), result = try bench.vector([9, 9, 9])
      kernels.activation(function, slope: 0.01, output, input)
      bench.expect(output, values, "\(function)")
      kernels.activationDerivative(function, slope: 0.01, result, direction, input: input, output: output)
      bench.expect(result, slopes.map { 2 * $0 }, "\(function)'")
    }
  }

  @Test(arguments: implementations.indices) func saturatedActivationsAreFinite(_ index: Int) throws {
    let bench = Bench(kernels: Self.implementations[index]), kernels = bench.kernels
    let input = try bench.vector([-1e4, 1e4]), direction = try bench.vector([1, 1])
    let expected: [ActivationFunction: [Double]] = [.sigmoid: [0, 1], .tanh: [-1, 1], .swish: [0, 1e4]]
    for (function, values) in expected {
      let output = try bench.vector([9, 9]), result = try bench.vector([9, 9])
      kernels.activation(function, slope: 0.01, output, input)
      bench.expect(output, values, "\(function)")
      kernels.activationDerivative(function, slope: 0.01, result, direction, input: input, output: output)
      bench.expect(result, function == .swish ? [0, 1] : [0, 0], "\(function)'")
    }
  }

  @Test(arguments: implementations.indices) func batchNormalization(_ index: Int) throws {
    let bench = Bench(kernels: Self.implementations[index]), kernels = bench.kernels
    let input = try bench.matrix([[1], [3]]), output = try bench.matrix([[9], [9]])
    let moments = try bench.matrix([[9], [9], [9], [9]])
    let weight = try bench.vector([2]), bias = try bench.vector([1])
    let mean = try bench.vector([0]), variance = try bench.vector([1])
    func forward(usesBatch: Bool, momentum: Double?) {
      kernels.batchNormalization(
        output, input, weight: weight, bias: bias, runningMean: mean, runningVariance: variance,
        moments: moments, epsilon: 0, usesBatch: usesBatch, momentum: momentum)
    }
    forward(usesBatch: true, momentum: nil)
    bench.expect(output, [-1, 3], "mean 2, biased variance 1")
    bench.expect(mean, [0])
    forward(usesBatch: true, momentum: 0.1)
    bench.expect(output, [-1, 3])
    bench.expect(mean, [0.2])
    bench.expect(variance, [1.1], "0.9 · 1 + 0.1 · 2: the unbiased variance")
    mean[0] = 1
    variance[0] = 4
    forward(usesBatch: false, momentum: nil)
    bench.expect(output, [1, 3])
  }

  /// With x̂ = √1.5 · (−1, 0, 1) the Jacobian sends (1, 0, 0) to (1/6, −1/3, 1/6): the part across 1 and x̂.
  @Test(arguments: implementations.indices) func batchNormalizationDerivatives(_ index: Int) throws {
    let bench = Bench(kernels: Self.implementations[index]), kernels = bench.kernels
    let root = 1.5.squareRoot()
    // Of mean 5 and inverse deviation 2.
    let input = try bench.matrix([[5 - root / 2], [5], [5 + root / 2]]),
      moments = try bench.matrix([[9], [9], [9], [9]])
    kernels.batchNormalization(
      try bench.matrix([[9], [9], [9]]), input, weight: try bench.vector([1]), bias: try bench.vector([0]),
      runningMean: try bench.vector([0]), runningVariance: try bench.vector([1]), moments: moments, epsilon: 0,
      usesBatch: true, momentum: nil)
    let weight = try bench.vector([3]), direction = try bench.matrix([[1], [0], [0]])
    let result = try bench.matrix([[9], [9], [9]]), sums = try bench.matrix([[9], [9], [9], [9]])
    let ofWeight = try bench.vector([1]), ofBias = try bench.vector([1])
    kernels.batchNormalizationBackward(
      result, weightCotangent: ofWeight, biasCotangent: ofBias, direction, input: input, weight: weight,
      bias: try bench.vector([0]), moments: moments, sums: sums, usesBatch: true, adds: false)
    bench.expect(result, [1, -2, 1], "3 · 2 · (1/6, −1/3, 1/6)")
    bench.expect(ofWeight, [1 - root])
    bench.expect(ofBias, [2])
    let weightTangent = try bench.vector([1]), biasTangent = try bench.vector([10])
    kernels.batchNormalizationTangent(
      result, direction, input: input, weight: weight, weightTangent: weightTangent, biasTangent: biasTangent,
      moments: moments, sums: sums, usesBatch: true)
    bench.expect(result, [11 - root, 8, 11 + root])
    kernels.batchNormalizationTangent(
      result, direction, input: input, weight: weight, weightTangent: weightTangent, biasTangent: biasTangent,
      moments: moments, sums: sums, usesBatch: false)
    bench.expect(result, [16 - root, 10, 10 + root], "running statistics are constants")
  }

  @Test(arguments: implementations.indices) func softmaxAndCrossEntropy(_ index: Int) throws {
    let bench = Bench(kernels: Self.implementations[index]), kernels = bench.kernels
    let l = log(3.0)
    let logits = try bench.matrix([[0, l], [l, l]]), result = try bench.matrix([[9, 9], [9, 9]])
    kernels.softmax(result, logits, temperature: 1)
    bench.expect(result, [0.25, 0.75, 0.5, 0.5])
    let probabilities = try result.copy()
    kernels.softmax(result, logits, temperature: 0.5)
    bench.expect(result, [0.1, 0.9, 0.5, 0.5])
    kernels.softmax(result, try bench.matrix([[1e4, 0], [-1e4, 0]]), temperature: 1)
    bench.expect(result, [1, 0, 0, 1], "no overflow")

    let direction = try bench.matrix([[1, 0], [1, 0]]), rowScale = try bench.vector([1, 0])
    kernels.softmaxBackward(result, direction, probabilities: probabilities, rowScale: nil, factor: 2)
    bench.expect(result, [0.375, -0.375, 0.5, -0.5])
    kernels.softmaxBackward(result, direction, probabilities: probabilities, rowScale: rowScale, factor: 2)
    bench.expect(result, [0.375, -0.375, 0, 0])

    let targets = try bench.matrix([[1, 0], [0.5, 0.5]]), losses = try Tensor(Shape(2), .float64)
    func crossEntropy(_ logits: Tensor, _ targets: Tensor, temperature: Double, _ rowScale: Tensor?, factor: Double) {
      kernels.crossEntropy(
        losses: losses, logitsCotangent: result, logits: logits, targets: targets, temperature: temperature,
        rowScale: rowScale, factor: factor)
    }
    crossEntropy(logits, targets, temperature: 1, nil, factor: 1)
    bench.expect(losses, [log(4), log(2)])
    bench.expect(result, [-0.75, 0.75, 0, 0])
    crossEntropy(logits, targets, temperature: 0.5, nil, factor: 1)
    bench.expect(result, [-1.8, 1.8, 0, 0])
    bench.expect(losses, [log(10), log(2)])
    crossEntropy(try bench.matrix([[-1e4, 0], [0, 0]]), targets, temperature: 1, nil, factor: 1)
    bench.expect(losses, [1e4, log(2)], "no overflow, and 0 · −∞ does not arise")
    crossEntropy(logits, try bench.matrix([[2, 0], [0, 0]]), temperature: 1, rowScale, factor: 0.5)
    bench.expect(result, [-0.75, 0.75, 0, 0], "targets need not sum to 1")
  }

  @Test(arguments: implementations.indices) func targets(_ index: Int) throws {
    let bench = Bench(kernels: Self.implementations[index]), kernels = bench.kernels
    let targets = try bench.matrix([[9, 9, 9], [9, 9, 9]])
    kernels.oneHot(targets, labels: try Tensor([2, 0]))
    bench.expect(targets, [0, 0, 1, 1, 0, 0])
    kernels.smooth(targets, smoothing: 0.3)
    bench.expect(targets, [0.1, 0.1, 0.8, 0.8, 0.1, 0.1])
    let mask = try bench.vector([9, 9, 9])
    let probabilities = try bench.matrix([[0.5, 0.5], [0.75, 0.25], [0.25, 0.75]])
    kernels.confidenceMask(mask, probabilities: probabilities, threshold: 0.75)
    bench.expect(mask, [0, 1, 1], "at least the threshold")
    kernels.rowMaximum(mask, try bench.matrix([[1, 3, 3], [2, 1, -7], [-3, -1, -2]]))
    bench.expect(mask, [3, 2, -1])
    let largest = try Tensor(Shape(3), .int64)
    kernels.argmax(largest, try bench.matrix([[1, 3, 3], [2, 1, 2], [-3, -1, -2]]))
    #expect(largest.values == [1, 0, 1])
  }

  @Test(arguments: implementations.indices) func optimizers(_ index: Int) throws {
    let bench = Bench(kernels: Self.implementations[index]), kernels = bench.kernels
    func step(_ momentum: Tensor?, nesterov: Bool) throws -> Tensor {
      let parameters = try bench.vector([1, 2])
      kernels.sgd(
        parameters, gradient: try bench.vector([4, -2]), gradientScale: 0.5, momentum: momentum, momentumFactor: 0.5,
        nesterov: nesterov, learningRate: 0.1, weightDecay: 1)
      return parameters
    }
    // d = 0.5 · (4, −2) + (1, 2) = (3, 1)
    bench.expect(try step(nil, nesterov: false), [0.7, 1.9])
    let momentum = try bench.vector([2, 2])
    bench.expect(try step(momentum, nesterov: false), [0.6, 1.8], "momentum (4, 2)")
    bench.expect(momentum, [4, 2])
    bench.expect(try step(momentum, nesterov: true), [0.45, 1.8], "momentum (5, 2), move 0.1 · (5.5, 2)")

    // The first step moves by the sign of the gradient.
    let settings = AdamWSettings(learningRate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-16, step: 1)
    let parameters = try bench.vector([1, 2, 3]), first = try bench.vector([0, 0, 0]),
      second = try bench.vector([0, 0, 0])
    let gradient = try bench.vector([4, -2, 0])
    kernels.adamW(
      parameters, gradient: gradient, gradientScale: 0.5, firstMoment: first, secondMoment: second, settings,
      weightDecay: 1)
    bench.expect(parameters, [0.8, 1.9, 2.7], "0.9 · parameters − 0.1 · sign")
    bench.expect(first, [0.2, -0.1, 0])
    bench.expect(second, [0.04, 0.01, 0])
  }
}

// MARK: - Float against Double

/// Float and Double kernels on the same values over odd shapes, with sentinels around every tensor: what a kernel writes
/// agrees, and it writes nowhere else.
@Suite struct KernelAgreementTests {
  /// Makes tensors between sentinels and remembers them.
  final class Bench {
    let kernels: any Kernels
    private(set) var tensors: [Tensor] = []
    /// Of images in blocks, what they are of, by the number of the tensor.
    private var extents: [Int: Extent] = [:]
    private var arenas: [Tensor] = []
    /// Numbers that the operation returned.
    var returned: [Double] = []
    // Whole cache lines, as the kernels may count on.
    private static let margin = 32
    // A number of bfloat16 too.
    private static let sentinel = -12288.0

    /// How images are kept, and whether their values are such that bfloat16 represents. In blocks, if the channels are
    /// such that they fill them.
    enum Images { case float32, rounded, bfloat16, inBlocks }
    private let images: Images

    init(_ kernels: any Kernels, images: Images = .float32) {
      self.kernels = kernels
      self.images = images
    }

    /// Pixels of images, which a network would keep in another form; in blocks, of two images where rows are even.
    func image(_ rows: Int, _ columns: Int) throws -> Tensor {
      guard images == .inBlocks, columns % channelsOfBlock == 0 else { return try image(Shape(rows, columns), nil) }
      let examples = rows % 2 == 0 ? 2 : 1, extent = Extent(1, rows / examples, columns)
      return extent.pixels(of: try image(Shape(examples, extent.count), extent))
    }

    /// Images [rows, extent.count] in that form.
    func image(_ rows: Int, _ extent: Extent) throws -> Tensor {
      let isInBlocks = images == .inBlocks && extent.isImage && extent.channels % channelsOfBlock == 0
      return try image(Shape(rows, extent.count), isInBlocks ? extent : nil)
    }

    /// Numbers in the order of an image's elements, never bfloat16.
    func places(_ rows: Int, _ extent: Extent) throws -> Tensor {
      images == .inBlocks ? try image(rows, extent) : try matrix(rows, extent.count)
    }

    private func image(_ shape: Shape, _ extent: Extent?) throws -> Tensor {
      let form: Tensor.Form = extent != nil ? .inBlocks : images == .bfloat16 ? .bfloat16 : .plain
      if let extent { extents[tensors.count] = extent }
      let image = try tensor(shape, form: form)
      guard images == .rounded else { return image }
      let half = try Tensor(Shape(1), .float32).view(Shape(1), at: 0, form: .bfloat16)
      for i in 0..<image.count {
        half[0] = image[i]
        image[i] = half[0]
      }
      return image
    }

    /// The elements of a tensor, channels last.
    func values(_ index: Int) -> [Double] {
      let tensor = tensors[index]
      return (0..<tensor.count).map { tensor[place($0, of: index)] }
    }

    /// Where element `i`, channels last, of a tensor is kept.
    private func place(_ i: Int, of index: Int) -> Int {
      guard let extent = extents[index] else { return i }
      let (example, element) = i.quotientAndRemainder(dividingBy: extent.count)
      let (pixel, channel) = element.quotientAndRemainder(dividingBy: extent.channels)
      let (block, lane) = channel.quotientAndRemainder(dividingBy: channelsOfBlock)
      return example * extent.count + (block * extent.pixels + pixel) * channelsOfBlock + lane
    }

    /// Random values that Float represents; also for outputs, so that one left unwritten shows.
    func tensor(
      _ shape: Shape, _ elementType: ElementType? = nil, positive: Bool = false, form: Tensor.Form = .plain
    ) throws -> Tensor {
      let whole = Shape(shape.count + 2 * Self.margin)
      var arena = try Tensor(whole, elementType ?? kernels.elementType)
      if form != .plain { arena = arena.view(whole, at: 0, form: form) }
      for i in 0..<arena.count { arena[i] = Self.sentinel }
      let tensor = arena.view(shape, at: Self.margin), draw = testDraw(UInt64(100 + tensors.count))
      for i in 0..<tensor.count {
        let value = Double(Float(draw.normal(i)))
        tensor[place(i, of: tensors.count)] = positive ? abs(value) + 0.25 : value
      }
      arenas.append(arena)
      tensors.append(tensor)
      return tensor
    }

    /// Room for what the kernels like, between sentinels, compared with nothing.
    func scratch(_ rows: Int, _ columns: Int) throws -> Tensor {
      let scratch = try tensor(Shape(rows, columns))
      tensors.removeLast()
      return scratch
    }

    func matrix(_ rows: Int, _ columns: Int) throws -> Tensor { try tensor(Shape(rows, columns)) }
    func vector(_ count: Int, positive: Bool = false) throws -> Tensor { try tensor(Shape(count), positive: positive) }

    /// Rows that sum to 1.
    func distributions(_ rows: Int, _ columns: Int) throws -> Tensor {
      let tensor = try tensor(Shape(rows, columns), positive: true)
      for n in 0..<rows {
        let range = n * columns..<(n + 1) * columns, sum = range.reduce(0) { $0 + tensor[$1] }
        for i in range { tensor[i] = Double(Float(tensor[i] / sum)) }
      }
      return tensor
    }

    var isIntact: Bool {
      arenas.allSatisfy { arena in
        (0..<Self.margin).allSatisfy { arena[$0] == Self.sentinel && arena[arena.count - 1 - $0] == Self.sentinel }
      }
    }
  }

  struct Operation: CustomTestStringConvertible, Sendable {
    let name: String
    /// Runs the operation on N rows and C columns.
    let run: @Sendable (Bench, Int, Int) throws -> Void
    var testDescription: String { name }

    init(_ name: String, _ run: @escaping @Sendable (Bench, Int, Int) throws -> Void) {
      self.name = name
      self.run = run
    }
  }

  static let shapes = [(1, 1), (1, 9), (9, 1), (7, 13), (33, 5), (2, 64)]
  /// Also what blocks, threads and oneDNN's products are for, and their edges.
  static let largeShapes = [
    (8, 130), (9, 128), (31, 129), (32, 129), (48, 64), (49, 65), (97, 2), (448, 64), (1000, 17), (2053, 3), (4100, 1),
    (4999, 32),
  ]
  /// The inner dimension of the dense operations.
  private static let inner = [1, 3, 4, 11]
  private static let largeInner = [2, 16, 64, 127, 200]
  private static func inner(_ n: Int) -> [Int] { n > 7 ? inner + largeInner : inner }

  static let operations: [Operation] =
    [
      Operation("fill, scale, add, multiply") { bench, n, c in
        let x = try bench.image(n, c), y = try bench.image(n, c), z = try bench.image(n, c)
        bench.kernels.add(x, scaledBy: 0.3, to: y)
        bench.kernels.scale(x, by: -1.7)
        bench.kernels.multiply(z, x, y)
        bench.kernels.add(try bench.image(n, c), x, y)
        bench.kernels.fill(try bench.image(n, c), 0.1)
        bench.kernels.copy(z, to: try bench.image(n, c))
      },
      Operation("dot") { bench, n, c in
        bench.returned.append(bench.kernels.dot(try bench.matrix(n, c), try bench.matrix(n, c)))
      },
      Operation("moving average") { bench, n, c in
        bench.kernels.movingAverage(try bench.matrix(n, c), of: try bench.matrix(n, c), decay: 0.9)
      },
      Operation("logarithm") { bench, n, c in
        bench.kernels.logarithm(
          try bench.matrix(n, c), try bench.tensor(Shape(n, c), positive: true), least: 1e-3)
      },
      Operation("convert") { bench, n, c in
        let mean = try bench.tensor(Shape(c), .float64), scale = try bench.tensor(Shape(c), .float64, positive: true)
        _ = bench.kernels.convert(
          try bench.matrix(n, c), BorrowedArray(try bench.tensor(Shape(n, c), .float32)), mean: mean, scale: scale)
      },
      Operation("gather") { bench, n, c in
        bench.kernels.gather(try bench.matrix(3, c), try bench.matrix(n, c), rows: [n - 1, 0, n / 2])
      },
      Operation("dense") { bench, n, c in
        for i in inner(n) {
          let weight = try bench.matrix(c, i)
          bench.kernels.dense(try bench.matrix(n, c), try bench.matrix(n, i), weight: weight, bias: nil)
          bench.kernels.dense(
            try bench.matrix(n, c), try bench.matrix(n, i), weight: weight, bias: try bench.vector(c))
        }
      },
      Operation("dense, backward") { bench, n, c in
        for i in inner(n) {
          let cotangent = try bench.matrix(n, c)
          bench.kernels.denseInputCotangent(try bench.matrix(n, i), cotangent, weight: try bench.matrix(c, i))
          bench.kernels.denseParameterCotangents(
            try bench.matrix(c, i), try bench.vector(c), cotangent, input: try bench.matrix(n, i))
        }
      },
      Operation("dense, tangent") { bench, n, c in
        for i in inner(n) {
          let weight = try bench.matrix(c, i), weightTangent = try bench.matrix(c, i), bias = try bench.vector(c)
          bench.kernels.denseTangent(
            try bench.matrix(n, c), try bench.matrix(n, i), input: try bench.matrix(n, i), weight: weight,
            weightTangent: weightTangent, biasTangent: bias)
          bench.kernels.denseTangent(
            try bench.matrix(n, c), nil, input: try bench.matrix(n, i), weight: weight, weightTangent: weightTangent,
            biasTangent: nil)
        }
      },
      Operation("batch normalisation") { bench, n, c in
        for usesBatch in [true, false] {
          let weight = try bench.vector(c)
          // One row has no unbiased variance; the network refuses it.
          let momentum = usesBatch && n > 1 ? 0.1 : nil
          let input = try bench.image(n, c), moments = try bench.scratch(4, c), sums = try bench.scratch(4, c)
          bench.kernels.batchNormalization(
            try bench.image(n, c), input, weight: weight, bias: try bench.vector(c),
            runningMean: try bench.vector(c), runningVariance: try bench.vector(c, positive: true),
            moments: moments, epsilon: 1e-5, usesBatch: usesBatch, momentum: momentum)
          // In memory of their own, and over what they are computed from.
          for isInPlace in [false, true] {
            let cotangent = try bench.image(n, c), tangent = try bench.image(n, c)
            bench.kernels.batchNormalizationBackward(
              isInPlace ? cotangent : try bench.image(n, c), weightCotangent: try bench.vector(c),
              biasCotangent: try bench.vector(c), cotangent, input: input, weight: weight, bias: try bench.vector(c),
              moments: moments, sums: sums, usesBatch: usesBatch, adds: false)
            bench.kernels.batchNormalizationTangent(
              isInPlace ? tangent : try bench.image(n, c), tangent, input: input, weight: weight,
              weightTangent: try bench.vector(c), biasTangent: try bench.vector(c), moments: moments, sums: sums,
              usesBatch: usesBatch)
          }
        }
      },
      Operation("randomness") { bench, n, c in
        bench.kernels.dropoutMask(try bench.matrix(n, c), rate: 0.4, testDraw(1))
        bench.kernels.addNormal(try bench.matrix(n, c), deviation: 0.3, testDraw(2))
        bench.kernels.uniform(try bench.matrix(n, c), low: -2, high: 5, testDraw(3))
        bench.kernels.sample(try bench.matrix(n, c), probabilities: try bench.distributions(n, c), testDraw(4))
      },
      Operation("softmax") { bench, n, c in
        let probabilities = try bench.matrix(n, c)
        bench.kernels.softmax(probabilities, try bench.matrix(n, c), temperature: 0.7)
        bench.kernels.softmaxBackward(
          try bench.matrix(n, c), try bench.matrix(n, c), probabilities: probabilities, rowScale: try bench.vector(n),
          factor: 1.3)
        bench.kernels.softmaxBackward(
          try bench.matrix(n, c), try bench.matrix(n, c), probabilities: probabilities, rowScale: nil, factor: -1)
      },
      Operation("cross-entropy") { bench, n, c in
        let logits = try bench.matrix(n, c), targets = try bench.distributions(n, c)
        bench.kernels.crossEntropy(
          losses: try bench.tensor(Shape(n), .float64), logitsCotangent: nil, logits: logits, targets: targets,
          temperature: 0.7, rowScale: nil, factor: 1)
        bench.kernels.crossEntropy(
          losses: try bench.tensor(Shape(n), .float64), logitsCotangent: try bench.matrix(n, c), logits: logits,
          targets: targets, temperature: 0.7, rowScale: try bench.vector(n), factor: 0.2)
        let losses = try bench.tensor(Shape(n), .float64), others = try bench.tensor(Shape(n), .float64)
        bench.returned.append(bench.kernels.sum(losses, weights: nil))
        bench.returned.append(bench.kernels.sum(losses, weights: try bench.vector(n)))
        bench.returned.append(bench.kernels.sumOfDifferences(losses, others))
      },
      Operation("targets") { bench, n, c in
        bench.kernels.oneHot(try bench.matrix(n, c), labels: try Tensor((0..<n).map { $0 * 5 % c }))
        bench.kernels.smooth(try bench.distributions(n, c), smoothing: 0.1)
        bench.kernels.rowMaximum(try bench.vector(n), try bench.matrix(n, c))
        bench.kernels.confidenceMask(
          try bench.vector(n), probabilities: try bench.distributions(n, c), threshold: 0.3)
        let largest = try Tensor(Shape(n), .int64)
        bench.kernels.argmax(largest, try bench.matrix(n, c))
        bench.returned += largest.values
      },
      Operation("SGD") { bench, n, c in
        for nesterov in [true, false] {
          bench.kernels.sgd(
            try bench.vector(n * c), gradient: try bench.vector(n * c), gradientScale: 0.8,
            momentum: try bench.vector(n * c), momentumFactor: 0.9, nesterov: nesterov, learningRate: 0.1,
            weightDecay: 0.01)
        }
        bench.kernels.sgd(
          try bench.vector(n * c), gradient: try bench.vector(n * c), gradientScale: 0.8, momentum: nil,
          momentumFactor: 0, nesterov: false, learningRate: 0.1, weightDecay: 0.01)
      },
      Operation("AdamW") { bench, n, c in
        let settings = AdamWSettings(learningRate: 0.1, beta1: 0.9, beta2: 0.99, epsilon: 1e-6, step: 4)
        let gradient = try bench.vector(n * c)
        let first = try bench.vector(n * c), second = try bench.vector(n * c, positive: true)
        bench.kernels.adamWEffect(
          try bench.vector(n * c), gradient: gradient, gradientScale: 0.8, firstMoment: first, secondMoment: second,
          settings)
        bench.kernels.adamW(
          try bench.vector(n * c), gradient: gradient, gradientScale: 0.8, firstMoment: first, secondMoment: second,
          settings, weightDecay: 0.01)
        bench.kernels.adamWPullback(
          try bench.vector(n * c), try bench.vector(n * c), gradient: gradient, gradientScale: 0.8, firstMoment: first,
          secondMoment: second, settings)
      },
    ]
    + ActivationFunction.allCases.map { function in
      Operation("\(function)") { bench, n, c in
        let input = try bench.image(n, c), output = try bench.image(n, c)
        bench.kernels.activation(function, slope: 0.01, output, input)
        bench.kernels.activationDerivative(
          function, slope: 0.01, try bench.image(n, c), try bench.image(n, c), input: input, output: output)
      }
    }

  /// Windows over images of different sizes: [height, width, channels], outputs, size, stride, padding, groups.
  static let windows: [Window] = {
    let table: [(Extent, outputs: Int, size: Int, stride: Int, padding: Int, groups: Int)] = [
      (Extent(1, 1, 1), 1, 1, 1, 0, 1), (Extent(5, 4, 3), 8, 3, 1, 1, 1), (Extent(8, 8, 16), 16, 3, 1, 1, 1),
      (Extent(8, 8, 16), 32, 3, 2, 1, 1), (Extent(9, 7, 16), 32, 1, 2, 0, 1), (Extent(6, 6, 32), 10, 1, 1, 0, 1),
      (Extent(7, 7, 17), 33, 3, 1, 0, 1), (Extent(8, 8, 32), 32, 3, 1, 1, 32), (Extent(9, 9, 24), 24, 5, 2, 2, 24),
      (Extent(6, 5, 8), 12, 3, 1, 1, 4), (Extent(12, 12, 3), 64, 7, 2, 3, 1),
      (Extent(6, 14, 8), 16, 1, 2, 0, 1), (Extent(6, 5, 3), 5, 1, 1, 0, 1), (Extent(12, 14, 3), 8, 1, 2, 0, 1),
      (Extent(7, 6, 10), 4, 1, 3, 0, 2),
    ]
    return table.compactMap { extent, outputs, size, stride, padding, groups in
      try? Window(
        over: extent, height: size, width: size, stride: stride, padding: padding, channels: outputs, groups: groups,
        called: "test")
    }
  }()

  static let imageOperations: [(name: String, run: @Sendable (Bench, Int, Window) throws -> Void)] = [
    (
      "convolution",
      { bench, n, window in
        let input = try bench.image(n, window.input), weight = try bench.tensor(try window.weights)
        let output = try bench.image(n, window.output)
        bench.kernels.convolution(
          output, input, weight: weight, bias: try bench.vector(window.output.channels), window, accumulate: false)
        bench.kernels.convolution(output, input, weight: weight, bias: nil, window, accumulate: true)
      }
    ),
    (
      "convolution, backward",
      { bench, n, window in
        let cotangent = try bench.image(n, window.output), weight = try bench.tensor(try window.weights)
        bench.kernels.convolutionInputCotangent(
          try bench.image(n, window.input), cotangent, weight: weight, window)
        bench.kernels.convolutionParameterCotangents(
          weight, try bench.vector(window.output.channels), cotangent, input: try bench.image(n, window.input),
          window)
      }
    ),
    (
      "pooling",
      { bench, n, given in
        var window = try Window(
          over: given.input, height: given.height, width: given.width, stride: given.stride, padding: given.padding,
          channels: given.input.channels, called: "test")
        window.groups = 1
        let input = try bench.image(n, window.input), places = try bench.places(n, window.output)
        bench.kernels.averagePool(try bench.image(n, window.output), input, window)
        bench.kernels.averagePoolBackward(
          try bench.image(n, window.input), try bench.image(n, window.output), window)
        bench.kernels.maxPool(try bench.image(n, window.output), input, places: places, window)
        bench.kernels.maxPoolBackward(
          try bench.image(n, window.input), try bench.image(n, window.output), places: places, window)
        bench.kernels.maxPoolTangent(try bench.image(n, window.output), input, places: places, window)
      }
    ),
    (
      "gates",
      { bench, n, window in
        let x = try bench.image(n, window.input), y = try bench.image(n, window.input)
        let gate = try bench.matrix(n, window.input.channels)
        bench.kernels.scaleChannels(y, x, gate: gate, accumulate: true)
        bench.kernels.scaleChannels(try bench.image(n, window.input), x, gate: gate, accumulate: false)
        bench.kernels.sumPixels(try bench.matrix(n, window.input.channels), x, y)
        bench.kernels.scaleRows(try bench.image(n, window.input), x, factors: try bench.vector(n))
      }
    ),
  ]

  @Test(arguments: imageOperations.indices, [1, 3]) func imagesAgreeWithDouble(_ operation: Int, threads: Int) throws {
    let (name, run) = Self.imageOperations[operation]
    #expect(Self.windows.count == 15)
    for window in Self.windows {
      for rows in [1, 2, 7, 40] {
        for kernels in [ReferenceKernels<Float>(), FusedKernels(threads: threads)] as [any Kernels] {
          let single = Bench(kernels), double = Bench(ReferenceKernels<Double>())
          try run(single, rows, window)
          try run(double, rows, window)
          #expect(single.isIntact, "\(name), \(window), \(rows) rows: wrote outside its tensors")
          for (index, (a, b)) in zip(single.tensors, double.tensors).enumerated() {
            let scale = max(1, b.values.map(abs).max() ?? 1)
            #expect(
              largestDifference(a.values, b.values) <= 1e-5 * scale, "\(name), \(window), \(rows) rows, tensor \(index)"
            )
          }
        }
      }
    }
  }

  /// Sums of a hundred thousand numbers of one sign keep float32's precision.
  @Test func biasCotangentsOfManyPixels() throws {
    let window = try Window(
      over: Extent(64, 64, 1), height: 1, width: 1, stride: 1, padding: 0, channels: 3, called: "test")
    let rows = 40, kernels = FusedKernels(threads: 2)
    let weight = try Tensor(window.weights, .float32), bias = try Tensor(Shape(3), .float32)
    let cotangent = try Tensor(Shape(rows, 64 * 64 * 3), .float32)
    kernels.fill(cotangent, 0.1)
    kernels.convolutionParameterCotangents(
      weight, bias, cotangent, input: try Tensor(Shape(rows, 64 * 64), .float32), window)
    for value in bias.values { #expect(abs(value / (0.1 * Double(rows * 64 * 64)) - 1) < 1e-6) }
  }

  /// Winograd's algorithm rounds more, bfloat16 has 8 bits; and its emulation computes the same as the processor.
  @Test(arguments: [1, 3]) func otherArithmeticAgreesWithDouble(threads: Int) throws {
    let wide = try [(8, 64, 64), (9, 64, 128), (6, 128, 128), (7, 128, 64)].map { side, inputs, outputs in
      try Window(
        over: Extent(side, side, inputs), height: 3, width: 3, stride: 1, padding: 1, channels: outputs, called: "test")
    }
    for (window, rows) in Self.windows.map({ ($0, [1, 7, 40]) }) + (isOptimizedBuild ? wide.map { ($0, [1, 5]) } : []) {
      for rows in rows {
        for (name, run) in Self.imageOperations where name.hasPrefix("convolution") {
          let double = Bench(ReferenceKernels<Double>())
          try run(double, rows, window)
          var rounded: [Tensor] = []
          for arithmetic in convolutionArithmetics where arithmetic != .direct {
            let tolerance = arithmetic == .fast ? 1e-4 : 0.02
            let single = Bench(FusedKernels(threads: threads, arithmetic: arithmetic))
            try run(single, rows, window)
            #expect(single.isIntact, "\(arithmetic), \(name), \(window), \(rows) rows: wrote outside its tensors")
            for (index, (a, b)) in zip(single.tensors, double.tensors).enumerated() {
              let scale = max(1, b.values.map(abs).max() ?? 1), error = largestDifference(a.values, b.values)
              #expect(error <= tolerance * scale, "\(arithmetic), \(name), \(window), \(rows) rows, tensor \(index)")
              if arithmetic == .bfloat16 {
                #expect(
                  largestDifference(a.values, rounded[index].values) <= 1e-5 * scale,
                  "emulation, \(name), \(window), \(rows) rows, tensor \(index)")
              }
            }
            rounded = single.tensors
          }
        }
      }
    }
  }

  /// Images that are kept in blocks of channels, on both sides of an operation or on one.
  @Test(.enabled(if: FusedKernels(threads: 1).imageForm == .inBlocks), arguments: [1, 3])
  func imagesInBlocksAgreeWithDouble(threads: Int) throws {
    func check(_ arithmetic: ConvolutionArithmetic, _ run: (Bench) throws -> Void, _ what: String) throws {
      let single = Bench(FusedKernels(threads: threads, arithmetic: arithmetic), images: .inBlocks)
      let double = Bench(ReferenceKernels<Double>())
      try run(single)
      try run(double)
      #expect(single.isIntact, "\(what): wrote outside its tensors")
      for (index, b) in double.tensors.enumerated() {
        let scale = max(1, b.values.map(abs).max() ?? 1), tolerance = arithmetic == .fast ? 1e-4 : 2e-5
        let error = largestDifference(single.values(index), b.values)
        #expect(error <= tolerance * scale, "\(what), tensor \(index)")
      }
    }
    let names = ["fill, scale, add, multiply", "batch normalisation", "relu"]
    for operation in Self.operations where names.contains(operation.name) {
      for (rows, columns) in [(3, 16), (8, 48), (40, 304), (97, 32), (2050, 16)]
        + (isOptimizedBuild ? [(5000, 64)] : [])
      {
        try check(.direct, { try operation.run($0, rows, columns) }, "\(operation), [\(rows), \(columns)]")
      }
    }
    let shapes: [(Extent, outputs: Int, size: Int, stride: Int)] =
      [
        (Extent(8, 8, 3), 16, 3, 1), (Extent(9, 7, 1), 32, 3, 2), (Extent(5, 6, 20), 16, 3, 1),
        (Extent(6, 6, 16), 10, 3, 1), (Extent(6, 6, 16), 10, 1, 2), (Extent(8, 8, 16), 32, 3, 1),
        (Extent(2, 2, 32), 32, 3, 1), (Extent(3, 2, 16), 16, 3, 2), (Extent(2, 9, 16), 16, 5, 1),
      ]
      + (isOptimizedBuild
        ? [(Extent(7, 9, 32), 64, 3, 2), (Extent(7, 9, 64), 32, 1, 2), (Extent(8, 8, 64), 64, 3, 1)] : [])
    for (extent, outputs, size, stride) in shapes {
      let window = try Window(
        over: extent, height: size, width: size, stride: stride, padding: size / 2, channels: outputs, called: "test")
      for (name, run) in Self.imageOperations {
        for rows in isOptimizedBuild ? [1, 2, 7, 40] : [3] {
          for arithmetic in [ConvolutionArithmetic.direct, .fast] {
            try check(arithmetic, { try run($0, rows, window) }, "\(arithmetic), \(name), \(window), \(rows) rows")
          }
        }
      }
    }
  }

  /// Images that are kept as bfloat16, beside float64 on the same rounded values.
  @Test(arguments: [1, 3]) func bfloat16ImagesAgreeWithDouble(threads: Int) throws {
    func check(_ run: (Bench) throws -> Void, _ what: String) throws {
      let half = Bench(FusedKernels(threads: threads, arithmetic: .emulatedBFloat16), images: .bfloat16)
      let double = Bench(ReferenceKernels<Double>(), images: .rounded)
      try run(half)
      try run(double)
      #expect(half.isIntact, "\(what): wrote outside its tensors")
      for (index, (a, b)) in zip(half.tensors, double.tensors).enumerated() {
        // Some results are rounded twice.
        let scale = max(1, b.values.map(abs).max() ?? 1)
        #expect(largestDifference(a.values, b.values) <= 0.01 * scale, "\(what), tensor \(index)")
      }
    }
    let names = ["fill, scale, add, multiply", "batch normalisation"] + ActivationFunction.allCases.map { "\($0)" }
    for operation in Self.operations where names.contains(operation.name) {
      for (rows, columns) in Self.shapes + Self.largeShapes + [(40, 300)] where rows > 2 {
        try check({ try operation.run($0, rows, columns) }, "\(operation), [\(rows), \(columns)]")
      }
    }
    for window in Self.windows {
      for (name, run) in Self.imageOperations {
        for rows in [1, 7, 40] { try check({ try run($0, rows, window) }, "\(name), \(window), \(rows) rows") }
      }
    }
  }

  @Test(arguments: operations) func floatAgreesWithDouble(_ operation: Operation) throws {
    try agrees(operation, ReferenceKernels<Float>(), Self.shapes)
  }

  @Test(arguments: operations, [1, 3]) func fusedAgreesWithDouble(_ operation: Operation, threads: Int) throws {
    let shapes = isOptimizedBuild ? Self.shapes + Self.largeShapes : Self.shapes
    try agrees(operation, FusedKernels(threads: threads), shapes)
  }

  private func agrees(_ operation: Operation, _ kernels: any Kernels, _ shapes: [(Int, Int)]) throws {
    for (rows, columns) in shapes {
      let single = Bench(kernels), double = Bench(ReferenceKernels<Double>())
      try operation.run(single, rows, columns)
      try operation.run(double, rows, columns)
      #expect(single.isIntact, "Float, [\(rows), \(columns)]: wrote outside its tensors")
      #expect(double.isIntact, "Double, [\(rows), \(columns)]: wrote outside its tensors")
      for (index, (a, b)) in zip(single.tensors, double.tensors).enumerated() {
        // One row normalised by itself has deviation √ε, which magnifies the rounding of its input; and a sum over many
        // rows may come out small.
        let scale = max(Double(rows).squareRoot(), b.values.map(abs).max() ?? 1)
        #expect(
          largestDifference(a.values, b.values) <= 1e-5 * scale, "[\(rows), \(columns)], tensor \(index)")
      }
      // A factor such as 0.3 is another number in float, and that adds up.
      #expect(largestDifference(single.returned, double.returned) <= 1e-4 + 1e-6 * Double(rows * columns))
    }
  }
}

// MARK: - Randomness

@Suite struct RandomTests {
  /// The known answers that Salmon et al. publish with Random123.
  @Test func philoxKnownAnswers() {
    #expect(
      philox4x32(counter: SIMD4(0, 0, 0, 0), key: SIMD2(0, 0))
        == SIMD4(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8))
    #expect(
      philox4x32(counter: SIMD4(repeating: 0xffff_ffff), key: SIMD2(repeating: 0xffff_ffff))
        == SIMD4(0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd))
    #expect(
      philox4x32(
        counter: SIMD4(0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344), key: SIMD2(0xa409_3822, 0x299f_31d0))
        == SIMD4(0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1))
  }

  private static let count = 40_000

  @Test func uniformIsUniform() {
    let draw = testDraw(11), values = (0..<Self.count).map(draw.uniform)
    #expect(values.allSatisfy { $0 >= 0 && $0 < 1 })
    var bins = [Int](repeating: 0, count: 100)
    for value in values { bins[Int(value * 100)] += 1 }
    #expect(chiSquare(bins) < 160, "99 degrees of freedom: 149 is exceeded once in a thousand seeds")
    let n = Double(Self.count), mean = values.reduce(0, +) / n
    #expect(abs(mean - 0.5) < 4 * (1 / 12 / n).squareRoot())
    let neighbours = zip(values, values.dropFirst()).reduce(0) { $0 + ($1.0 - 0.5) * ($1.1 - 0.5) } / n
    #expect(abs(neighbours) < 4 / 12 / n.squareRoot(), "neighbours are uncorrelated")
  }

  @Test func normalIsNormal() {
    let draw = testDraw(12), values = (0..<Self.count).map(draw.normal), n = Double(Self.count)
    func moment(_ power: Int) -> Double { values.reduce(0) { $0 + pow($1, Double(power)) } / n }
    #expect(abs(moment(1)) < 4 / n.squareRoot())
    #expect(abs(moment(2) - 1) < 4 * (2 / n).squareRoot())
    #expect(abs(moment(3)) < 4 * (15 / n).squareRoot())
    #expect(abs(moment(4) - 3) < 4 * (96 / n).squareRoot())
    // Φ at −1, 0, 1, 2
    for (limit, share) in [(-1.0, 0.158655), (0, 0.5), (1, 0.841345), (2, 0.977250)] {
      let below = Double(values.count { $0 < limit }) / n
      #expect(abs(below - share) < 4 * (share * (1 - share) / n).squareRoot())
    }
    let pairs = stride(from: 0, to: values.count, by: 2).reduce(0) { $0 + values[$1] * values[$1 + 1] } / (n / 2)
    #expect(abs(pairs) < 4 / (n / 2).squareRoot(), "the two branches of a pair are uncorrelated")
  }

  @Test func integersAndPermutations() {
    let draw = testDraw(13)
    var bins = [Int](repeating: 0, count: 7)
    for i in 0..<Self.count { bins[draw.integer(i, below: 7)] += 1 }
    #expect(chiSquare(bins) < 25)
    #expect((0..<100).allSatisfy { draw.integer($0, below: 1) == 0 })

    let stream = RandomStream(seed: 14, name: "tests")
    for count in [0, 1, 2, 57] { #expect(stream.draw(0).permutation(count).sorted() == Array(0..<count)) }
    // All 24 orders of four things come equally often.
    var orders: [[Int]: Int] = [:]
    for number in 0..<12_000 { orders[stream.draw(UInt64(number)).permutation(4), default: 0] += 1 }
    #expect(orders.count == 24)
    #expect(chiSquare(Array(orders.values)) < 52)
  }

  /// A value depends on seed, stream, draw, lane and index, and on nothing else.
  @Test func everyCoordinateMatters() {
    let bits = [
      RandomStream(seed: 1, name: "a").draw(1, lane: 1).bits(1),
      RandomStream(seed: 2, name: "a").draw(1, lane: 1).bits(1),
      RandomStream(seed: 1, name: "b").draw(1, lane: 1).bits(1),
      RandomStream(seed: 1, name: "a").draw(2, lane: 1).bits(1),
      RandomStream(seed: 1, name: "a").draw(1, lane: 2).bits(1),
      RandomStream(seed: 1, name: "a").draw(1, lane: 1).bits(2),
      RandomStream(seed: 1, name: "a").draw(1 << 40, lane: 1).bits(1),
      RandomStream(seed: 1 << 40, name: "a").draw(1, lane: 1).bits(1),
    ]
    #expect(Set(bits).count == bits.count)
    #expect(RandomStream(seed: 1, name: "a").draw(1, lane: 1).bits(1) == bits[0])
  }

  @Test func masksAndSamplesHaveTheirRates() throws {
    for kernels in KernelValueTests.implementations {
      let mask = try Tensor(Shape(Self.count), kernels.elementType)
      kernels.dropoutMask(mask, rate: 0.2, testDraw(15))
      let values = mask.values
      #expect(values.allSatisfy { $0 == 0 || abs($0 - 1.25) < 1e-6 })
      let dropped = Double(values.count { $0 == 0 }) / Double(Self.count)
      #expect(abs(dropped - 0.2) < 4 * (0.16 / Double(Self.count)).squareRoot())
      kernels.dropoutMask(mask, rate: 0, testDraw(15))
      #expect(mask.values.allSatisfy { $0 == 1 })

      let rows = 10_000, shares = [0.5, 0, 0.2, 0.3]
      let probabilities = try Tensor(
        (0..<rows).flatMap { _ in shares }, shape: Shape(rows, 4), elementType: kernels.elementType)
      let oneHot = try Tensor(Shape(rows, 4), kernels.elementType)
      kernels.sample(oneHot, probabilities: probabilities, testDraw(16))
      var counts = [Double](repeating: 0, count: 4)
      for i in 0..<oneHot.count { counts[i % 4] += oneHot[i] }
      #expect(counts.reduce(0, +) == Double(rows))
      for (count, share) in zip(counts, shares) {
        #expect(abs(count / Double(rows) - share) <= 4 * (share * (1 - share) / Double(rows)).squareRoot())
      }
    }
  }

  /// Σ (observed − expected)² / expected for equally likely bins.
  private func chiSquare(_ counts: [Int]) -> Double {
    let expected = Double(counts.reduce(0, +)) / Double(counts.count)
    return counts.reduce(0) { $0 + (Double($1) - expected) * (Double($1) - expected) / expected }
  }
}
