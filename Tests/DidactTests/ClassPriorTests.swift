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

  @Test func repetitionsGiveTheShares() {
    #expect(ClassPrior.repetitions(of: [5, 5], for: [0.9, 0.1]) == [9, 1])
    #expect(ClassPrior.repetitions(of: [2, 8], for: [1, 1]) == [4, 1])
    #expect(ClassPrior.repetitions(of: [5, 5], for: [1, 0]) == [ClassPrior.mostRepetitions, 1])
    #expect(ClassPrior.repetitions(of: [5, 0, 5], for: [0.2, 0.6, 0.4])[0] == 1)
    #expect(ClassPrior.repetitions(of: [5, 0, 5], for: [0.2, 0.6, 0.4])[2] == 2)
    #expect(ClassPrior.repetitions(of: [3, 4], for: [0, 0]) == [1, 1])
    let most = ClassPrior.mostRepetitions
    #expect(ClassPrior.repetitions(of: [1, 1], for: [1e-323, 0]) == [most, 1])
    #expect(ClassPrior.repetitions(of: [1, 1, 1], for: [1e308, 5e-324, 1e308]) == [most, 1, most])
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
