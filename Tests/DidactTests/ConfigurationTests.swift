import Testing

@testable import Didact

@Suite("Presets and layers of configuration") struct ConfigurationTests {
  private func merged(_ layers: JSONObject...) throws -> JSONObject {
    try Trainer.mergedConfiguration(layers, method: "meta_pseudo_labels")
  }

  @Test func laterLayersWin() throws {
    let result = try merged(["steps": 1, "seed": 2], ["steps": 3], ["uda_weight": 4])
    #expect(result == ["steps": 3, "seed": 2, "uda_weight": 4])
  }

  @Test func dotsAndNestingMeanTheSame() throws {
    let result = try merged(
      ["student_optimizer": ["momentum": 0.5, "learning_rate": 0.1]], ["student_optimizer.momentum": 0.6],
      ["network": ["hidden": [8], "dropout": 0.1]], ["network.dropout": 0.2])
    #expect(result["student_optimizer.momentum"] == 0.6 && result["student_optimizer.learning_rate"] == 0.1)
    #expect(result["network"] == ["hidden": [8], "dropout": 0.2])
  }

  @Test func anotherOptimizerOrNetworkStartsAfresh() throws {
    let optimizer = try merged(
      ["student_optimizer.learning_rate": 0.1, "student_optimizer.momentum": 0.5],
      ["student_optimizer": ["name": "adamw", "beta1": 0.8]])
    #expect(optimizer == ["student_optimizer.name": "adamw", "student_optimizer.beta1": 0.8])
    let same = try merged(["student_optimizer.learning_rate": 0.1], ["student_optimizer.name": "sgd"])
    #expect(same["student_optimizer.learning_rate"] == 0.1)
    let chain: JSON = ["type": "sequential", "layers": [["type": "dense", "outputs": 2]]]
    #expect(try merged(["network": ["hidden": [8]]], ["network": chain])["network"] == chain)
  }

  @Test func aKeyTwiceInOneLayerIsRefused() {
    expectError(.invalidArgument, containing: "student_optimizer.momentum", "twice") {
      _ = try merged(["student_optimizer": ["momentum": 0.5], "student_optimizer.momentum": 0.5])
    }
    expectError(.invalidArgument, containing: "meta_pseudo_labels") {
      _ = try Trainer.mergedConfiguration([], method: "meta_pseudo_label")
    }
  }

  @Test func networksAreCompletedFromTheData() {
    let given: JSONObject = ["hidden": [3], "activation": "tanh"]
    #expect(
      given.completed(columns: 2, hidden: [64], classes: 5)
        == ["type": "mlp", "inputs": 2, "hidden": [3], "classes": 5, "activation": "tanh"])
    let chain: JSONObject = ["type": "sequential", "layers": []]
    #expect(chain.completed(columns: 2, hidden: [64], classes: 5).keys == ["type", "inputs", "layers"])
  }

  @Test(arguments: ["two-moons", "digits", "table.csv"], Trainer.methodNames)
  func presetsFitEveryMethod(data: String, method: String) throws {
    let preset = Preset(data: data, columns: 2)
    let network = JSONObject().completed(columns: 2, hidden: preset.hidden, classes: 2)
    let layers = [try preset.configuration(method: method), ["method": .string(method), "network": .object(network)]]
    let trainer = try Trainer(configuration: Trainer.mergedConfiguration(layers, method: method))
    #expect(trainer.student.specification.json.members?["hidden"]?.list?.compactMap(\.int) == preset.hidden)
  }

  @Test(arguments: Trainer.methodNames) func presetsOfImagesFitEveryMethod(method: String) throws {
    for (extent, isAugmented) in [(Extent(8, 8, 1), true), (Extent(32, 40, 3), true), (Extent(9, 9, 3), false)] {
      let preset = Preset(images: extent, isAugmented: isAugmented)
      let trainer = try Trainer(configuration: preset.configuration(method: method, classes: 4))
      #expect(trainer.student.specification.extent == extent && trainer.student.classes == 4)
      #expect(trainer.augmentations.isEmpty == !isAugmented)
      #expect(try trainer.configuration.number("weak_noise") == 0)
    }
  }

  @Test func tablesOfFewColumnsGetLessNoise() throws {
    let noises = try [1, 4, 16, 200].map { columns in
      try Preset(data: "table", columns: columns).configuration(method: "uda")["strong_noise"]
    }
    #expect(noises == [0.15, 0.3, 0.3, 0.3])
  }
}

