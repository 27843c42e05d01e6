#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Every operation in plain loops, for Float and Double: the documentation, the oracle for faster kernels, and what
/// makes gradient checks in double precision possible.
///
/// Sums run in a fixed order. Each witness is specialised by hand, because a call through the protocol would otherwise
/// reach unspecialised generic code.
struct ReferenceKernels<Element: ReferenceElement>: Kernels {
  typealias Elements = UnsafeMutablePointer<Element>

  var elementType: ElementType { Element.elementType }
  var imageForm: Tensor.Form { .plain }

  @inline(__always)
  func elements(_ x: Tensor) -> Elements { x.address.assumingMemoryBound(to: Element.self) }

  /// Whatever is called is done at once.
  func record(_ body: (any Kernels) throws -> Void) throws -> Program? { nil }
  func beginRegion() {}

  // MARK: Vectors

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func fill(_ x: Tensor, _ value: Double) {
    elements(x).update(repeating: Element(value), count: x.count)
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func copy(_ source: Tensor, to destination: Tensor) {
    elements(destination).update(from: elements(source), count: source.count)
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func scale(_ x: Tensor, by factor: Double) {
    let x = (elements(x), x.count), factor = Element(factor)
    for i in 0..<x.1 { x.0[i] *= factor }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func add(_ x: Tensor, scaledBy factor: Double, to y: Tensor) {
    let count = x.count, x = elements(x), y = elements(y), factor = Element(factor)
    for i in 0..<count { y[i] += factor * x[i] }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func multiply(_ output: Tensor, _ a: Tensor, _ b: Tensor) {
    let count = output.count, output = elements(output), a = elements(a), b = elements(b)
    for i in 0..<count { output[i] = a[i] * b[i] }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func add(_ output: Tensor, _ a: Tensor, _ b: Tensor) {
    let count = output.count, output = elements(output), a = elements(a), b = elements(b)
    for i in 0..<count { output[i] = a[i] + b[i] }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func dot(_ a: Tensor, _ b: Tensor) -> Double {
    let count = a.count, a = elements(a), b = elements(b)
    var sum = 0.0
    for i in 0..<count { sum += Double(a[i]) * Double(b[i]) }
    return sum
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func sum(_ losses: Tensor, weights: Tensor?) -> Double {
    let count = losses.count, losses = losses.address.assumingMemoryBound(to: Double.self)
    let weights = weights.map(elements)
    var sum = 0.0
    for i in 0..<count { sum += losses[i] * Double(weights?[i] ?? 1) }
    return sum
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func sumOfDifferences(_ a: Tensor, _ b: Tensor) -> Double {
    let count = a.count
    let a = a.address.assumingMemoryBound(to: Double.self), b = b.address.assumingMemoryBound(to: Double.self)
    var sum = 0.0
    for i in 0..<count { sum += a[i] - b[i] }
    return sum
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func movingAverage(_ average: Tensor, of value: Tensor, decay: Double) {
    let count = average.count, average = elements(average), value = elements(value)
    let decay = Element(decay)
    for i in 0..<count { average[i] = decay * average[i] + (1 - decay) * value[i] }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func logarithm(_ result: Tensor, _ x: Tensor, least: Double) {
    let count = x.count, result = elements(result), x = elements(x)
    // Written so that NaN stays NaN.
    for i in 0..<count { result[i] = Element(Didact.logarithm(Double(x[i]) < least ? least : Double(x[i]))) }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func allFinite(_ x: Tensor) -> Bool {
    let count = x.count, x = elements(x)
    for i in 0..<count where !x[i].isFinite { return false }
    return true
  }

  // MARK: Data

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func convert(_ output: Tensor, _ input: BorrowedArray, mean: Tensor?, scale: Tensor?) -> Bool {
    let columns = max(1, output.columns), y = elements(output)
    let mean = mean?.address.assumingMemoryBound(to: Double.self)
    let scale = scale?.address.assumingMemoryBound(to: Double.self)
    func scaled(_ value: Double, _ i: Int) -> Element {
      guard let mean, let scale else { return Element(value) }
      return Element((value - mean[i % columns]) / scale[i % columns])
    }
    input.forEachElement { i, element in
      switch input.elementType {
      case .float32: y[i] = scaled(Double(element.loadUnaligned(as: Float.self)), i)
      case .float64: y[i] = scaled(element.loadUnaligned(as: Double.self), i)
      case .int64: y[i] = scaled(Double(element.loadUnaligned(as: Int64.self)), i)
      case .uint8: y[i] = scaled(Double(element.loadUnaligned(as: UInt8.self)), i)
      }
    }
    return allFinite(output)
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func gather(_ output: Tensor, _ input: Tensor, rows: [Int]) {
    let columns = input.columns, output = elements(output), input = elements(input)
    for (i, row) in rows.enumerated() {
      (output + i * columns).update(from: input + row * columns, count: columns)
    }
  }

  // MARK: Randomness

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func dropoutMask(_ mask: Tensor, rate: Double, _ draw: RandomDraw) {
    let count = mask.count, mask = elements(mask), kept = Element(1 / (1 - rate))
    for i in 0..<count { mask[i] = draw.uniform(i) < rate ? 0 : kept }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func addNormal(_ x: Tensor, deviation: Double, _ draw: RandomDraw) {
    let count = x.count, x = elements(x)
    for i in 0..<count { x[i] += Element(deviation * draw.normal(i)) }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func uniform(_ x: Tensor, low: Double, high: Double, _ draw: RandomDraw) {
    let count = x.count, x = elements(x)
    for i in 0..<count { x[i] = Element(low + (high - low) * draw.uniform(i)) }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func sample(_ oneHot: Tensor, probabilities: Tensor, _ draw: RandomDraw) {
    let rows = probabilities.rows, classes = probabilities.columns
    let oneHot = elements(oneHot), probabilities = elements(probabilities)
    oneHot.update(repeating: 0, count: rows * classes)
    for n in 0..<rows {
      let threshold = draw.uniform(n)
      var cumulative = 0.0, label = 0
      while label < classes - 1 {
        cumulative += Double(probabilities[n * classes + label])
        if cumulative > threshold { break }
        label += 1
      }
      oneHot[n * classes + label] = 1
    }
  }
}

extension Tensor {
  /// Whether no element is NaN or infinite.
  var isFinite: Bool {
    switch elementType {
    case .float32: ReferenceKernels<Float>().allFinite(self)
    case .float64: ReferenceKernels<Double>().allFinite(self)
    case .int64, .uint8: true
    }
  }
}
