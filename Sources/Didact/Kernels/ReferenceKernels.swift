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

  // MARK: Dense layer

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func dense(_ output: Tensor, _ input: Tensor, weight: Tensor, bias: Tensor?) {
    setRows(output, to: bias)
    addProductTransposed(output, input, weight)
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func denseInputCotangent(_ inputCotangent: Tensor, _ outputCotangent: Tensor, weight: Tensor) {
    setRows(inputCotangent, to: nil)
    addProduct(
      elements(inputCotangent), elements(outputCotangent), rowStride: weight.rows, columnStride: 1, elements(weight),
      rows: inputCotangent.rows, inner: weight.rows, columns: weight.columns)
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func denseParameterCotangents(
    _ weightCotangent: Tensor, _ biasCotangent: Tensor?, _ outputCotangent: Tensor, input: Tensor
  ) {
    let rows = input.rows, outputs = weightCotangent.rows
    addProduct(
      elements(weightCotangent), elements(outputCotangent), rowStride: 1, columnStride: outputs, elements(input),
      rows: outputs, inner: rows, columns: input.columns)
    guard let biasCotangent else { return }
    let bias = elements(biasCotangent), cotangent = elements(outputCotangent)
    for n in 0..<rows {
      for o in 0..<outputs { bias[o] += cotangent[n * outputs + o] }
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func denseTangent(
    _ outputTangent: Tensor, _ inputTangent: Tensor?, input: Tensor, weight: Tensor, weightTangent: Tensor,
    biasTangent: Tensor?
  ) {
    setRows(outputTangent, to: biasTangent)
    addProductTransposed(outputTangent, input, weightTangent)
    if let inputTangent { addProductTransposed(outputTangent, inputTangent, weight) }
  }

  /// Every row of `matrix` ← `row`, or zero.
  @inline(__always)
  private func setRows(_ matrix: Tensor, to row: Tensor?) {
    let rows = matrix.rows, columns = matrix.columns, matrix = elements(matrix)
    guard let row else { return matrix.update(repeating: 0, count: rows * columns) }
    for n in 0..<rows { (matrix + n * columns).update(from: elements(row), count: columns) }
  }

  /// output[N, O] += input[N, I] · weight[O, I]ᵀ. The weight is transposed first, so that the inner loop runs along rows.
  @inline(__always)
  private func addProductTransposed(_ output: Tensor, _ input: Tensor, _ weight: Tensor) {
    let outputs = weight.rows, inputs = weight.columns, weight = elements(weight)
    guard let memory = malloc(max(1, outputs * inputs) * MemoryLayout<Element>.stride) else {
      // Where there is no memory for that, it runs along the weight's.
      for n in 0..<output.rows {
        for o in 0..<outputs {
          var sum: Element = 0
          for i in 0..<inputs { sum += elements(input)[n * inputs + i] * weight[o * inputs + i] }
          elements(output)[n * outputs + o] += sum
        }
      }
      return
    }
    defer { free(memory) }
    let transposed = memory.assumingMemoryBound(to: Element.self)
    for o in 0..<outputs {
      for i in 0..<inputs { transposed[i * outputs + o] = weight[o * inputs + i] }
    }
    addProduct(
      elements(output), elements(input), rowStride: inputs, columnStride: 1, transposed,
      rows: output.rows, inner: inputs, columns: outputs)
  }

  /// c[rows, columns] += a[rows, inner] · b[inner, columns], with a at its strides; four inner indices at a time.
  @inline(__always)
  private func addProduct(
    _ c: Elements, _ a: Elements, rowStride: Int, columnStride: Int, _ b: Elements,
    rows: Int, inner: Int, columns: Int
  ) {
    let blocked = inner & ~3
    for m in 0..<rows {
      let c = c + m * columns, a = a + m * rowStride
      for k in stride(from: 0, to: blocked, by: 4) {
        let a0 = a[k * columnStride], a1 = a[(k + 1) * columnStride]
        let a2 = a[(k + 2) * columnStride], a3 = a[(k + 3) * columnStride]
        let b0 = b + k * columns, b1 = b0 + columns, b2 = b1 + columns, b3 = b2 + columns
        for n in 0..<columns { c[n] += a0 * b0[n] + a1 * b1[n] + a2 * b2[n] + a3 * b3[n] }
      }
      for k in blocked..<inner {
        let a0 = a[k * columnStride], b0 = b + k * columns
        for n in 0..<columns { c[n] += a0 * b0[n] }
      }
    }
  }

  // MARK: Activations

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func activation(_ function: ActivationFunction, slope: Double, _ output: Tensor, _ input: Tensor) {
    let count = input.count, y = elements(output), x = elements(input), slope = Element(slope)
    switch function {
    // Written so that NaN stays NaN.
    case .relu: for i in 0..<count { y[i] = x[i] < 0 ? 0 : x[i] }
    case .leakyReLU: for i in 0..<count { y[i] = x[i] > 0 ? x[i] : slope * x[i] }
    case .sigmoid: for i in 0..<count { y[i] = sigmoid(x[i]) }
    case .tanh: for i in 0..<count { y[i] = Element.hyperbolicTangent(x[i]) }
    case .swish: for i in 0..<count { y[i] = x[i] * sigmoid(x[i]) }
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func activationDerivative(
    _ function: ActivationFunction, slope: Double, _ result: Tensor, _ direction: Tensor, input: Tensor, output: Tensor
  ) {
    let count = input.count, slope = Element(slope)
    let r = elements(result), d = elements(direction), x = elements(input), y = elements(output)
    switch function {
    // The output has the input's sign; the input may not be there any more.
    case .relu: for i in 0..<count { r[i] = y[i] > 0 ? d[i] : 0 }
    case .leakyReLU: for i in 0..<count { r[i] = y[i] > 0 ? d[i] : slope * d[i] }
    case .sigmoid: for i in 0..<count { r[i] = d[i] * y[i] * (1 - y[i]) }
    case .tanh: for i in 0..<count { r[i] = d[i] * (1 - y[i] * y[i]) }
    case .swish:
      for i in 0..<count {
        let s = sigmoid(x[i])
        r[i] = d[i] * (s + y[i] * (1 - s))
      }
    }
  }

  @inline(__always)
  private func sigmoid(_ x: Element) -> Element { 1 / (1 + Element.exponential(-x)) }

  // MARK: Batch normalisation

  /// Mean and inverse deviation of each column.
  @inline(__always)
  private func momentsOfColumns(_ moments: Tensor) -> UnsafeMutablePointer<Double> {
    moments.address.assumingMemoryBound(to: Double.self)
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func batchNormalization(
    _ output: Tensor, _ input: Tensor, weight: Tensor, bias: Tensor, runningMean: Tensor, runningVariance: Tensor,
    moments: Tensor, epsilon: Double, usesBatch: Bool, momentum: Double?
  ) {
    let rows = input.rows, columns = input.columns, x = elements(input)
    let runningMean = elements(runningMean), runningVariance = elements(runningVariance)
    let found = momentsOfColumns(moments)
    for c in 0..<columns {
      var mean = Double(runningMean[c]), variance = Double(runningVariance[c])
      if usesBatch {
        mean = 0
        variance = 0
        for n in 0..<rows { mean += Double(x[n * columns + c]) }
        mean /= Double(rows)
        for n in 0..<rows {
          let difference = Double(x[n * columns + c]) - mean
          variance += difference * difference
        }
        variance /= Double(rows)
        if let momentum {
          let unbiased = variance * Double(rows) / Double(rows - 1)
          runningMean[c] = Element((1 - momentum) * Double(runningMean[c]) + momentum * mean)
          runningVariance[c] = Element((1 - momentum) * Double(runningVariance[c]) + momentum * unbiased)
        }
      }
      found[c] = mean
      found[columns + c] = 1 / (variance + epsilon).squareRoot()
    }
    normalize(output, input, weight: weight, bias: bias, moments: moments)
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func normalize(_ output: Tensor, _ input: Tensor, weight: Tensor, bias: Tensor, moments: Tensor) {
    let rows = input.rows, columns = input.columns, moments = momentsOfColumns(moments)
    let x = elements(input), y = elements(output), weight = elements(weight), bias = elements(bias)
    for n in 0..<rows {
      for c in 0..<columns {
        let i = n * columns + c
        y[i] = weight[c] * normalized(x[i], moments, columns, c) + bias[c]
      }
    }
  }

  /// x̂ = (x − mean) · inverseDeviation, of column c
  @inline(__always)
  private func normalized(_ x: Element, _ moments: UnsafeMutablePointer<Double>, _ columns: Int, _ c: Int) -> Element {
    Element((Double(x) - moments[c]) * moments[columns + c])
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func batchNormalizationBackward(
    _ inputCotangent: Tensor?, weightCotangent: Tensor, biasCotangent: Tensor, _ outputCotangent: Tensor,
    input: Tensor, weight: Tensor, bias: Tensor, moments: Tensor, sums: Tensor, usesBatch: Bool, adds: Bool
  ) {
    let rows = outputCotangent.rows, columns = outputCotangent.columns, moments = momentsOfColumns(moments)
    let dy = elements(outputCotangent), x = elements(input)
    let dWeight = elements(weightCotangent), dBias = elements(biasCotangent)
    for n in 0..<rows {
      for c in 0..<columns {
        let i = n * columns + c
        dWeight[c] += dy[i] * normalized(x[i], moments, columns, c)
        dBias[c] += dy[i]
      }
    }
    guard let inputCotangent else { return }
    let dx = elements(inputCotangent), weight = elements(weight)
    for n in 0..<rows {
      for c in 0..<columns { dx[n * columns + c] = weight[c] * dy[n * columns + c] }
    }
    applyNormalizationJacobian(dx, x, moments, rows: rows, columns: columns, usesBatch: usesBatch)
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func batchNormalizationTangent(
    _ outputTangent: Tensor, _ inputTangent: Tensor?, input: Tensor, weight: Tensor, weightTangent: Tensor,
    biasTangent: Tensor, moments: Tensor, sums: Tensor, usesBatch: Bool
  ) {
    let rows = outputTangent.rows, columns = outputTangent.columns, moments = momentsOfColumns(moments)
    let dy = elements(outputTangent), x = elements(input)
    if let inputTangent {
      dy.update(from: elements(inputTangent), count: rows * columns)
      applyNormalizationJacobian(dy, x, moments, rows: rows, columns: columns, usesBatch: usesBatch)
    } else {
      dy.update(repeating: 0, count: rows * columns)
    }
    let weight = elements(weight), dWeight = elements(weightTangent), dBias = elements(biasTangent)
    for n in 0..<rows {
      for c in 0..<columns {
        let i = n * columns + c
        dy[i] = weight[c] * dy[i] + dWeight[c] * normalized(x[i], moments, columns, c) + dBias[c]
      }
    }
  }

  /// d ← inverseDeviation · (d − mean(d) − x̂ · mean(d ⊙ x̂)) by column, or inverseDeviation · d with constant statistics.
  /// The Jacobian of x ↦ x̂ is symmetric, so that it serves the backward and the tangent.
  @inline(__always)
  private func applyNormalizationJacobian(
    _ d: Elements, _ x: Elements, _ moments: UnsafeMutablePointer<Double>, rows: Int, columns: Int, usesBatch: Bool
  ) {
    for c in 0..<columns {
      var mean = 0.0, projection = 0.0
      if usesBatch {
        for n in 0..<rows {
          mean += Double(d[n * columns + c])
          projection += Double(d[n * columns + c]) * Double(normalized(x[n * columns + c], moments, columns, c))
        }
        mean /= Double(rows)
        projection /= Double(rows)
      }
      for n in 0..<rows {
        let i = n * columns + c
        let through = Double(d[i]) - mean - Double(normalized(x[i], moments, columns, c)) * projection
        d[i] = Element(moments[columns + c] * through)
      }
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

  // MARK: Objectives on logits

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func softmax(_ probabilities: Tensor, _ logits: Tensor, temperature: Double) {
    let rows = logits.rows, classes = logits.columns
    let p = elements(probabilities), z = elements(logits)
    let inverseTemperature = Element(1 / temperature)
    for n in 0..<rows {
      let p = p + n * classes, z = z + n * classes
      var largest = z[0]
      for c in 1..<max(1, classes) where z[c] > largest { largest = z[c] }
      var sum: Element = 0
      for c in 0..<classes {
        p[c] = Element.exponential((z[c] - largest) * inverseTemperature)
        sum += p[c]
      }
      for c in 0..<classes { p[c] /= sum }
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func softmaxBackward(
    _ logitsCotangent: Tensor, _ cotangent: Tensor, probabilities: Tensor, rowScale: Tensor?, factor: Double
  ) {
    let rows = probabilities.rows, classes = probabilities.columns
    let dz = elements(logitsCotangent), d = elements(cotangent), p = elements(probabilities)
    let rowScale = rowScale.map(elements)
    for n in 0..<rows {
      let scale = Element(factor) * (rowScale?[n] ?? 1)
      var mean: Element = 0
      for c in n * classes..<(n + 1) * classes { mean += p[c] * d[c] }
      for c in n * classes..<(n + 1) * classes { dz[c] = scale * p[c] * (d[c] - mean) }
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func crossEntropy(
    losses: Tensor?, logitsCotangent: Tensor?, logits: Tensor, targets: Tensor, temperature: Double, rowScale: Tensor?,
    factor: Double
  ) {
    let rows = logits.rows, classes = logits.columns
    let z = elements(logits), targets = elements(targets), rowScale = rowScale.map(elements)
    let losses = losses?.address.assumingMemoryBound(to: Double.self), dz = logitsCotangent.map(elements)
    for n in 0..<rows {
      // In Double: the feedback is a difference of two nearly equal losses.
      let row = n * classes, z = z + row, target = targets + row
      var largest = z[0]
      for c in 1..<max(1, classes) where z[c] > largest { largest = z[c] }
      var sum = 0.0
      for c in 0..<classes { sum += exp((Double(z[c]) - Double(largest)) / temperature) }
      if let losses {
        let logSum = log(sum)
        var loss = 0.0
        for c in 0..<classes where target[c] != 0 {
          loss -= Double(target[c]) * ((Double(z[c]) - Double(largest)) / temperature - logSum)
        }
        losses[n] = loss
      }
      if let dz {
        let scale = Double(rowScale?[n] ?? 1) * factor / temperature
        var total = 0.0
        for c in 0..<classes { total += Double(target[c]) }
        for c in 0..<classes {
          let p = exp((Double(z[c]) - Double(largest)) / temperature) / sum
          dz[row + c] = Element(scale * (total * p - Double(target[c])))
        }
      }
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func oneHot(_ targets: Tensor, labels: Tensor) {
    let classes = targets.columns, targets = elements(targets)
    let rows = labels.count, labels = labels.address.assumingMemoryBound(to: Int64.self)
    targets.update(repeating: 0, count: rows * classes)
    for n in 0..<rows { targets[n * classes + Int(labels[n])] = 1 }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func smooth(_ targets: Tensor, smoothing: Double) {
    let count = targets.count, kept = Element(1 - smoothing), floor = Element(smoothing / Double(targets.columns))
    let targets = elements(targets)
    for i in 0..<count { targets[i] = kept * targets[i] + floor }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func confidenceMask(_ mask: Tensor, probabilities: Tensor, threshold: Double) {
    let rows = probabilities.rows, classes = probabilities.columns
    let mask = elements(mask), p = elements(probabilities)
    for n in 0..<rows {
      var largest: Element = 0
      for c in 0..<classes where p[n * classes + c] > largest { largest = p[n * classes + c] }
      mask[n] = Double(largest) >= threshold ? 1 : 0
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func argmax(_ labels: Tensor, _ values: Tensor) {
    let rows = values.rows, columns = values.columns, values = elements(values)
    let labels = labels.address.assumingMemoryBound(to: Int64.self)
    for n in 0..<rows {
      var best = 0
      for c in 0..<columns where values[n * columns + c] > values[n * columns + best] { best = c }
      labels[n] = Int64(best)
    }
  }

  // MARK: Optimisers

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func rmsProp(
    _ parameters: Tensor, gradient: Tensor, gradientScale: Double, meanSquare: Tensor, momentum: Tensor, decay: Double,
    momentumFactor: Double, learningRate: Double, epsilon: Double
  ) {
    let count = parameters.count, parameters = elements(parameters), gradient = elements(gradient)
    let square = elements(meanSquare), momentum = elements(momentum), scale = Element(gradientScale)
    let kept = Element(decay), fresh = Element(1 - decay), factor = Element(momentumFactor)
    let rate = Element(learningRate), epsilon = Element(epsilon)
    for i in 0..<count {
      let d = scale * gradient[i]
      square[i] = kept * square[i] + fresh * d * d
      momentum[i] = factor * momentum[i] + rate * d / (square[i] + epsilon).squareRoot()
      parameters[i] -= momentum[i]
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func rmsPropPullback(
    _ result: Tensor, _ v: Tensor, gradient: Tensor, gradientScale: Double, meanSquare: Tensor, decay: Double,
    learningRate: Double, epsilon: Double
  ) {
    let count = result.count, result = elements(result), v = elements(v), gradient = elements(gradient)
    let square = elements(meanSquare), scale = Element(gradientScale), fresh = Element(1 - decay)
    let rate = Element(learningRate), epsilon = Element(epsilon)
    for i in 0..<count {
      let d = scale * gradient[i], inside = square[i] + epsilon
      result[i] = v[i] * rate / inside.squareRoot() * (1 - fresh * d * d / inside)
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func rmsPropEffect(
    _ result: Tensor, gradient: Tensor, gradientScale: Double, meanSquare: Tensor, decay: Double, learningRate: Double,
    epsilon: Double
  ) {
    let count = result.count, result = elements(result), gradient = elements(gradient)
    let square = elements(meanSquare), scale = Element(gradientScale), kept = Element(decay)
    let fresh = Element(1 - decay), rate = Element(learningRate), epsilon = Element(epsilon)
    for i in 0..<count {
      let d = scale * gradient[i]
      result[i] = rate * d / (kept * square[i] + fresh * d * d + epsilon).squareRoot()
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func sgd(
    _ parameters: Tensor, gradient: Tensor, gradientScale: Double, momentum: Tensor?, momentumFactor: Double,
    nesterov: Bool, learningRate: Double, weightDecay: Double
  ) {
    let count = parameters.count
    let parameters = elements(parameters), gradient = elements(gradient)
    let scale = Element(gradientScale), decay = Element(weightDecay), rate = Element(learningRate)
    guard let momentum else {
      for i in 0..<count { parameters[i] -= rate * (scale * gradient[i] + decay * parameters[i]) }
      return
    }
    let m = elements(momentum), factor = Element(momentumFactor)
    for i in 0..<count {
      let d = scale * gradient[i] + decay * parameters[i]
      m[i] = factor * m[i] + d
      parameters[i] -= rate * (nesterov ? d + factor * m[i] : m[i])
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func adamW(
    _ parameters: Tensor, gradient: Tensor, gradientScale: Double, firstMoment: Tensor, secondMoment: Tensor,
    _ settings: AdamWSettings, weightDecay: Double
  ) {
    let count = parameters.count
    let parameters = elements(parameters), gradient = elements(gradient), scale = Element(gradientScale)
    let m = elements(firstMoment), v = elements(secondMoment)
    let beta1 = Element(settings.beta1), fresh1 = Element(1 - settings.beta1)
    let beta2 = Element(settings.beta2), fresh2 = Element(1 - settings.beta2), epsilon = Element(settings.epsilon)
    let rate = Element(settings.learningRate), kept = Element(1 - settings.learningRate * weightDecay)
    let firstCorrection = Element(settings.firstCorrection), secondCorrection = Element(settings.secondCorrection)
    for i in 0..<count {
      let g = scale * gradient[i]
      m[i] = beta1 * m[i] + fresh1 * g
      v[i] = beta2 * v[i] + fresh2 * g * g
      let step = m[i] / firstCorrection / ((v[i] / secondCorrection).squareRoot() + epsilon)
      parameters[i] = kept * parameters[i] - rate * step
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func adamWPullback(
    _ result: Tensor, _ v: Tensor, gradient: Tensor, gradientScale: Double, firstMoment: Tensor, secondMoment: Tensor,
    _ settings: AdamWSettings
  ) {
    let count = result.count, result = elements(result), cotangent = elements(v), gradient = elements(gradient)
    let m = elements(firstMoment), v = elements(secondMoment), scale = Element(gradientScale)
    let epsilon = Element(settings.epsilon), rate = Element(settings.learningRate)
    let firstCorrection = Element(settings.firstCorrection), secondCorrection = Element(settings.secondCorrection)
    let ofFirst = Element(1 - settings.beta1) / firstCorrection
    let ofSecond = Element(1 - settings.beta2) / secondCorrection
    for i in 0..<count {
      // update = rate · m̂ / (√v̂ + ε);  ∂m̂/∂g = (1 − β₁)/(1 − β₁ᵗ),  ∂√v̂/∂g = (1 − β₂) g / ((1 − β₂ᵗ) √v̂)
      let mHat = m[i] / firstCorrection, root = (v[i] / secondCorrection).squareRoot()
      let throughSecond = root == 0 ? 0 : mHat * ofSecond * scale * gradient[i] / (root * (root + epsilon))
      result[i] = cotangent[i] * rate / (root + epsilon) * (ofFirst - throughSecond)
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func adamWEffect(
    _ result: Tensor, gradient: Tensor, gradientScale: Double, firstMoment: Tensor, secondMoment: Tensor,
    _ settings: AdamWSettings
  ) {
    let count = result.count, result = elements(result), gradient = elements(gradient)
    let m = elements(firstMoment), v = elements(secondMoment), scale = Element(gradientScale)
    let beta1 = Element(settings.beta1), fresh1 = Element(1 - settings.beta1)
    let beta2 = Element(settings.beta2), fresh2 = Element(1 - settings.beta2)
    let epsilon = Element(settings.epsilon), rate = Element(settings.learningRate)
    let firstCorrection = Element(settings.firstCorrection), secondCorrection = Element(settings.secondCorrection)
    func step(_ m: Element, _ v: Element, _ g: Element) -> Element {
      let mHat = (beta1 * m + fresh1 * g) / firstCorrection
      let vHat = (beta2 * v + fresh2 * g * g) / secondCorrection
      return rate * mHat / (vHat.squareRoot() + epsilon)
    }
    for i in 0..<count { result[i] = step(m[i], v[i], scale * gradient[i]) - step(m[i], v[i], 0) }
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
