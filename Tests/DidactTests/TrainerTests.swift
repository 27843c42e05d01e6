import Testing

@testable import Didact

/// Batches and trainers for the tests of training.
enum Training {
  static let network: JSONObject = [
    "type": "mlp", "inputs": 3, "hidden": [6], "classes": 3, "activation": "swish", "batch_norm": true, "dropout": 0.2,
  ]

  static func configuration(_ changes: JSONObject = [:]) -> JSONObject {
    let base: JSONObject = [
      "method": "meta_pseudo_labels", "network": .object(network), "seed": 3, "average_decay": 0.9,
    ]
    return base.setting(changes)
  }

  static let labels = [0, 1, 2, 1, 0]

  struct Batches {
    let inputs, weak, strong: Tensor

    init(_ number: UInt64, _ elementType: ElementType = .float64) throws {
      inputs = try randomTensor(Shape(5, 3), elementType, seed: 200 + number)
      weak = try randomTensor(Shape(8, 3), elementType, seed: 300 + number)
      strong = try randomTensor(Shape(8, 3), elementType, seed: 400 + number)
    }
  }

  /// Three clouds of points for `fit`, two labelled rows in each.
  static func points() throws -> (features: Tensor, labels: [Int]) {
    let rows = 60, features = try randomTensor(Shape(rows, 3), seed: 500, scale: 0.7)
    for row in 0..<rows { features[row * 3 + row % 3] += 2 }
    return (features, (0..<rows).map { $0 < 6 ? $0 % 3 : -1 })
  }

  /// Small batches and what a teacher said of `points`, for the keys that the method has.
  static func fitKeys(_ method: String = "meta_pseudo_labels") throws -> JSONObject {
    let keys: JSONObject = [
      "labeled_batch_size": 4, "unlabeled_batch_size": 9,
      "teacher_distributions": .string(fixture("distributions.safetensors")),
    ]
    let known = try Trainer.fields(method: method).map(\.key)
    return JSONObject(keys.members.filter { known.contains($0.key) })
  }

  /// The code and message of what `body` throws.
  static func error(_ body: () throws -> Void) -> DidactError {
    do {
      try body()
    } catch let error as DidactError {
      return error
    } catch {
      return DidactError(.internalError, "another kind of error: \(error)")
    }
    return DidactError(.internalError, "nothing was thrown")
  }
}

// MARK: - Steps

@Suite struct StepTests {
  static let feedbacks = ["exact", "gradient_dot", "loss_difference"]

  @Test(arguments: feedbacks, ["float32", "float64"])
  func stepIsItsThreeParts(feedback: String, elementType: String) throws {
    for changes: JSONObject in [[:], ["pseudo_label_view": "weak"], ["eman": true], ["average_statistics": true]] {
      let configuration = Training.configuration(changes).setting([
        "feedback": .string(feedback), "dtype": .string(elementType),
      ])
      let whole = try Trainer(configuration: configuration), parts = try Trainer(configuration: configuration)
      for number in 0..<4 {
        let batches = try Training.Batches(UInt64(number))
        try whole.step(batches.inputs, Training.labels, unlabeled: batches.weak, strong: batches.strong)
        try parts.studentStep(batches.weak, strong: batches.strong)
        try parts.teacherStep(batches.inputs, Training.labels)
        try parts.updateAverage()
        #expect(Trainer.differences(whole, parts) == [], "step \(number)")
        #expect(whole.lastMetrics == parts.lastMetrics)
      }
      #expect(whole.steps == 4 && whole.history.count == 4)
    }
  }

  @Test(arguments: ["meta_pseudo_labels", "supervised"]) func everyStepMovesEverything(method: String) throws {
    let trainer = try Trainer(configuration: Training.configuration(["method": .string(method)]))
    let batches = try Training.Batches(0), before = trainer.snapshot
    try trainer.step(batches.inputs, Training.labels, unlabeled: batches.weak)
    let moving = before.keys.filter { !$0.hasSuffix("feedback_baseline") }
    #expect(Set(Trainer.differences(before, trainer.snapshot)).isSuperset(of: moving))
  }

  @Test func strongViewIsOptional() throws {
    let given = try Trainer(configuration: Training.configuration()),
      omitted = try Trainer(configuration: Training.configuration())
    let batches = try Training.Batches(0)
    try given.step(batches.inputs, Training.labels, unlabeled: batches.weak, strong: batches.weak)
    try omitted.step(batches.inputs, Training.labels, unlabeled: batches.weak)
    #expect(Trainer.differences(given, omitted) == [])
    let other = try Trainer(configuration: Training.configuration())
    try other.step(batches.inputs, Training.labels, unlabeled: batches.weak, strong: batches.strong)
    #expect(Trainer.differences(given, other) != [])
  }

  @Test func orderOfTheHalves() throws {
    let trainer = try Trainer(configuration: Training.configuration()), batches = try Training.Batches(0)
    func teacherStepFails() throws {
      let before = trainer.snapshot
      let error = Training.error { try trainer.teacherStep(batches.inputs, Training.labels) }
      #expect(error.code == .state)
      #expect(Trainer.differences(before, trainer.snapshot) == [])
    }
    try teacherStepFails()
    try trainer.studentStep(batches.weak)
    try trainer.teacherStep(batches.inputs, Training.labels)
    try teacherStepFails()
    try trainer.step(batches.inputs, Training.labels, unlabeled: batches.weak)
    try teacherStepFails()
    // A refused batch leaves the student's step waiting for a good one.
    try trainer.studentStep(batches.weak)
    #expect(Training.error { try trainer.teacherStep(batches.inputs, [0, 1, 2, 1, 3]) }.code == .data)
    try trainer.teacherStep(batches.inputs, Training.labels)
    let joint = try Trainer(configuration: Training.configuration(["batch_composition": "joint"]))
    #expect(Training.error { try joint.studentStep(batches.weak) }.code == .state)
    let supervised = try Trainer(configuration: Training.configuration(["method": "supervised"]))
    #expect(Training.error { try supervised.studentStep(batches.weak) }.code == .unsupported)
  }

  @Test(arguments: feedbacks) func everyTermHasAGradient(feedback: String) throws {
    let trainer = try Trainer(
      configuration: Training.configuration(["feedback": .string(feedback), "uda_threshold": 0.2]))
    for number in 0..<3 {
      let batches = try Training.Batches(UInt64(number))
      let metrics = try trainer.step(batches.inputs, Training.labels, unlabeled: batches.weak, strong: batches.strong)
      #expect(metrics.names == trainer.method.metricNames)
      for term in ["student", "supervised", "uda", "feedback"] {
        #expect(metrics["gradient_norm/\(term)"]! > 1e-9, "\(term)")
        #expect(metrics["loss/\(term)"]! != 0, "\(term)")
      }
      #expect(metrics["feedback"]! != 0)
      #expect((0...1).contains(metrics["mask_rate"]!))
      #expect(metrics["learning_rate/student"] == 0.05 && metrics["learning_rate/teacher"] == 0.05)
    }
    #expect(trainer.history.count == 3 && trainer.history.last == trainer.lastMetrics)
  }

  /// The control of every report: weight 0 is the same run without the term, and its metrics read 0.
  @Test func weightZeroLeavesTheTermOut() throws {
    let zero = try Trainer(configuration: Training.configuration(["feedback_weight": 0]))
    let tiny = try Trainer(configuration: Training.configuration(["feedback_weight": 1e-300]))
    let one = try Trainer(configuration: Training.configuration())
    for number in 0..<3 {
      let batches = try Training.Batches(UInt64(number))
      for trainer in [zero, tiny, one] {
        try trainer.step(batches.inputs, Training.labels, unlabeled: batches.weak, strong: batches.strong)
      }
    }
    // A weight too small to move a bit differs in what is reported only.
    #expect(Trainer.differences(zero, tiny) == ["history"])
    #expect(Trainer.differences(zero, one).contains("4 teacher."))
    for key in ["loss/feedback", "gradient_norm/feedback", "feedback"] {
      #expect(zero.lastMetrics[key] == 0 && tiny.lastMetrics[key] != 0)
    }
  }

