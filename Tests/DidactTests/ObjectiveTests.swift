import Testing

@testable import Didact

/// Every objective's gradient with respect to the logits against central differences, in float64.
@Suite struct ObjectiveTests {
  private let kernels = ReferenceKernels<Double>()
  private let objectives = Objectives(ReferenceKernels<Double>())
  private static let rows = 5, classes = 4
  private static let tolerance = 1e-9

  private func logits(seed: UInt64, scale: Double = 1.5) throws -> Tensor {
    try randomTensor(Shape(Self.rows, Self.classes), seed: seed, scale: scale)
  }

  @Test(arguments: [0.5, 1, 3], [false, true])
  func crossEntropyGradient(temperature: Double, isWeighted: Bool) throws {
    let logits = try logits(seed: 1)
    let targets = try randomDistributions(Self.rows, Self.classes, seed: 2)
    let weights = isWeighted ? try Tensor([1, 0, 0.5, 2, 1], shape: Shape(Self.rows)) : nil
    for factor in [nil, 1 / 3.0] {
      func term() throws -> LossGradient {
        try objectives.crossEntropy(
          logits: logits, targets: targets, weights: weights, temperature: temperature, factor: factor)
      }
      let analytic = try term().cotangent.values
      let numeric = try differenceGradient(of: { try term().loss }, by: logits)
      #expect(norm(analytic) > 0)
      #expect(relativeError(analytic, numeric) < Self.tolerance)
    }
  }

  @Test func crossEntropyValues() throws {
    let logits = try logits(seed: 1), targets = try randomDistributions(Self.rows, Self.classes, seed: 2)
    let weights = try Tensor([1, 0, 0.5, 2, 1], shape: Shape(Self.rows))
    let losses = try objectives.crossEntropies(logits: logits, targets: targets).values
    let plain = try objectives.crossEntropy(logits: logits, targets: targets)
    #expect(abs(plain.loss - losses.reduce(0, +) / 5) < 1e-14)
    let weighted = try objectives.crossEntropy(logits: logits, targets: targets, weights: weights)
    let sum = zip(losses, weights.values).reduce(0) { $0 + $1.0 * $1.1 }
    #expect(abs(weighted.loss - sum / 5) < 1e-14, "the divisor stays N, whatever the weights")
    let divided = try objectives.crossEntropy(logits: logits, targets: targets, weights: weights, factor: 0.5)
    #expect(abs(divided.loss - sum / 2) < 1e-14)
    #expect(weighted.cotangent.rows(1..<2).norm == 0, "a masked row pulls nowhere")
  }

  /// CE(smooth(one-hot)) = (1 − ε) CE(one-hot) + ε · mean over classes of −log p.
  @Test func smoothing() throws {
    let logits = try logits(seed: 3), labels = [0, 1, 2, 3, 0], epsilon = 0.2
    let targets = try objectives.oneHot(Tensor(labels), classes: Self.classes)
    let hard = try objectives.crossEntropies(logits: logits, targets: targets).values
    kernels.smooth(targets, smoothing: epsilon)
    #expect(targets.rows(0..<1).values.reduce(0, +).distance(to: 1).magnitude < 1e-15)
    let smoothed = try objectives.crossEntropy(logits: logits, targets: targets)
    let all = try Tensor([Double](repeating: 1 / Double(Self.classes), count: 20), shape: targets.shape)
    let uniform = try objectives.crossEntropies(logits: logits, targets: all).values
    let expected = zip(hard, uniform).map { (1 - epsilon) * $0 + epsilon * $1 }.reduce(0, +) / 5
    #expect(abs(smoothed.loss - expected) < 1e-14)
    let numeric = try differenceGradient(
      of: { try objectives.crossEntropy(logits: logits, targets: targets).loss }, by: logits)
    #expect(relativeError(smoothed.cotangent.values, numeric) < Self.tolerance)
  }

  @Test(arguments: [0.4, 1, 2.5]) func softmaxGradient(temperature: Double) throws {
    let logits = try logits(seed: 4), cotangent = try logits.copy()
    cotangent.set(try self.logits(seed: 5).values)
    let rowScale = try Tensor([1, 0, 0.5, -2, 1], shape: Shape(Self.rows))
    func objective() throws -> Double {
      let p = try objectives.softmax(logits, temperature: temperature)
      return (0..<p.count).reduce(0) { $0 + rowScale[$1 / Self.classes] * p[$1] * cotangent[$1] }
    }
    let analytic = try Tensor(logits.shape, .float64)
    kernels.softmaxBackward(
      analytic, cotangent, probabilities: try objectives.softmax(logits, temperature: temperature), rowScale: rowScale,
      factor: 1 / temperature)
    #expect(relativeError(analytic.values, try differenceGradient(of: objective, by: logits)) < Self.tolerance)
  }

