/// RMSProp with momentum in TensorFlow's form: epsilon inside the root, and the mean square begins at 1 (Tieleman and
/// Hinton, 2012). With d the clipped gradient, weight decay a part of it:
///
/// square ← ρ · square + (1 − ρ) · d²,  momentum ← μ · momentum + η · d / √(square + ε),  parameters −= momentum.
public final class RMSProp: Optimizer, @unchecked Sendable {
  private let meanSquare: Tensor
  private let momentum: Tensor

  override init(_ network: Network, _ settings: OptimizerSettings) throws {
    meanSquare = try Tensor(network.parameters.shape, network.elementType)
    momentum = try Tensor(network.parameters.shape, network.elementType)
    try super.init(network, settings)
    kernels.fill(meanSquare, 1)
  }

  override var vectors: [(name: String, flat: Tensor)] { [("mean_square", meanSquare), ("momentum", momentum)] }

  override func reset() {
    super.reset()
    kernels.fill(meanSquare, 1)
  }

  private var lastRate = 0.0

  override func update() {
    lastRate = scheduledRate
    kernels.rmsProp(
      network.parameters, gradient: entered, gradientScale: clipScale, meanSquare: meanSquare, momentum: momentum,
      decay: settings.squareDecay, momentumFactor: settings.momentum, learningRate: lastRate, epsilon: settings.epsilon)
  }

  override func pullbackThroughUpdate(_ v: Tensor, into result: Tensor) {
    kernels.rmsPropPullback(
      result, v, gradient: entered, gradientScale: clipScale, meanSquare: meanSquare, decay: settings.squareDecay,
      learningRate: lastRate, epsilon: settings.epsilon)
  }

  override func computeEffect(_ result: Tensor) throws {
    func effect(_ result: Tensor, _ gradient: Tensor, scale: Double) {
      kernels.rmsPropEffect(
        result, gradient: gradient, gradientScale: scale, meanSquare: meanSquare, decay: settings.squareDecay,
        learningRate: scheduledRate, epsilon: settings.epsilon)
    }
    effect(result, entered, scale: clipScale)
    guard settings.weightDecay > 0 else { return }
    let decay = try clippedDecay()
    effect(decay, decay, scale: 1)
    kernels.add(decay, scaledBy: -1, to: result)
  }
}
