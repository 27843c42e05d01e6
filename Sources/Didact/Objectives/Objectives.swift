/// Losses on logits, each with its gradient. Shapes: N rows, C classes.

/// A loss and how it pulls on the logits.
struct LossGradient {
  let loss: Double
  /// [N, C]
  let cotangent: Tensor
}

/// (1 / divisor) Σ_i w_i CE(targets_i, softmax(logits_i / temperature)) and its gradient with respect to the logits.
/// - Parameters:
///   - targets: [N, C], rows that sum to 1.
///   - weights: w [N], a mask or weights; nil for ones.
///   - divisor: nil for N.
func crossEntropy(
  _ kernels: any Kernels, logits: Tensor, targets: Tensor, weights: Tensor? = nil, temperature: Double = 1,
  divisor: Double? = nil
) throws -> LossGradient {
  let divisor = divisor ?? Double(logits.rows)
  let losses = try crossEntropies(kernels, logits: logits, targets: targets, temperature: temperature)
  let cotangent = try Tensor(logits.shape, logits.elementType)
  kernels.crossEntropyBackward(
    cotangent, logits: logits, targets: targets, temperature: temperature, rowScale: weights, factor: 1 / divisor)
  var sum = 0.0
  for i in 0..<losses.count { sum += losses[i] * (weights.map { $0[i] } ?? 1) }
  return LossGradient(loss: sum / divisor, cotangent: cotangent)
}

/// CE(targets_i, softmax(logits_i / temperature)) of every row, in float64.
func crossEntropies(
  _ kernels: any Kernels, logits: Tensor, targets: Tensor, temperature: Double = 1
) throws -> Tensor {
  let losses = try Tensor(Shape(logits.rows), .float64)
  kernels.crossEntropy(losses, logits: logits, targets: targets, temperature: temperature)
  return losses
}

/// Softmax of logits / temperature [N, C].
func softmax(_ kernels: any Kernels, _ logits: Tensor, temperature: Double = 1) throws -> Tensor {
  let probabilities = try Tensor(logits.shape, logits.elementType)
  kernels.softmax(probabilities, logits, temperature: temperature)
  return probabilities
}

/// One-hot rows [N, C] of labels in 0..<C.
func oneHot(_ kernels: any Kernels, _ labels: [Int], classes: Int) throws -> Tensor {
  let targets = try Tensor(Shape(labels.count, classes), kernels.elementType)
  kernels.oneHot(targets, labels: labels)
  return targets
}

/// 1 where the largest probability of a row is at least the threshold, else 0: [N].
func confidenceMask(_ kernels: any Kernels, _ probabilities: Tensor, threshold: Double) throws -> Tensor {
  let mask = try Tensor(Shape(probabilities.rows), kernels.elementType)
  kernels.confidenceMask(mask, probabilities: probabilities, threshold: threshold)
  return mask
}

/// The mean of a mask.
func rate(_ mask: Tensor) -> Double { mask.values.reduce(0, +) / Double(max(1, mask.count)) }

/// The consistency loss of UDA (Xie et al., NeurIPS 2020): cross-entropy of the strong view against the sharpened,
/// detached prediction on the weak view, where that is confident; the mean is over all rows.
///
/// As in Meta Pseudo Labels' released code, the mask looks at the sharpened prediction.
/// - Returns: loss and cotangent on the strong logits, and the share of rows that count.
func udaConsistency(
  _ kernels: any Kernels, weakLogits: Tensor, strongLogits: Tensor, temperature: Double, threshold: Double
) throws -> (term: LossGradient, maskRate: Double) {
  let target = try softmax(kernels, weakLogits, temperature: temperature)
  let mask = try confidenceMask(kernels, target, threshold: threshold)
  let term = try crossEntropy(kernels, logits: strongLogits, targets: target, weights: mask)
  return (term, rate(mask))
}
