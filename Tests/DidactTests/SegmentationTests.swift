import Testing

@testable import Didact

/// A class for each pixel of an image, by convolutions of one pixel: what two channels of a pixel say of its class.
@Suite struct SegmentationTests {
  private static let (height, width, classes) = (4, 5, 3)
  private static let pixels = 20

  private static func network(_ changes: JSONObject = [:], norm: Bool = true) -> JSONObject {
    let hidden: [JSON] =
      [["type": "convolution", "outputs": 6, "size": 1, "bias": true]] + (norm ? [["type": "batch_norm"]] : []) + [
        ["type": "tanh"]
      ]
    let network: JSONObject = [
      "type": "sequential", "inputs": [4, 5, 2], "task": "segmentation",
      "layers": .array(hidden + [["type": "convolution", "outputs": 3, "size": 1, "bias": true]]),
    ]
    return network.setting(changes)
  }

  private func trainer(_ changes: JSONObject = [:], norm: Bool = true) throws -> Trainer {
    let configuration: JSONObject = [
      "method": "supervised", "network": .object(Self.network(norm: norm)), "dtype": "float64", "labeled_batch_size": 4,
      "steps": 60, "student_optimizer.learning_rate": 0.3, "seed": 4,
    ]
    return try Trainer(configuration: configuration.setting(changes))
  }

  /// Images whose pixels are of the class that their two channels tell, with a third of the pixels unlabelled.
  private func scenes(_ count: Int, seed: UInt64 = 1) throws -> (images: Tensor, labels: Tensor, truth: [Int]) {
    let images = try randomTensor(Shape(count, Self.height, Self.width, 2), seed: seed, scale: 1.5)
    let truth = (0..<count * Self.pixels).map { pixel in
      let (a, b) = (images[2 * pixel], images[2 * pixel + 1])
      return a > 0.3 ? 0 : b > 0 ? 1 : 2
    }
    let labels = try Tensor(Shape(count, Self.height, Self.width), .uint8)
    for (index, label) in truth.enumerated() { labels[index] = Double(index % 3 == 1 ? 255 : label) }
    return (images, labels, truth)
  }

  /// By hand: the mean over the pixels with a label of −log softmax(logits)[label].
  private func crossEntropy(_ logits: Tensor, _ labels: Tensor, smoothing: Double = 0) -> Double {
    var sum = 0.0, count = 0.0
    for pixel in 0..<labels.count where labels[pixel] != 255 && labels[pixel] != -1 {
      let z = (0..<Self.classes).map { logits[pixel * Self.classes + $0] }, most = z.max() ?? 0
      let normalizer = most + logarithm(z.reduce(0) { $0 + exponential($1 - most) })
      for label in 0..<Self.classes {
        let target = (1 - smoothing) * (Int(labels[pixel]) == label ? 1 : 0) + smoothing / Double(Self.classes)
        sum += target * (normalizer - z[label])
      }
      count += 1
    }
    return sum / count
  }

  @Test(arguments: [0.0, 0.2]) func aStepIsTheGradientOfTheMeanOverPixelsWithALabel(smoothing: Double) throws {
    let (images, labels, _) = try scenes(4)
    let trainer = try trainer([
      "label_smoothing": .number(smoothing),
      "student_optimizer.learning_rate": 1, "student_optimizer.momentum": 0, "student_optimizer.nesterov": false,
    ])
    let before = try trainer.student.copy(), metrics = try trainer.step(images, labels: labels)
    func loss(_ direction: Tensor, _ step: Double) throws -> Double {
      let moved = try before.copy()
      moved.parameters.add(direction, scaledBy: step)
      return crossEntropy(try moved.forward(images, training: true), labels, smoothing: smoothing)
    }
    let reported = try #require(metrics["loss/supervised"])
    #expect(try abs(reported - loss(before.parameters, 0)) < 1e-12)
    // θ′ = θ − g
    let gradient = try before.parameters.copy()
    gradient.add(trainer.student.parameters, scaledBy: -1)
    #expect(gradient.norm > 1e-3)
    for seed in 0..<6 as Range<UInt64> {
      let direction = try seed == 0 ? gradient.copy() : unitDirection(gradient.count, seed: seed)
      direction.scale(by: 1 / direction.norm)
      let difference = try centralDifference(step: 1e-5) { try loss(direction, $0) }
      #expect(abs(difference - gradient.dot(direction)) < 1e-7 * gradient.norm)
    }
  }

