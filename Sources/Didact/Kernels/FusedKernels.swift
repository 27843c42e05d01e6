import CKernels

/// Float32 at the speed of the machine: fused loops in C for narrow layers, elementwise work and sums; oneDNN's products
/// for wide layers; several threads where there is enough to do.
///
/// Every operation is a `kernels_operation`, and is tested against `ReferenceKernels`.
struct FusedKernels: Kernels {
  /// The most threads that a call uses, at least 1.
  let threads: Int
  let arithmetic: ConvolutionArithmetic
  /// Takes the calls of layers instead of running them, unless nil.
  var recorder: ProgramRecorder?

  var elementType: ElementType { .float32 }
  var imageForm: Tensor.Form {
    switch arithmetic {
    case .bfloat16, .emulatedBFloat16: .bfloat16
    case .direct, .fast: kernels_prefers_blocks() ? .inBlocks : .plain
    }
  }

  init(threads: Int, arithmetic: ConvolutionArithmetic = .direct, recorder: ProgramRecorder? = nil) {
    self.threads = threads
    self.arithmetic = arithmetic
    self.recorder = recorder
  }

  func record(_ body: (any Kernels) throws -> Void) throws -> Program? { try program(body) }

  func program(_ body: (any Kernels) throws -> Void) throws -> Program {
    let recorder = ProgramRecorder()
    try body(FusedKernels(threads: threads, arithmetic: arithmetic, recorder: recorder))
    return try Program(recorder.operations, threads: threads)
  }

  // MARK: Calls

  typealias Operands = (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64)
  /// Sets what else an operation is given.
  typealias Settings = (inout kernels_operation) -> Void

  /// The address, or place in a program; the two highest bits say in which form it is kept.
  func bits(_ x: Tensor) -> UInt64 {
    let form: UInt64 =
      switch x.form {
      case .plain: 0
      case .bfloat16: 1 << 63
      case .inBlocks: 1 << 62
      }
    return UInt64(UInt(bitPattern: x.address)) | form
  }
  func bits(_ x: Tensor?) -> UInt64 { x.map { bits($0) } ?? 0 }

  /// The operands stand in the order of `kernels_code`; those that are nil are left out.
  func operands(
    _ a: Tensor?, _ b: Tensor? = nil, _ c: Tensor? = nil, _ d: Tensor? = nil, _ e: Tensor? = nil, _ f: Tensor? = nil,
    _ g: Tensor? = nil, _ h: Tensor? = nil
  ) -> Operands { (bits(a), bits(b), bits(c), bits(d), bits(e), bits(f), bits(g), bits(h)) }

  @discardableResult
  func call(
    _ code: kernels_code, rows: Int, columns: Int, inner: Int = 0, option: Int32 = 0, _ operands: Operands,
    draw: RandomDraw? = nil, _ set: Settings = { _ in }
  ) -> Double {
    guard rows > 0, columns > 0 else { return 0 }
    var operation = kernels_operation()
    operation.code = Int32(bitPattern: code.rawValue)
    operation.option = option
    operation.arithmetic = arithmetic.code
    operation.rows = Int64(rows)
    operation.columns = Int64(columns)
    operation.inner = Int64(inner)
    operation.operands = operands
    set(&operation)
    if let recorder {
      recorder.append(operation)
      return 0
    }
    var run = kernels_run()
    run.threads = Int32(threads)
    if let draw { (run.key, run.draw) = (draw.key, draw.number) }
    // Of a call by itself; a program says which.
    run.accumulate = true
    let isDone = kernels_execute_one(&operation, &run)
    assert(isDone, "no memory for an operation by itself")
    return run.result
  }

  /// An operation on vectors of the same count.
  func elementwise(
    _ code: kernels_code, _ count: Int, option: Int32 = 0, _ operands: Operands, _ set: Settings = { _ in }
  ) { call(code, rows: count, columns: 1, option: option, operands, set) }

