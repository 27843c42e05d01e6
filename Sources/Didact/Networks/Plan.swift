/// A network compiled for one batch shape and mode: where each value of a pass stands in its workspace, and, with kernels
/// that record, its forward, backward and tangent as programs.
final class Plan: @unchecked Sendable {
  struct Key: Equatable {
    let rows: Int
    let normalization: PassMode.Normalization
    let isNoisy: Bool
  }

  let key: Key
  let layout: PassLayout
  let layers: [any Layer]
  private let parameterShape, statisticShape: Shape
  private let recording: OneDNNKernels?
  /// Made when first needed, by what they are.
  private let programs = Locked<[ProgramKind: Program]>([:])

  enum ProgramKind: Hashable {
    case forward
    /// The forward and the softmax of its logits.
    case prediction
    case backward(toInput: Bool)
    case tangent(fromInput: Bool)
  }

  init(_ network: Network, _ key: Key) throws {
    self.key = key
    layers = network.layers
    layout = try PassLayout(network.layers, inputs: network.inputs, rows: key.rows)
    parameterShape = network.parameters.shape
    statisticShape = network.statistics.shape
    recording = network.kernels as? OneDNNKernels
  }

  /// The program of that kind; nil where the kernels do not record.
  func program(_ kind: ProgramKind) throws -> Program? {
    guard let recording else { return nil }
    return try programs.withLock { programs in
      if let program = programs[kind] { return program }
      let program = try record(kind, recording)
      programs[kind] = program
      return program
    }
  }

  private func record(_ kind: ProgramKind, _ kernels: OneDNNKernels) throws -> Program {
    try kernels.program { kernels in
      // The stream and the number of the draw are those of the run.
      let noise = key.isNoisy ? RandomStream(seed: 0, name: "") : nil
      let memory = PassMemory(
        layout: layout, input: Program.Place.input.tensor(layout.input),
        workspace: Program.Place.workspace.tensor(Shape(layout.count)),
        directions: Program.Place.directions.tensor(Shape(layout.directionCount)),
        parameters: Program.Place.parameters.tensor(parameterShape),
        statistics: Program.Place.statistics.tensor(statisticShape),
        mode: PassMode(normalization: key.normalization, noise: noise, draw: 0), kernels: kernels)
      let logits = memory.outputs[layers.count - 1]
      switch kind {
      case .forward: memory.forward(layers)
      case .prediction:
        memory.forward(layers)
        kernels.softmax(Program.Place.output.tensor(logits.shape), logits, temperature: 1)
      case .backward(let toInput):
        memory.backward(
          layers, Program.Place.cotangent.tensor(logits.shape),
          into: Program.Place.gradients.tensor(parameterShape),
          inputCotangent: toInput ? Program.Place.inputDirection.tensor(layout.input) : nil)
      case .tangent(let fromInput):
        memory.tangent(
          layers, Program.Place.parameterTangents.tensor(parameterShape),
          inputTangent: fromInput ? Program.Place.inputDirection.tensor(layout.input) : nil)
      }
    }
  }
}

/// Where each value of a pass over N rows stands in its memory, in elements.
struct PassLayout {
  let rows: Int
  /// Of the workspace, and of the cotangents or tangents of all outputs.
  let count, directionCount: Int
  /// Of the input, which is elsewhere.
  let input: Shape
  let outputs: [(offset: Int, shape: Shape)]
  let saved: [[(offset: Int, shape: Shape)]]
  let directions: [(offset: Int, shape: Shape)]

  /// - Throws: `DidactError.shape` where a shape is too large to count.
  init(_ layers: [any Layer], inputs: Int, rows: Int) throws {
    func place(_ shape: Shape, _ count: inout Int) throws -> (offset: Int, shape: Shape) {
      let shape = try Shape(checking: shape.dimensions)
      defer { count += (shape.count + 15) & ~15 }  // whole cache lines
      guard count < Int.max / 64 else { throw DidactError(.shape, "a batch of \(rows) rows is too large") }
      return (count, shape)
    }
    var count = 0, directionCount = 0
    self.rows = rows
    input = try Shape(checking: [rows, inputs])
    outputs = try layers.map { try place(Shape(rows, $0.outputs), &count) }
    saved = try layers.map { try $0.savedShapes(rows: rows).map { try place($0, &count) } }
    directions = try layers.map { try place(Shape(rows, $0.outputs), &directionCount) }
    self.count = count
    self.directionCount = directionCount
  }
}

/// The values of one pass, and the layers' three passes over them.
struct PassMemory {
  let input: Tensor
  /// The output of each layer.
  let outputs: [Tensor]
  let saved: [[Tensor]]
  /// Cotangents (or tangents) of each layer's output.
  let directions: [Tensor]
  let parameters, statistics: Tensor
  let mode: PassMode
  let kernels: any Kernels

  init(
    layout: PassLayout, input: Tensor, workspace: Tensor, directions: Tensor, parameters: Tensor, statistics: Tensor,
    mode: PassMode,
    kernels: any Kernels
  ) {
    self.input = input
    outputs = layout.outputs.map { workspace.view($0.shape, at: $0.offset) }
    saved = layout.saved.map { $0.map { workspace.view($0.shape, at: $0.offset) } }
    self.directions = layout.directions.map { directions.view($0.shape, at: $0.offset) }
    self.parameters = parameters
    self.statistics = statistics
    self.mode = mode
    self.kernels = kernels
  }

  private func layerPass(_ index: Int) -> LayerPass {
    LayerPass(
      input: index == 0 ? input : outputs[index - 1], output: outputs[index], saved: saved[index],
      parameters: parameters, statistics: statistics, mode: mode, kernels: kernels)
  }

  func forward(_ layers: [any Layer]) {
    for (index, layer) in layers.enumerated() { layer.forward(layerPass(index)) }
  }

  func backward(_ layers: [any Layer], _ cotangent: Tensor, into gradients: Tensor, inputCotangent: Tensor?) {
    for (index, layer) in layers.enumerated().reversed() {
      layer.backward(
        layerPass(index), outputCotangent: index == layers.count - 1 ? cotangent : directions[index],
        inputCotangent: index == 0 ? inputCotangent : directions[index - 1], parameterCotangents: gradients)
    }
  }

  func tangent(_ layers: [any Layer], _ direction: Tensor, inputTangent: Tensor?) {
    for (index, layer) in layers.enumerated() {
      layer.tangent(
        layerPass(index), inputTangent: index == 0 ? inputTangent : directions[index - 1],
        parameterTangents: direction, outputTangent: directions[index])
    }
  }
}
