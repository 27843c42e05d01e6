/// The layers of a network in the order in which they run, and what each of them reads.
///
/// Values are numbered: 0 is the network's input, i + 1 what layer i gives. The last layer gives the logits.
struct LayerGraph: Sendable {
  struct Node: Sendable {
    let layer: any Layer
    /// The values that it reads.
    let inputs: [Int]
  }

  let nodes: [Node]
  /// How many nodes read each value.
  let uses: [Int]
  /// Of each value, whether the backward or tangent of a node that reads it does so too.
  let isReadAgain: [Bool]
  /// Of each node, whether its output is computed again when backward or tangent needs it, instead of kept: normalised and
  /// activated images, whose inputs are kept anyway.
  let isRepeated: [Bool]
  /// The layers that normalise a batch.
  let normalizations: [any Layer]

  init(_ layers: [(layer: any Layer, inputs: [Int])]) {
    nodes = layers.map { Node(layer: $0.layer, inputs: $0.inputs) }
    var uses = Array(repeating: 0, count: layers.count + 1)
    for value in nodes.flatMap(\.inputs) { uses[value] += 1 }
    self.uses = uses
    var isReadAgain = Array(repeating: false, count: layers.count + 1)
    for node in nodes where node.layer.reads.contains(.inputs) {
      for value in node.inputs { isReadAgain[value] = true }
    }
    self.isReadAgain = isReadAgain
    var isRepeated: [Bool] = []
    for node in nodes {
      let keepsInputs = node.layer.reads.contains(.inputs) || node.inputs.allSatisfy { $0 > 0 && isRepeated[$0 - 1] }
      isRepeated.append(node.layer.isRepeatable && node.layer.extent.isImage && keepsInputs)
    }
    if let last = isRepeated.indices.last { isRepeated[last] = false }
    self.isRepeated = isRepeated
    normalizations = nodes.map(\.layer).filter { $0.batchGroups != nil }
  }

  var hasConvolutions: Bool { nodes.contains { $0.layer.regions == .ends } }
  var last: any Layer { nodes[nodes.count - 1].layer }
}