  @Test func exactFeedbackIsTheGradientOfTheLossOverPixels() throws {
    let (images, labels, _) = try scenes(3), unlabeled = try scenes(4, seed: 2).images
    let trainer = try trainer([
      "method": "meta_pseudo_labels", "teacher_optimizer.learning_rate": 0.1, "label_smoothing": 0.1,
    ])
    for _ in 0..<3 { try trainer.step(images, labels: labels, unlabeled: unlabeled) }
    let flat = labels.values.map { Int($0) }, teacher = try trainer.network("teacher").parameters
    let gradient = try trainer.metaGradient(images, flat, unlabeled: unlabeled), start = try teacher.copy()
    #expect(gradient.norm > 1e-6)
    for seed in 0..<4 as Range<UInt64> {
      let direction = try seed == 0 ? gradient.copy() : unitDirection(gradient.count, seed: seed)
      direction.scale(by: 1 / direction.norm)
      let errors = try [1e-3, 1e-4, 1e-5].map { h in
        let difference = try centralDifference(step: h) { step in
          teacher.copyElements(of: start)
          teacher.add(direction, scaledBy: step)
          return try trainer.metaObjective(images, flat, unlabeled: unlabeled)
        }
        return abs(difference - gradient.dot(direction)) / gradient.norm
      }
      #expect(errors.min() ?? 1 < 1e-6)
    }
    teacher.copyElements(of: start)
    // In one forward over labelled and unlabelled images.
    let joint = try self.trainer([
      "method": "meta_pseudo_labels", "batch_composition": "joint", "teacher_optimizer.learning_rate": 0.1,
    ])
    let metrics = try joint.step(images, labels: labels, unlabeled: unlabeled)
    #expect(metrics["gradient_norm/feedback"] ?? 0 > 0 && metrics["gradient_norm/uda"] ?? 0 > 0)
  }

  private static let methods = MethodDefinition.all.filter { $0.tasks.contains(.segmentation) }.map(\.name)

  @Test(arguments: methods, ["float32", "float64"]) func itLearnsSavesAndResumes(method: String, type: String) throws {
    let (images, labels, truth) = try scenes(12)
    // Eight images have no label at all.
    for index in 4 * Self.pixels..<labels.count { labels[index] = 255 }
    let known = try Trainer.fields(method: method).map(\.key)
    let keys: JSONObject = [
      "method": .string(method), "dtype": .string(type), "unlabeled_batch_size": 5,
      "teacher_optimizer.learning_rate": 0.3, "validation_fraction": 0.25, "validation_steps": 10, "finetune_steps": 5,
      "label_smoothing": 0.1,
    ]
    let changes = JSONObject(keys.members.filter { known.contains($0.key) })
    let whole = try trainer(changes), half = try trainer(changes)
    try whole.fit(images, labels: labels)
    #expect(whole.validationRowCount == 1)
    let right = zip(try whole.predict(images), truth).count { $0 == $1 }
    #expect(Double(right) / Double(truth.count) > 0.85)
    #expect(try whole.predictProbabilities(images).shape == Shape(12, 4, 5, 3))

    let directory = try TemporaryDirectory(), path = directory.path("model.safetensors")
    try half.fit(images, labels: labels, steps: 23)
    try half.save(to: path)
    let resumed = try Trainer(loading: path)
    #expect(resumed.student.taskName == .segmentation && resumed.dataDigest == half.dataDigest)
    try resumed.fit(images, labels: labels)
    #expect(Trainer.differences(resumed, whole) == [])
  }

  @Test func aPixelWithoutALabelSaysNothing() throws {
    let (images, labels, _) = try scenes(5), others = try Tensor(labels.shape, .int64)
    for index in 0..<labels.count { others[index] = labels[index] == 255 ? -1 : labels[index] }
    let first = try trainer(), second = try trainer()
    try first.fit(images, labels: labels, steps: 5)
    try second.fit(images, labels: others, steps: 5)
    #expect(first.student.parameters.bytes == second.student.parameters.bytes)
  }

