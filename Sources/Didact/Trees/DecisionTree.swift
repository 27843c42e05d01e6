/// A tree of classes: each node but the leaves sends a row on by one of its columns. Grown until the rows of a leaf are of one
/// class, or alike.
struct DecisionTree {
  /// A node takes the column and the threshold that divide its rows best, by the impurity of Gini, among √columns columns drawn
  /// for it, and finds them in one of two ways.
  enum Splits {
    /// All thresholds between two rows are looked at (Breiman, Machine Learning 2001).
    case best
    /// One threshold is drawn for each column (Geurts, Ernst and Wehenkel, Machine Learning 2006).
    case random
  }

  /// Rows to learn from.
  struct Rows {
    /// Column by column: value [column · count + row].
    let values: [Double]
    let labels: [Int]
    let classes: Int
    var count: Int { labels.count }
    var columns: Int { values.count / max(1, count) }
  }

  /// Of each node the column that it compares; −1 for a leaf.
  private(set) var columns: [Int] = []
  /// Rows with a value of at most this go to the first child.
  private(set) var thresholds: [Double] = []
  /// Of each node its first child, which the second one follows; of a leaf the class of its rows, or `classes` and more for a
  /// row of `mixtures`.
  private(set) var children: [Int] = []
  /// The distributions of leaves with rows of several classes.
  private(set) var mixtures: [[Double]] = []

  /// - Parameters:
  ///   - weights: how much each row counts; those of 0 are left out.
  ///   - random: draws columns and thresholds.
  init(growingOn rows: Rows, weights: [Double], _ splits: Splits, _ random: inout RandomSequence) {
    var growth = Growth(rows: rows, weights: weights, splits: splits)
    addNode()
    var waiting = [(node: 0, rows: 0..<growth.order.count)]
    while let (node, range) = waiting.popLast() {
      if let label = growth.onlyLabel(range) {
        children[node] = label
      } else if let (split, middle) = growth.split(range, &random) {
        let first = columns.count
        (columns[node], thresholds[node], children[node]) = (split.column, split.threshold, first)
        addNode()
        addNode()
        waiting += [(first + 1, middle..<range.upperBound), (first, range.lowerBound..<middle)]
      } else {
        children[node] = rows.classes + mixtures.count
        mixtures.append(growth.distribution(range))
      }
    }
  }

  private mutating func addNode() {
    columns.append(-1)
    thresholds.append(0)
    children.append(0)
  }
}

/// A tree at work on the rows that it learns from.
private struct Growth {
  typealias Split = (column: Int, threshold: Double, score: Double)

  let rows: DecisionTree.Rows
  let weights: [Double]
  let splits: DecisionTree.Splits
  /// The rows of each node are side by side.
  var order: [Int]
  private var columnOrder: [Int]
  // Weights by class of the rows on both sides of a threshold.
  private var left, right: [Double]

  init(rows: DecisionTree.Rows, weights: [Double], splits: DecisionTree.Splits) {
    self.rows = rows
    self.weights = weights
    self.splits = splits
    order = weights.indices.filter { weights[$0] > 0 }
    columnOrder = Array(0..<rows.columns)
    left = Array(repeating: 0, count: rows.classes)
    right = left
  }

  private func value(_ column: Int, _ row: Int) -> Double { rows.values[column * rows.count + row] }

  /// The class of all rows of a node, if it is one.
  func onlyLabel(_ range: Range<Int>) -> Int? {
    let label = rows.labels[order[range.lowerBound]]
    return order[range].allSatisfy { rows.labels[$0] == label } ? label : nil
  }

  func distribution(_ range: Range<Int>) -> [Double] {
    var sums = Array(repeating: 0.0, count: rows.classes)
    for row in order[range] { sums[rows.labels[row]] += weights[row] }
    let total = sums.reduce(0, +)
    return sums.map { $0 / total }
  }

  /// Divides the rows of a node.
  /// - Returns: nil where they are alike in every column; else by what, and where the second part begins.
  mutating func split(_ range: Range<Int>, _ random: inout RandomSequence) -> (Split, middle: Int)? {
    let wanted = max(1, Int(Double(rows.columns).squareRoot()))
    var best: Split?
    for tried in 0..<rows.columns {
      if tried >= wanted, best != nil { break }
      columnOrder.swapAt(tried, tried + random.integer(below: rows.columns - tried))
      let column = columnOrder[tried]
      let found = splits == .best ? bestSplit(column, range) : randomSplit(column, range, &random)
      if let found, found.score > best?.score ?? -.infinity { best = found }
    }
    guard let best else { return nil }
    var middle = range.lowerBound
    for index in range where value(best.column, order[index]) <= best.threshold {
      order.swapAt(index, middle)
      middle += 1
    }
    return (best, middle)
  }

  private mutating func randomSplit(_ column: Int, _ range: Range<Int>, _ random: inout RandomSequence) -> Split? {
    var least = Double.infinity, most = -Double.infinity
    for row in order[range] {
      least = min(least, value(column, row))
      most = max(most, value(column, row))
    }
    guard least < most else { return nil }
    let place = random.uniform(), drawn = least * (1 - place) + most * place
    let threshold = drawn < most ? max(drawn, least) : least
    for label in left.indices { (left[label], right[label]) = (0, 0) }
    for row in order[range] {
      if value(column, row) <= threshold {
        left[rows.labels[row]] += weights[row]
      } else {
        right[rows.labels[row]] += weights[row]
      }
    }
    func purity(_ sums: [Double]) -> Double { sums.reduce(0) { $0 + $1 * $1 } / sums.reduce(0, +) }
    return (column, threshold, purity(left) + purity(right))
  }

  private mutating func bestSplit(_ column: Int, _ range: Range<Int>) -> Split? {
    let sorted = order[range].map { (value: value(column, $0), row: $0) }.sorted {
      ($0.value, $0.row) < ($1.value, $1.row)
    }
    guard let first = sorted.first, let last = sorted.last, first.value < last.value else { return nil }
    for label in left.indices { (left[label], right[label]) = (0, 0) }
    for (_, row) in sorted { right[rows.labels[row]] += weights[row] }
    var weightLeft = 0.0, weightRight = right.reduce(0, +)
    var squaresLeft = 0.0, squaresRight = right.reduce(0) { $0 + $1 * $1 }
    var best: Split?
    for (index, (value, row)) in sorted.dropLast().enumerated() {
      let label = rows.labels[row], weight = weights[row]
      squaresLeft += weight * (2 * left[label] + weight)
      squaresRight -= weight * (2 * right[label] - weight)
      left[label] += weight
      right[label] -= weight
      weightLeft += weight
      weightRight -= weight
      let next = sorted[index + 1].value
      guard value < next else { continue }
      let score = squaresLeft / weightLeft + squaresRight / weightRight
      // Halves first: the sum of the largest numbers would be infinite.
      let middle = value / 2 + next / 2
      if score > best?.score ?? -.infinity { best = (column, middle < next ? max(middle, value) : value, score) }
    }
    return best
  }
}