  /// The supervised term alone is supervised learning of the teacher.
  @Test func supervisedTermIsSupervisedLearning() throws {
    var plain = Training.network
    plain["dropout"] = 0
    let teacherOnly = try Trainer(
      configuration: Training.configuration([
        "network": .object(plain), "feedback_weight": 0, "uda_weight": 0, "pseudo_label_view": "weak",
        // The labelling forward must not move the statistics that are compared.
        "eman": true,
      ]))
    let supervised = try Trainer(
      configuration: Training.configuration(["method": "supervised", "network": .object(plain)]))
    let teacher = try teacherOnly.network("teacher")
    supervised.student.parameters.set(teacher.parameters.values)
    for number in 0..<3 {
      let batches = try Training.Batches(UInt64(number))
      try teacherOnly.step(batches.inputs, Training.labels, unlabeled: batches.weak, strong: batches.strong)
      try supervised.step(batches.inputs, Training.labels)
    }
    #expect(teacher.parameters.bytes == supervised.student.parameters.bytes)
    #expect(teacher.statistics.bytes == supervised.student.statistics.bytes)
  }

  /// One backward for the terms that share a forward learns what one for each learns.
  @Test(arguments: ["separate", "joint"], ["exact", "loss_difference"])
  func termsTogetherAreTermsApart(composition: String, feedback: String) throws {
    func trained(_ reportsNorms: Bool) throws -> Trainer {
      let trainer = try Trainer(
        configuration: Training.configuration([
          "term_gradient_norms": .boolean(reportsNorms), "batch_composition": .string(composition),
          "feedback": .string(feedback), "dtype": "float64", "uda_threshold": 0,
        ]))
      for number in 0..<3 {
        let batches = try Training.Batches(UInt64(number))
        try trainer.step(batches.inputs, Training.labels, unlabeled: batches.weak, strong: batches.strong)
      }
      return trainer
    }
    let apart = try trained(true), together = try trained(false)
    for role in ["teacher", "student"] {
      let a = try apart.network(role).parameters.values, b = try together.network(role).parameters.values
      #expect(relativeError(a, b) < 1e-12)
    }
    for term in ["supervised", "uda", "feedback"] {
      #expect(apart.lastMetrics["gradient_norm/\(term)"]! > 0 && together.lastMetrics["gradient_norm/\(term)"] == 0)
      #expect(abs(apart.lastMetrics["loss/\(term)"]! - together.lastMetrics["loss/\(term)"]!) < 1e-12)
    }
  }

  @Test func baselineStartsAtZeroAndIsSubtractedBeforeItMoves() throws {
    let decay = 0.75
    func trainer(_ changes: JSONObject) throws -> Trainer {
      try Trainer(
        configuration: Training.configuration(["feedback": "loss_difference", "dtype": "float64"]).setting(changes))
    }
    let with = try trainer(["feedback_baseline_decay": .number(decay)]), without = try trainer([:])
    var baseline = 0.0
    for number in 0..<3 {
      let batches = try Training.Batches(UInt64(number))
      if number == 1 {
        #expect(Trainer.differences(with, without) == ["8 feedback_baseline"], "the first baseline is 0")
      }
      for trainer in [with, without] {
        try trainer.step(batches.inputs, Training.labels, unlabeled: batches.weak, strong: batches.strong)
      }
      baseline = decay * baseline + (1 - decay) * with.lastMetrics["feedback"]!
      #expect(with.method.scalars.first!.value[0] == baseline)
    }
    #expect(Trainer.differences(with, without).contains("4 teacher."))
    #expect(
      Training.error { _ = try trainer(["feedback": "exact", "feedback_baseline_decay": 0.5]) }.code == .invalidArgument
    )
  }

  /// Bit for bit the student, where the average forgets at once.
  @Test func averages() throws {
    let follower = try Trainer(configuration: Training.configuration(["average_decay": 0]))
    let none = try Trainer(configuration: Training.configuration(["average_decay": nil]))
    for number in 0..<3 {
      let batches = try Training.Batches(UInt64(number))
      for trainer in [follower, none] {
        try trainer.step(batches.inputs, Training.labels, unlabeled: batches.weak, strong: batches.strong)
      }
    }
    let average = try #require(follower.average)
    #expect(average.parameters.bytes == follower.student.parameters.bytes)
    #expect(average.statistics.bytes == follower.student.statistics.bytes)
    #expect(average.parameters.bytes == none.student.parameters.bytes, "keeping an average changes no training")
    #expect(none.average == nil && none.predictor === none.student && follower.predictor === average)
    #expect(Training.error { _ = try none.network("average") }.code == .unsupported)
    #expect(Training.error { _ = try none.network("pupil") }.code == .unsupported)
    let inputs = try Training.Batches(9).inputs
    #expect(try follower.predictProbabilities(inputs).bytes == none.predictProbabilities(inputs).bytes)
    #expect(
      Training.error {
        _ = try Trainer(configuration: Training.configuration(["average_decay": nil, "average_statistics": true]))
      }
      .code == .invalidArgument)
  }

  @Test func equalNetworksStartDifferently() throws {
    let trainer = try Trainer(configuration: Training.configuration())
    let teacher = try trainer.network("teacher")
    #expect(teacher.parameters.shape == trainer.student.parameters.shape)
    #expect(teacher.parameters.bytes != trainer.student.parameters.bytes)
    #expect(trainer.average!.parameters.bytes == trainer.student.parameters.bytes)
  }

  /// Inputs of every element type are the same numbers.
  @Test func inputsOfAnyElementType() throws {
    let whole = try Tensor(rows: [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 1, 3], [2, 2, 9]])
    var snapshots: [[String: [UInt8]]] = []
    for type in ElementType.allCases {
      let trainer = try Trainer(configuration: Training.configuration())
      let input = try Tensor(whole.values, shape: whole.shape, elementType: type)
      try trainer.step(input, Training.labels, unlabeled: input)
      snapshots.append(trainer.snapshot)
    }
    for snapshot in snapshots { #expect(Trainer.differences(snapshots[0], snapshot) == []) }
  }
}

// MARK: - Fit

