/// The forest of a trainer: trees that learn from the labelled rows beside the networks, and have a part in the ensemble.
/// Where clusters of rows are not classes, or columns are skewed, they are what networks are not.
extension Trainer {
  static let forestFields = [
    Field(
      "forest_trees", .integer(.closed(0, 10_000)), 0,
      "fit: trees that learn from the labelled rows too, one half of them extremely randomised, one of a random forest; 0 for none",
      source: "Geurts et al. 2006; Breiman 2001"),
    Field(
      "forest_weight", .number(.closed(0, 1)), 0.5,
      "fit: the part of the trees in the ensemble's probabilities; the networks have the rest"),
  ]

  /// The role of the trees alone.
  static let forestRole = "forest"

  /// The part of the trees in the prediction: less while there are not all of them, as of a fit that was stopped.
  func weight(of forest: Forest) -> Double { forestWeight * Double(forest.trees) / Double(forestTrees) }

  /// Whether several predict together.
  var isEnsemble: Bool { !members.isEmpty || forestTrees > 0 }
}

/// Grows a trainer's trees beside the steps of a fit: one with each step, or some where there are fewer steps than trees. What a
/// tree is depends on the data, the seed and its number alone.
final class ForestGrowth {
  /// A tree learns from no more rows than this, so that none takes long.
  private static let mostRows = 5_000
  private static let mostValues = 1 << 24

  private let trainer: Trainer
  private let data: FitData
  /// Whether the trees there are learned from other data.
  private var isNew: Bool
  /// So many trees there are to be.
  private var due = 0
  /// Each of the labelled rows counts so much.
  private let weights: [Double]
  private let rowsOfTree: Int
  private let stream: RandomStream
  /// All labelled rows, where a tree may have them all.
  private var everyRow: DecisionTree.Rows?

  /// Nil for a trainer without trees.
  init?(_ trainer: Trainer, _ data: FitData, isNew: Bool) {
    guard trainer.forestTrees > 0 else { return nil }
    self.trainer = trainer
    self.data = data
    self.isNew = isNew
    var counts: [Int: Double] = [:]
    for row in data.drawnRows { counts[row, default: 0] += 1 }
    weights = data.labeledRows.map { counts[$0] ?? 0 }
    rowsOfTree = max(100, min(Self.mostRows, Self.mostValues / max(1, trainer.student.inputs)))
    stream = RandomStream(seed: trainer.seed, name: "forest")
  }

  /// Notes what the steps that are made ask for; before the next ones, beside which `grow` may be at work.
  func plan() {
    let all = trainer.forestTrees, planned = max(1, trainer.scheduledSteps)
    due = trainer.isMethodDone ? all : min(all, trainer.steps * ((all + planned - 1) / planned))
  }

  /// Grows the trees that are due.
  /// - Parameter isTimeUp: whether the rest is left to the next fit.
  func grow(_ isTimeUp: () -> Bool) throws {
    guard due > 0 else { return }
    if isNew || trainer.forest == nil {
      let none = Forest(inputs: trainer.student.inputs, classes: trainer.student.classes)
      try trainer.writing { trainer.forest = none }
      isNew = false
    }
    while let grown = trainer.forest?.trees, grown < due, !isTimeUp() {
      let tree = try tree(grown)
      // In place: all trees so far are not copied.
      try trainer.writing { trainer.forest?.append(tree) }
    }
  }

  private func tree(_ number: Int) throws -> DecisionTree {
    var random = RandomSequence(stream.draw(UInt64(number)))
    let count = data.labeledRows.count, isSample = count > rowsOfTree
    let kept = isSample ? (0..<rowsOfTree).map { _ in random.integer(below: count) } : Array(0..<count)
    let rows: DecisionTree.Rows
    if let everyRow {
      rows = everyRow
    } else {
      rows = try learned(kept)
      if !isSample { everyRow = rows }
    }
    var counting = kept.map { weights[$0] }
    guard number % 2 == 1 else { return DecisionTree(growingOn: rows, weights: counting, .random, &random) }
    if !isSample {
      // The bootstrap: as many rows, drawn with replacement. A sample is drawn so already.
      var drawn = Array(repeating: 0.0, count: count)
      for _ in 0..<count { drawn[random.integer(below: count)] += 1 }
      counting = zip(counting, drawn).map { $0 * $1 }
    }
    return DecisionTree(growingOn: rows, weights: counting, .best, &random)
  }

  /// - Parameter positions: among the labelled rows.
  private func learned(_ positions: [Int]) throws -> DecisionTree.Rows {
    let columns = trainer.student.inputs
    // The values in their own type and as numbers, and what the growth itself needs.
    try Buffer.checkRoom(byteCount: positions.count * (16 * columns + 200))
    let indices = positions.map { data.labeledRows[$0] }
    let given = try data.pool.given(indices, in: TensorPool())
    var values = Array(repeating: 0.0, count: positions.count * columns)
    for row in 0..<positions.count {
      for column in 0..<columns { values[column * positions.count + row] = given[row * columns + column] }
    }
    let labels = indices.map { row in data.labels.ofExample(row).first { $0 >= 0 } ?? 0 }
    return DecisionTree.Rows(values: values, labels: labels, classes: trainer.student.classes)
  }
}
