/// Trees whose mean distribution predicts. Every other one is extremely randomised (Geurts, Ernst and Wehenkel, Machine
/// Learning 2006), those between are of a random forest (Breiman, Machine Learning 2001).
///
/// The nodes of all trees are side by side, so that a file is a few arrays.
struct Forest: Sendable {
  /// A node lies together in memory: a way to a leaf waits for little else.
  private struct Node {
    /// Rows with a value of at most this go to the first child.
    let threshold: Double
    /// The column that it compares, or −1 for a leaf.
    let column: Int32
    /// Its first child, which the second one follows; of a leaf its row of `distributions`.
    let child: Int32
  }

  let inputs, classes: Int
  /// Of each tree its first node.
  private(set) var roots: [Int] = []
  private var nodes: [Node] = []
  /// [rows, classes]: first one for each class, which has that class alone; then those of leaves of several.
  private(set) var distributions: [Double]

  var trees: Int { roots.count }

  init(inputs: Int, classes: Int) {
    self.inputs = inputs
    self.classes = classes
    distributions = (0..<classes * classes).map { $0 / classes == $0 % classes ? 1 : 0 }
  }

  mutating func append(_ tree: DecisionTree) {
    let first = nodes.count, mixtures = distributions.count / classes - classes
    roots.append(first)
    for node in tree.columns.indices {
      let column = tree.columns[node], child = tree.children[node]
      nodes.append(
        Node(
          threshold: tree.thresholds[node], column: Int32(column),
          child: Int32(column >= 0 ? first + child : child < classes ? child : child + mixtures)))
    }
    distributions += tree.mixtures.joined()
  }

  /// Takes the share `weight` of each row of probabilities [N, classes] from the trees, for raw inputs [N, inputs]; nothing
  /// where there is no tree.
  func mix(into probabilities: BorrowedArray, _ inputs: BorrowedArray, weight: Double) {
    guard trees > 0 else { return }
    var row = Array(repeating: 0.0, count: self.inputs), sums = Array(repeating: 0.0, count: classes)
    for index in 0..<inputs.rows {
      for column in row.indices { row[column] = inputs[index * row.count + column] }
      for label in sums.indices { sums[label] = 0 }
      for root in roots {
        let leaf = self.leaf(of: row, from: root) * classes
        for label in sums.indices { sums[label] += distributions[leaf + label] }
      }
      let factor = weight / Double(trees)
      probabilities.rows(index..<index + 1).mix(sums, scaledBy: factor, own: 1 - weight)
    }
  }

  /// - Returns: its row of `distributions`.
  private func leaf(of row: [Double], from root: Int) -> Int {
    var node = nodes[root]
    while node.column >= 0 {
      node = nodes[Int(node.child) + (row[Int(node.column)] <= node.threshold ? 0 : 1)]
    }
    return Int(node.child)
  }
}

// MARK: - Files

extension Forest {
  /// What a model file holds of it, by name.
  func tensors() throws -> [(name: String, tensor: Tensor)] {
    try [
      ("forest.roots", Tensor(roots)), ("forest.columns", Tensor(nodes.map { Int($0.column) })),
      ("forest.children", Tensor(nodes.map { Int($0.child) })),
      ("forest.thresholds", Tensor(nodes.map(\.threshold), shape: Shape(nodes.count))),
      ("forest.distributions", Tensor(distributions, shape: Shape(distributions.count / classes, classes))),
    ]
  }

  /// Reads what `tensors` gave, from a file that may be hostile.
  /// - Parameter tensor: of a name; nil where there is none.
  /// - Throws: `DidactError.format` for what is no forest.
  init(inputs: Int, classes: Int, _ tensor: (String) -> Tensor?) throws {
    func refusal(_ name: String, _ problem: String) -> DidactError {
      DidactError(.format, "tensor \"forest.\(name)\" \(problem)")
    }
    func integers(_ name: String, count: Int? = nil) throws -> [Int] {
      guard let found = tensor("forest.\(name)"), found.elementType == .int64, found.shape.rank == 1,
        count == nil || found.count == count
      else { throw refusal(name, "is missing, or not int64 [\(count.map(String.init) ?? "N")]") }
      return (0..<found.count).map { found.integer(at: $0) }
    }
    self.inputs = inputs
    self.classes = classes
    roots = try integers("roots")
    let columns = try integers("columns"), children = try integers("children", count: columns.count)
    guard let thresholds = tensor("forest.thresholds"), thresholds.elementType == .float64,
      thresholds.shape == Shape(columns.count), thresholds.isFinite
    else { throw refusal("thresholds", "is missing, or not finite float64 [\(columns.count)]") }
    guard let found = tensor("forest.distributions"), found.elementType == .float64, found.shape.rank == 2,
      found.columns == classes, found.rows >= classes
    else { throw refusal("distributions", "is missing, or not float64 [N, \(classes)]") }
    distributions = found.values
    for row in 0..<found.rows {
      let values = distributions[row * classes..<(row + 1) * classes]
      guard values.allSatisfy({ $0 >= 0 }), abs(values.reduce(0, +) - 1) < 1e-6 else {
        throw refusal("distributions", "has a row \(row) that is no distribution")
      }
    }
    guard roots.allSatisfy(columns.indices.contains) else { throw refusal("roots", "names a node that is not there") }
    for node in columns.indices {
      guard (-1..<inputs).contains(columns[node]) else {
        throw refusal("columns", "names column \(columns[node]) of \(inputs)")
      }
      // A child comes after its parent, so that every way ends at a leaf.
      let isInPlace =
        columns[node] < 0
        ? (0..<found.rows).contains(children[node])
        : children[node] > node && children[node] < columns.count - 1
      guard isInPlace, let column = Int32(exactly: columns[node]), let child = Int32(exactly: children[node]) else {
        throw refusal("children", "sends node \(node) to \(children[node])")
      }
      nodes.append(Node(threshold: thresholds[node], column: column, child: child))
    }
  }
}