@Suite struct FitTests {
  private func fitted(_ steps: [Int?], _ changes: JSONObject = [:]) throws -> Trainer {
    let keys = try Training.fitKeys(changes["method"]?.text ?? "meta_pseudo_labels")
    let trainer = try Trainer(configuration: Training.configuration(keys).setting(changes))
    let (features, labels) = try Training.points()
    for count in steps { #expect(try trainer.fit(features, labels, steps: count) == .completed) }
    return trainer
  }

  @Test(arguments: StepTests.feedbacks, ["float32", "float64"])
  func twoHalvesAreOneWhole(feedback: String, elementType: String) throws {
    let changes: JSONObject = ["feedback": .string(feedback), "dtype": .string(elementType), "steps": 60]
    let whole = try fitted([60], changes), halves = try fitted([30, 30], changes),
      configured = try fitted([nil], changes)
    #expect(whole.steps == 60)
    #expect(Trainer.differences(whole, halves) == [])
    #expect(Trainer.differences(whole, configured) == [])
    #expect(Trainer.differences(whole, try fitted([59], changes)) != [])
  }

  /// Stopped by its callback and continued, a fit is the same.
  @Test func cancelledFitsContinue() throws {
    let whole = try fitted([20]), stopped = try fitted([])
    let (features, labels) = try Training.points()
    var seen: [Int] = []
    let outcome = try stopped.fit(features, labels, steps: 20) { progress in
      seen.append(progress.step)
      #expect(progress.steps == 20 && progress.seconds >= 0)
      #expect(progress.metrics.names == stopped.method.metricNames)
      return progress.step < 7
    }
    #expect(outcome == .cancelled)
    #expect(seen == Array(1...7))
    try stopped.fit(features, labels, steps: 13)
    #expect(Trainer.differences(whole, stopped) == [])
  }

  @Test func sameSeedSameBits() throws {
    let first = try fitted([10])
    #expect(Trainer.differences(first, try fitted([10])) == [])
    let other = try fitted([10], ["seed": 4])
    for part in ["0 student.", "1 student.", "4 teacher.", "9 average."] {
      #expect(Trainer.differences(first, other).contains(part))
    }
  }

  @Test(arguments: ["meta_pseudo_labels", "supervised"]) func learns(method: String) throws {
    let trainer = try fitted([300], ["method": .string(method), "average_decay": 0.95])
    let (features, _) = try Training.points()
    let right = try trainer.predict(features).enumerated().count { $0.offset % 3 == $0.element }
    #expect(right >= 54, "\(right) of 60")
  }

  @Test func moreUnlabeledRowsAreLearnedFrom() throws {
    let (features, labels) = try Training.points()
    let without = try fitted([]), with = try fitted([])
    try without.fit(features, labels, steps: 5)
    try with.fit(features, labels, unlabeled: randomTensor(Shape(40, 3), seed: 600), steps: 5)
    #expect(Trainer.differences(without, with).contains("0 student."))
  }

  @Test func refusesWhatCannotBeLearned() throws {
    let (features, labels) = try Training.points()
    let cases: [(labels: [Int], code: DidactError.Code, words: [String])] = [
      (labels.map { $0 > 0 ? -1 : $0 }, .data, ["class 0", "two classes"]),
      (labels.map { _ in -1 }, .data, ["no row has a label"]),
      (labels.map { $0 == 2 ? 3 : $0 }, .data, ["row 2", "label 3"]),
      (labels.map { $0 == 1 ? -2 : $0 }, .data, ["row 1", "label -2"]),
      (Array(labels.dropLast()), .shape, ["59 labels"]),
    ]
    for (labels, code, words) in cases {
      let trainer = try fitted([]), before = trainer.snapshot
      let error = Training.error { try trainer.fit(features, labels, steps: 2) }
      #expect(error.code == code)
      for word in words { #expect(error.message.contains(word), "\(error.message)") }
      #expect(Trainer.differences(before, trainer.snapshot) == [])
      #expect(trainer.scaling == nil)
      try trainer.fit(features, Training.points().labels, steps: 2)
    }
    let trainer = try fitted([])
    #expect(Training.error { try trainer.fit(features, labels, steps: -1) }.code == .invalidArgument)
  }

  // MARK: Stages around the method

  /// Every stage at work, one after the other.
  static let stages: JSONObject = [
    "steps": 20, "average_decay": 0.9, "average_warmup": "tensorflow", "validation_fraction": 0.3,
    "validation_steps": 3,
    "finetune_steps": 6, "finetune_learning_rate": 0.05, "finetune_batch_size": 3,
    "student_optimizer.schedule": "cosine", "student_optimizer.warmup_steps": 4, "student_optimizer.learning_rate": 0.5,
  ]

  @Test(arguments: Trainer.methodNames) func stagesGoOnFromAFile(method: String) throws {
    let whole = try fitted([nil], Self.stages.setting(["method": .string(method)]))
    #expect(whole.steps == 26)
    #expect(whole.networkRoles.suffix(3) == ["average", "best", "finetuned"])
    #expect(whole.predictorRole == "finetuned")
    let (features, labels) = try Training.points(), directory = try TemporaryDirectory()
    // Cut within the method's steps, at a validation, at the last of them, and within the fine-tuning.
    for cut in [1, 3, 20, 21, 24] {
      let path = directory.path("\(cut).safetensors")
      try fitted([cut], Self.stages.setting(["method": .string(method)])).save(to: path)
      let resumed = try Trainer(loading: path)
      try resumed.fit(features, labels)
      #expect(Trainer.differences(whole, resumed) == [], "cut after step \(cut)")
      #expect(try resumed.predictProbabilities(features).bytes == whole.predictProbabilities(features).bytes)
    }
  }

  /// The average is the mean of the students since the last one began to learn.
  @Test func theAverageBeginsWithTheStudent() throws {
    try expectAverage("self_training", ["rounds": 2], from: 8)
    try expectAverage("distillation", [:], from: 6)
    try expectAverage("meta_pseudo_labels", ["teacher_burn_in_steps": 5], from: 5)
    try expectAverage("meta_pseudo_labels", ["student_optimizer.wait_steps": 5], from: 5)
    try expectAverage("supervised", [:], from: 0)
  }

  private func expectAverage(_ method: String, _ changes: JSONObject, from start: Int) throws {
    let configuration = Training.configuration(try Training.fitKeys(method)).setting([
      "method": .string(method), "dtype": "float64", "average_decay": 0.9999, "average_warmup": "mean_teacher",
      "steps": 12,
    ])
    let trainer = try Trainer(configuration: configuration.setting(changes)), (features, labels) = try Training.points()
    var students: [[Double]] = []
    try trainer.fit(features, labels) { _ in
      students.append(trainer.student.parameters.values)
      return true
    }
    #expect(students.count == 12)
    let counted = students[start...]
    for (index, value) in try trainer.network("average").parameters.values.enumerated() {
      let mean = counted.reduce(0) { $0 + $1[index] } / Double(counted.count)
      #expect(abs(value - mean) < 1e-12, "\(method)")
    }
  }

  /// No network is chosen, and no patience lost, before the student learns.
  @Test func validationWaitsForTheStudent() throws {
    let eager: JSONObject = ["validation_fraction": 0.3, "validation_steps": 1, "patience": 1, "steps": 12]
    for (method, changes, start) in [
      ("self_training", [:], 6), ("distillation", [:], 6), ("meta_pseudo_labels", ["teacher_burn_in_steps": 5], 5),
    ] as [(String, JSONObject, Int)] {
      let trainer = try fitted([nil], eager.setting(changes).setting(["method": .string(method)]))
      #expect(trainer.steps > start, "\(method)")
      #expect(trainer.history.prefix(start).allSatisfy { $0["validation/accuracy"] == nil }, "\(method)")
      #expect(trainer.selection?.progress.bestStep ?? 0 > start, "\(method)")
    }
  }

  @Test func stagesBeyondTheStepsAreRefused() throws {
    let trainer = try fitted([nil], Self.stages), directory = try TemporaryDirectory()
    let path = directory.path("model.safetensors")
    for (key, member) in [("finetune_start", nil), ("selection", "step"), ("selection", "waited")] {
      try trainer.save(to: path)
      try changeDescription(of: path) { description in
        guard let member else { return description[key] = 27 }
        var members = try #require(description[key]?.members)
        members[member] = 27
        description[key] = .object(members)
      }
      expectError(.format, containing: path, key) { _ = try Trainer(loading: path) }
    }
  }

  @Test func finetuningStartsFromWhatPredicts() throws {
    let changes: JSONObject = ["steps": 5, "finetune_steps": 1, "finetune_learning_rate": 0]
    let (features, labels) = try Training.points()
    let trainer = try fitted([5], changes), before = try trainer.predictProbabilities(features)
    #expect(trainer.predictorRole == "average")
    try trainer.fit(features, labels)
    #expect(trainer.predictorRole == "finetuned" && trainer.steps == 6)
    #expect(try trainer.predictProbabilities(features).bytes == before.bytes)
    // Nothing is left to do, and nothing is done.
    try trainer.fit(features, labels, steps: 3)
    #expect(trainer.steps == 6)
    #expect(trainer.history[5]["loss/finetune"] != nil && trainer.history[5]["loss/student"] == nil)
    #expect(trainer.history[4]["loss/finetune"] == nil && trainer.history[4]["loss/student"] != nil)
    let learning = try fitted([nil], changes.setting(["finetune_learning_rate": 0.1]))
    #expect(try learning.predictProbabilities(features).bytes != before.bytes)
  }

  @Test func earlyStoppingEndsTheStepsAndKeepsTheBest() throws {
    let trainer = try fitted(
      [nil],
      [
        "steps": 400, "validation_fraction": 0.3, "validation_steps": 2, "patience": 3,
        "student_optimizer.learning_rate": 2,
      ])
    let (features, labels) = try Training.points()
    #expect(trainer.steps < 400 && trainer.predictorRole == "best")
    let accuracies = trainer.history.compactMap { $0["validation/accuracy"] }
    let losses = trainer.history.compactMap { $0["validation/loss"] }
    #expect(accuracies.count == trainer.steps / 2 && losses.count == accuracies.count)
    // The best is three validations before the end.
    let scores = zip(accuracies, losses).map { Selection.Score(accuracy: $0, loss: $1) }
    let best = try #require(trainer.selection?.best)
    #expect(scores[scores.count - 4] == best && !scores.contains { $0.isBetter(than: best) })
    let steps = trainer.steps
    try trainer.fit(features, labels)
    #expect(trainer.steps == steps)
    #expect(Training.error { _ = try fitted([nil], ["validation_fraction": 0.1]) }.code == .data)
    #expect(Training.error { _ = try fitted([nil], ["patience": 2]) }.code == .invalidArgument)
  }

  @Test func timeLimitEndsAFit() throws {
    let trainer = try fitted([nil], ["steps": 100_000_000, "time_limit": 0.05])
    #expect(trainer.steps > 0 && trainer.steps < 100_000_000)
  }

  /// The teacher learns alone first, and the student waits.
  @Test func burnInAndWait() throws {
    let trainer = try fitted([3], ["teacher_burn_in_steps": 3]), untouched = try fitted([])
    #expect(trainer.student.parameters.bytes == untouched.student.parameters.bytes)
    #expect(try trainer.network("teacher").parameters.bytes != untouched.network("teacher").parameters.bytes)
    #expect(trainer.history.allSatisfy { $0["loss/feedback"] == 0 && $0["loss/supervised"] != 0 })
    let (features, labels) = try Training.points()
    try trainer.fit(features, labels, steps: 1)
    #expect(trainer.student.parameters.bytes != untouched.student.parameters.bytes)
    let waiting = try fitted([3], ["student_optimizer.wait_steps": 3])
    #expect(waiting.student.parameters.bytes == untouched.student.parameters.bytes)
    #expect(waiting.history.map { $0["learning_rate/student"] } == [0, 0, 0])
    let joint = try fitted([2], ["teacher_burn_in_steps": 2, "batch_composition": "joint"])
    #expect(joint.history.allSatisfy { $0["loss/uda"] != 0 })
  }

  /// Data in other element types and strides is read where it is.
  @Test func rowsAreReadWhereTheyAre() throws {
    // Values that float32 can hold.
    func rounded(_ tensor: Tensor) throws -> Tensor { try Tensor(float(tensor).values, shape: tensor.shape) }
    let (points, labels) = try Training.points()
    let features = try rounded(points), more = try rounded(randomTensor(Shape(20, 3), seed: 601))
    func trained(_ convert: (Tensor) throws -> Tensor, _ convertMore: (Tensor) throws -> Tensor) throws -> Trainer {
      let trainer = try fitted([])
      try trainer.fit(try convert(features), labels, unlabeled: try convertMore(more), steps: 4)
      return trainer
    }
    func float(_ tensor: Tensor) throws -> Tensor {
      try Tensor(tensor.values, shape: tensor.shape, elementType: .float32)
    }
    let doubles = try trained({ $0 }, { $0 })
    #expect(Trainer.differences(doubles, try trained(float, float)) == [])
    #expect(Trainer.differences(doubles, try trained({ $0 }, float)) == [])
    let wide = try Tensor(Shape(60, 6), .float64)
    for index in 0..<features.count { wide[index / 3 * 6 + index % 3 * 2] = features[index] }
    let strided = try fitted([]), given = try Tensor(labels)
    try withExtendedLifetime((wide, given, more)) {
      _ = try strided.fit(
        FitArrays(
          BorrowedArray(features.shape, .float64, address: wide.address, strides: (48, 16, 0, 0)),
          labels: BorrowedArray(given), unlabeled: BorrowedArray(more)), steps: 4, progress: nil)
    }
    #expect(Trainer.differences(doubles, strided) == [])
  }

  // MARK: Busy

  @Test func oneTrainingCallAtATime() throws {
    let trainer = try fitted([]), (features, labels) = try Training.points()
    let batches = try Training.Batches(0)
    var calls = 0
    try trainer.fit(features, labels, steps: 2) { _ in
      let refused: [() throws -> Void] = [
        { try trainer.fit(features, labels, steps: 1) },
        { try trainer.step(batches.inputs, Training.labels, unlabeled: batches.weak) },
        { try trainer.studentStep(batches.weak) },
        { try trainer.teacherStep(batches.inputs, Training.labels) },
        { try trainer.updateAverage() },
      ]
      for call in refused { #expect(Training.error { try call() }.code == .busy) }
      let probabilities = try trainer.predictProbabilities(features), classes = try trainer.predict(features)
      #expect(probabilities.shape == Shape(60, 3) && classes.count == 60)
      calls += 1
      return true
    }
    #expect(calls == 2)
    let undisturbed = try fitted([2])
    #expect(Trainer.differences(trainer, undisturbed) == [])
    // An error out of the callback ends the fit and leaves the trainer free.
    struct Stop: Error {}
    #expect(throws: Stop.self) { try trainer.fit(features, labels, steps: 1) { _ in throw Stop() } }
    try trainer.fit(features, labels, steps: 1)
    #expect(trainer.steps == 4)
  }

  // MARK: Every option

  /// Another valid value of every key, with the keys that must be set for it to matter. Left out are `method` itself and
  /// what results do not depend on but by rounding.
  private static let alternatives: [(key: String, value: JSON, context: JSONObject)] = [
    ("network", .object(Training.network.setting(["hidden": [5]])), [:]),
    ("student_network", .object(Training.network.setting(["hidden": [5]])), [:]),
    ("dtype", "float64", [:]), ("seed", 4, [:]), ("average_decay", 0.5, [:]), ("average_statistics", true, [:]),
    ("steps", 5, [:]), ("labeled_batch_size", 3, [:]), ("unlabeled_batch_size", 8, [:]), ("input_scaling", "unit", [:]),
    ("weak_noise", 0.1, [:]), ("weak_feature_dropout", 0.2, [:]), ("strong_noise", 0.1, [:]),
    ("strong_feature_dropout", 0.3, [:]), ("feedback", "gradient_dot", [:]), ("feedback_weight", 2, [:]),
    ("feedback_baseline_decay", 0.5, ["feedback": "loss_difference"]), ("supervised_weight", 2, [:]),
    ("uda_weight", 2, [:]), ("uda_temperature", 0.5, [:]), ("uda_threshold", 0.9, [:]), ("teacher_temperature", 2, [:]),
    ("label_smoothing", 0.1, [:]), ("pseudo_label_threshold", 0.5, [:]), ("pseudo_label_view", "weak", [:]),
    ("batch_composition", "joint", [:]), ("class_prior", [3, 1, 1], [:]), ("threshold_rule", "adaptive", [:]),
    ("threshold_decay", 0.5, ["threshold_rule": "soft"]), ("eman", true, [:]),
    ("distribution_alignment", true, [:]), ("uda_wait_steps", 2, [:]), ("share_limit", 1, ["uda_wait_steps": 2]),
    ("average_warmup", "tensorflow", ["average_decay": 0.9]),
    ("weak_feature_mix", 0.5, [:]), ("weak_feature_scaling", 0.5, [:]), ("strong_feature_mix", 0.5, [:]),
    ("weak_category_mix", 0.5, [:]), ("strong_category_mix", 0.5, [:]),
    ("strong_feature_scaling", 0.5, [:]), ("uda_warmup_steps", 3, [:]), ("teacher_burn_in_steps", 2, [:]),
    ("uda_confidence", "sharpened", ["uda_threshold": 0.6]), ("uda_divisor", "kept", ["uda_threshold": 0.6]),
    ("entropy_weight", 0.5, [:]), ("signal_annealing", "linear", [:]),
    ("signal_annealing_divisor", "all", ["signal_annealing": "linear"]), ("teacher_mode", "evaluation", [:]),
    ("student_batch", "separate", [:]),
    ("detach_target", true, [:]), ("teacher_share", 0.25, [:]), ("distillation_weight", 0.5, [:]),
    ("distillation_temperature", 4, [:]), ("mixing_parameter", 5, [:]), ("sharpening_temperature", 2, [:]),
    ("ensemble_decay", 0.9, [:]), ("adversarial_radius", 0.3, [:]), ("power_iterations", 3, [:]), ("rounds", 2, [:]),
    ("soft_labels", true, [:]), ("corrector_hidden", [8, 8], [:]), ("corrector_activation", "tanh", [:]),
    ("teacher_distributions", .string(fixture("other_distributions.safetensors")), [:]),
    ("unlabeled_weight", 2, [:]), ("unlabeled_ramp", 1, [:]),
    ("members", [["method": "supervised"]], [:]), ("forest_trees", 3, [:]), ("forest_weight", 0.2, ["forest_trees": 3]),
    ("finetune_steps", 2, [:]), ("finetune_learning_rate", 0.1, ["finetune_steps": 2]),
    ("finetune_batch_size", 3, ["finetune_steps": 2]), ("validation_fraction", 0.3, [:]),
    // Steps so long that the last network is not the best.
    ("validation_steps", 2, ["validation_fraction": 0.3, "steps": 40, "student_optimizer.learning_rate": 2]),
    (
      "patience", 1,
      ["validation_fraction": 0.3, "validation_steps": 1, "steps": 40, "student_optimizer.learning_rate": 2]
    ),
  ]

  /// The same for the keys under `student_optimizer`, `teacher_optimizer` and `corrector_optimizer`.
  private static let optimizerAlternatives: [(key: String, value: JSON, context: JSONObject)] = [
    ("name", "adamw", [:]), ("learning_rate", 0.02, [:]), ("momentum", 0.5, [:]), ("nesterov", false, [:]),
    ("weight_decay", 0.1, [:]), ("decay_exclude", "bias_and_norm", ["weight_decay": 0.1]), ("clip_norm", 0.01, [:]),
    ("decay_before_clip", true, ["weight_decay": 0.1, "clip_norm": 0.01]), ("beta1", 0.5, ["name": "adamw"]),
    ("beta2", 0.9, ["name": "adamw"]), ("epsilon", 0.01, ["name": "adamw"]),
    ("square_decay", 0.5, ["name": "rmsprop"]), ("trust_coefficient", 0.1, ["name": "lars"]),
    ("schedule", "cosine", [:]),
    ("wait_steps", 1, [:]), ("warmup_steps", 3, [:]), ("decay_steps", 2, ["schedule": "exponential"]),
    ("decay_factor", 0.5, ["schedule": "exponential"]), ("warmup_shape", "exponential", ["warmup_steps": 3]),
    ("final_beta1", 0.5, ["name": "adam", "schedule": "ramp_down", "decay_steps": 3]),
    ("early_beta2", 0.5, ["name": "adam", "early_beta2": 0.9, "early_beta2_steps": 2]),
    ("early_beta2_steps", 1, ["name": "adam", "early_beta2": 0.9, "early_beta2_steps": 2]),
  ]

  private static let withoutEffect: Set<String> = [
    "method", "threads", "math", "bfloat16", "term_gradient_norms", "time_limit", "weak_augmentation",
    "strong_augmentation", "teachers",
  ]

  @Test(arguments: Trainer.methodNames) func everyOptionReachesTheComputation(method: String) throws {
    let (features, labels) = try Training.points()
    // A column that says yes or no.
    for row in 0..<features.rows { features[row * features.columns] = features[row * features.columns] > 0 ? 1 : 0 }
    func fingerprint(_ configuration: JSONObject) throws -> [[Double]] {
      let trainer = try Trainer(configuration: configuration)
      try trainer.fit(features, labels)
      let networks =
        try trainer.networkRoles.filter { ![Trainer.ensembleRole, Trainer.forestRole].contains($0) }.map {
          try trainer.network($0)
        }
        + trainer.method.learners.map(\.network)
      let validations = trainer.history.count { $0["validation/accuracy"] != nil }
      return [[Double(trainer.steps), Double(validations)], try trainer.predictProbabilities(features).values]
        + networks.flatMap { [$0.parameters.values, $0.statistics.values] }
    }
    var base = Training.configuration(try Training.fitKeys(method)).setting(["method": .string(method), "steps": 4])
    // No row is as sure as the default demands after so few steps.
    if ["pseudo_label", "fixmatch"].contains(method) { base["pseudo_label_threshold"] = 0.3 }
    // Rows must come up again, and the ramp have risen.
    if method == "temporal_ensembling" { base["steps"] = 24 }
    if method == "uda" { base["uda_threshold"] = 0.3 }
    if method == "distillation" { base["distillation_weight"] = 0.9 }
    if method == "reduced_meta_pseudo_labels" { base["corrector_optimizer.name"] = "sgd" }
    #expect(try fingerprint(base) == fingerprint(base))
    for field in try Trainer.fields(method: method) where !Self.withoutEffect.contains(field.key) {
      var alternative = Self.alternatives.first { $0.key == field.key }
      for role in ["student", "teacher", "corrector"] where field.key.hasPrefix("\(role)_optimizer.") {
        let prefix = "\(role)_optimizer.", key = field.key.dropFirst(prefix.count)
        guard let found = Self.optimizerAlternatives.first(where: { $0.key == key }) else { continue }
        let context = JSONObject(found.context.members.map { (prefix + $0.key, $0.value) })
        alternative = (field.key, found.value, context)
      }
      guard var alternative else {
        Issue.record("no alternative value for \"\(field.key)\": add one to the table")
        continue
      }
      if field.defaultValue == .boolean(true), alternative.value == .boolean(true) { alternative.value = false }
      let usual = base.setting(alternative.context)
      let other = usual.setting(JSONObject([(field.key, alternative.value)]))
      #expect(try fingerprint(usual) != fingerprint(other), "\(field.key) changes nothing")
    }
  }
}

// MARK: - What is refused

@Suite struct RefusalTests {
  @Test func valuesThatAreNotFinite() throws {
    let trainer = try Trainer(configuration: Training.configuration()), batches = try Training.Batches(0)
    trainer.featureNames = ["height", "width", "depth"]
    let before = trainer.snapshot
    for value in [Double.nan, .infinity, 1e300] {
      let bad = try batches.weak.copy()
      bad[2 * 3 + 1] = value
      let calls: [(String, () throws -> Void)] = [
        ("X", { try trainer.step(bad, [0, 1, 2, 0, 1, 2, 0, 1], unlabeled: batches.weak) }),
        ("unlabeled", { try trainer.step(batches.inputs, Training.labels, unlabeled: bad) }),
        ("strong", { try trainer.step(batches.inputs, Training.labels, unlabeled: batches.weak, strong: bad) }),
        ("unlabeled", { try trainer.studentStep(bad) }),
        ("X", { _ = try trainer.predictProbabilities(bad) }),
        ("X", { try trainer.fit(bad, [0, 1, 2, 0, 1, 2, -1, -1], steps: 1) }),
        ("unlabeled", { _ = try trainer.metaGradient(batches.inputs, Training.labels, unlabeled: bad) }),
      ]
      for (name, call) in calls {
        let error = Training.error(call)
        #expect(error.code == .data)
        for word in [name, "row 2", "column 1", "width"] {
          #expect(error.message.contains(word), "\(error.message)")
        }
      }
    }
    #expect(Trainer.differences(before, trainer.snapshot) == [])
  }

  @Test func labelsAndShapes() throws {
    let trainer = try Trainer(configuration: Training.configuration()), batches = try Training.Batches(0)
    let before = trainer.snapshot
    let wide = try Tensor(Shape(8, 4), .float64), few = try Tensor(Shape(7, 3), .float64)
    func step(_ labels: [Int]) throws { try trainer.step(batches.inputs, labels, unlabeled: batches.weak) }
    let cases: [(DidactError.Code, [String], () throws -> Void)] = [
      (.data, ["row 3", "label -1"], { try step([0, 1, 2, -1, 0]) }),
      (.data, ["row 1", "label 3"], { try step([0, 3, 2, 1, 0]) }),
      (.shape, ["4 labels for 5 rows"], { try step([0, 1, 2, 1]) }),
      (.shape, ["[8, 4]", "[rows, 3]"], { try trainer.step(batches.inputs, Training.labels, unlabeled: wide) }),
      (.shape, ["7 rows"], { try trainer.step(batches.inputs, Training.labels, unlabeled: batches.weak, strong: few) }),
      (.shape, ["no rows"], { try trainer.studentStep(Tensor(Shape(0, 3), .float64)) }),
      (.shape, ["[3]"], { _ = try trainer.predict(Tensor(Shape(3), .float64)) }),
      (.data, ["batch_norm0", "2 rows"], { try trainer.studentStep(Tensor(Shape(1, 3), .float64)) }),
      (.invalidArgument, ["unlabelled"], { try trainer.step(batches.inputs, Training.labels) }),
      (
        .invalidArgument, ["strong view"], { try trainer.step(batches.inputs, Training.labels, strong: batches.strong) }
      ),
    ]
    for (code, words, call) in cases {
      let error = Training.error(call)
      #expect(error.code == code, "\(words): \(error.code) \(error.message)")
      for word in words { #expect(error.message.contains(word), "\(error.message)") }
    }
    #expect(Trainer.differences(before, trainer.snapshot) == [])
  }

  @Test func configurations() throws {
    let cases: [(JSONObject, [String])] = [
      (["feedbak": "exact"], ["unknown key \"feedbak\"", "Did you mean \"feedback\"?"]),
      (["uda_weigth": 1], ["Did you mean \"uda_weight\"?"]),
      (["student_optimizer": ["learning_rat": 1]], ["Did you mean \"student_optimizer.learning_rate\"?"]),
      (["student_optimizer.momentun": 0.5], ["Did you mean \"student_optimizer.momentum\"?"]),
      (["uda_weight": -1], ["\"uda_weight\"", "[0, ∞)", "-1"]),
      (["uda_temperature": 0], ["\"uda_temperature\"", "(0, ∞)"]),
      (["label_smoothing": 1], ["\"label_smoothing\"", "[0, 1)"]),
      (["average_decay": 1.5], ["\"average_decay\"", "[0, 1]", "null"]),
      (["steps": 100, "student_optimizer": ["schedule": "ramp_down", "decay_steps": 101]], ["decay_steps", "100"]),
      (["labeled_batch_size": 0], ["\"labeled_batch_size\"", "an integer in [1, ∞)"]),
      (["labeled_batch_size": 2.5], ["an integer"]),
      (["feedback": "exactly"], ["\"exact\", \"gradient_dot\", \"loss_difference\""]),
      (["eman": 1], ["true or false"]), (["seed": -1], ["\"seed\""]), (["uda_weight": nil], ["\"uda_weight\""]),
      (["uda_weight": "1"], ["a number"]), (["dtype": "float16"], ["\"float32\", \"float64\""]),
      (["method": "meta_pseudo_label"], ["Did you mean \"meta_pseudo_labels\"?"]),
      (["network": ["type": "mlp", "inputs": 3, "classes": 2]], ["\"hidden\" is missing"]),
      (["network": ["type": "mlp", "inputs": 0, "hidden": [], "classes": 2]], ["\"inputs\""]),
      (["network": ["type": "mlp", "inputs": 3, "hidden": [2.5], "classes": 2]], ["\"hidden\""]),
      (["network": ["type": "tree"]], ["\"mlp\"", "\"sequential\"", "tree"]),
      (["network": ["type": "sequential", "inputs": 3, "layers": []]], ["\"layers\" is empty"]),
      (
        ["network": ["type": "sequential", "inputs": 3, "layers": [["type": "dens"]]]],
        ["layer 0", "Did you mean \"dense\"?"]
      ),
      (
        ["network": ["type": "sequential", "inputs": 3, "layers": [["type": "dropout", "rate": 1]]]],
        ["layer 0", "\"rate\"", "[0, 1)"]
      ),
      (["student_network": ["type": "mlp", "inputs": 4, "hidden": [], "classes": 3]], ["4 inputs", "the teacher 3"]),
      (["student_network": ["type": "mlp", "inputs": 3, "hidden": [], "classes": 2]], ["2 classes", "the teacher 3"]),
      (["student_optimizer": ["momentum": 0.5], "student_optimizer.momentum": 0.6], ["given twice"]),
    ]
    for (changes, words) in cases {
      let error = Training.error { _ = try Trainer(configuration: Training.configuration(changes)) }
      #expect(error.code == .invalidArgument)
      for word in words { #expect(error.message.contains(word), "\(changes): \(error.message)") }
    }
    for json: JSON in [nil, 3, [], [:], ["method": "supervised"], ["network": [:]]] {
      #expect(Training.error { _ = try Trainer(json) }.code == .invalidArgument)
    }
  }

  @Test func nestedAndDottedKeysAreTheSame() throws {
    let dotted = try Trainer(configuration: Training.configuration(["student_optimizer.learning_rate": 0.3]))
    let nested = try Trainer(configuration: Training.configuration(["student_optimizer": ["learning_rate": 0.3]]))
    #expect(dotted.configuration == nested.configuration)
    #expect(try nested.optimizer("student").learningRate == 0.3)
  }

  // MARK: Divergence

  struct Wild: CustomTestStringConvertible, Sendable {
    let changes: JSONObject
    var testDescription: String { JSON.object(changes).serialized() }

    init(_ changes: JSONObject) { self.changes = changes }
  }

  static let wild = [
    Wild(["student_optimizer.learning_rate": 1e30]), Wild(["teacher_optimizer.learning_rate": 1e30]),
    Wild(["student_optimizer.learning_rate": 1e30, "teacher_optimizer.learning_rate": 1e30]),
    Wild(["student_optimizer.learning_rate": 1e30, "feedback_weight": 0]),
    Wild(["student_optimizer.learning_rate": 1e38, "feedback_weight": 0]), Wild(["feedback_weight": 1e38]),
    Wild(["student_optimizer.learning_rate": 1e30, "student_optimizer.name": "adamw"]),
    Wild(["student_optimizer.learning_rate": 1e38, "student_optimizer.name": "adamw", "feedback_weight": 0]),
    Wild(["student_optimizer.learning_rate": 1e30, "student_optimizer.weight_decay": 1]),
    Wild(["student_optimizer.learning_rate": 1e38, "student_optimizer.momentum": 0.99]),
    Wild([
      "student_optimizer.learning_rate": 1e38, "student_optimizer.momentum": 0, "student_optimizer.nesterov": false,
    ]),
    Wild(["teacher_optimizer.learning_rate": 1e38]),
    Wild(["student_optimizer.learning_rate": 1e38, "teacher_optimizer.learning_rate": 1e38]),
  ]

  /// A run that explodes stops with an error, and leaves finite parameters, statistics and optimiser state.
  @Test(arguments: wild, ["meta_pseudo_labels", "supervised"]) func divergence(wild: Wild, method: String) throws {
    let known = try Set(Trainer.fields(method: method).map(\.key))
    let changes = JSONObject(wild.changes.members.filter { known.contains($0.key) })
    for batchNorm in [false, true] {
      for feedback in method == "supervised" ? ["none"] : StepTests.feedbacks {
        var network = Training.network
        network["batch_norm"] = .boolean(batchNorm)
        network["dropout"] = 0
        var configuration = Training.configuration(changes)
        configuration["method"] = .string(method)
        configuration["network"] = .object(network)
        if method != "supervised" { configuration["feedback"] = .string(feedback) }
        try check(
          configuration, "\(feedback), batch norm \(batchNorm)", mustDiverge: !batchNorm && !changes.members.isEmpty)
      }
    }
  }

  private func check(_ configuration: JSONObject, _ place: String, mustDiverge: Bool) throws {
    let trainer = try Trainer(configuration: configuration), batches = try Training.Batches(0)
    // So large that parameters overflow too.
    batches.inputs.scale(by: 1e3)
    batches.weak.scale(by: 1e3)
    let error = Training.error {
      for _ in 0..<30 { try trainer.step(batches.inputs, Training.labels, unlabeled: batches.weak) }
    }
    // Batch normalisation may keep everything finite.
    #expect(error.code == .diverged || !mustDiverge && error.message == "nothing was thrown", "\(place): \(error)")
    let networks = trainer.method.learners.map { ($0.role, $0.network) } + [("average", trainer.average!)]
    for (role, network) in networks {
      #expect(network.parameters.values.allSatisfy { $0.isFinite }, "\(role), \(place): \(error)")
      #expect(network.statistics.values.allSatisfy { $0.isFinite }, "\(role), \(place): \(error)")
    }
    for learner in trainer.method.learners {
      for (name, tensor) in learner.optimizer.state {
        #expect(tensor.values.allSatisfy { $0.isFinite }, "\(learner.role) \(name), \(place): \(error)")
      }
    }
    #expect(try trainer.predictProbabilities(batches.inputs).values.allSatisfy { $0.isFinite }, "\(place): \(error)")
    #expect(trainer.history.count == trainer.steps)
  }

  /// The state that is left is that of a run which ended in time, and training can go on from it.
  @Test func divergenceGoesBackToTheLastGoodState() throws {
    let batches = try Training.Batches(0)
    func run(steps: Int, thenRate rate: Double?) throws -> Trainer {
      let trainer = try Trainer(
        configuration: Training.configuration(["feedback": "loss_difference", "feedback_baseline_decay": 0.5]))
      func step() throws { try trainer.step(batches.inputs, Training.labels, unlabeled: batches.weak) }
      for _ in 0..<steps { try step() }
      guard let rate else { return trainer }
      for role in ["student", "teacher"] {
        let optimizer = try trainer.optimizer(role), usual = optimizer.learningRate
        try optimizer.setLearningRate(rate)
        let error = Training.error { for _ in 0..<5 { try step() } }
        #expect(error.code == .diverged)
        try optimizer.setLearningRate(usual)
      }
      return trainer
    }
    let diverged = try run(steps: 4, thenRate: 1e30)
    #expect((3...4).contains(diverged.steps))
    let reference = try run(steps: diverged.steps, thenRate: nil)
    #expect(Trainer.differences(diverged, reference) == [])
    for trainer in [diverged, reference] {
      try trainer.step(batches.inputs, Training.labels, unlabeled: batches.weak)
    }
    #expect(Trainer.differences(diverged, reference) == [])
  }

  /// Wherever a run stands, a step that diverges takes back the step before it, in every network that this moved.
  @Test(arguments: Trainer.methodNames) func everyMethodGoesBackOneStep(method: String) throws {
    let (features, labels) = try Training.points()
    var keys = try Training.fitKeys(method).setting(["method": .string(method), "steps": 12, "finetune_steps": 3])
    if method == "self_training" { keys["rounds"] = 2 }
    let configuration = Training.configuration(keys)
    func fitted(steps: Int) throws -> Trainer {
      let trainer = try Trainer(configuration: configuration)
      try trainer.fit(features, labels, steps: steps)
      return trainer
    }
    for steps in 1...14 {
      let trainer = try fitted(steps: steps), reference = try fitted(steps: steps - 1)
      for (network, before) in zip(trainer.networks, reference.networks)
      where network.parameters.bytes != before.parameters.bytes { network.parameters[0] = .nan }
      let error = Training.error { try trainer.fit(features, labels, steps: 1) }
      #expect(error.code == .diverged, "step \(steps): \(error)")
      #expect(Trainer.differences(trainer, reference) == [], "step \(steps)")
      #expect(trainer.predictorRole == reference.predictorRole, "step \(steps)")
      // Training goes on as if nothing had been.
      try trainer.fit(features, labels)
      try reference.fit(features, labels)
      #expect(Trainer.differences(trainer, reference) == [], "after step \(steps)")
    }
  }

  /// A step that moved everything before it showed that it diverged is taken back whole.
  @Test(arguments: ["supervised", "fixmatch", "meta_pseudo_labels", "self_training"])
  func aStepWithInfiniteStatisticsIsTakenBack(method: String) throws {
    let large = try Training.Batches(9)
    for tensor in [large.inputs, large.weak, large.strong] { tensor.scale(by: 1e200) }
    func trained(steps: Int) throws -> Trainer {
      let keys = try Training.fitKeys(method).setting(["method": .string(method), "steps": 12, "dtype": "float64"])
      let trainer = try Trainer(configuration: Training.configuration(keys))
      for number in 0..<steps {
        let batches = try Training.Batches(UInt64(number))
        try trainer.step(batches.inputs, Training.labels, unlabeled: batches.weak, strong: batches.strong)
      }
      return trainer
    }
    let trainer = try trained(steps: 5)
    // A second time there may be no older state to go back to, but the one that stays is whole.
    for scale in [1, 5e107] {
      for tensor in [large.inputs, large.weak, large.strong] { tensor.scale(by: scale) }
      let error = Training.error {
        try trainer.step(large.inputs, Training.labels, unlabeled: large.weak, strong: large.strong)
      }
      #expect(error.code == .diverged, "\(error)")
      #expect(trainer.steps >= 3)
      #expect(try Trainer.differences(trainer, trained(steps: trainer.steps)) == [])
    }
  }

  /// The halves of a step see what a whole step sees.
  @Test func halvesWithInfiniteStatisticsAreTakenBack() throws {
    let batches = try Training.Batches(0), large = try Training.Batches(9)
    for tensor in [large.inputs, large.weak] { tensor.scale(by: 1e200) }
    func trained(steps: Int) throws -> Trainer {
      let trainer = try Trainer(configuration: Training.configuration(["dtype": "float64"]))
      for _ in 0..<steps { try trainer.step(batches.inputs, Training.labels, unlabeled: batches.weak) }
      return trainer
    }
    let trainer = try trained(steps: 4)
    let error = Training.error {
      try trainer.studentStep(large.weak)
      try trainer.teacherStep(large.inputs, Training.labels)
    }
    #expect(error.code == .diverged && error.message.contains("running statistics"), "\(error)")
    #expect(try Trainer.differences(trainer, trained(steps: trainer.steps)) == [])
    // A step that is refused for what it is given leaves the student's step waiting.
    try trainer.studentStep(batches.weak)
    let before = trainer.snapshot
    #expect(
      Training.error { try trainer.step(batches.inputs, Training.labels) }.message.contains("needs unlabelled rows"))
    #expect(Trainer.differences(trainer.snapshot, before) == [])
    try trainer.teacherStep(batches.inputs, Training.labels)
  }

  /// A fit that makes no step leaves what was known of the rows of the last one.
  @Test func aFitThatEndsBeforeItsFirstStepKeepsTheRowsOfTheLastOne() throws {
    let (features, labels) = try Training.points()
    func trainer() throws -> Trainer {
      let keys = try Training.fitKeys("temporal_ensembling").setting([
        "method": "temporal_ensembling", "steps": 20, "input_scaling": "none",
      ])
      let member: JSON = [
        "method": "reduced_meta_pseudo_labels", "teacher_distributions": .string(fixture("distributions.safetensors")),
      ]
      let trainer = try Trainer(configuration: Training.configuration(keys).setting(["members": [member]]))
      try trainer.fit(features, labels, steps: 5)
      return trainer
    }
    let reference = try trainer(), whole = try trainer()
    try whole.fit(features, labels)
    // Refused by the member, whose distributions are of other rows; and one that diverges at once.
    let fewer = try features.rows(0..<30).copy(), large = try features.copy()
    large.scale(by: 1e300)
    let refused = try trainer()
    #expect(Training.error { try refused.fit(fewer, Array(labels.prefix(30))) }.code == .data)
    #expect(Trainer.differences(refused, reference) == [] && refused.dataDigest == reference.dataDigest)
    try refused.fit(features, labels)
    #expect(Trainer.differences(refused, whole) == [])

    func alone() throws -> Trainer {
      let keys = try Training.fitKeys("temporal_ensembling").setting([
        "method": "temporal_ensembling", "steps": 20, "input_scaling": "none", "dtype": "float64",
      ])
      return try Trainer(configuration: Training.configuration(keys))
    }
    let diverged = try alone(), undisturbed = try alone()
    try diverged.fit(features, labels, steps: 5)
    #expect(Training.error { try diverged.fit(large, labels) }.code == .diverged)
    try undisturbed.fit(features, labels, steps: diverged.steps)
    #expect(Trainer.differences(diverged, undisturbed) == [])
    try diverged.fit(features, labels)
    try undisturbed.fit(features, labels)
    #expect(Trainer.differences(diverged, undisturbed) == [])
  }

  /// A half that fails on the way leaves no trace, the running statistics of forwards that were made included.
  @Test func aFailedTeacherStepChangesNothing() throws {
    let batches = try Training.Batches(0)
    func halves(failing: Bool) throws -> Trainer {
      let trainer = try Trainer(
        configuration: Training.configuration(["batch_composition": "separate", "supervised_weight": 0]))
      for _ in 0..<3 {
        try trainer.studentStep(batches.weak, strong: batches.strong)
        if failing {
          let before = trainer.snapshot
          // One row is too few for batch statistics, which shows when the unlabelled rows have passed.
          let error = Training.error { try trainer.teacherStep(batches.inputs.rows(0..<1).copy(), [0]) }
          #expect(error.code == .data)
          #expect(Trainer.differences(before, trainer.snapshot) == [])
        }
        try trainer.teacherStep(batches.inputs, Training.labels)
      }
      return trainer
    }
    #expect(try Trainer.differences(halves(failing: true), halves(failing: false)) == [])
  }

  /// A validation that had no memory is made by the next fit.
  @Test func aValidationThatIsDueIsMade() throws {
    let (features, labels) = try Training.points()
    let keys = try Training.fitKeys().setting(["validation_fraction": 0.5, "validation_steps": 2])
    let trainer = try Trainer(configuration: Training.configuration(keys))
    try trainer.fit(features, labels, steps: 2)
    let selection = try #require(trainer.selection), best = try #require(selection.best)
    selection.progress = Selection.Progress(dueStep: 2)
    try trainer.fit(features, labels, steps: 0)
    #expect(selection.best?.loss == best.loss && selection.progress.dueStep == nil)
  }

  /// What a validation chose goes back with its step.
  @Test(arguments: ["supervised", "fixmatch", "meta_pseudo_labels"]) func validationsGoBack(method: String) throws {
    let (features, labels) = try Training.points()
    let configuration = try Training.configuration(
      Training.fitKeys(method).setting([
        "method": .string(method), "steps": 12, "validation_fraction": 0.5, "validation_steps": 1, "patience": 4,
      ]))
    func fitted(steps: Int) throws -> Trainer {
      let trainer = try Trainer(configuration: configuration)
      try trainer.fit(features, labels, steps: steps)
      return trainer
    }
    func check(_ a: Trainer, _ b: Trainer, _ place: String) {
      #expect(Trainer.differences(a, b) == [] && a.predictorRole == b.predictorRole, "\(place)")
      #expect(a.selection?.description == b.selection?.description, "\(place)")
    }
    for steps in 1...11 {
      let trainer = try fitted(steps: steps), reference = try fitted(steps: steps - 1)
      guard let selection = trainer.selection, !selection.isOver else { break }
      for learner in trainer.method.learners { learner.network.parameters[0] = .nan }
      let error = Training.error { try trainer.fit(features, labels, steps: 1) }
      #expect(error.code == .diverged, "step \(steps): \(error)")
      check(trainer, reference, "step \(steps)")
      try trainer.fit(features, labels)
      try reference.fit(features, labels)
      check(trainer, reference, "after step \(steps)")
    }
  }

  /// A step after which nothing is finite is taken back at once where a validation, or a policy's probes, look at it.
  @Test(arguments: ["validation_fraction", "strong_augmentation"]) func whatFollowsAStepSeesThatItDiverged(key: String)
    throws
  {
    let (features, labels) = try Training.points()
    var keys: JSONObject = ["method": "supervised", "dtype": "float32", "average_decay": .null]
    keys["network"] = ["type": "mlp", "inputs": 3, "hidden": [6, 6, 6], "classes": 3]
    var inputs = features
    if key == "validation_fraction" {
      keys = keys.setting(["validation_fraction": 0.5, "validation_steps": 1])
    } else {
      inputs = try Tensor(Shape(60, 8 * 8 * 3), .uint8)
      for i in 0..<inputs.count { inputs[i] = Double((i * 37 + i / 192 * 11) % 256) }
      keys["method"] = "fixmatch"
      keys["network"] = ["type": "small_cnn", "inputs": [8, 8, 3], "classes": 3, "width": 4]
      keys["strong_augmentation"] = "ct_augment"
    }
    let trainer = try Trainer(configuration: Training.configuration(keys))
    try trainer.fit(inputs, labels, steps: 3)
    let before = trainer.student.parameters.bytes
    try trainer.optimizer("student").setLearningRate(1e38)
    let error = Training.error { try trainer.fit(inputs, labels, steps: 3) }
    #expect(error.code == .diverged && trainer.steps == 3, "\(error)")
    #expect(trainer.student.parameters.bytes == before)
    #expect(try trainer.predictProbabilities(inputs).values.allSatisfy { $0.isFinite })
  }
}
