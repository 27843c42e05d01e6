#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Dense layers, activations and batch normalisation, in plain loops.
extension ReferenceKernels {
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
}
