/// The memory of one pass at one batch size: made once, then lent to one pass after the other.
final class Workspace: @unchecked Sendable {
  let rows: Int
  let ownsParameters: Bool
  let input: Tensor
  /// The network's own parameters, or this workspace's copy.
  let parameters: Tensor
  /// The output of each layer.
  let outputs: [Tensor]
  let saved: [[Tensor]]
  private let elementType: ElementType
  /// Cotangents (or tangents) of each layer's output, made when first needed.
  private var directionTensors: [Tensor]?

  init(network: Network, rows: Int, ownsParameters: Bool) throws {
    let elementType = network.elementType
    func tensor(_ shape: Shape) throws -> Tensor {
      try Tensor(try Shape(checking: shape.dimensions), elementType)
    }
    self.rows = rows
    self.ownsParameters = ownsParameters
    self.elementType = elementType
    input = try tensor(Shape(rows, network.inputs))
    parameters = ownsParameters ? try tensor(network.parameters.shape) : network.parameters
    outputs = try network.layers.map { try tensor(Shape(rows, $0.outputs)) }
    saved = try network.layers.map { try $0.savedShapes(rows: rows).map(tensor) }
  }

  func directions() throws -> [Tensor] {
    if let directionTensors { return directionTensors }
    let made = try outputs.map { try Tensor($0.shape, elementType) }
    directionTensors = made
    return made
  }
}

/// One forward, with what its backward and tangent need. Both are about the parameters of the forward, however the
/// network's own have changed since, where the pass was recorded at a copy of them.
///
/// A pass owns its workspace; several may be alive at once. One pass serves one thread at a time.
public final class RecordedPass: @unchecked Sendable {
  public let network: Network
  let mode: PassMode
  private let workspace: Workspace

  init(network: Network, workspace: Workspace, mode: PassMode) {
    self.network = network
    self.workspace = workspace
    self.mode = mode
  }

  deinit { network.giveBack(workspace) }

  public var rows: Int { workspace.rows }
  /// [N, classes]; a view that lives as long as the pass.
  public var logits: Tensor { workspace.outputs[workspace.outputs.count - 1] }
  /// The parameters that the pass is about.
  var parameters: Tensor { workspace.parameters }

  private func layerPass(_ index: Int) -> LayerPass {
    LayerPass(
      input: index == 0 ? workspace.input : workspace.outputs[index - 1], output: workspace.outputs[index],
      saved: workspace.saved[index], parameters: workspace.parameters, statistics: network.statistics, mode: mode,
      kernels: network.kernels)
  }

  func forward() {
    for (index, layer) in network.layers.enumerated() { layer.forward(layerPass(index)) }
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
    try check(cotangent, logits.shape, "cotangent")
    if let inputCotangent { try check(inputCotangent, workspace.input.shape, "input cotangent") }
    let gradients = gradients ?? network.gradients
    try check(gradients, network.parameters.shape, "gradients")
    if !accumulate { network.kernels.fill(gradients, 0) }
    let cotangents = try workspace.directions()
    for (index, layer) in network.layers.enumerated().reversed() {
      layer.backward(
        layerPass(index), outputCotangent: index == network.layers.count - 1 ? cotangent : cotangents[index],
        inputCotangent: index == 0 ? inputCotangent : cotangents[index - 1], parameterCotangents: gradients)
    }
  }

  /// Forward mode: the directional derivative of the logits.
  /// - Parameters:
  ///   - direction: in the parameters, flat in public order.
  ///   - inputDirection: in the input [N, inputs]; nil for zero.
  /// - Returns: [N, classes]; valid until the pass is next asked for a backward or tangent.
  public func tangent(_ direction: Tensor, inputDirection: Tensor? = nil) throws -> Tensor {
    try check(direction, network.parameters.shape, "direction")
    if let inputDirection { try check(inputDirection, workspace.input.shape, "input direction") }
    let tangents = try workspace.directions()
    for (index, layer) in network.layers.enumerated() {
      layer.tangent(
        layerPass(index), inputTangent: index == 0 ? inputDirection : tangents[index - 1],
        parameterTangents: direction, outputTangent: tangents[index])
    }
    return tangents[tangents.count - 1]
  }

  private func check(_ tensor: Tensor, _ shape: Shape, _ what: String) throws {
    guard tensor.shape == shape else {
      throw DidactError(.shape, "\(what) has shape \(tensor.shape); expected \(shape)")
    }
    guard tensor.elementType == network.elementType else {
      throw DidactError(.elementType, "\(what) is \(tensor.elementType); expected \(network.elementType)")
    }
  }
}
