import Testing

@testable import Didact

/// A method without labels that the library does not have, to show that one fits into a file: it sees rows in two views, learns
/// features, averages a part of its network, and keeps a queue. Its student says of the first view what the average says of the
/// second one, both less what the queue remembers:
///
///     k = T(v; φ),  q = softmax(k − mean of the queue)        φ the average of the student as far as "projection"
///     θ ← θ − update(∇_θ CE(q, S(u; θ)))
///     φ ← 0.9 φ + 0.1 θ;  the queue forgets its oldest rows for k
private final class QueuedTargets: Method {
  static let definition = MethodDefinition(
    name: "queued_targets",
    fields: unlabeledFields + View.fields("second", noise: 0.3, featureDropout: 0.1) + optimizerFields("student"),
    learnsFromLabels: false, make: { try QueuedTargets($0) })

  static let queueLength = 20

  let learners: [Learner]
  let metricNames = ["loss/queue", "learning_rate/student"]
  private let student: Network
  let target: MovingAverage
  /// [queueLength, features], and how many rows ever entered it.
  let queue, entered: Tensor
  private let objectives: Objectives

  init(_ parts: MethodParts) throws {
    student = parts.student
    learners = [try Learner("student", student, parts.configuration)]
    target = try MovingAverage(student.part(endingWith: "projection"), decay: 0.9)
    queue = try Tensor(Shape(Self.queueLength, target.network.classes), student.elementType)
    entered = try Tensor(Shape(), .float64)
    objectives = Objectives(student.kernels)
  }

  var state: [StateEntry] {
    target.state("target.") + [
      StateEntry(name: "method.queue", tensor: queue, change: .inStep),
      StateEntry(name: "entered", tensor: entered, kind: .scalar, change: .inStep),
    ]
  }

  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    let kernels = student.kernels, (u, v) = try batch.unlabeledViews()
    let keys = try target.network.record(v, mode: .evaluation.forLogits).logits
    let centred = try objectives.tensor(keys.shape)
    kernels.copy(keys, to: centred)
    for row in 0..<Self.queueLength {
      for key in 0..<keys.rows {
        kernels.add(
          queue.rows(row..<row + 1), scaledBy: -1 / Double(Self.queueLength), to: centred.rows(key..<key + 1))
      }
    }
    let pass = try student.record(u, mode: PassMode(normalization: .batchUpdatingRunning, noise: nil, draw: draw))
    let term = try objectives.crossEntropy(logits: pass.logits, targets: objectives.softmax(centred))
    try checkFinite(term.loss, term: "queue", draw: draw)
    metrics["loss/queue"] = term.loss
    try pass.backward(term.cotangent)
    try learners[0].step(draw: draw, into: &metrics)
    target.update()
    for key in 0..<keys.rows {
      let row = Int(entered[0]) % Self.queueLength
      kernels.copy(keys.rows(key..<key + 1), to: queue.rows(row..<row + 1))
      entered[0] += 1
    }
  }
}

@Suite struct UnlabeledMethodTests {
  private static let network: JSON = [
    "type": "sequential", "inputs": 3,
    "layers": [
      ["type": "dense", "outputs": 8, "name": "encoder"], ["type": "batch_norm"], ["type": "relu"],
      ["type": "dense", "outputs": 4, "name": "projection"], ["type": "relu"],
      ["type": "dense", "outputs": 4, "name": "prediction"],
    ],
  ]

  private func trainer(_ changes: JSONObject = [:]) throws -> Trainer {
    let configuration: JSONObject = [
      "method": "queued_targets", "network": Self.network, "dtype": "float64", "unlabeled_batch_size": 7, "steps": 40,
      "student_optimizer.learning_rate": 0.1,
    ]
    return try Trainer(configuration: configuration.setting(changes), definition: QueuedTargets.definition)
  }

  private func fit(_ trainer: Trainer, steps: Int? = nil) throws {
    let (features, _) = try Training.points()
    try trainer.fit(features, Array(repeating: -1, count: features.rows), steps: steps)
  }

  @Test func itLearnsAndAveragesAPart() throws {
    let trainer = try trainer(), method = try #require(trainer.method as? QueuedTargets)
    let before = trainer.snapshot
    #expect(method.target.network.parameterNames == trainer.student.parameterNames.dropLast(2))
    #expect(method.target.network.statisticNames == trainer.student.statisticNames)
    try fit(trainer)
    #expect(Set(Trainer.differences(before, trainer.snapshot)) == Set(before.keys))
    let losses = trainer.history.compactMap { $0["loss/queue"] }
    #expect(losses.count == 40 && losses.suffix(5).reduce(0, +) < losses.prefix(5).reduce(0, +))
    #expect(method.entered[0] == 280)
    #expect(trainer.definition.views == ["weak", "second"])
  }

