import Testing

@testable import Didact

@Suite struct MemberTests {
  private static func configuration(_ members: [JSON]) throws -> JSONObject {
    try Training.configuration(
      Training.fitKeys().setting(["steps": 6, "dtype": "float64", "members": .array(members)]))
  }

  /// A fit trains each as it would be trained by itself; what predicts is the mean, which evaluation and files know too.
  @Test func membersLearnAsTheyWouldAloneAndTheirMeanPredicts() throws {
    let (features, labels) = try Training.points()
    let trainer = try Trainer(
      configuration: Self.configuration([["method": "supervised"], ["method": "mean_teacher", "strong_noise": 0.3]]))
    try trainer.fit(features, labels)
    var sum = try trainer.predictProbabilities(features, by: trainer.networkRoles[2]).values
    for member in trainer.members {
      let alone = try Trainer(configuration: member.configuration.object)
      try alone.fit(features, labels)
      #expect(Trainer.differences(alone, member) == [])
      sum = zip(sum, try member.predictProbabilities(features).values).map { $0 + $1 }
    }
    #expect(trainer.networkRoles == ["student", "teacher", "average", "ensemble"])
    #expect(trainer.predictorRole == "ensemble")
    let mean = try trainer.predictProbabilities(features).values
    #expect(zip(mean, sum).allSatisfy { abs($0 - $1 / 3) < 1e-15 })

    let copy = try trainer.copy()
    #expect(try copy.predictProbabilities(features).values == mean)
    let known = labels.map { max(0, $0) }
    #expect(try copy.evaluate(features, known) == trainer.evaluate(features, known, by: "ensemble"))
  }

  /// Where a member cannot go on, each trainer is as after its own last step, and a fit goes on from there.
  @Test func aMemberThatFailsCostsTheOthersNothing() throws {
    let (features, labels) = try Training.points()
    let configuration = try Self.configuration([["method": "supervised"]])
    let whole = try Trainer(configuration: configuration), failed = try Trainer(configuration: configuration)
    try whole.fit(features, labels)
    try failed.fit(features, labels, steps: 3)
    let parameters = failed.members[0].student.parameters, kept = parameters[0]
    parameters[0] = .nan
    let error = Training.error { try failed.fit(features, labels) }
    #expect(error.code == .diverged && error.message.hasPrefix("members[0]: step 3"), "\(error)")
    #expect(failed.steps == 4 && failed.members[0].steps == 2)
    #expect(kept.isFinite)
    try failed.fit(features, labels)
    #expect(Trainer.differences(whole, failed) == [])
    #expect(Trainer.differences(whole.members[0], failed.members[0]) == [])
  }
}
