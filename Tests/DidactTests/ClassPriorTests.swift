import Testing

@testable import Didact

@Suite struct ClassPriorTests {
  /// Where a network is certain, the estimate is what it says, drawn to the labels' shares; where it knows nothing, these.
  @Test func estimateIsTheFixedPoint() throws {
    let certain = try Tensor(rows: Array(repeating: [1.0, 0], count: 8) + Array(repeating: [0, 1.0], count: 2))
    let shares = ClassPrior.estimated(certain, labels: [0.5, 0.5])
    #expect(abs(shares[0] - (0.9 * 0.8 + 0.1 * 0.5)) < 1e-4 && abs(shares[0] + shares[1] - 1) < 1e-12)
    let unsure = try Tensor(rows: Array(repeating: [0.3, 0.7], count: 5))
    #expect(ClassPrior.estimated(unsure, labels: [0.3, 0.7]).map { ($0 * 1e6).rounded() } == [300_000, 700_000])

    let rows = [[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.2, 0.8], [0.7, 0.3]], r = [0.4, 0.6]
    let found = ClassPrior.estimated(try Tensor(rows: rows), labels: r)
    let posterior = rows.map { p in
      let q = zip(zip(p, found), r).map { $0.0 * $0.1 / $1 }
      return q[0] / (q[0] + q[1])
    }
    #expect(abs(found[0] - (0.9 * posterior.reduce(0, +) / 5 + 0.1 * 0.4)) < 1e-5)
    // A class without labels has no share.
    #expect(ClassPrior.estimated(try Tensor(rows: [[0.5, 0.2, 0.3]]), labels: [0.5, 0.5, 0])[2] == 0)
  }

  @Test func repetitionsFollowTheWeights() {
    let most = RowRepetition.most
    #expect(RowRepetition.counts([1, 1, 1]) == [1, 1, 1])
    #expect(RowRepetition.counts([2, 0, 6]) == [1, 0, 3])
    #expect(RowRepetition.counts([1, 1.5]) == [2, 3])
    #expect(RowRepetition.counts([0, 0]) == [0, 0] && RowRepetition.counts([]) == [])
    #expect(RowRepetition.counts([1e-323, 1]) == [1, most])
    #expect(RowRepetition.counts([1e308, 5e-324, 1e308]) == [most, 1, most])
    for pair in [[1, 1.37], [0.2, 0.71], [1, 28.4]] {
      let counts = RowRepetition.counts(pair), found = Double(counts[1]) / Double(counts[0])
      #expect(abs(found / (pair[1] / pair[0]) - 1) < 0.11, "\(pair) \(counts)")
    }
  }

  @Test func repetitionsGiveTheShares() {
    func counts(_ classes: [Int], _ shares: [Double], _ weights: [Double]? = nil) -> [Int] {
      let weights = weights ?? Array(repeating: 1, count: classes.count)
      return RowRepetition.counts(RowRepetition.weights(weights, of: classes, for: shares))
    }
    #expect(counts([0, 1], [0.9, 0.1]) == [9, 1])
    #expect(counts([0, 1, 1, 1, 1], [1, 1]) == [4, 1, 1, 1, 1])
    #expect(counts([0, 1], [1, 0]) == [RowRepetition.most, 1])
    #expect(counts([0, 2], [0.2, 0.6, 0.4]) == [1, 2])
    #expect(counts([0, 1], [0, 0]) == [1, 1])
    // Within a class rows count as they weigh; a row of weight 0 is never drawn.
    #expect(counts([0, 0, 1, 1], [1, 1], [1, 3, 7, 0]) == [1, 3, 4, 0])
    #expect(counts([0, 0, 1], [1, 1], [1e308, 1e308, 1e-300]) == [1, 1, 2])
  }

  private static func configuration(_ changes: JSONObject) throws -> JSONObject {
    try Training.configuration(Training.fitKeys("supervised").setting(["method": "supervised"]).setting(changes))
  }

  /// Shares are what repeated rows are.
  @Test func sharesRepeatLabelledRows() throws {
    let (features, labels) = try Training.points(), known = labels.indices.filter { labels[$0] >= 0 }
    let plain = try Self.configuration(["steps": 7, "input_scaling": "none"])
    let weighted = try Trainer(configuration: plain.setting(["class_prior": [3, 1, 1]]))
    try weighted.fit(features, labels)
    let repeated = known.flatMap { Array(repeating: $0, count: labels[$0] == 0 ? 3 : 1) }
    let rows = try Tensor(
      repeated.flatMap { row in (0..<3).map { features[row * 3 + $0] } }, shape: Shape(repeated.count, 3))
    let copied = try Trainer(configuration: plain)
    try copied.fit(rows, repeated.map { labels[$0] })
    #expect(weighted.student.parameters.bytes == copied.student.parameters.bytes)
    let even = try Trainer(configuration: plain)
    try even.fit(features, labels)
    #expect(weighted.student.parameters.bytes != even.student.parameters.bytes)
  }

