/// One forward, with what its backward and tangent need. Both are about the parameters of the forward, however the
/// network's own have changed since, where the pass was recorded at a copy of them.
///
/// A pass owns what lives from its forward to its last backward. A small one is used again, with its memory; a large one has
/// a piece of the network's. Several may be alive at once. One pass serves one thread at a time.
public final class RecordedPass: @unchecked Sendable {
  let plan: Plan
  let kernels: any Kernels
  private let networkParameters, networkGradients, statistics: Tensor
  private let workspace: Tensor
  /// What the pass is a forward of; and memory for that, where it is set by `setInput`.
  private var input: Tensor?, ownInput: Tensor?
  /// What `predict` or `tangent` returns, made when first needed [N, classes].
  private var result: Tensor?
  /// For small runs of small passes.
  private var ownWorkingMemory: Buffer?
  private var mode = PassMode.evaluation
  /// The parameters that the pass is about.
  private var parameters: Tensor
  /// [N, classes], in segmentation a row a pixel [N · height · width, classes]; a view that lives as long as the pass.
  public let logits: Tensor

  init(_ network: Network, _ plan: Plan, _ workspaces: LargeMemory) throws {
    self.plan = plan
    kernels = network.kernels
    networkParameters = network.parameters
    networkGradients = network.gradients
    statistics = network.statistics
    parameters = network.parameters
    let shape = Shape(plan.layout.workspaceCount)
    workspace =
      plan.isLarge
      ? try Tensor(shape, network.elementType, buffer: workspaces.buffer(byteCount: plan.workspaceByteCount))
      : try Tensor(shape, network.elementType)
    logits = plan.layout.outputs[plan.layout.outputs.count - 1].tensor(
      in: PassLayout.Memories(workspace: workspace, working: workspace)
    ).view(plan.logitsShape)
  }

  public var rows: Int { plan.key.rows }
  private var inputShape: Shape { plan.layout.input }
  /// Of what the last layer gives: the elements of the logits.
  private var outputShape: Shape { Shape(rows, logits.count / max(1, rows)) }

  /// - Parameters:
  ///   - input: kept, and must stay as it is as long as the pass is used.
  ///   - parameters: likewise; nil for the network's own.
  func forward(_ input: Tensor, mode: PassMode, at parameters: Tensor?) throws {
    self.mode = mode
    self.input = input
    self.parameters = parameters ?? networkParameters
    try run(.forward) { $0.forward(plan.graph) }
  }

  /// Takes the input of a prediction.
  /// - Returns: whether all of it is finite.
  func setInput(_ input: BorrowedArray, _ scaling: InputScaling? = nil) throws -> Bool {
    let own: Tensor
    if let ownInput {
      own = ownInput
    } else {
      own = try Tensor(inputShape, workspace.elementType)
      ownInput = own
    }
    self.input = own
    return kernels.convert(own, input, mean: scaling?.mean, scale: scaling?.scale)
  }

  /// The softmax of the logits [N, classes] in evaluation mode, at the network's own parameters, for the input that was
  /// set; valid until the pass is next used.
  func predict() throws -> Tensor {
    let probabilities = try takeResult()
    mode = .evaluation
    parameters = networkParameters
    try run(.prediction, at: { $0.set(.output, probabilities) }) {
      $0.forward(plan.graph)
      kernels.softmax(probabilities, logits, temperature: 1)
    }
    return probabilities
  }

  /// The output itself, likewise; valid until the pass is next used.
  func evaluate() throws -> Tensor {
    mode = .evaluation
    parameters = networkParameters
    try run(.forward) { $0.forward(plan.graph) }
    return logits
  }

  /// Reverse mode: the gradient of ⟨cotangent, logits⟩.
  /// - Parameters:
  ///   - cotangent: as the logits.
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
    let toInput = inputCotangent != nil
    func setPlaces(_ places: inout Program.Places) {
      places.set(.cotangent, cotangent)
      places.set(.gradients, gradients)
      places.set(.inputDirection, inputCotangent)
    }
    try run(.backward(toInput: toInput), accumulate: accumulate, at: setPlaces) {
      if !accumulate { kernels.fill(gradients, 0) }
      $0.backward(
        plan.layout.backward(toInput: toInput), plan.graph, cotangent.view(outputShape), into: gradients,
        inputCotangent: inputCotangent)
    }
  }

  /// Forward mode: the directional derivative of the logits.
  /// - Parameters:
  ///   - direction: in the parameters, flat in public order.
  ///   - inputDirection: in the input [N, inputs]; nil for zero.
  /// - Returns: as the logits; valid until the pass is next asked for a backward or tangent.
  public func tangent(_ direction: Tensor, inputDirection: Tensor? = nil) throws -> Tensor {
    try checkIsKept()
    try check(direction, networkParameters.shape, "direction")
    if let inputDirection { try check(inputDirection, inputShape, "input direction") }
    let tangent = try takeResult()
    func setPlaces(_ places: inout Program.Places) {
      places.set(.parameterTangents, direction)
      places.set(.inputDirection, inputDirection)
      places.set(.output, tangent)
    }
    try run(.tangent(fromInput: inputDirection != nil), at: setPlaces) {
      $0.tangent(
        plan.layout.tangent, plan.graph, direction, inputTangent: inputDirection,
        logitsTangent: tangent.view(outputShape))
    }
    return tangent
  }

  // MARK: - Memory

  private func takeResult() throws -> Tensor {
    if let result { return result }
    let made = try Tensor(logits.shape, logits.elementType)
    result = made
    return made
  }

  /// - Parameters:
  ///   - setPlaces: of a program, beside those of every pass.
  ///   - interpret: what the program does, for kernels that do not record.
  private func run(
    _ kind: Plan.ProgramKind, accumulate: Bool = false, at setPlaces: (inout Program.Places) -> Void = { _ in },
    interpret: (PassMemory) -> Void
  ) throws {
    let program = try plan.program(kind), workingShape = Shape(plan.layout.workingCount)
    let workingByteCount = plan.layout.workingCount * workspace.elementType.byteCount
    let scratchByteCount = program?.scratchByteCount ?? 0
    let buffer = try workingBuffer(byteCount: workingByteCount + scratchByteCount)
    try withExtendedLifetime(buffer) {
      let working = Tensor(workingShape, workspace.elementType, buffer: buffer)
      guard let program else {
        interpret(
          PassMemory(
            layout: plan.layout, input: input ?? workspace,
            memories: PassLayout.Memories(workspace: workspace, working: working), parameters: parameters,
            statistics: statistics, mode: mode, kernels: kernels))
        return
      }
      var places = Program.Places(noise: mode.noise, draw: mode.draw, accumulate: accumulate)
      places.set(.input, input)
      places.set(.workspace, workspace)
      places.set(.working, working)
      places.set(.parameters, parameters)
      places.set(.statistics, statistics)
      setPlaces(&places)
      try program.run(places, scratch: buffer, at: workingByteCount)
    }
  }

  private func workingBuffer(byteCount: Int) throws -> Buffer {
    guard !plan.isLarge, byteCount <= LargeMemory.leastByteCount else {
      return try plan.workingBuffer(byteCount: byteCount)
    }
    if let own = ownWorkingMemory, own.byteCount >= byteCount { return own }
    let own = try Buffer(byteCount: byteCount)
    ownWorkingMemory = own
    return own
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
