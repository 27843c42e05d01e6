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
  let graph: LayerGraph
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
    graph = network.graph
    layout = try PassLayout(network.graph, inputs: network.inputs, rows: key.rows)
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
      let logits = memory.values[graph.nodes.count]
      switch kind {
      case .forward: memory.forward(graph)
      case .prediction:
        memory.forward(graph)
        kernels.softmax(Program.Place.output.tensor(logits.shape), logits, temperature: 1)
      case .backward(let toInput):
        memory.backward(
          graph, Program.Place.cotangent.tensor(logits.shape),
          into: Program.Place.gradients.tensor(parameterShape),
          inputCotangent: toInput ? Program.Place.inputDirection.tensor(layout.input) : nil)
      case .tangent(let fromInput):
        memory.tangent(
          graph, Program.Place.parameterTangents.tensor(parameterShape),
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
  /// Of each value, the network's input first: the contributions to its cotangent after the first.
  let contributions: [[(offset: Int, shape: Shape)]]

  /// - Throws: `DidactError.shape` where a shape is too large to count.
  init(_ graph: LayerGraph, inputs: Int, rows: Int) throws {
    func place(_ shape: Shape, _ count: inout Int) throws -> (offset: Int, shape: Shape) {
      let shape = try Shape(checking: shape.dimensions)
      defer { count += (shape.count + 15) & ~15 }  // whole cache lines
      guard count < Int.max / 64 else { throw DidactError(.shape, "a batch of \(rows) rows is too large") }
      return (count, shape)
    }
    var count = 0, directionCount = 0
    let layers = graph.nodes.map(\.layer)
    self.rows = rows
    input = try Shape(checking: [rows, inputs])
    outputs = try layers.map { try place(Shape(rows, $0.outputs), &count) }
    saved = try layers.map { try $0.savedShapes(rows: rows).map { try place($0, &count) } }
    directions = try layers.map { try place(Shape(rows, $0.outputs), &directionCount) }
    contributions = try graph.uses.enumerated().map { value, uses in
      let length = value == 0 ? inputs : layers[value - 1].outputs
      return try (1..<max(1, uses)).map { _ in try place(Shape(rows, length), &directionCount) }
    }
    self.count = count
    self.directionCount = directionCount
  }
}

/// The values of one pass, and the layers' three passes over them.
struct PassMemory {
  /// The network's input, and the output of each layer.
  let values: [Tensor]
  let saved: [[Tensor]]
  /// Cotangents (or tangents) of each layer's output.
  let directions: [Tensor]
  /// See `PassLayout`.
  let contributions: [[Tensor]]
  let parameters, statistics: Tensor
  let mode: PassMode
  let kernels: any Kernels

  init(
    layout: PassLayout, input: Tensor, workspace: Tensor, directions: Tensor, parameters: Tensor, statistics: Tensor,
    mode: PassMode,
    kernels: any Kernels
  ) {
    values = [input] + layout.outputs.map { workspace.view($0.shape, at: $0.offset) }
    saved = layout.saved.map { $0.map { workspace.view($0.shape, at: $0.offset) } }
    self.directions = layout.directions.map { directions.view($0.shape, at: $0.offset) }
    contributions = layout.contributions.map { $0.map { directions.view($0.shape, at: $0.offset) } }
    self.parameters = parameters
    self.statistics = statistics
    self.mode = mode
    self.kernels = kernels
  }

  private func layerPass(_ index: Int, _ node: LayerGraph.Node) -> LayerPass {
    LayerPass(
      inputs: node.inputs.map { values[$0] }, output: values[index + 1], saved: saved[index], parameters: parameters,
      statistics: statistics, mode: mode, kernels: kernels)
  }

  func forward(_ graph: LayerGraph) {
    for (index, node) in graph.nodes.enumerated() { node.layer.forward(layerPass(index, node)) }
  }

  /// - Parameter inputCotangent: takes that of the network's input, unless nil.
  func backward(_ graph: LayerGraph, _ cotangent: Tensor, into gradients: Tensor, inputCotangent: Tensor?) {
    /// Memory for one contribution to a value's cotangent; nil where nobody asks for it.
    func place(_ value: Int, _ contribution: Int) -> Tensor? {
      guard value > 0 || inputCotangent != nil else { return nil }
      guard contribution == 0 else { return contributions[value][contribution - 1] }
      return value == 0 ? inputCotangent : directions[value - 1]
    }
    // What the readers of each value contributed so far: in memory of the value's own, or, passed on, of another's.
    var contributed: [[(tensor: Tensor, isOwn: Bool)]] = Array(repeating: [], count: values.count)
    contributed[graph.nodes.count] = [(cotangent, false)]
    /// The sum of all contributions, in memory of its own unless there is but one.
    func complete(_ value: Int) -> Tensor? {
      let parts = contributed[value]
      guard parts.count > 1 else { return parts.first?.tensor }
      guard let own = parts.firstIndex(where: \.isOwn) else {
        guard let sum = place(value, 0) else { return nil }
        kernels.add(sum, parts[0].tensor, parts[1].tensor)
        for part in parts.dropFirst(2) { kernels.add(part.tensor, scaledBy: 1, to: sum) }
        return sum
      }
      for (index, part) in parts.enumerated() where index != own {
        kernels.add(part.tensor, scaledBy: 1, to: parts[own].tensor)
      }
      return parts[own].tensor
    }
    for (index, node) in graph.nodes.enumerated().reversed() {
      guard let outputCotangent = complete(index + 1) else { continue }
      if node.layer.passesCotangentOn {
        for value in node.inputs where place(value, 0) != nil { contributed[value].append((outputCotangent, false)) }
        continue
      }
      let inputCotangents = zip(node.inputs, node.contributions).map { place($0, $1) }
      node.layer.backward(
        layerPass(index, node), outputCotangent: outputCotangent, inputCotangents: inputCotangents,
        parameterCotangents: gradients)
      for (value, tensor) in zip(node.inputs, inputCotangents) {
        if let tensor { contributed[value].append((tensor, true)) }
      }
    }
    if let inputCotangent, let sum = complete(0), sum.buffer !== inputCotangent.buffer {
      kernels.copy(sum, to: inputCotangent)
    }
  }

  func tangent(_ graph: LayerGraph, _ direction: Tensor, inputTangent: Tensor?) {
    for (index, node) in graph.nodes.enumerated() {
      node.layer.tangent(
        layerPass(index, node), inputTangents: node.inputs.map { $0 == 0 ? inputTangent : directions[$0 - 1] },
        parameterTangents: direction, outputTangent: directions[index])
    }
  }
}
