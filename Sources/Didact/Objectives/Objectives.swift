/// A loss and how it pulls on the logits.
struct LossGradient {
  let loss: Double
  /// [N, C]
  let cotangent: Tensor
}

/// Targets of labels, a row of zeros where there is none: neither a loss nor a gradient comes from such a row.
struct LabelTargets {
  /// [N, C]
  let rows: Tensor
  /// How many of them have a label.
  let count: Int
  /// Of a loss that is the mean over labels.
  var factor: Double { 1 / Double(max(1, count)) }
}

/// Losses on logits, each with its gradient, and the memory for what they compute. Shapes: N rows, C classes.
///
/// One object serves one training call at a time.
final class Objectives {
  let kernels: any Kernels
  private let memory = TensorPool()

  init(_ kernels: any Kernels) { self.kernels = kernels }

  /// Memory of the kernels' element type for as long as the caller holds it. Its values are arbitrary.
  func tensor(_ shape: Shape) throws -> Tensor { try memory.tensor(shape, kernels.elementType) }

  func zeros(_ shape: Shape) throws -> Tensor {
    let zeros = try tensor(shape)
    kernels.fill(zeros, 0)
    return zeros
  }

  /// factor · Σ_i w_i CE(targets_i, softmax(logits_i / temperature)) and its gradient with respect to the logits.
  /// - Parameters:
  ///   - targets: [N, C], rows that sum to 1.
  ///   - weights: w [N], a mask or weights; nil for ones.
  ///   - factor: nil for the mean over rows, 1 / N.
  func crossEntropy(
    logits: Tensor, targets: Tensor, weights: Tensor? = nil, temperature: Double = 1, factor: Double? = nil
  ) throws -> LossGradient {
    let factor = factor ?? 1 / Double(logits.rows)
    let losses = try memory.tensor(Shape(logits.rows), .float64), cotangent = try tensor(logits.shape)
    kernels.crossEntropy(
      losses: losses, logitsCotangent: cotangent, logits: logits, targets: targets, temperature: temperature,
      rowScale: weights, factor: factor)
    return LossGradient(loss: factor * kernels.sum(losses, weights: weights), cotangent: cotangent)
  }

  /// CE(targets_i, softmax(logits_i / temperature)) of every row, in float64.
  func crossEntropies(logits: Tensor, targets: Tensor, temperature: Double = 1) throws -> Tensor {
    let losses = try memory.tensor(Shape(logits.rows), .float64)
    kernels.crossEntropy(
      losses: losses, logitsCotangent: nil, logits: logits, targets: targets, temperature: temperature, rowScale: nil,
      factor: 1)
    return losses
  }

  /// Softmax of logits / temperature [N, C].
  func softmax(_ logits: Tensor, temperature: Double = 1) throws -> Tensor {
    let probabilities = try tensor(logits.shape)
    kernels.softmax(probabilities, logits, temperature: temperature)
    return probabilities
  }

  /// One-hot rows [N, C] of labels [N] (int64) in 0..<C; zeros for -1.
  func oneHot(_ labels: Tensor, classes: Int) throws -> Tensor {
    let targets = try tensor(Shape(labels.count, classes))
    kernels.oneHot(targets, labels: labels)
    return targets
  }

  /// The targets of labels [N] (int64) in 0..<C, or -1 for none: (1 − smoothing) · one-hot + smoothing / C.
  func targets(of labels: Tensor, classes: Int, smoothing: Double = 0) throws -> LabelTargets {
    let targets = try smoothed(oneHot(labels, classes: classes), smoothing)
    var count = 0
    for row in 0..<labels.count {
      if labels.integer(at: row) >= 0 {
        count += 1
      } else if smoothing != 0 {
        kernels.fill(targets.rows(row..<row + 1), 0)
      }
    }
    return LabelTargets(rows: targets, count: count)
  }

