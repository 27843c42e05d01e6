import Testing

@testable import Didact

/// The gradient on trusted rows itself is among the cases of `MetaGradientTests`.
@Suite struct TrustedRowsTests {
  private static let trusted = [0, 1, 2, 3]

  private static func trainer(_ method: String = "meta_pseudo_labels", changes: JSONObject = [:]) throws -> Trainer {
    let keys: JSONObject = ["method": .string(method), "steps": 12, "weak_noise": 0.05]
    return try Trainer(configuration: Training.configuration(Training.fitKeys(method).setting(keys).setting(changes)))
  }

  /// Labels of which half are wrong, and rows whose labels are right.
  private static func data() throws -> (features: Tensor, labels: [Int], trusted: (inputs: Tensor, labels: [Int])) {
    let (features, labels) = try Training.points()
    let noisy = labels.indices.map { $0 < 30 ? ($0 + $0 / 3 % 2) % 3 : -1 }
    let inputs = try randomTensor(Shape(4, 3), seed: 501, scale: 0.7), own = [0, 1, 2, 1]
    for row in 0..<4 { inputs[row * 3 + own[row]] += 2 }
    #expect(noisy.prefix(6) != labels.prefix(6))
    return (features, noisy, (inputs, own))
  }

  /// Trusted rows change the teacher alone, by the feedback alone.
  @Test func onlyTheFeedbackSeesThem() throws {
    let data = try Self.data()
    func run(_ changes: JSONObject, isTrusted: Bool) throws -> Trainer {
      let trainer = try Self.trainer(changes: changes)
      try trainer.fit(data.features, data.labels, trusted: isTrusted ? data.trusted : nil, steps: 1)
      return trainer
    }
    let with = try run([:], isTrusted: true), without = try run([:], isTrusted: false)
    #expect(with.student.parameters.bytes == without.student.parameters.bytes)
    #expect(try with.network("teacher").parameters.bytes != without.network("teacher").parameters.bytes)
    let off: JSONObject = ["feedback_weight": 0]
    #expect(
      try run(off, isTrusted: true).network("teacher").parameters.bytes
        == run(off, isTrusted: false).network("teacher").parameters.bytes)
  }

  /// Rows that are trusted and labelled are as rows that are labelled alone, bit for bit, in steps.
  @Test(arguments: ["exact", "gradient_dot", "loss_difference"]) func labelledRowsAreTheirOwnJudges(feedback: String)
    throws
  {
    let configuration = Training.configuration(["feedback": .string(feedback)])
    let plain = try Trainer(configuration: configuration), trusting = try Trainer(configuration: configuration)
    for number in 0..<3 {
      let batch = try Training.Batches(UInt64(number))
      try plain.step(batch.inputs, Training.labels, unlabeled: batch.weak, strong: batch.strong)
      try trusting.step(
        batch.inputs, Training.labels, unlabeled: batch.weak, strong: batch.strong,
        trusted: (batch.inputs, Training.labels))
    }
    #expect(Trainer.differences(plain, trusting) == [])
  }

  /// A fit in two parts is the fit, over a copy too, and knows the trusted rows among its data.
  @Test(arguments: ["meta_pseudo_labels", "reduced_meta_pseudo_labels"]) func fitsGoOn(method: String) throws {
    let data = try Self.data(), whole = try Self.trainer(method), half = try Self.trainer(method)
    try whole.fit(data.features, data.labels, trusted: data.trusted)
    try half.fit(data.features, data.labels, trusted: data.trusted, steps: 5)
    let resumed = try half.copy()
    try resumed.fit(data.features, data.labels, trusted: data.trusted)
    #expect(Trainer.differences(whole, resumed) == [])
    #expect(whole.dataDigest == resumed.dataDigest)
    let other = try Self.trainer(method)
    try other.fit(data.features, data.labels)
    #expect(other.dataDigest != whole.dataDigest && other.rowsDigest == whole.rowsDigest)
    let second = method == "meta_pseudo_labels" ? "teacher" : "corrector"
    #expect(try other.network(second).parameters.bytes != whole.network(second).parameters.bytes)
  }

  /// Members that have a feedback use them, others do not.
  @Test func membersShareThem() throws {
    let data = try Self.data(), members: JSON = [["method": "supervised"], ["method": "meta_pseudo_labels"]]
    let with = try Self.trainer(changes: ["members": members]),
      without = try Self.trainer(changes: ["members": members])
    try with.fit(data.features, data.labels, trusted: data.trusted)
    try without.fit(data.features, data.labels)
    #expect(with.members[0].student.parameters.bytes == without.members[0].student.parameters.bytes)
    #expect(with.members[1].student.parameters.bytes != without.members[1].student.parameters.bytes)
  }

  @Test func refusals() throws {
    let data = try Self.data(), inputs = data.trusted.inputs
    func refusal(
      _ trusted: (inputs: Tensor, labels: [Int]), labels: [Int]? = nil, method: String = "meta_pseudo_labels"
    )
      throws -> DidactError
    {
      let trainer = try Self.trainer(method)
      let error = Training.error { try trainer.fit(data.features, labels ?? data.labels, trusted: trusted) }
      #expect(trainer.steps == 0)
      return error
    }
    let expected: [(DidactError, DidactError.Code, String)] = [
      (try refusal(data.trusted, method: "supervised"), .unsupported, "no feedback"),
      (try refusal((inputs, [0, 1, 2, -1])), .data, "row 3 has no label"),
      (try refusal((inputs, [1, 1, 1, 1])), .data, "all trusted labels are class 1"),
      (
        try refusal(data.trusted, labels: data.labels.map { $0 == 2 ? -1 : $0 }), .data,
        "class 2, which no labelled row has"
      ),
      (try refusal(data.trusted, labels: [0, 1, 2] + Array(repeating: -1, count: 57)), .data, "4 trusted rows and 3"),
      (try refusal((inputs, [0, 1, 2])), .shape, "y_trusted"),
      (try refusal((inputs, [0, 1, 2, 3])), .data, "y_trusted"),
      (try refusal((randomTensor(Shape(4, 2), seed: 1), [0, 1, 2, 1])), .shape, "X_trusted"),
      (
        try refusal((Tensor(Array(repeating: .nan, count: 12), shape: Shape(4, 3)), [0, 1, 2, 1])), .data,
        "X_trusted, row 0"
      ),
    ]
    for (error, code, part) in expected {
      #expect(error.code == code && error.message.contains(part), "\(error.message)")
    }
    let trainer = try Trainer(configuration: Training.configuration(["method": "fixmatch"]))
    let batch = try Training.Batches(0)
    let step = Training.error {
      try trainer.step(
        batch.inputs, Training.labels, unlabeled: batch.weak, trusted: (batch.inputs, Training.labels))
    }
    #expect(step.code == .unsupported && trainer.steps == 0)
  }
}