  /// Rows and columns of a matrix, of pixels [N · pixels, channels] or in blocks [N, channels / 16, pixels, 16]; of the
  /// latter the pixels of an example too. Any other shape is a column.
  func lengths(_ x: Tensor) -> (rows: Int, columns: Int, pixels: Int) {
    if x.form == .inBlocks, x.shape.rank == 4 { return (x.shape[0] * x.shape[2], x.shape[1] * x.shape[3], x.shape[2]) }
    return x.shape.rank == 2 ? (x.rows, x.columns, 0) : (x.count, 1, 0)
  }

  /// An operation on matrices of the same shape: in rows, so that it shares the regions of its neighbours.
  func byRow(
    _ code: kernels_code, _ x: Tensor, option: Int32 = 0, _ operands: Operands, draw: RandomDraw? = nil,
    _ set: Settings = { _ in }
  ) {
    let (rows, columns, pixels) = lengths(x)
    call(code, rows: rows, columns: columns, inner: pixels, option: option, operands, draw: draw, set)
  }

  func beginRegion() { recorder?.beginsRegion = true }

  // MARK: Vectors

  func fill(_ x: Tensor, _ value: Double) {
    byRow(KERNELS_FILL, x, operands(x)) { $0.scalar = value }
  }

  func copy(_ source: Tensor, to destination: Tensor) {
    byRow(KERNELS_COPY, destination, operands(destination, source))
  }

  func scale(_ x: Tensor, by factor: Double) {
    elementwise(KERNELS_SCALE, x.count, operands(x)) { $0.scalar = factor }
  }

  func add(_ x: Tensor, scaledBy factor: Double, to y: Tensor) {
    byRow(KERNELS_ADD, y, operands(y, x)) { $0.scalar = factor }
  }

  func multiply(_ output: Tensor, _ a: Tensor, _ b: Tensor) {
    byRow(KERNELS_MULTIPLY, output, operands(output, a, b))
  }

  func add(_ output: Tensor, _ a: Tensor, _ b: Tensor) {
    byRow(KERNELS_SUM, output, operands(output, a, b))
  }

  func dot(_ a: Tensor, _ b: Tensor) -> Double {
    call(KERNELS_DOT, rows: a.count, columns: 1, operands(a, b))
  }

  func sum(_ losses: Tensor, weights: Tensor?) -> Double { ReferenceKernels<Float>().sum(losses, weights: weights) }

  func sumOfDifferences(_ a: Tensor, _ b: Tensor) -> Double { ReferenceKernels<Float>().sumOfDifferences(a, b) }

  func movingAverage(_ average: Tensor, of value: Tensor, decay: Double) {
    elementwise(
      KERNELS_MOVING_AVERAGE, average.count, operands(average, value)
    ) { $0.scalar = decay }
  }

  func logarithm(_ result: Tensor, _ x: Tensor, least: Double) {
    elementwise(
      KERNELS_LOGARITHM, x.count, operands(result, x)
    ) { $0.scalar = least }
  }

  func allFinite(_ x: Tensor) -> Bool {
    call(KERNELS_ALL_FINITE, rows: x.count, columns: 1, operands(x)) == 0
  }

  // MARK: Data

  func convert(_ output: Tensor, _ input: BorrowedArray, mean: Tensor?, scale: Tensor?) -> Bool {
    guard input.isContiguous else {
      return ReferenceKernels<Float>().convert(output, input, mean: mean, scale: scale)
    }
    return call(
      KERNELS_CONVERT, rows: output.count / max(1, output.columns), columns: output.columns,
      option: input.elementType.rawValue,
      (bits(output), UInt64(UInt(bitPattern: input.address)), bits(mean), bits(scale), 0, 0, 0, 0)) == 0
  }

  func gather(_ output: Tensor, _ input: Tensor, rows: [Int]) {
    ReferenceKernels<Float>().gather(output, input, rows: rows)
  }

  // MARK: Dense layer (networks record these; one that is called by itself is planned for that call)

  func dense(_ output: Tensor, _ input: Tensor, weight: Tensor, bias: Tensor?) {
    call(
      KERNELS_DENSE, rows: input.rows, columns: weight.rows, inner: weight.columns,
      operands(output, input, weight, bias))
  }