  @Test func masks() throws {
    let probabilities = try Tensor(rows: [[0.6, 0.4], [0.5, 0.5], [0.1, 0.9]])
    let mask = try objectives.confidenceMask(probabilities, threshold: 0.6)
    #expect(mask.values == [1, 0, 1])
    #expect(abs(objectives.rate(mask) - 2 / 3) < 1e-15)
    #expect(objectives.rate(try objectives.confidenceMask(probabilities, threshold: 0)) == 1)
    #expect(objectives.rate(try objectives.confidenceMask(probabilities, threshold: 1.1)) == 0)
  }

  /// The direction of a confident network's change has components that are next to nothing.
  @Test(arguments: [ElementType.float32, .float64]) func rowsThatAreNextToNothingAreNormalised(type: ElementType) throws
  {
    let rows = try Tensor([3e-41, 4e-41, 0, 0, 3, 4], shape: Shape(3, 2), elementType: type)
    Objectives(try makeKernels(type)).normalizeRows(rows)
    for (value, expected) in zip(rows.values, [0.6, 0.8, 0, 0, 0.6, 0.8]) { #expect(abs(value - expected) < 1e-3) }
  }

  // MARK: UDA

  private var none: Tensor { get throws { try Tensor([-1]) } }

  private func fixed(_ threshold: Double, _ objectives: Objectives? = nil) throws -> ConfidenceRule {
    try ConfidenceRule(
      .fixed, threshold: threshold, decay: 0, classes: Self.classes, objectives ?? self.objectives)
  }

  @Test func udaGradientIsOfTheStrongView() throws {
    let weak = try logits(seed: 6), strong = try logits(seed: 7)
    for (temperature, threshold) in [(1.0, 0.0), (0.7, 0.6), (0.5, 0.8)] {
      func result() throws -> (term: LossGradient, maskRate: Double) {
        try objectives.udaConsistency(
          weakLogits: weak, strongLogits: strong, temperature: temperature, confidence: fixed(threshold), labels: none)
      }
      let (term, maskRate) = try result()
      // The mask looks at the sharpened prediction.
      let target = try objectives.softmax(weak, temperature: temperature)
      let counted = (0..<Self.rows).map { target.rows($0..<$0 + 1).values.max()! >= threshold }
      #expect(maskRate == Double(counted.count { $0 }) / Double(Self.rows))
      #expect(maskRate > 0)
      #expect(threshold == 0 || maskRate < 1, "some rows must be masked for this to test masks")
      for row in 0..<Self.rows { #expect((term.cotangent.rows(row..<row + 1).norm > 0) == counted[row]) }
      let numeric = try differenceGradient(of: { try result().term.loss }, by: strong)
      #expect(relativeError(term.cotangent.values, numeric) < Self.tolerance)
    }
  }

  /// The loss depends on the weak view, but no gradient goes there: with one view for both, the cotangent is that of the
  /// strong role alone, p − q, and not of the loss as a function of the shared logits.
  @Test func udaTargetIsDetached() throws {
    let shared = try logits(seed: 8), temperature = 0.7
    func term() throws -> LossGradient {
      try objectives.udaConsistency(
        weakLogits: shared, strongLogits: shared, temperature: temperature, confidence: fixed(0), labels: none
      ).term
    }
    let analytic = try term().cotangent.values
    let p = try objectives.softmax(shared).values, q = try objectives.softmax(shared, temperature: temperature).values
    #expect(relativeError(analytic, zip(p, q).map { ($0 - $1) / Double(Self.rows) }) < 1e-12)
    let total = try differenceGradient(of: { try term().loss }, by: shared)
    #expect(relativeError(analytic, total) > 0.1)
  }

  /// Float computes the same objectives to its precision.
  @Test func floatAgrees() throws {
    let weak = try logits(seed: 6), strong = try logits(seed: 7)
    let single = ReferenceKernels<Float>()
    func narrowed(_ tensor: Tensor) throws -> Tensor {
      try Tensor(tensor.values, shape: tensor.shape, elementType: .float32)
    }
    let (a, maskA) = try objectives.udaConsistency(
      weakLogits: weak, strongLogits: strong, temperature: 0.7, confidence: fixed(0.6), labels: none)
    let narrow = Objectives(single)
    let (b, maskB) = try narrow.udaConsistency(
      weakLogits: narrowed(weak), strongLogits: narrowed(strong), temperature: 0.7, confidence: fixed(0.6, narrow),
      labels: none)
    #expect(maskA == maskB)
    #expect(abs(a.loss - b.loss) < 1e-5)
    #expect(relativeError(a.cotangent, b.cotangent) < 1e-5)
  }
}