  /// Weights are what repeated rows are, and no weight is no label.
  @Test func weightsRepeatLabelledRows() throws {
    let (features, labels) = try Training.points()
    let plain = try Self.configuration(["steps": 7, "input_scaling": "none"])
    let weights = labels.indices.map { [2, 1, 1, 0, 1, 1][$0 % 6] }.map(Double.init)
    let weighted = try Trainer(configuration: plain)
    try weighted.fit(features, labels, sampleWeights: weights)
    let repeated = (0..<6).flatMap { Array(repeating: $0, count: Int(weights[$0])) }
    let rows = try Tensor(
      repeated.flatMap { row in (0..<3).map { features[row * 3 + $0] } }, shape: Shape(repeated.count, 3))
    let copied = try Trainer(configuration: plain)
    try copied.fit(rows, repeated.map { labels[$0] })
    #expect(weighted.student.parameters.bytes == copied.student.parameters.bytes)
    // Of rows without a label they say nothing.
    let alike = try Trainer(configuration: plain), none = try Trainer(configuration: plain)
    try alike.fit(features, labels, sampleWeights: labels.map { $0 < 0 ? 9 : 1 })
    try none.fit(features, labels)
    #expect(alike.student.parameters.bytes == none.student.parameters.bytes)

    func refusal(_ weights: [Double]) throws -> String {
      let trainer = try Trainer(configuration: plain)
      return Training.error { try trainer.fit(features, labels, sampleWeights: weights) }.message
    }
    #expect(try refusal([1, 2]).contains("[2]; give one number for each of the 60 rows"))
    #expect(try refusal(labels.indices.map { $0 == 7 ? -1 : 1 }).contains("row 7"))
    #expect(try refusal(labels.indices.map { $0 == 9 ? .nan : 1 }).contains("row 9"))
    #expect(try refusal(labels.map { _ in 0 }).contains("no row has a label and a weight above 0"))
    #expect(try refusal(labels.map { $0 == 1 ? 1 : 0 }).contains("are class 1"))
  }

  /// Two groups of rows, `first` of 200 in the first one, and five labels of each.
  private func groups(first: Int) throws -> (features: Tensor, labels: [Int]) {
    let features = try randomTensor(Shape(200, 2), seed: 3, scale: 0.5)
    var labels = Array(repeating: -1, count: 200)
    for row in 0..<200 {
      features[2 * row] += row < first ? 2 : -2
      if row < 5 { labels[row] = 0 }
      if row >= 195 { labels[row] = 1 }
    }
    return (features, labels)
  }

  @Test func estimateFindsUnevenRowsAndLeavesEvenOnes() throws {
    let base: JSONObject = [
      "network": ["type": "mlp", "inputs": 2, "hidden": [8], "classes": 2], "steps": 60, "class_prior": "estimate",
      "members": [["method": "supervised"]],
    ]
    let configuration = try Training.configuration(Training.fitKeys().setting(base))
    let (features, labels) = try groups(first: 180)
    let whole = try Trainer(configuration: configuration), interrupted = try Trainer(configuration: configuration)
    try whole.fit(features, labels)
    let shares = try #require(whole.estimatedShares)
    // Half way to 0.9 · 0.9 + 0.1 · 0.5, in logarithms: the odds are the root of 0.86 to 0.14.
    #expect(abs(shares[0] / shares[1] - (0.86 / 0.14).squareRoot()) < 0.3)
    // A fit that goes on from a file has the shares that it began with.
    try interrupted.fit(features, labels, steps: 20)
    let resumed = try interrupted.copy()
    #expect(resumed.estimatedShares == shares)
    try resumed.fit(features, labels, steps: 0)
    try resumed.fit(features, labels)
    #expect(Trainer.differences(whole, resumed) == [])
    #expect(Trainer.differences(whole.members[0], resumed.members[0]) == [])

    let (even, evenLabels) = try groups(first: 110)
    let left = try Trainer(configuration: configuration)
    try left.fit(even, evenLabels)
    #expect(left.estimatedShares == nil)
    let none = try Trainer(configuration: configuration.setting(["class_prior": "none"]))
    try none.fit(even, evenLabels)
    #expect(none.student.parameters.bytes == left.student.parameters.bytes)
  }

  @Test func wrongPriorsAreRefused() throws {
    func message(_ value: JSON) -> String {
      Training.error { _ = try Trainer(configuration: Self.configuration(["class_prior": value])) }.message
    }
    #expect(message([1, 2]).contains("2 shares for 3 classes"))
    #expect(message([0, 0, 0]).contains("not all 0"))
    #expect(
      message([1, -1, 1]).contains("\"class_prior\" must be \"none\", \"labels\", \"estimate\", or a list of numbers"))
    #expect(message("even").contains("must be"))
    let member = Training.error {
      _ = try Trainer(configuration: Self.configuration(["members": [["class_prior": "estimate"]]]))
    }
    #expect(member.message.contains("members[0]") && member.message.contains("same for all members"))
  }
}
