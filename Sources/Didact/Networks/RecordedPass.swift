/// One forward, with what its backward and tangent need. Both are about the parameters of the forward, however the
/// network's own have changed since, where the pass was recorded at a copy of them.
///
/// A pass owns its memory, made once at a batch shape and used again by later passes; several may be alive at once. One
/// pass serves one thread at a time.
public final class RecordedPass: @unchecked Sendable {
  let plan: Plan
  let kernels: any Kernels
  private let networkParameters, networkGradients, statistics: Tensor
  private let workspace: Tensor
  /// What the pass is a forward of; and memory for that, where it is set by `setInput`.
  private var input: Tensor?, ownInput: Tensor?
  /// Cotangents (or tangents) of each layer's output, made when first needed.
  private var directions: Tensor?
  /// A copy of parameters, made when first needed.
  private var copiedParameters: Tensor?
  /// What `predict` returns.
  private var probabilities: Tensor?
  /// Of the programs.
  private var scratch: Buffer?
  private let threads: Int
  private var mode = PassMode.evaluation
  /// The parameters that the pass is about.
  private(set) var parameters: Tensor
  /// [N, classes]; a view that lives as long as the pass.
  public let logits: Tensor

  init(_ network: Network, _ plan: Plan) throws {
    self.plan = plan
    kernels = network.kernels
    threads = network.threads
    networkParameters = network.parameters
    networkGradients = network.gradients
    statistics = network.statistics
    parameters = network.parameters
    workspace = try Tensor(Shape(plan.layout.count), network.elementType)
    logits = plan.layout.outputs[plan.layout.outputs.count - 1].tensor(in: workspace)
  }

  public var rows: Int { plan.key.rows }
  private var inputShape: Shape { plan.layout.input }

  /// The parameters that a pass is about.
  enum Values {
    /// The network's own, which must stay as they are until the pass is done.
    case own
    /// A copy of the network's own, which may change while the pass lives.
    case copy
    /// Other ones that stay as they are, such as the copy of another pass.
    case these(Tensor)
  }

  /// - Parameter input: kept, and must stay as it is as long as the pass is used.
  func forward(_ input: Tensor, mode: PassMode, at values: Values) throws {
    self.mode = mode
    self.input = input
    switch values {
    case .own: parameters = networkParameters
    case .these(let others): parameters = others
    case .copy:
      let copy = try copiedParameters ?? Tensor(networkParameters.shape, networkParameters.elementType)
      copiedParameters = copy
      kernels.copy(networkParameters, to: copy)
      parameters = copy
    }
    if let program = try plan.program(.forward) {
      try run(program)
    } else {
      try memory().forward(plan.graph)
    }
  }

  /// Takes the input of a prediction.
  /// - Returns: whether all of it is finite.
  func setInput(_ input: BorrowedArray, _ scaling: InputScaling? = nil) throws -> Bool {
    let own = try ownInput ?? Tensor(inputShape, workspace.elementType)
    ownInput = own
    self.input = own
    return kernels.convert(own, input, mean: scaling?.mean, scale: scaling?.scale)
  }

  /// The softmax of the logits [N, classes] in evaluation mode, at the network's own parameters, for the input that was
  /// set; valid until the pass is next used.
  func predict() throws -> Tensor {
    let probabilities = try probabilities ?? Tensor(logits.shape, logits.elementType)
    self.probabilities = probabilities
    mode = .evaluation
    parameters = networkParameters
    if let program = try plan.program(.prediction) {
      try run(program) { $0.set(.output, probabilities) }
    } else {
      try memory().forward(plan.graph)
      kernels.softmax(probabilities, logits, temperature: 1)
    }
    return probabilities
  }