  /// The loss at given parameters, for targets that stay.
  @Test func itsGradientIsThatOfItsLoss() throws {
    let trainer = try trainer(), student = trainer.student, kernels = student.kernels
    let u = try randomTensor(Shape(7, 3), seed: 1),
      targets = try Objectives(kernels).softmax(randomTensor(Shape(7, 4), seed: 2))
    func loss(_ parameters: Tensor) throws -> (loss: Double, gradient: Tensor) {
      let pass = try student.record(u, mode: PassMode(normalization: .batch, noise: nil, draw: 0), at: parameters)
      let term = try Objectives(kernels).crossEntropy(logits: pass.logits, targets: targets)
      try pass.backward(term.cotangent)
      return (term.loss, try student.gradients.copy())
    }
    let gradient = try loss(student.parameters).gradient, length = kernels.dot(gradient, gradient).squareRoot()
    func moved(_ step: Double) throws -> Tensor {
      let parameters = try student.parameters.copy()
      parameters.add(gradient, scaledBy: step / length)
      return parameters
    }
    let h = 1e-5, difference = try (loss(moved(h)).loss - loss(moved(-h)).loss) / (2 * h)
    #expect(length > 1e-3 && abs(difference - length) < 1e-7 * length)
  }

  @Test func itResumesFromAFile() throws {
    let directory = try TemporaryDirectory(), path = directory.path("model.safetensors")
    let whole = try trainer(), half = try trainer()
    try fit(whole)
    try fit(half, steps: 13)
    try half.save(to: path)
    let resumed = try Trainer(loading: path, definition: QueuedTargets.definition)
    #expect(Trainer.differences(resumed, half) == [])
    try fit(resumed)
    #expect(Trainer.differences(resumed, whole) == [])
    #expect(try Trainer.differences(whole, whole.copy()) == [])
  }

  /// Where memory is missing or a step diverges, it goes back to whole steps as the listed methods do.
  @Test(arguments: [Fault.Point.allocation, .loss, .gradient]) func itGoesBack(point: Fault.Point) throws {
    let whole = try trainer(["steps": 4])
    try fit(whole)
    for number in 0..<400 {
      let trainer = try trainer(["steps": 4])
      let (result, hasHappened) = Fault.failing(point, number: number) { try fit(trainer) }
      guard hasHappened else {
        try result.get()
        #expect(number >= 4)
        return
      }
      let undisturbed = try self.trainer(["steps": 4])
      try fit(undisturbed, steps: trainer.steps)
      if trainer.steps > 0 { #expect(Trainer.differences(trainer, undisturbed) == []) }
      try fit(trainer)
      #expect(Trainer.differences(trainer, whole) == [])
    }
    Issue.record("more than 400 faults")
  }

  @Test func whatNeedsLabelsIsRefused() throws {
    let trainer = try trainer(), (features, _) = try Training.points()
    #expect(Training.error { _ = try trainer.predict(features) }.code == .unsupported)
    for keys: JSONObject in [["validation_fraction": 0.2], ["finetune_steps": 3]] {
      #expect(Training.error { _ = try self.trainer(keys) }.message.contains("learns without labels"))
    }
    #expect(
      Training.error { _ = try Trainer(configuration: ["method": "queued_targets", "network": Self.network]) }.code
        == .invalidArgument)
    let supervised = try Trainer(configuration: Training.configuration())
    #expect(
      Training.error { try supervised.fit(features, Array(repeating: -1, count: 60)) }.message.contains(
        "no row has a label"))
  }

  @Test func stepsTakeViewsByThemselves() throws {
    let (features, _) = try Training.points(), first = try features.rows(0..<7).copy(),
      second = try features.rows(7..<14).copy()
    let trainer = try trainer()
    try withExtendedLifetime((first, second)) {
      try trainer.step(nil, views: [("view.0", BorrowedArray(first)), ("view.1", BorrowedArray(second))])
    }
    #expect(trainer.steps == 1)
    #expect(Training.error { try trainer.step(nil, views: []) }.message.contains("needs unlabelled rows"))
  }
}
