/// Stochastic gradient descent, plain, with heavy-ball momentum (Polyak, 1964) or Nesterov's, in PyTorch's form:
/// momentum ← μ · momentum + d, parameters −= η · (d + μ · momentum) for Nesterov and η · momentum for heavy ball.
public final class SGD: Optimizer, @unchecked Sendable {
  /// As long as the parameters; nil without momentum. Starts at 0, which makes the first step PyTorch's.
  private let momentum: Tensor?

  override init(_ network: Network, _ settings: OptimizerSettings) throws {
    momentum = settings.momentum > 0 ? try Tensor(network.parameters.shape, network.elementType) : nil
    try super.init(network, settings)
  }

  override var vectors: [(name: String, flat: Tensor)] { momentum.map { [("momentum", $0)] } ?? [] }

  /// How far the parameters move for a unit of fresh gradient: η, or η (1 + μ) for Nesterov.
  private var reach: Double { learningRateOfStep * (settings.nesterov ? 1 + settings.momentum : 1) }
  private var learningRateOfStep = 0.0

  override func update() {
    learningRateOfStep = scheduledRate
    for segment in segments {
      kernels.sgd(
        part(network.parameters, segment.range), gradient: part(entered, segment.range), gradientScale: clipScale,
        momentum: momentum.map { part($0, segment.range) }, momentumFactor: settings.momentum,
        nesterov: settings.nesterov, learningRate: scheduledRate,
        weightDecay: settings.decayBeforeClip ? 0 : segment.weightDecay)
    }
  }

  override func pullbackThroughUpdate(_ v: Tensor, into result: Tensor) {
    kernels.copy(v, to: result)
    kernels.scale(result, by: reach)
  }

  override func computeEffect(_ result: Tensor) throws {
    learningRateOfStep = scheduledRate
    kernels.fill(result, 0)
    if settings.decayBeforeClip {
      // update(0) clips the decay alone.
      addDecay(to: result)
      kernels.scale(result, by: -scale(ofNorm: kernels.dot(result, result).squareRoot()))
    }
    kernels.add(entered, scaledBy: clipScale, to: result)
    kernels.scale(result, by: reach)
  }
}
