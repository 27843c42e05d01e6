/// The layers of a network in the order in which they run, and what each of them reads.
///
/// Values are numbered: 0 is the network's input, i + 1 what layer i gives. The last layer gives the logits.
struct LayerGraph: Sendable {
  struct Node: Sendable {
    let layer: any Layer
    /// The values that it reads.
    let inputs: [Int]
    /// For each of them, which contribution to the value's cotangent the node makes, counted in the order of a backward.
    let contributions: [Int]
  }

  let nodes: [Node]
  /// How many nodes read each value.
  let uses: [Int]

  init(_ layers: [(layer: any Layer, inputs: [Int])]) {
    var uses = Array(repeating: 0, count: layers.count + 1)
    var nodes: [Node] = []
    for (layer, inputs) in layers.reversed() {
      var contributions: [Int] = []
      for value in inputs.reversed() {
        contributions.append(uses[value])
        uses[value] += 1
      }
      nodes.append(Node(layer: layer, inputs: inputs, contributions: contributions.reversed()))
    }
    self.nodes = nodes.reversed()
    self.uses = uses
  }

  var last: any Layer { nodes[nodes.count - 1].layer }
}