  /// CE of labels, the mean over those that there are, and its gradient with respect to the logits.
  func crossEntropy(logits: Tensor, labels: LabelTargets) throws -> LossGradient {
    try crossEntropy(logits: logits, targets: labels.rows, factor: labels.factor)
  }

  /// One-hot rows [N, C] of the most probable class of each row; the first of equal ones.
  func mostProbable(_ probabilities: Tensor) throws -> Tensor {
    try oneHot(mostProbableClass(probabilities), classes: probabilities.columns)
  }

  /// The most probable class of each row [N] (int64); the first of equal ones.
  func mostProbableClass(_ probabilities: Tensor) throws -> Tensor {
    let labels = try memory.tensor(Shape(probabilities.rows), .int64)
    kernels.argmax(labels, probabilities)
    return labels
  }

  /// One-hot rows [N, C] of classes drawn from probabilities [N, C].
  func sample(_ probabilities: Tensor, _ draw: RandomDraw) throws -> Tensor {
    let labels = try tensor(probabilities.shape)
    kernels.sample(labels, probabilities: probabilities, draw)
    return labels
  }

  /// (1 − smoothing) · targets + smoothing / C
  func smoothed(_ targets: Tensor, _ smoothing: Double) throws -> Tensor {
    guard smoothing != 0 else { return targets }
    let smoothed = try tensor(targets.shape)
    kernels.copy(targets, to: smoothed)
    kernels.smooth(smoothed, smoothing: smoothing)
    return smoothed
  }

  /// The largest of each row: [N].
  func rowMaximum(_ values: Tensor) throws -> Tensor {
    let largest = try tensor(Shape(values.rows))
    kernels.rowMaximum(largest, values)
    return largest
  }

  /// 1 where the largest probability of a row is at least the threshold, else 0: [N].
  func confidenceMask(_ probabilities: Tensor, threshold: Double) throws -> Tensor {
    let mask = try tensor(Shape(probabilities.rows))
    kernels.confidenceMask(mask, probabilities: probabilities, threshold: threshold)
    return mask
  }

  /// (1 / N C) Σ_i ‖softmax(logits_i) − targets_i‖² and its gradient with respect to the logits.
  /// - Parameter weights: a mask [N] of zeros and ones; nil for ones. The divisor stays N.
  func squaredDifference(logits: Tensor, targets: Tensor, weights: Tensor? = nil) throws -> LossGradient {
    let p = try softmax(logits), difference = try tensor(logits.shape), cotangent = try tensor(logits.shape)
    kernels.copy(p, to: difference)
    kernels.add(targets, scaledBy: -1, to: difference)
    if let weights {
      for row in 0..<weights.count where weights[row] == 0 { kernels.fill(difference.rows(row..<row + 1), 0) }
    }
    let factor = 1 / Double(max(1, logits.count))
    kernels.softmaxBackward(cotangent, difference, probabilities: p, rowScale: nil, factor: 2 * factor)
    return LossGradient(loss: factor * kernels.dot(difference, difference), cotangent: cotangent)
  }

  /// The mean of KL(targets_i ‖ softmax(logits_i)) and its gradient with respect to the logits.
  func divergence(logits: Tensor, targets: Tensor) throws -> LossGradient {
    let term = try crossEntropy(logits: logits, targets: targets)
    var entropy = 0.0
    for index in 0..<targets.count where targets[index] > 0 { entropy -= targets[index] * logarithm(targets[index]) }
    return LossGradient(loss: term.loss - entropy / Double(logits.rows), cotangent: term.cotangent)
  }

  /// p_i ⊙ (cotangent_i − ⟨p_i, cotangent_i⟩): the softmax's Jacobian, which is symmetric, times a vector [N, C].
  func softmaxPullback(_ cotangent: Tensor, probabilities: Tensor) throws -> Tensor {
    let result = try tensor(cotangent.shape)
    kernels.softmaxBackward(result, cotangent, probabilities: probabilities, rowScale: nil, factor: 1)
    return result
  }