  @Test func itIsMeasuredOverTheWholeSet() throws {
    let trainer = try trainer(norm: false), (images, labels, _) = try scenes(3)
    try trainer.fit(images, labels: labels, steps: 20)
    let predictions = try trainer.predict(images), evaluation = try trainer.evaluate(images, labels: labels)
    let counted = predictions.indices.filter { labels[$0] != 255 }
    #expect(evaluation.rows == counted.count)
    #expect(evaluation.correct == counted.count { predictions[$0] == Int(labels[$0]) })
    let ratios = (0..<3).compactMap { label -> Double? in
      let either = counted.count { predictions[$0] == label || Int(labels[$0]) == label }
      let both = counted.count { predictions[$0] == label && Int(labels[$0]) == label }
      return either > 0 ? Double(both) / Double(either) : nil
    }
    #expect(abs(evaluation.meanIntersectionOverUnion - ratios.reduce(0, +) / Double(ratios.count)) < 1e-12)
    #expect(Evaluation(labels: [0, 0, 1, -1], predictions: [0, 1, 1, 1], classes: 3).meanIntersectionOverUnion == 0.5)
  }

  @Test func whatIsNoMaskIsRefused() throws {
    let trainer = try trainer(), (images, labels, truth) = try scenes(3)
    let before = trainer.snapshot
    labels[Self.pixels + 2 * Self.width + 3] = 3
    for call in [{ try trainer.fit(images, labels: labels, steps: 1) }, { try trainer.step(images, labels: labels) }]
      as [() throws -> Any]
    {
      let message = Training.error { _ = try call() }.message
      #expect(message.contains("y, row 1, y 2, x 3: label 3 is not 255 or −1 (none) or in 0..<3"))
    }
    let flat = try Tensor(truth)
    #expect(Training.error { try trainer.fit(images, labels: flat) }.message.contains("60 labels for X of shape"))
    #expect(Training.error { try trainer.step(images, labels: flat) }.message.contains("expected [3, 4, 5]"))
    for index in 0..<labels.count { labels[index] = 255 }
    #expect(Training.error { try trainer.fit(images, labels: labels) }.message.contains("no row has a label"))
    #expect(Training.error { try trainer.step(images, labels: labels) }.message.contains("no pixel has a label"))
    #expect(Trainer.differences(before, trainer.snapshot) == [])

    for (changes, text) in [
      (["method": "mixmatch"], "does not learn segmentation; these do: fixmatch"),
      (
        [
          "method": "fixmatch", "network": .object(Self.network(["inputs": [4, 5, 3]])),
          "strong_augmentation": "rand_augment",
        ],
        "the labels of pixels would stay"
      ),
      (
        ["network": .object(Self.network(["layers": [["type": "convolution", "outputs": 256, "size": 1]]]))],
        "at most 255 classes"
      ),
    ] as [(JSONObject, String)] {
      #expect(Training.error { _ = try self.trainer(changes) }.message.contains(text))
    }
    let distributions = Training.error { try trainer.storeDistributions(of: images, to: "/nowhere") }
    #expect(distributions.code == .unsupported)
  }

  /// Rows without elements take no memory, so that there can be any number of them.
  @Test func rowsOfNothingAreRefused() throws {
    let trainer = try Trainer(configuration: Training.configuration()), (features, labels) = try Training.points()
    let nothing = Tensor(Shape(1 << 58, 0), .uint8, buffer: features.buffer)
    #expect(Training.error { try trainer.fit(nothing, labels) }.code == .shape)
    #expect(Training.error { try trainer.fit(features, labels, unlabeled: nothing) }.code == .shape)
  }

  @Test func otherNetworksAreDescribedAsBefore() throws {
    let network = try NetworkSpecification(["type": "sequential", "inputs": 2, "layers": [["type": "tanh"]]])
    #expect(network.json.members?["task"] == nil)
    let ours = try NetworkSpecification(.object(Self.network()))
    #expect(ours.json.members?["task"] == "segmentation")
    #expect(try NetworkSpecification(ours.json) == ours)
  }
}
