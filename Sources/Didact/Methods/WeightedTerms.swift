/// The gradient of a weighted sum of losses with respect to one network's parameters, term by term.
struct WeightedTerms {
  private let network: Network
  /// Takes one term's gradient at a time [parameters].
  private let termGradient: Tensor

  init(_ network: Network) throws {
    self.network = network
    termGradient = try Tensor(network.parameters.shape, network.elementType)
  }

  /// network.gradients ← 0
  func begin() { network.kernels.fill(network.gradients, 0) }

  /// network.gradients += weight · ∇term
  /// - Returns: ‖∇term‖, without the weight.
  /// - Throws: `DidactError.diverged` where the term's loss is not finite.
  func add(_ term: LossGradient, _ name: String, weight: Double, through pass: RecordedPass, draw: UInt64) throws
    -> Double
  {
    try checkFinite(term.loss, term: name, draw: draw)
    try pass.backward(term.cotangent, into: termGradient)
    return addTermGradient(weight)
  }

  /// The same for a term that reaches the parameters through several passes.
  func add(
    loss: Double, _ parts: [(cotangent: Tensor, pass: RecordedPass)], _ name: String, weight: Double, draw: UInt64
  ) throws -> Double {
    try checkFinite(loss, term: name, draw: draw)
    for (index, part) in parts.enumerated() {
      try part.pass.backward(part.cotangent, into: termGradient, accumulate: index > 0)
    }
    return addTermGradient(weight)
  }

  private func addTermGradient(_ weight: Double) -> Double {
    network.kernels.add(termGradient, scaledBy: weight, to: network.gradients)
    return network.kernels.dot(termGradient, termGradient).squareRoot()
  }
}
