/// The operations that layers, objectives and optimisers are made of.
///
/// Tensors are passed on unread: element type and memory format are the business of the implementation. Shapes are
/// checked where a network or trainer takes them from the user, not here. N is rows (examples), C classes or channels.
///
/// `ReferenceKernels` is the plain implementation, written to be read, and the oracle for every other one.
protocol Kernels: Sendable {
  /// The type of every floating-point tensor passed in, except where a parameter says otherwise.
  var elementType: ElementType { get }
  /// The form in which networks best keep images within a pass.
  var imageForm: Tensor.Form { get }

  /// Notes down the calls in `body` as one program; returns nil from kernels that run each call at once.
  /// - Throws: what `body` does, and `DidactError.outOfMemory`.
  func record(_ body: (any Kernels) throws -> Void) throws -> Program?

  /// What is called next is about other examples than what was called before, and waits until that is done.
  func beginRegion()

  // MARK: Vectors (any shape, equal counts)

  func fill(_ x: Tensor, _ value: Double)
  func copy(_ source: Tensor, to destination: Tensor)
  /// x ← factor · x
  func scale(_ x: Tensor, by factor: Double)
  /// y ← y + factor · x
  func add(_ x: Tensor, scaledBy factor: Double, to y: Tensor)
  /// output ← a ⊙ b
  func multiply(_ output: Tensor, _ a: Tensor, _ b: Tensor)
  /// output ← a + b
  func add(_ output: Tensor, _ a: Tensor, _ b: Tensor)
  /// Σ aᵢ bᵢ, summed in Double.
  func dot(_ a: Tensor, _ b: Tensor) -> Double
  /// Σ weightsᵢ lossesᵢ of losses in float64; nil weights are ones.
  func sum(_ losses: Tensor, weights: Tensor?) -> Double
  /// Σ (aᵢ − bᵢ) of losses in float64, subtracted one by one.
  func sumOfDifferences(_ a: Tensor, _ b: Tensor) -> Double
  /// average ← decay · average + (1 − decay) · value
  func movingAverage(_ average: Tensor, of value: Tensor, decay: Double)
  /// result ← log(max(x, least)), least > 0
  func logarithm(_ result: Tensor, _ x: Tensor, least: Double)
  /// Whether every element is finite.
  func allFinite(_ x: Tensor) -> Bool

  // MARK: Data

  /// output[N, C] ← (input − mean) / scale with input of any element type and strides, and mean, scale [C] float64; nil for input
  /// as it is. Whether all of the output is finite.
  func convert(_ output: Tensor, _ input: BorrowedArray, mean: Tensor?, scale: Tensor?) -> Bool
  /// output[i] ← input[rows[i]]
  func gather(_ output: Tensor, _ input: Tensor, rows: [Int])

  // MARK: Dense layer (input [N, I], weight [O, I], bias [O], output [N, O])

  /// output ← input · weightᵀ + bias
  func dense(_ output: Tensor, _ input: Tensor, weight: Tensor, bias: Tensor?)
  /// inputCotangent ← outputCotangent · weight
  func denseInputCotangent(_ inputCotangent: Tensor, _ outputCotangent: Tensor, weight: Tensor)
  /// weightCotangent += outputCotangentᵀ · input,  biasCotangent += Σ_rows outputCotangent
  func denseParameterCotangents(
    _ weightCotangent: Tensor, _ biasCotangent: Tensor?, _ outputCotangent: Tensor, input: Tensor)
  /// outputTangent ← inputTangent · weightᵀ + input · weightTangentᵀ + biasTangent; a nil inputTangent is zero.
  func denseTangent(
    _ outputTangent: Tensor, _ inputTangent: Tensor?, input: Tensor, weight: Tensor, weightTangent: Tensor,
    biasTangent: Tensor?)

  // MARK: Convolution (input [N, H·W·I], output [N, H′·W′·O], channels last; weight [O, I / groups, K, K], bias [O])

  /// output ← input ⋆ weight + bias, or, to `accumulate`, output += input ⋆ weight
  func convolution(
    _ output: Tensor, _ input: Tensor, weight: Tensor, bias: Tensor?, _ window: Window, accumulate: Bool)
  /// inputCotangent ← the transposed convolution of outputCotangent
  func convolutionInputCotangent(_ inputCotangent: Tensor, _ outputCotangent: Tensor, weight: Tensor, _ window: Window)
  /// weightCotangent += Σ_n outputCotangent ⋆ input,  biasCotangent += Σ outputCotangent
  func convolutionParameterCotangents(
    _ weightCotangent: Tensor, _ biasCotangent: Tensor?, _ outputCotangent: Tensor, input: Tensor, _ window: Window)

  // MARK: Pooling (the same shapes)