@Suite("Evaluation") struct EvaluationTests {
  private func trainer(_ more: JSONObject = [:]) throws -> Trainer {
    try Trainer(
      configuration: Trainer.mergedConfiguration(
        [
          ["method": "meta_pseudo_labels", "network": ["type": "mlp", "inputs": 2, "hidden": [], "classes": 2]], more,
        ],
        method: "meta_pseudo_labels"))
  }

  @Test func confusionCountsRowsByClassAndPrediction() {
    let evaluation = Evaluation(labels: [0, 0, 1, 2, 2], predictions: [0, 1, 1, 2, 0], classes: 3)
    #expect(evaluation.confusion == [[1, 1, 0], [0, 1, 0], [1, 0, 1]])
    #expect(evaluation.rows == 5 && evaluation.correct == 3 && evaluation.accuracy == 0.6)
    #expect(Evaluation(labels: [], predictions: [], classes: 2).accuracy == 0)
  }

  @Test func everyNetworkIsEvaluated() throws {
    let trainer = try trainer(["average_decay": 0.5])
    #expect(trainer.networkRoles == ["student", "teacher", "average"] && trainer.predictorRole == "average")
    let rows = try Tensor(rows: [[1, 0], [0, 1], [-1, 0]])
    for role in trainer.networkRoles {
      let probabilities = try trainer.predictProbabilities(rows, by: role)
      let expected = try trainer.network(role).predictProbabilities(rows)
      #expect(probabilities.bytes == expected.bytes)
    }
    #expect(try self.trainer().predictorRole == "student")
    let labels = try trainer.predict(rows)
    #expect(try trainer.evaluate(rows, labels).accuracy == 1)
    #expect(try trainer.evaluate(rows, labels.map { 1 - $0 }).accuracy == 0)
  }

  @Test func badLabelsAreRefused() throws {
    let trainer = try trainer(), rows = try Tensor(rows: [[1, 0], [0, 1]])
    expectError(.shape, containing: "1 labels for 2 rows") { _ = try trainer.evaluate(rows, [0]) }
    expectError(.data, containing: "row 1", "2") { _ = try trainer.evaluate(rows, [0, 2]) }
    expectError(.unsupported, containing: "average") { _ = try trainer.evaluate(rows, [0, 1], by: "average") }
  }
}

@Suite("CSV columns by name") struct CSVColumnTests {
  private func read(_ path: String, _ names: [String]) throws -> Dataset {
    try Dataset(csv: path, encoding: TableEncoding(numericColumns: names))
  }

  @Test func columnsAreFoundByName() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write("b,label,a\n1,x,2\n3,,4\n", to: "t.csv")
    let data = try read(path, ["a", "b"])
    #expect(data.features.values == [2, 1, 4, 3] && data.featureNames == ["a", "b"])
    #expect(data.labels == [0, -1] && data.classNames == ["x"])
    expectError(.data, containing: "no column \"c\"") { _ = try read(path, ["a", "b", "c"]) }
    expectError(.data, containing: "\"b\"", "label column") { _ = try read(path, ["a"]) }
    let bare = try directory.write("1,2\n3,4\n", to: "bare.csv")
    #expect(try read(bare, ["a", "b"]).features.values == [1, 2, 3, 4])
  }

  @Test func equalNamesStandInPlace() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write("a,a\n1,2\n", to: "t.csv")
    #expect(try read(path, ["a", "a"]).features.values == [1, 2])
    let mixed = try directory.write("a,b,a\n1,2,3\n", to: "m.csv")
    expectError(.data, containing: "two columns", "\"a\"") { _ = try read(mixed, ["a", "b"]) }
  }
}
