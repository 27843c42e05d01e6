import Testing

@testable import Didact

@Suite struct ForestTests {
  private static func rows(_ values: [[Double]], _ labels: [Int]) -> DecisionTree.Rows {
    DecisionTree.Rows(
      values: values[0].indices.flatMap { column in values.map { $0[column] } }, labels: labels,
      classes: (labels.max() ?? 0) + 1)
  }

  private static func tree(
    _ rows: DecisionTree.Rows, _ splits: DecisionTree.Splits, weights: [Double]? = nil, seed: UInt64 = 0
  ) -> DecisionTree {
    var random = RandomSequence(RandomStream(seed: seed, name: "forest").draw(0))
    return DecisionTree(
      growingOn: rows, weights: weights ?? Array(repeating: 1, count: rows.count), splits, &random)
  }

  /// What a forest of one tree says of rows.
  private static func predictions(_ tree: DecisionTree, _ rows: [[Double]], classes: Int) throws -> [[Double]] {
    var forest = Forest(inputs: rows[0].count, classes: classes)
    forest.append(tree)
    let inputs = try Tensor(rows: rows), result = try Tensor(Shape(rows.count, classes), .float64)
    withExtendedLifetime((inputs, result)) {
      forest.mix(into: BorrowedArray(result), BorrowedArray(inputs), weight: 1)
    }
    return rows.indices.map { row in (0..<classes).map { result[row * classes + $0] } }
  }

  /// By hand: of the thresholds 1.5, 2.5 and 3.5 the second leaves no impurity.
  @Test func theBestThresholdDividesTheClasses() throws {
    let tree = Self.tree(Self.rows([[1], [2], [3], [4]], [0, 0, 1, 1]), .best)
    #expect(tree.columns == [0, -1, -1] && tree.thresholds[0] == 2.5 && tree.children == [1, 0, 1])
    // Row 3 counts nine times: to the right of 3.5 are 9 of class 1, left of it 2 of class 0 and 1 of class 1; to the right of
    // 2.5 are 9 of class 1 and 1 of class 0, left of it one of each. Σ squares / weight: 9 + 5/3 against 8.2 + 1.
    let weighted = Self.tree(Self.rows([[1], [2], [3], [4]], [0, 1, 0, 1]), .best, weights: [1, 1, 1, 9])
    #expect(weighted.thresholds[0] == 3.5)
  }