  func denseInputCotangent(_ inputCotangent: Tensor, _ outputCotangent: Tensor, weight: Tensor) {
    call(
      KERNELS_DENSE_INPUT_COTANGENT, rows: outputCotangent.rows, columns: weight.rows, inner: weight.columns,
      operands(inputCotangent, outputCotangent, weight))
  }

  func denseParameterCotangents(
    _ weightCotangent: Tensor, _ biasCotangent: Tensor?, _ outputCotangent: Tensor, input: Tensor
  ) {
    call(
      KERNELS_DENSE_PARAMETER_COTANGENTS, rows: input.rows, columns: weightCotangent.rows,
      inner: weightCotangent.columns,
      operands(weightCotangent, biasCotangent, outputCotangent, input))
  }

  func denseTangent(
    _ outputTangent: Tensor, _ inputTangent: Tensor?, input: Tensor, weight: Tensor, weightTangent: Tensor,
    biasTangent: Tensor?
  ) {
    call(
      KERNELS_DENSE_TANGENT, rows: input.rows, columns: weight.rows, inner: weight.columns,
      operands(outputTangent, inputTangent, input, weight, weightTangent, biasTangent))
  }

  // MARK: Activations

  private func option(_ function: ActivationFunction) -> Int32 {
    let code =
      switch function {
      case .relu: KERNELS_RELU
      case .leakyReLU: KERNELS_LEAKY_RELU
      case .sigmoid: KERNELS_SIGMOID
      case .tanh: KERNELS_TANH
      case .swish: KERNELS_SWISH
      }
    return Int32(bitPattern: code.rawValue)
  }

  func activation(_ function: ActivationFunction, slope: Double, _ output: Tensor, _ input: Tensor) {
    byRow(
      KERNELS_ACTIVATION, output, option: option(function), operands(output, input)
    ) { $0.scalar = slope }
  }

  func activationDerivative(
    _ function: ActivationFunction, slope: Double, _ result: Tensor, _ direction: Tensor, input: Tensor, output: Tensor
  ) {
    byRow(
      KERNELS_ACTIVATION_DERIVATIVE, result, option: option(function),
      operands(result, direction, input, output)
    ) { $0.scalar = slope }
  }

  // MARK: Batch normalisation

  func batchNormalization(
    _ output: Tensor, _ input: Tensor, weight: Tensor, bias: Tensor, runningMean: Tensor, runningVariance: Tensor,
    moments: Tensor, epsilon: Double, usesBatch: Bool, momentum: Double?
  ) {
    byRow(
      KERNELS_NORMALIZATION_STATISTICS, input,
      option: usesBatch ? (momentum == nil ? 1 : 2) : 0,
      operands(input, runningMean, runningVariance, moments)
    ) { $0.statistics = .init(epsilon: epsilon, momentum: momentum ?? 0) }
    normalize(output, input, weight: weight, bias: bias, moments: moments)
  }

  func normalize(_ output: Tensor, _ input: Tensor, weight: Tensor, bias: Tensor, moments: Tensor) {
    byRow(
      KERNELS_NORMALIZATION, input,
      operands(output, input, weight, bias, moments))
  }

  func batchNormalizationBackward(
    _ inputCotangent: Tensor?, weightCotangent: Tensor, biasCotangent: Tensor, _ outputCotangent: Tensor,
    input: Tensor, weight: Tensor, bias: Tensor, moments: Tensor, sums: Tensor, usesBatch: Bool, adds: Bool
  ) {
    byRow(
      KERNELS_NORMALIZATION_BACKWARD_SUMS, outputCotangent,
      option: (usesBatch ? 1 : 0) | (adds ? 2 : 0),
      operands(outputCotangent, input, moments, sums, weightCotangent, biasCotangent, weight, bias))
    guard let inputCotangent else { return }
    byRow(
      KERNELS_NORMALIZATION_BACKWARD, outputCotangent,
      operands(inputCotangent, outputCotangent, input, moments, sums, weight, nil, bias))
  }

