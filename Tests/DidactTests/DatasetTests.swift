import Testing

@testable import Didact

@Suite("Datasets") struct DatasetTests {
  // MARK: Digits

  @Test func digitsAreScikitLearns() throws {
    let data = try Dataset.digits()
    try data.validate()
    #expect(data.features.shape == Shape(1797, 64) && data.features.elementType == .uint8)
    #expect(data.features.values.reduce(0, +) == 561_718)
    #expect(
      (0..<10).map { digit in data.labels.filter { $0 == digit }.count }
        == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    #expect(data.labels.prefix(10) == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    #expect(data.features.rows(1796..<1797).values.prefix(16) == [0, 0, 10, 14, 8, 1, 0, 0, 0, 2, 16, 14, 6, 1, 0, 0])
    #expect(data.labels[1796] == 8)
    #expect(data.classNames == (0..<10).map(String.init))
    #expect(data.featureNames.first == "pixel_0_0" && data.featureNames.last == "pixel_7_7")
  }

  // MARK: Two moons

  @Test func twoMoonsHaveScikitLearnsGeometry() throws {
    let data = try Dataset.twoMoons(perMoon: 3, noise: 0, seed: 0)
    let expected = [1, 0, 0, 1, -1, 0, 0, 0.5, 1, -0.5, 2, 0.5]
    for (value, reference) in zip(data.features.values, expected) { #expect(abs(value - reference) < 1e-15) }
    #expect(data.labels == [0, 0, 0, 1, 1, 1])
    #expect(data.features.elementType == .float64)
  }

  @Test func twoMoonsNoiseHasItsDeviationAndSeed() throws {
    let clean = try Dataset.twoMoons(noise: 0, seed: 1), noisy = try Dataset.twoMoons(seed: 1)
    #expect(noisy.features.shape == Shape(2000, 2))
    let noise = zip(noisy.features.values, clean.features.values).map(-)
    let mean = noise.reduce(0, +) / 4000
    let deviation = (noise.map { $0 * $0 }.reduce(0, +) / 4000).squareRoot()
    #expect(abs(mean) < 0.006 && abs(deviation - 0.1) < 0.005)
    #expect(try Dataset.twoMoons(seed: 1).features.bytes == noisy.features.bytes)
    #expect(try Dataset.twoMoons(seed: 2).features.bytes != noisy.features.bytes)
    try noisy.validate()
    #expect(try Dataset.twoMoons(perMoon: 1, noise: 0, seed: 0).features.values == [1, 0, 0, 0.5])
  }

  @Test func twoMoonsRefuseBadArguments() {
    for count in [0, -1, Int.max] {
      expectError(.invalidArgument, containing: "\(count) points") { _ = try Dataset.twoMoons(perMoon: count, seed: 0) }
    }
    for noise in [-0.1, .nan, .infinity] {
      expectError(.invalidArgument, containing: "noise") { _ = try Dataset.twoMoons(noise: noise, seed: 0) }
    }
  }

  // MARK: Checks

  private func small(labels: [Int] = [0, 1, -1]) throws -> Dataset {
    Dataset(
      features: try Tensor(rows: [[1, 2], [3, 4], [5, 6]]), labels: labels, classNames: ["a", "b"],
      featureNames: ["width", "height"])
  }

  @Test func refusesValuesThatAreNotFinite() throws {
    var data = try small()
    data.features[3] = .nan
    expectError(.data, containing: "features, row 1, column 1 (\"height\"): nan") { try data.validate() }
    data = try small()
    data.unlabeled = try Tensor([1, 2, -.infinity, 4], shape: Shape(2, 2), elementType: .float32)
    expectError(.data, containing: "unlabeled, row 1, column 0 (\"width\"): -inf") { try data.validate() }
    data = try small()
    data.testFeatures = try Tensor(rows: [[.infinity, 0]])
    expectError(.data, containing: "test features, row 0") { try data.validate() }
  }

  @Test func refusesLabelsOutOfRange() throws {
    try small().validate()
    expectError(.data, containing: "row 1: label 2") { try small(labels: [0, 2, -1]).validate() }
    expectError(.data, containing: "row 2: label -2") { try small(labels: [0, 1, -2]).validate() }
    expectError(.shape, containing: "2 labels for 3 rows") { try small(labels: [0, 1]).validate() }
    var data = try small()
    data.testFeatures = try Tensor(rows: [[1, 2]])
    data.testLabels = [-1]
    expectError(.data, containing: "test row 0: label -1") { try data.validate() }
    data.testLabels = [0, 1]
    expectError(.shape, containing: "2 test labels for 1 test rows") { try data.validate() }
  }

  @Test func refusesShapesThatDoNotFit() throws {
    var data = try small()
    data.unlabeled = try Tensor(rows: [[1, 2, 3]])
    expectError(.shape, containing: "unlabeled: 3 columns") { try data.validate() }
    data = try small()
    data.featureNames = ["width"]
    expectError(.shape, containing: "1 feature names for 2 columns") { try data.validate() }
    let cube = Dataset(features: try Tensor(try Shape(checking: [1, 2, 3]), .float32), labels: [0], classNames: ["a"])
    expectError(.shape, containing: "[1, 2, 3]") { try cube.validate() }
    let empty = Dataset(features: try Tensor(Shape(0, 3), .float32), labels: [], classNames: ["a"])
    expectError(.shape, containing: "no rows") { try empty.validate() }
  }

  // MARK: Rows

  @Test func selectsRowsOfEveryType() throws {
    for elementType in ElementType.allCases {
      let matrix = try Tensor([0, 1, 2, 3, 4, 5], shape: Shape(3, 2), elementType: elementType)
      let selected = try matrix.selectingRows([2, 0, 2])
      #expect(selected.values == [4, 5, 0, 1, 4, 5] && selected.elementType == elementType)
    }
    let cube = try Tensor((0..<12).map(Double.init), shape: try Shape(checking: [3, 2, 2]))
    #expect(try cube.selectingRows([1]).values == [4, 5, 6, 7])
    #expect(try cube.selectingRows([1]).shape.dimensions == [1, 2, 2])
    #expect(try cube.selectingRows([]).shape.dimensions == [0, 2, 2])
    expectError(.invalidArgument, containing: "no row 3") { _ = try cube.selectingRows([0, 3]) }
    expectError(.invalidArgument, containing: "no row -1") { _ = try cube.selectingRows([-1]) }
  }

  // MARK: Keeping labels

  @Test func keepsBalancedLabels() throws {
    let digits = try Dataset.digits()
    let kept = try digits.keepingLabels(40, seed: 3)
    for digit in 0..<10 { #expect(kept.labels.filter { $0 == digit }.count == 4) }
    for (row, label) in kept.labels.enumerated() where label >= 0 { #expect(label == digits.labels[row]) }
    #expect(try digits.keepingLabels(40, seed: 3).labels == kept.labels)
    #expect(try digits.keepingLabels(40, seed: 4).labels != kept.labels)
    #expect(kept.features.bytes == digits.features.bytes)
    // A larger choice contains the smaller one.
    let more = try digits.keepingLabels(100, seed: 3)
    #expect(zip(kept.labels, more.labels).allSatisfy { $0 == -1 || $0 == $1 })
  }

  @Test func distributesTheRemainderAtRandom() throws {
    let digits = try Dataset.digits()
    var chosen = Set<[Int]>()
    for seed: UInt64 in 0..<10 {
      let kept = try digits.keepingLabels(43, seed: seed)
      let counts = (0..<10).map { digit in kept.labels.filter { $0 == digit }.count }
      #expect(counts.sorted() == [4, 4, 4, 4, 4, 4, 4, 5, 5, 5])
      chosen.insert(counts)
    }
    #expect(chosen.count > 1)
  }

  @Test func refusesMoreLabelsThanThereAre() throws {
    expectError(.data, containing: "need 2 of class \"a\", but it has only 1") {
      _ = try small().keepingLabels(4, seed: 0)
    }
    expectError(.data, containing: "need 175 of class \"8\", but it has only 174") {
      _ = try Dataset.digits().keepingLabels(1750, seed: 0)
    }
    expectError(.invalidArgument, containing: "at least 1") { _ = try small().keepingLabels(0, seed: 0) }
    var unlabeled = try small(labels: [-1, -1, -1])
    expectError(.data, containing: "has only 0") { _ = try unlabeled.keepingLabels(2, seed: 0) }
    unlabeled.classNames = []
    expectError(.data, containing: "has none") { _ = try unlabeled.keepingLabels(2, seed: 0) }
    #expect(try small().keepingLabels(2, seed: 0).labels == [0, 1, -1])
  }

  // MARK: Held-out part

  @Test func splitsEveryClassAlike() throws {
    let digits = try Dataset.digits()
    let split = try digits.stratifiedSplit(seed: 0)
    try split.validate()
    let testLabels = try #require(split.testLabels), testFeatures = try #require(split.testFeatures)
    // scikit-learn's train_test_split holds out as many.
    #expect(testLabels.count == 450 && testFeatures.rows == 450 && split.rows == 1347)
    #expect(testFeatures.elementType == .uint8)
    for digit in 0..<10 {
      let all = digits.labels.filter { $0 == digit }.count, test = testLabels.filter { $0 == digit }.count
      #expect(abs(Double(test) - Double(all) / 4) < 1)
      #expect(split.labels.filter { $0 == digit }.count == all - test)
    }
    // Nothing is lost or doubled.
    #expect(split.features.values.reduce(0, +) + testFeatures.values.reduce(0, +) == 561_718)
    #expect(try digits.stratifiedSplit(seed: 0).testLabels == testLabels)
    #expect(try digits.stratifiedSplit(seed: 1).testFeatures?.bytes != testFeatures.bytes)
  }

  @Test func splitKeepsRowsWithTheirLabels() throws {
    let rows = (0..<40).map { [Double($0)] }
    let labels = (0..<40).map { $0 % 5 == 4 ? -1 : $0 % 2 }
    let data = Dataset(features: try Tensor(rows: rows), labels: labels, classNames: ["a", "b"])
    let split = try data.stratifiedSplit(testFraction: 0.5, seed: 9)
    for (value, label) in zip(split.features.values, split.labels) { #expect(labels[Int(value)] == label) }
    let testValues = try #require(split.testFeatures?.values), testLabels = try #require(split.testLabels)
    for (value, label) in zip(testValues, testLabels) { #expect(labels[Int(value)] == label) }
    #expect(Set(split.features.values + testValues).count == 40)
    #expect(testLabels.count == 16 && split.labels.filter { $0 == -1 }.count == 8)
    #expect(testValues == testValues.sorted())
  }

  @Test func splitLeavesARowOfEachClass() throws {
    let data = Dataset(
      features: try Tensor(rows: [[0], [1], [2], [3]]), labels: [0, 0, 1, 1], classNames: ["a", "b"])
    let split = try data.stratifiedSplit(testFraction: 0.9, seed: 0)
    #expect(split.labels.sorted() == [0, 1] && split.testLabels?.sorted() == [0, 1])
  }

  @Test func splitRefusesWhatItCannotSplit() throws {
    expectError(.data, containing: "class \"a\" has a single") { _ = try small().stratifiedSplit(seed: 0) }
    expectError(.data, containing: "no row has a label") {
      _ = try small(labels: [-1, -1, -1]).stratifiedSplit(seed: 0)
    }
    for fraction in [0, 1, -0.5, .nan] {
      expectError(.invalidArgument, containing: "between 0 and 1") {
        _ = try small().stratifiedSplit(testFraction: fraction, seed: 0)
      }
    }
    let split = try Dataset.digits().stratifiedSplit(seed: 0)
    expectError(.state, containing: "already") { _ = try split.stratifiedSplit(seed: 0) }
  }
}
