/// Adam (Kingma and Ba, ICLR 2015) with decoupled weight decay (Loshchilov and Hutter, ICLR 2019), in PyTorch's form; or,
/// by the name `adam`, with weight decay as a part of the gradient.
///
/// Its update hardly depends on the size of the gradient in the first steps (at the first one m̂/√v̂ is the sign), so
/// that the exact feedback through it is near 0 there. Where a schedule moves β1 or β2, the bias corrections 1 − βᵗ take the
/// β of the step, as in the code of Laine and Aila (ICLR 2017).
public final class AdamW: Optimizer, @unchecked Sendable {
  private let firstMoment: Tensor
  private let secondMoment: Tensor
  /// Of the last step.
  private var lastStep = AdamWSettings(learningRate: 0, beta1: 0, beta2: 0, epsilon: 1, step: 1)

  override init(_ network: Network, _ settings: OptimizerSettings) throws {
    firstMoment = try Tensor(network.parameters.shape, network.elementType)
    secondMoment = try Tensor(network.parameters.shape, network.elementType)
    try super.init(network, settings)
  }

  override var vectors: [(name: String, flat: Tensor)] {
    [("first_moment", firstMoment), ("second_moment", secondMoment)]
  }

  private var currentStep: AdamWSettings {
    AdamWSettings(
      learningRate: scheduledRate, beta1: betas.0, beta2: betas.1, epsilon: settings.epsilon, step: steps)
  }

  override func update() {
    lastStep = currentStep
    for segment in segments {
      kernels.adamW(
        part(network.parameters, segment.range), gradient: part(entered, segment.range), gradientScale: clipScale,
        firstMoment: part(firstMoment, segment.range), secondMoment: part(secondMoment, segment.range), lastStep,
        weightDecay: settings.name == .adam ? 0 : segment.weightDecay)
    }
  }

  override func pullbackThroughUpdate(_ v: Tensor, into result: Tensor) {
    kernels.adamWPullback(
      result, v, gradient: entered, gradientScale: clipScale, firstMoment: firstMoment, secondMoment: secondMoment,
      lastStep)
  }

  override func computeEffect(_ result: Tensor) throws {
    kernels.adamWEffect(
      result, gradient: entered, gradientScale: clipScale, firstMoment: firstMoment, secondMoment: secondMoment,
      currentStep)
    guard settings.name == .adam, settings.weightDecay > 0 else { return }
    // update(0) moves by the decay.
    let decay = try clippedDecay()
    kernels.adamWEffect(
      decay, gradient: decay, gradientScale: 1, firstMoment: firstMoment, secondMoment: secondMoment, currentStep)
    kernels.add(decay, scaledBy: -1, to: result)
  }
}