  /// output ← the mean over the window, pixels beyond the edge counted as zeros; its own tangent.
  func averagePool(_ output: Tensor, _ input: Tensor, _ window: Window)
  func averagePoolBackward(_ inputCotangent: Tensor, _ outputCotangent: Tensor, _ window: Window)
  /// output ← the largest in the window, places ← its index there; the first of equal ones.
  func maxPool(_ output: Tensor, _ input: Tensor, places: Tensor, _ window: Window)
  func maxPoolBackward(_ inputCotangent: Tensor, _ outputCotangent: Tensor, places: Tensor, _ window: Window)
  func maxPoolTangent(_ outputTangent: Tensor, _ inputTangent: Tensor, places: Tensor, _ window: Window)

  // MARK: Gates (x [N, H·W·C], gate [N, C], factors [N])

  /// result ← x ⊙ gate, the same at every pixel; or result += that.
  func scaleChannels(_ result: Tensor, _ x: Tensor, gate: Tensor, accumulate: Bool)
  /// gate ← Σ_pixels a ⊙ b
  func sumPixels(_ gate: Tensor, _ a: Tensor, _ b: Tensor)
  /// result ← factors_n · x_n
  func scaleRows(_ result: Tensor, _ x: Tensor, factors: Tensor)

  // MARK: Activations

  /// output ← f(input)
  /// - Parameter slope: of a leaky ReLU below zero.
  func activation(_ function: ActivationFunction, slope: Double, _ output: Tensor, _ input: Tensor)
  /// result ← f′(input) ⊙ direction: the backward and the tangent alike. Of the input, only swish may read more than the
  /// output tells: `ActivationLayer.reads` says which functions need it kept.
  func activationDerivative(
    _ function: ActivationFunction, slope: Double, _ result: Tensor, _ direction: Tensor, input: Tensor, output: Tensor)

  // MARK: Batch normalisation (input and output [N, C]; moments [4, C] is room for mean and inverse deviation of each
  // column in float64, sums [4, C] for two more float64 a column, between the part that sees all rows and that by rows;
  // all others [C])

  /// output ← weight ⊙ x̂ + bias with x̂ = (input − mean) · inverseDeviation; moments ← those two
  ///
  /// With `usesBatch`, mean and (biased) variance are the batch's; else the running ones. A momentum that
  /// is not nil moves the running ones towards the batch's, with the unbiased variance.
  func batchNormalization(
    _ output: Tensor, _ input: Tensor, weight: Tensor, bias: Tensor, runningMean: Tensor, runningVariance: Tensor,
    moments: Tensor, epsilon: Double, usesBatch: Bool, momentum: Double?)
  /// The same output again, from moments that are known.
  func normalize(_ output: Tensor, _ input: Tensor, weight: Tensor, bias: Tensor, moments: Tensor)
  /// - Parameters:
  ///   - bias: what is behind the normalisation follows from it, where kernels compute both backwards at once.
  ///   - adds: whether an earlier call of the same program wrote the cotangents of weight and bias.
  func batchNormalizationBackward(
    _ inputCotangent: Tensor?, weightCotangent: Tensor, biasCotangent: Tensor, _ outputCotangent: Tensor,
    input: Tensor, weight: Tensor, bias: Tensor, moments: Tensor, sums: Tensor, usesBatch: Bool, adds: Bool)
  func batchNormalizationTangent(
    _ outputTangent: Tensor, _ inputTangent: Tensor?, input: Tensor, weight: Tensor, weightTangent: Tensor,
    biasTangent: Tensor, moments: Tensor, sums: Tensor, usesBatch: Bool)

  // MARK: Randomness (element i takes value i of the draw)

  /// mask ← 0 with probability `rate`, else 1 / (1 − rate)
  func dropoutMask(_ mask: Tensor, rate: Double, _ draw: RandomDraw)
  /// x ← x + deviation · standard normal
  func addNormal(_ x: Tensor, deviation: Double, _ draw: RandomDraw)
  /// x ← low + (high − low) · uniform
  func uniform(_ x: Tensor, low: Double, high: Double, _ draw: RandomDraw)
  /// oneHot[N, C] ← 1 at a class sampled from the row's probabilities by inverse distribution function
  func sample(_ oneHot: Tensor, probabilities: Tensor, _ draw: RandomDraw)

  // MARK: Objectives on logits [N, C]

