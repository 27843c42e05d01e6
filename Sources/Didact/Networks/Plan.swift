/// A network compiled for one batch shape and mode: where each value of a pass stands in its workspace, and, with kernels
/// that record, its forward, backward and tangent as programs.
final class Plan: @unchecked Sendable {
  struct Key: Equatable {
    let rows: Int
    let normalization: PassMode.Normalization
    let isNoisy, isKept: Bool
  }

  let key: Key
  let layout: PassLayout
  let graph: LayerGraph
  /// [rows · labels of an example, classes]
  let logitsShape: Shape
  let workspaceByteCount: Int
  private let parameterShape, statisticShape: Shape
  private let kernels: any Kernels
  /// Made when first needed, by their index.
  private let programs = Locked<[Program?]>(Array(repeating: nil, count: ProgramKind.count))
  /// For large runs. Made when first needed, so that networks of small runs do not keep the memory of large ones alive.
  private let workingMemory: Locked<LargeMemory?>

  enum ProgramKind {
    case forward
    /// The forward and the softmax of its logits.
    case prediction
    case backward(toInput: Bool)
    case tangent(fromInput: Bool)

    static let count = 6
    var index: Int {
      switch self {
      case .forward: 0
      case .prediction: 1
      case .backward(let toInput): toInput ? 3 : 2
      case .tangent(let fromInput): fromInput ? 5 : 4
      }
    }
  }

  init(_ network: Network, _ key: Key, _ workingMemory: LargeMemory? = nil) throws {
    self.key = key
    graph = network.graph
    layout = try PassLayout(
      network.graph, inputs: network.inputs, rows: key.rows, isKept: key.isKept,
      imageForm: network.kernels.imageForm)
    logitsShape = Shape(key.rows * network.labelsPerExample, network.classes)
    workspaceByteCount = layout.workspaceCount * network.elementType.byteCount
    parameterShape = network.parameters.shape
    statisticShape = network.statistics.shape
    kernels = network.kernels
    self.workingMemory = Locked(workingMemory)
  }

  /// Whether passes have their workspace in large memory.
  var isLarge: Bool { workspaceByteCount > LargeMemory.leastByteCount }

  /// Memory for a large run, for as long as the caller refers to it.
  func workingBuffer(byteCount: Int) throws -> Buffer {
    let memory = workingMemory.withLock { memory in
      let made = memory ?? .shared()
      memory = made
      return made
    }
    return try memory.buffer(byteCount: byteCount)
  }

  /// The program of that kind; nil where the kernels do not record.
  func program(_ kind: ProgramKind) throws -> Program? {
    try programs.withLock { programs in
      if let program = programs[kind.index] { return program }
      let program = try record(kind)
      programs[kind.index] = program
      return program
    }
  }

  private func record(_ kind: ProgramKind) throws -> Program? {
    try kernels.record { kernels in
      // The stream and the number of the draw are those of the run.
      let noise = key.isNoisy ? RandomStream(seed: 0, name: "") : nil
      let memory = PassMemory(
        layout: layout, input: Program.Place.input.tensor(layout.input),
        memories: PassLayout.Memories(
          workspace: Program.Place.workspace.tensor(Shape(layout.workspaceCount)),
          working: Program.Place.working.tensor(Shape(layout.workingCount))),
        parameters: Program.Place.parameters.tensor(parameterShape),
        statistics: Program.Place.statistics.tensor(statisticShape),
        mode: PassMode(normalization: key.normalization, noise: noise, draw: 0, isKept: key.isKept), kernels: kernels)
      let logits = memory.values[graph.nodes.count]
      switch kind {
      case .forward: memory.forward(graph)
      case .prediction:
        memory.forward(graph)
        kernels.softmax(Program.Place.output.tensor(logitsShape), logits.view(logitsShape), temperature: 1)
      case .backward(let toInput):
        memory.backward(
          layout.backward(toInput: toInput), graph, Program.Place.cotangent.tensor(logits.shape),
          into: Program.Place.gradients.tensor(parameterShape),
          inputCotangent: toInput ? Program.Place.inputDirection.tensor(layout.input) : nil)
      case .tangent(let fromInput):
        memory.tangent(
          layout.tangent, graph, Program.Place.parameterTangents.tensor(parameterShape),
          inputTangent: fromInput ? Program.Place.inputDirection.tensor(layout.input) : nil,
          logitsTangent: Program.Place.output.tensor(logits.shape))
      }
    }
  }
}