  @Test(arguments: [DecisionTree.Splits.best, .random]) func aTreeKnowsItsRows(splits: DecisionTree.Splits) throws {
    let points = try randomTensor(Shape(80, 5), seed: 8), labels = (0..<80).map { $0 * 7 % 3 }
    let values = (0..<80).map { row in (0..<5).map { points[row * 5 + $0] } }
    let tree = Self.tree(Self.rows(values, labels), splits)
    for (row, found) in try Self.predictions(tree, values, classes: 3).enumerated() { #expect(found[labels[row]] == 1) }
    // Rows of weight 0 are not there: classes 0 and 1 alone are known.
    let two = Self.tree(Self.rows(values, labels), splits, weights: labels.map { $0 == 2 ? 0 : 1 })
    #expect(try Self.predictions(two, values, classes: 3).allSatisfy { $0[2] == 0 })
  }

  @Test(arguments: [DecisionTree.Splits.best, .random]) func rowsThatContradictGiveTheirShares(
    splits: DecisionTree.Splits
  ) throws {
    let rows = [[1.0, 5], [1, 5], [1, 5], [2, 5]]
    let tree = Self.tree(Self.rows(rows, [0, 1, 1, 2]), splits, weights: [2, 1, 3, 1])
    let found = try Self.predictions(tree, rows, classes: 3)
    #expect(found[3] == [0, 0, 1])
    #expect(zip(found[0], [1 / 3, 2 / 3, 0]).allSatisfy { abs($0 - $1) < 1e-15 })
  }

  /// Values next to each other, and the largest that there are.
  @Test(arguments: [DecisionTree.Splits.best, .random]) func thresholdsLieBetweenRows(
    splits: DecisionTree.Splits
  ) throws {
    for (a, b) in [
      (1, 1.0.nextUp), (-Double.greatestFiniteMagnitude, .greatestFiniteMagnitude), (0, 5e-324), (-5e-324, 0),
    ] {
      for seed in 0..<5 as Range<UInt64> {
        let tree = Self.tree(Self.rows([[a], [b]], [0, 1]), splits, seed: seed)
        #expect(a <= tree.thresholds[0] && tree.thresholds[0] < b)
        #expect(try Self.predictions(tree, [[a], [b]], classes: 2) == [[1, 0], [0, 1]])
      }
    }
  }

  // MARK: - Beside networks

  private static func configuration(_ changes: JSONObject = [:]) throws -> JSONObject {
    let keys: JSONObject = [
      "method": "supervised", "steps": 8, "dtype": "float64", "average_decay": nil, "forest_trees": 5,
      "forest_weight": 0.25,
    ]
    return try Training.configuration(Training.fitKeys("supervised").setting(keys).setting(changes))
  }

  @Test func theEnsembleHasBothParts() throws {
    let (features, labels) = try Training.points()
    let trainer = try Trainer(configuration: Self.configuration())
    #expect(trainer.predictorRole == "ensemble" && trainer.networkRoles == ["student", "ensemble"])
    try trainer.fit(features, labels)
    #expect(trainer.networkRoles == ["student", "forest", "ensemble"])
    let alone = try Trainer(configuration: Self.configuration(["forest_trees": 0]))
    try alone.fit(features, labels)
    let network = try trainer.predictProbabilities(features, by: "student").values
    #expect(try alone.predictProbabilities(features).values == network)
    let trees = try trainer.predictProbabilities(features, by: "forest").values
    let both = try trainer.predictProbabilities(features).values
    for index in both.indices { #expect(abs(both[index] - (0.75 * network[index] + 0.25 * trees[index])) < 1e-15) }
    for row in 0..<6 { #expect(trees[row * 3 + labels[row]] > 0.5) }
    #expect(trainer.report()["forest"] == ["trees": 5, "weight": 0.25])
    expectError(.unsupported, containing: "trees") { _ = try trainer.network("forest") }
    expectError(.unsupported, containing: "forest_trees") { try trainer.step(features, labels.map { max(0, $0) }) }
  }

  /// Trees come as steps do, so that a fit that is stopped and goes on, in a file between, ends with the same bits.
  @Test func aFitThatGoesOnGrowsTheSameTrees() throws {
    let (features, labels) = try Training.points()
    let configuration = try Self.configuration(["members": [["method": "pi_model"]]])
    let whole = try Trainer(configuration: configuration), first = try Trainer(configuration: configuration)
    try whole.fit(features, labels)
    try first.fit(features, labels, steps: 2)
    // It has the trees of its steps, whatever comes after.
    #expect(first.forest?.trees == 2 && first.report()["forest"]?.members?["weight"] == 0.1)
    let second = try first.copy()
    #expect(try second.predictProbabilities(features).bytes == first.predictProbabilities(features).bytes)
    try second.fit(features, labels)
    #expect(Trainer.differences(whole, second) == [])
    #expect(try second.predictProbabilities(features).bytes == whole.predictProbabilities(features).bytes)
    // Other data have trees of their own.
    let others = try features.copy()
    for row in 0..<60 { others[row * 3] = 1 - 2 * others[row * 3] }
    let before = try whole.predictProbabilities(others, by: "forest").bytes
    try whole.fit(others, labels, steps: 1)
    let fresh = try Trainer(configuration: configuration)
    try fresh.fit(others, labels)
    #expect(
      try whole.predictProbabilities(others, by: "forest").bytes
        == fresh.predictProbabilities(others, by: "forest").bytes)
    #expect(try whole.predictProbabilities(others, by: "forest").bytes != before)
  }

  /// A fit on other data that is refused after it began leaves the trees as they were.
  @Test func aFitThatDivergesTakesItsTreesBack() throws {
    let (features, labels) = try Training.points()
    let configuration = try Self.configuration(["dtype": "float32", "forest_trees": 20])
    let whole = try Trainer(configuration: configuration), disturbed = try Trainer(configuration: configuration)
    try whole.fit(features, labels)
    try disturbed.fit(features, labels, steps: 4)
    let large = try features.copy()
    large.scale(by: 1e20)
    let error = Training.error { try disturbed.fit(large, labels, steps: 3) }
    #expect(error.code == .diverged && disturbed.steps == 4, "\(error)")
    try disturbed.fit(features, labels)
    #expect(Trainer.differences(whole, disturbed) == [])
  }

  @Test func treesAreAskedForOnceTheyAreThere() throws {
    let trainer = try Trainer(configuration: Self.configuration()), (features, _) = try Training.points()
    expectError(.state, containing: "no trees yet") { _ = try trainer.predictProbabilities(features, by: "forest") }
  }

  /// Weights count for trees too: rows of one class that weigh nothing are not learned.
  @Test func treesHaveWeightsAndShares() throws {
    let (features, labels) = try Training.points()
    let trainer = try Trainer(configuration: Self.configuration(["forest_trees": 20]))
    try trainer.fit(features, labels, sampleWeights: labels.map { $0 == 2 ? 0 : 1 })
    let trees = try trainer.predictProbabilities(features, by: "forest")
    #expect((0..<60).allSatisfy { trees[$0 * 3 + 2] == 0 })
  }

  @Test func damagedForestsAreRefused() throws {
    let (features, labels) = try Training.points()
    let trainer = try Trainer(configuration: Self.configuration())
    try trainer.fit(features, labels)
    let file = try trainer.modelFile()
    func refusal(_ name: String, _ change: (Tensor) throws -> Tensor?) throws -> String {
      var damaged = file
      damaged.tensors = try file.tensors.compactMap { each in
        guard each.name == "forest.\(name)" else { return each }
        return try change(try each.tensor.copy()).map { (each.name, $0) }
      }
      let directory = try TemporaryDirectory(), path = directory.path("model.safetensors")
      try damaged.safetensors.write(to: path)
      return Training.error { _ = try Trainer(loading: path) }.message
    }
    func at(_ index: Int, _ value: Double) -> (Tensor) -> Tensor? {
      { tensor in
        tensor[index] = value
        return tensor
      }
    }
    for name in ["columns", "children", "thresholds", "distributions"] {
      #expect(try refusal(name) { _ in nil }.contains("forest.\(name)"))
      #expect(try refusal(name) { _ in try Tensor(Shape(1), .float32) }.contains("forest.\(name)"))
    }
    #expect(try refusal("roots", at(0, 1e6)).contains("a node that is not there"))
    #expect(try refusal("roots", at(0, -1)).contains("a node that is not there"))
    #expect(try refusal("columns", at(0, 3)).contains("column 3 of 3"))
    #expect(try refusal("children", at(0, 0)).contains("sends node 0 to 0"))
    #expect(try refusal("children", at(0, 1e6)).contains("sends node 0"))
    #expect(try refusal("thresholds", at(0, .nan)).contains("finite"))
    #expect(try refusal("distributions", at(0, 0.5)).contains("row 0"))
    #expect(try refusal("roots") { _ in try Tensor([0, 0, 0, 0, 0, 0]) }.contains("6 trees"))
  }

  @Test func aForestNeedsLabelsOfRows() throws {
    expectError(.invalidArgument, containing: "members[0]", "same for all members") {
      _ = try Trainer(
        configuration: Self.configuration(["members": [["method": "supervised", "forest_trees": 3]]]))
    }
  }

  /// Members step side by side, and bits do not depend on it.
  @Test func threadsChangeNoBits() throws {
    let (features, labels) = try Training.points()
    let trained = try [1, 2, 8].map { threads in
      let members: JSON = [["method": "pi_model"], ["method": "meta_pseudo_labels"], ["method": "fixmatch"]]
      let trainer = try Trainer(
        configuration: Self.configuration(["threads": .integer(Int64(threads)), "members": members]))
      try trainer.fit(features, labels)
      return try trainer.predictProbabilities(features).bytes
    }
    #expect(trained[0] == trained[1] && trained[0] == trained[2])
  }
}
