/// The values of one pass, and the layers' three passes over them.
struct PassMemory {
  /// The network's input, and the output of each layer.
  let values: [Tensor]
  let saved: [[Tensor]]
  private let memories: PassLayout.Memories
  let parameters, statistics: Tensor
  let mode: PassMode
  let kernels: any Kernels

  init(
    layout: PassLayout, input: Tensor, memories: PassLayout.Memories, parameters: Tensor, statistics: Tensor,
    mode: PassMode, kernels: any Kernels
  ) {
    values = [input] + layout.outputs.map { $0.tensor(in: memories) }
    saved = layout.saved.map { $0.map { $0.tensor(in: memories) } }
    self.memories = memories
    self.parameters = parameters
    self.statistics = statistics
    self.mode = mode
    self.kernels = kernels
  }

  private func layerPass(_ index: Int, _ node: LayerGraph.Node, _ values: [Tensor]) -> LayerPass {
    LayerPass(
      inputs: node.inputs.map { values[$0] }, output: values[index + 1], saved: saved[index], parameters: parameters,
      statistics: statistics, mode: mode, kernels: kernels)
  }

  func forward(_ graph: LayerGraph) {
    for (index, node) in graph.nodes.enumerated() { node.layer.forward(layerPass(index, node, values)) }
  }

  /// - Parameter inputCotangent: takes that of the network's input, where the schedule asks for it.
  func backward(
    _ backward: (schedule: BackwardSchedule, places: [PassLayout.Place]), _ graph: LayerGraph, _ cotangent: Tensor,
    into gradients: Tensor, inputCotangent: Tensor?
  ) {
    let given = [cotangent, inputCotangent].compactMap { $0 }
    var values = self.values
    let cotangents = backward.places.enumerated().map { index, place in
      backward.schedule.isGiven(index) ? given[index] : place.tensor(in: memories)
    }
    for step in backward.schedule.steps {
      switch step {
      case .again(let repetition): again(repetition, graph, cotangents, &values)
      case .layer(let index, let outputCotangent, let inputCotangents):
        graph.nodes[index].layer.backward(
          layerPass(index, graph.nodes[index], values), outputCotangent: cotangents[outputCotangent],
          inputCotangents: inputCotangents.map { $0.map { cotangents[$0] } }, parameterCotangents: gradients)
      case .sum(let sum, let a, let b): kernels.add(cotangents[sum], cotangents[a], cotangents[b])
      case .add(let a, let sum): kernels.add(cotangents[a], scaledBy: 1, to: cotangents[sum])
      case .copy(let a, let b): kernels.copy(cotangents[a], to: cotangents[b])
      }
    }
  }

  /// - Parameter logitsTangent: takes the result.
  func tangent(
    _ tangent: (schedule: TangentSchedule, places: [PassLayout.Place]), _ graph: LayerGraph, _ direction: Tensor,
    inputTangent: Tensor?, logitsTangent: Tensor
  ) {
    let last = graph.nodes.count - 1
    let tangents = tangent.places.enumerated().map { $0 == last ? logitsTangent : $1.tensor(in: memories) }
    var values = self.values
    for step in tangent.schedule.steps {
      switch step {
      case .again(let repetition): again(repetition, graph, tangents, &values)
      case .layer(let index):
        let node = graph.nodes[index]
        node.layer.tangent(
          layerPass(index, node, values), inputTangents: node.inputs.map { $0 == 0 ? inputTangent : tangents[$0 - 1] },
          parameterTangents: direction, outputTangent: tangents[index])
      }
    }
  }

  /// Computes a forward again, into working memory, which then is the value.
  private func again(_ repetition: Repetition, _ graph: LayerGraph, _ memory: [Tensor], _ values: inout [Tensor]) {
    let index = repetition.index
    values[index + 1] = memory[repetition.output]
    graph.nodes[index].layer.repeatForward(layerPass(index, graph.nodes[index], values))
  }
}
