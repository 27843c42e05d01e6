/// Layer-wise adaptive rate scaling (LARS: You, Gitman and Ginsburg, 2017), in SimCLR's form. For each weight w, with
/// d = clipped gradient + weight decay · w:
///
/// momentum ← μ · momentum + η · r · d,  r = trust_coefficient · ‖w‖ / ‖d‖ (1 where either is 0),  w −= momentum.
///
/// Biases and the parameters of normalisation layers are moved by plain momentum: r = 1, and no weight decay.
public final class LARS: Optimizer, @unchecked Sendable {
  private let momentum: Tensor
  /// Of the last step, for each parameter: η · r, whether r depends on d, and d.
  private var factors: [(factor: Double, isScaled: Bool)] = []
  private let decayed: Tensor

  override init(_ network: Network, _ settings: OptimizerSettings) throws {
    momentum = try Tensor(network.parameters.shape, network.elementType)
    decayed = try Tensor(network.parameters.shape, network.elementType)
    try super.init(network, settings)
  }

  override var vectors: [(name: String, flat: Tensor)] { [("momentum", momentum)] }

  /// result ← η · r · d by parameter, of clipped gradient `gradientScale` · gradient, and the factors η · r.
  private func directions(_ result: Tensor, _ gradient: Tensor, gradientScale: Double) -> [(
    factor: Double, isScaled: Bool
  )] {
    kernels.fill(result, 0)
    kernels.add(gradient, scaledBy: gradientScale, to: result)
    return network.parameterSlots.map { slot in
      guard slot.role == .weight else { return (scheduledRate, false) }
      let weight = slot[network.parameters], direction = slot[result]
      kernels.add(weight, scaledBy: settings.weightDecay, to: direction)
      let length = kernels.dot(weight, weight).squareRoot(), size = kernels.dot(direction, direction).squareRoot()
      guard length > 0, size > 0 else { return (scheduledRate, false) }
      return (scheduledRate * settings.trustCoefficient * length / size, true)
    }
  }

  override func update() {
    factors = directions(decayed, entered, gradientScale: clipScale)
    kernels.scale(momentum, by: settings.momentum)
    for (slot, factor) in zip(network.parameterSlots, factors) {
      kernels.add(slot[decayed], scaledBy: factor.factor, to: slot[momentum])
    }
    kernels.add(momentum, scaledBy: -1, to: network.parameters)
  }

  /// η r (I − d̂ d̂ᵀ) for weights, because r is one over the length of d; η for the others.
  override func pullbackThroughUpdate(_ v: Tensor, into result: Tensor) {
    kernels.copy(v, to: result)
    for (slot, factor) in zip(network.parameterSlots, factors) {
      let direction = slot[decayed], part = slot[result]
      if factor.isScaled {
        let share = kernels.dot(direction, part) / kernels.dot(direction, direction)
        kernels.add(direction, scaledBy: -share, to: part)
      }
      kernels.scale(part, by: factor.factor)
    }
  }

  override func computeEffect(_ result: Tensor) throws {
    let alone = try Tensor(entered.shape, entered.elementType)
    for (direction, scale, sign) in [(result, clipScale, 1.0), (alone, 0.0, -1.0)] {
      let factors = directions(direction, entered, gradientScale: scale)
      for (slot, factor) in zip(network.parameterSlots, factors) {
        kernels.scale(slot[direction], by: factor.factor * sign)
      }
    }
    kernels.add(alone, scaledBy: 1, to: result)
  }
}
