#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Losses on logits, and what optimisers do with a gradient, in plain loops.
extension ReferenceKernels {
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
    for n in 0..<rows where labels[n] >= 0 { targets[n * classes + Int(labels[n])] = 1 }
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
  func rowMaximum(_ largest: Tensor, _ values: Tensor) {
    let rows = values.rows, columns = values.columns
    let largest = elements(largest), values = elements(values)
    for n in 0..<rows { largest[n] = (1..<columns).reduce(values[n * columns]) { max($0, values[n * columns + $1]) } }
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