  func batchNormalizationTangent(
    _ outputTangent: Tensor, _ inputTangent: Tensor?, input: Tensor, weight: Tensor, weightTangent: Tensor,
    biasTangent: Tensor, moments: Tensor, sums: Tensor, usesBatch: Bool
  ) {
    if let inputTangent {
      byRow(
        KERNELS_NORMALIZATION_TANGENT_SUMS, inputTangent,
        option: usesBatch ? 1 : 0, operands(inputTangent, input, moments, sums))
    }
    byRow(
      KERNELS_NORMALIZATION_TANGENT, outputTangent,
      operands(outputTangent, inputTangent, input, moments, sums, weight, weightTangent, biasTangent))
  }

  // MARK: Randomness

  func dropoutMask(_ mask: Tensor, rate: Double, _ draw: RandomDraw) {
    byRow(
      KERNELS_DROPOUT_MASK, mask, option: Int32(bitPattern: draw.lane), operands(mask), draw: draw
    ) { $0.scalar = rate }
  }

  func addNormal(_ x: Tensor, deviation: Double, _ draw: RandomDraw) {
    byRow(
      KERNELS_ADD_NORMAL, x, option: Int32(bitPattern: draw.lane), operands(x), draw: draw
    ) { $0.scalar = deviation }
  }

  func uniform(_ x: Tensor, low: Double, high: Double, _ draw: RandomDraw) {
    ReferenceKernels<Float>().uniform(x, low: low, high: high, draw)
  }

  func sample(_ oneHot: Tensor, probabilities: Tensor, _ draw: RandomDraw) {
    byRow(
      KERNELS_SAMPLE, oneHot, option: Int32(bitPattern: draw.lane),
      operands(oneHot, probabilities), draw: draw)
  }

  // MARK: Objectives on logits

  func softmax(_ probabilities: Tensor, _ logits: Tensor, temperature: Double) {
    byRow(
      KERNELS_SOFTMAX, logits, operands(probabilities, logits)
    ) { $0.logits.temperature = temperature }
  }

  func softmaxBackward(
    _ logitsCotangent: Tensor, _ cotangent: Tensor, probabilities: Tensor, rowScale: Tensor?, factor: Double
  ) {
    byRow(
      KERNELS_SOFTMAX_BACKWARD, probabilities,
      operands(logitsCotangent, cotangent, probabilities, rowScale)
    ) { $0.logits.factor = factor }
  }

  func crossEntropy(
    losses: Tensor?, logitsCotangent: Tensor?, logits: Tensor, targets: Tensor, temperature: Double, rowScale: Tensor?,
    factor: Double
  ) {
    byRow(
      KERNELS_CROSS_ENTROPY, logits,
      operands(losses, logitsCotangent, logits, targets, rowScale)
    ) { $0.logits = .init(temperature: temperature, factor: factor) }
  }

  func oneHot(_ targets: Tensor, labels: Tensor) { ReferenceKernels<Float>().oneHot(targets, labels: labels) }

  func smooth(_ targets: Tensor, smoothing: Double) {
    call(
      KERNELS_SMOOTH, rows: targets.rows, columns: targets.columns, inner: targets.columns,
      operands(targets)
    ) { $0.scalar = smoothing }
  }

  func rowMaximum(_ largest: Tensor, _ values: Tensor) {
    byRow(KERNELS_ROW_MAXIMUM, values, operands(largest, values))
  }

  func confidenceMask(_ mask: Tensor, probabilities: Tensor, threshold: Double) {
    byRow(
      KERNELS_CONFIDENCE_MASK, probabilities, operands(mask, probabilities)
    ) { $0.scalar = threshold }
  }

  func argmax(_ labels: Tensor, _ values: Tensor) { ReferenceKernels<Float>().argmax(labels, values) }

  // MARK: Optimisers

  func rmsProp(
    _ parameters: Tensor, gradient: Tensor, gradientScale: Double, meanSquare: Tensor, momentum: Tensor, decay: Double,
    momentumFactor: Double, learningRate: Double, epsilon: Double
  ) {
    ReferenceKernels<Float>().rmsProp(
      parameters, gradient: gradient, gradientScale: gradientScale, meanSquare: meanSquare, momentum: momentum,
      decay: decay, momentumFactor: momentumFactor, learningRate: learningRate, epsilon: epsilon)
  }