  /// Reverse mode: the gradient of ⟨cotangent, logits⟩.
  /// - Parameters:
  ///   - cotangent: [N, classes].
  ///   - gradients: takes the gradient of the parameters, flat in public order; nil for the network's `gradients`.
  ///   - accumulate: add to `gradients` instead of replacing them.
  ///   - inputCotangent: takes the gradient of the input [N, inputs], unless nil.
  public func backward(
    _ cotangent: Tensor, into gradients: Tensor? = nil, accumulate: Bool = false, inputCotangent: Tensor? = nil
  ) throws {
    try checkIsKept()
    try check(cotangent, logits.shape, "cotangent")
    if let inputCotangent { try check(inputCotangent, inputShape, "input cotangent") }
    let gradients = gradients ?? networkGradients
    try check(gradients, networkParameters.shape, "gradients")
    if let program = try plan.program(.backward(toInput: inputCotangent != nil)) {
      let directions = try takeDirections()
      try run(program, accumulate: accumulate) {
        $0.set(.directions, directions)
        $0.set(.cotangent, cotangent)
        $0.set(.gradients, gradients)
        $0.set(.inputDirection, inputCotangent)
      }
    } else {
      if !accumulate { kernels.fill(gradients, 0) }
      try memory().backward(
        plan.layout.backward(toInput: inputCotangent != nil), plan.graph, cotangent, into: gradients,
        inputCotangent: inputCotangent)
    }
  }

  /// Forward mode: the directional derivative of the logits.
  /// - Parameters:
  ///   - direction: in the parameters, flat in public order.
  ///   - inputDirection: in the input [N, inputs]; nil for zero.
  /// - Returns: [N, classes]; valid until the pass is next asked for a backward or tangent.
  public func tangent(_ direction: Tensor, inputDirection: Tensor? = nil) throws -> Tensor {
    try checkIsKept()
    try check(direction, networkParameters.shape, "direction")
    if let inputDirection { try check(inputDirection, inputShape, "input direction") }
    let directions = try takeDirections()
    if let program = try plan.program(.tangent(fromInput: inputDirection != nil)) {
      try run(program) {
        $0.set(.directions, directions)
        $0.set(.parameterTangents, direction)
        $0.set(.inputDirection, inputDirection)
      }
    } else {
      try memory().tangent(plan.layout.tangent, plan.graph, direction, inputTangent: inputDirection)
    }
    return plan.layout.logitsTangent.tensor(in: directions)
  }

  // MARK: - Memory

  private func takeDirections() throws -> Tensor {
    if let directions { return directions }
    let made = try Tensor(Shape(plan.layout.directionCount), workspace.elementType)
    directions = made
    return made
  }

  private func memory() throws -> PassMemory {
    PassMemory(
      layout: plan.layout, input: input ?? workspace, workspace: workspace, directions: try takeDirections(),
      parameters: parameters,
      statistics: statistics, mode: mode, kernels: kernels)
  }

  private func run(
    _ program: Program, accumulate: Bool = false, _ setPlaces: (inout Program.Places) -> Void = { _ in }
  ) throws {
    var places = Program.Places(noise: mode.noise, draw: mode.draw, accumulate: accumulate)
    places.set(.input, input)
    places.set(.workspace, workspace)
    places.set(.parameters, parameters)
    places.set(.statistics, statistics)
    setPlaces(&places)
    let needed = program.scratchByteCount(threads: threads)
    if needed > scratch?.byteCount ?? 0 { scratch = try Buffer(byteCount: needed) }
    try program.run(places, threads: threads, scratch: scratch)
  }

  private func checkIsKept() throws {
    guard plan.key.isKept else { throw DidactError(.internalError, "a pass for its logits has no derivatives") }
  }

  private func check(_ tensor: Tensor, _ shape: Shape, _ what: String) throws {
    guard tensor.shape == shape else {
      throw DidactError(.shape, "\(what) has shape \(tensor.shape); expected \(shape)")
    }
    guard tensor.elementType == workspace.elementType else {
      throw DidactError(.elementType, "\(what) is \(tensor.elementType); expected \(workspace.elementType)")
    }
  }
}