  /// probabilities ← softmax(logits / temperature), by row
  func softmax(_ probabilities: Tensor, _ logits: Tensor, temperature: Double)
  /// logitsCotangent ← rowScale_i · factor · p ⊙ (cotangent − ⟨p, cotangent⟩): the transposed Jacobian of the softmax.
  /// A nil rowScale is one.
  func softmaxBackward(
    _ logitsCotangent: Tensor, _ cotangent: Tensor, probabilities: Tensor, rowScale: Tensor?, factor: Double)
  /// losses[i] (float64) ← −Σ_c targets_ic log softmax_c(logits_i / temperature), and
  /// logitsCotangent ← rowScale_i · factor · (Σ_c targets_ic · softmax(logits_i / temperature) − targets_i) / temperature,
  /// each unless nil.
  func crossEntropy(
    losses: Tensor?, logitsCotangent: Tensor?, logits: Tensor, targets: Tensor, temperature: Double, rowScale: Tensor?,
    factor: Double)
  /// targets[N, C] ← one-hot rows of `labels` [N] (int64), zeros where a label is -1
  func oneHot(_ targets: Tensor, labels: Tensor)
  /// targets ← (1 − smoothing) · targets + smoothing / C
  func smooth(_ targets: Tensor, smoothing: Double)
  /// largest[N] ← the largest of each row of values [N, C]
  func rowMaximum(_ largest: Tensor, _ values: Tensor)
  /// mask[N] ← 1 where the largest of the row's probabilities is at least `threshold`, else 0
  func confidenceMask(_ mask: Tensor, probabilities: Tensor, threshold: Double)
  /// labels[N] (int64) ← the column of the largest of the row's `values` [N, C]; the first of equal ones
  func argmax(_ labels: Tensor, _ values: Tensor)

  // MARK: Optimisers (vectors)

  /// One step of RMSProp on d = gradientScale · gradient: meanSquare ← ρ · meanSquare + (1 − ρ) · d²,
  /// momentum ← μ · momentum + η · d / √(meanSquare + ε), parameters −= momentum.
  func rmsProp(
    _ parameters: Tensor, gradient: Tensor, gradientScale: Double, meanSquare: Tensor, momentum: Tensor, decay: Double,
    momentumFactor: Double, learningRate: Double, epsilon: Double)
  /// result ← v ⊙ ∂(η · d / √(meanSquare + ε))/∂d, from the mean square after the step.
  func rmsPropPullback(
    _ result: Tensor, _ v: Tensor, gradient: Tensor, gradientScale: Double, meanSquare: Tensor, decay: Double,
    learningRate: Double, epsilon: Double)
  /// result ← η · d / √(ρ · meanSquare + (1 − ρ) · d² + ε), from the mean square before the step. May be the gradient.
  func rmsPropEffect(
    _ result: Tensor, gradient: Tensor, gradientScale: Double, meanSquare: Tensor, decay: Double, learningRate: Double,
    epsilon: Double)

  /// One step of SGD on d = gradientScale · gradient + weightDecay · parameters: momentum ← μ·momentum + d,
  /// parameters −= learningRate · (nesterov ? d + μ·momentum : momentum); without momentum, parameters −= learningRate · d.
  func sgd(
    _ parameters: Tensor, gradient: Tensor, gradientScale: Double, momentum: Tensor?, momentumFactor: Double,
    nesterov: Bool, learningRate: Double, weightDecay: Double)
  /// One step of AdamW (Loshchilov and Hutter, 2019, as in PyTorch) with g = gradientScale · gradient.
  func adamW(
    _ parameters: Tensor, gradient: Tensor, gradientScale: Double, firstMoment: Tensor, secondMoment: Tensor,
    _ settings: AdamWSettings, weightDecay: Double)
  /// result ← v ⊙ ∂update/∂g of the AdamW step that made these moments, at g = gradientScale · gradient.
  func adamWPullback(
    _ result: Tensor, _ v: Tensor, gradient: Tensor, gradientScale: Double, firstMoment: Tensor, secondMoment: Tensor,
    _ settings: AdamWSettings)
  /// result ← update(g) − update(0) of the AdamW step about to be made from these moments.
  func adamWEffect(
    _ result: Tensor, gradient: Tensor, gradientScale: Double, firstMoment: Tensor, secondMoment: Tensor,
    _ settings: AdamWSettings)
}

/// The scalar functions between layers.
enum ActivationFunction: String, CaseIterable, Sendable {
  case relu
  /// With a slope below zero.
  case leakyReLU = "leaky_relu"
  case sigmoid
  case tanh
  /// x · sigmoid(x) (Ramachandran et al., 2017).
  case swish
}

/// What one AdamW step needs beside its vectors. `step` counts from 1.
struct AdamWSettings {
  var learningRate, beta1, beta2, epsilon: Double
  var step: Int

  /// 1 − βᵗ
  var firstCorrection: Double { 1 - power(beta1, step) }
  var secondCorrection: Double { 1 - power(beta2, step) }
}

/// The kernels for an element type.
/// - Parameter threads: the most to use; 0 for one a core.
/// - Throws: `DidactError.elementType` for types that are not floating point.
func makeKernels(
  _ elementType: ElementType, threads: Int = 0, arithmetic: ConvolutionArithmetic = .direct
) throws -> any Kernels {
  switch elementType {
  case .float32: return FusedKernels(threads: threads > 0 ? threads : availableCores, arithmetic: arithmetic)
  case .float64: return ReferenceKernels<Double>()
  case .int64, .uint8:
    throw DidactError(.elementType, "networks compute in float32 or float64, not \(elementType)")
  }
}