  /// Rows of length 1 in place; rows of zeros stay.
  func normalizeRows(_ rows: Tensor) {
    for index in 0..<rows.rows {
      let row = rows.rows(index..<index + 1)
      var square = kernels.dot(row, row)
      if square > 0, square < 1e-60 {
        // The factor would be too large for float32.
        kernels.scale(row, by: 1e30)
        square = kernels.dot(row, row)
      }
      if square > 0 { kernels.scale(row, by: 1 / square.squareRoot()) }
    }
  }

  /// Distributions proportional to weights^(1 / temperature), by row [N, C].
  func sharpened(_ weights: Tensor, temperature: Double) throws -> Tensor {
    try softmax(logarithms(of: weights, least: 1e-30), temperature: temperature)
  }

  /// log(max(x, least)), element by element.
  func logarithms(of x: Tensor, least: Double) throws -> Tensor {
    let result = try tensor(x.shape)
    kernels.logarithm(result, x, least: least)
    return result
  }

  /// The rows of several matrices, one after the other.
  func joined(_ parts: [Tensor]) throws -> Tensor {
    let joined = try tensor(Shape(parts.reduce(0) { $0 + $1.rows }, parts[0].columns))
    var start = 0
    for part in parts {
      kernels.copy(part, to: joined.rows(start..<start + part.rows))
      start += part.rows
    }
    return joined
  }

  /// The mean entropy of softmax(logits) over rows and its gradient with respect to the logits.
  func entropy(logits: Tensor) throws -> LossGradient {
    let p = try softmax(logits), cotangent = try tensor(logits.shape), factor = 1 / Double(max(1, logits.rows))
    let losses = try crossEntropies(logits: logits, targets: p)
    // ∂H/∂p is −log p − 1, which differs from −logits by the same amount for all classes of a row.
    kernels.softmaxBackward(cotangent, logits, probabilities: p, rowScale: nil, factor: -factor)
    return LossGradient(loss: factor * kernels.sum(losses, weights: nil), cotangent: cotangent)
  }

  /// share · rows_i + (1 − share) · rows_order(i)
  func mixed(_ rows: Tensor, _ order: [Int], share: Double) throws -> Tensor {
    let mixed = try tensor(rows.shape), others = try tensor(rows.shape)
    kernels.gather(others, rows, rows: order)
    kernels.copy(rows, to: mixed)
    kernels.scale(mixed, by: share)
    kernels.add(others, scaledBy: 1 - share, to: mixed)
    return mixed
  }

  /// The mean of a mask of zeros and ones.
  func rate(_ mask: Tensor) -> Double { kernels.dot(mask, mask) / Double(max(1, mask.count)) }

  /// The consistency loss of UDA (Xie et al., NeurIPS 2020): cross-entropy of the strong view against the sharpened,
  /// detached prediction on the weak view, where that is confident; the mean is over all rows.
  ///
  /// As in Meta Pseudo Labels' released code, the mask looks at the sharpened prediction.
  /// - Parameters:
  ///   - labels: of the labelled batch [N] (int64), which a confidence rule may ask for.
  ///   - shares: what holds the shares of the classes among the targets; nil for nothing.
  /// - Returns: loss and cotangent on the strong logits, and the share of rows that count.
  func udaConsistency(
    weakLogits: Tensor, strongLogits: Tensor, temperature: Double, confidence: ConfidenceRule, labels: Tensor,
    shares: ShareGuard? = nil
  ) throws -> (term: LossGradient, maskRate: Double) {
    let sharpened = try softmax(weakLogits, temperature: temperature)
    let target = try shares?.held(sharpened) ?? sharpened
    let counted = try confidence.weights(of: target, labels: labels)
    let term = try crossEntropy(logits: strongLogits, targets: target, weights: counted.rows)
    return (term, counted.rate)
  }
}