  func rmsPropPullback(
    _ result: Tensor, _ v: Tensor, gradient: Tensor, gradientScale: Double, meanSquare: Tensor, decay: Double,
    learningRate: Double, epsilon: Double
  ) {
    ReferenceKernels<Float>().rmsPropPullback(
      result, v, gradient: gradient, gradientScale: gradientScale, meanSquare: meanSquare, decay: decay,
      learningRate: learningRate, epsilon: epsilon)
  }

  func rmsPropEffect(
    _ result: Tensor, gradient: Tensor, gradientScale: Double, meanSquare: Tensor, decay: Double, learningRate: Double,
    epsilon: Double
  ) {
    ReferenceKernels<Float>().rmsPropEffect(
      result, gradient: gradient, gradientScale: gradientScale, meanSquare: meanSquare, decay: decay,
      learningRate: learningRate, epsilon: epsilon)
  }

  func sgd(
    _ parameters: Tensor, gradient: Tensor, gradientScale: Double, momentum: Tensor?, momentumFactor: Double,
    nesterov: Bool, learningRate: Double, weightDecay: Double
  ) {
    elementwise(
      KERNELS_SGD, parameters.count, option: nesterov ? 1 : 0,
      operands(parameters, gradient, momentum)
    ) {
      $0.sgd = .init(
        gradient_scale: gradientScale, momentum_factor: momentumFactor, learning_rate: learningRate,
        weight_decay: weightDecay)
    }
  }

  private func set(
    _ settings: AdamWSettings, _ gradientScale: Double, weightDecay: Double = 0, in operation: inout kernels_operation
  ) {
    operation.adamw = .init(
      gradient_scale: gradientScale, learning_rate: settings.learningRate, beta1: settings.beta1, beta2: settings.beta2,
      epsilon: settings.epsilon, first_correction: settings.firstCorrection,
      second_correction: settings.secondCorrection, weight_decay: weightDecay)
  }

  func adamW(
    _ parameters: Tensor, gradient: Tensor, gradientScale: Double, firstMoment: Tensor, secondMoment: Tensor,
    _ settings: AdamWSettings, weightDecay: Double
  ) {
    elementwise(
      KERNELS_ADAMW, parameters.count,
      operands(parameters, gradient, firstMoment, secondMoment)
    ) { set(settings, gradientScale, weightDecay: weightDecay, in: &$0) }
  }

  func adamWPullback(
    _ result: Tensor, _ v: Tensor, gradient: Tensor, gradientScale: Double, firstMoment: Tensor, secondMoment: Tensor,
    _ settings: AdamWSettings
  ) {
    elementwise(
      KERNELS_ADAMW_PULLBACK, result.count,
      operands(result, v, gradient, firstMoment, secondMoment)
    ) { set(settings, gradientScale, in: &$0) }
  }

  func adamWEffect(
    _ result: Tensor, gradient: Tensor, gradientScale: Double, firstMoment: Tensor, secondMoment: Tensor,
    _ settings: AdamWSettings
  ) {
    elementwise(
      KERNELS_ADAMW_EFFECT, result.count,
      operands(result, gradient, firstMoment, secondMoment)
    ) { set(settings, gradientScale, in: &$0) }
  }
}

/// The channels of a block, of images that are kept so.
let channelsOfBlock = Int(KERNELS_BLOCK)

/// Cores that this process may run on.
let availableCores = Int(kernels_available_cores())

/// What runs here: oneDNN is a library of the system, and the instruction sets are chosen when the program starts.
/// `DIDACT_MAX_CPU_ISA` (`avx512`, `avx2`, `baseline`) and `DNNL_MAX_CPU_ISA` name the best ones to use.
enum MachineCode {
  /// Tested with 2.6; written for the C interface of 2.x.
  static let oneDNNVersion = String(cString: kernels_onednn_version())
  static let instructionSets: JSONObject = [
    "loops": .string(String(cString: kernels_instruction_set())),
    "oneDNN": .string(String(cString: kernels_onednn_instruction_set())),
  ]
}
