import Testing

@testable import Didact

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What holds for methods as a whole: their gradients against finite differences, and what they must equal.
@Suite struct MethodTests {
  private static let network: JSONObject = [
    "type": "mlp", "inputs": 3, "hidden": [5], "classes": 3, "activation": "tanh", "batch_norm": true,
  ]
  private static let rate = 0.1

  private func trainer(_ method: String, _ changes: JSONObject = [:]) throws -> Trainer {
    let plain: JSONObject = ["learning_rate": .number(Self.rate), "momentum": 0, "nesterov": false]
    var base: JSONObject = [
      "method": .string(method), "network": .object(Self.network), "dtype": "float64", "seed": 5,
      "student_optimizer": .object(plain),
    ]
    if try Trainer.fields(method: method).contains(where: { $0.key == "teacher_optimizer.name" }) {
      base["teacher_optimizer"] = .object(plain)
    }
    return try Trainer(configuration: base.setting(changes))
  }

  private func rows(_ count: Int, _ seed: UInt64) throws -> Tensor {
    try randomTensor(Shape(count, 3), .float64, seed: seed)
  }

  /// Σ_i w_i CE(targets_i, softmax(logits_i)) / N, in plain Swift.
  private func crossEntropy(_ logits: Tensor, _ targets: [[Double]], _ weights: [Double]? = nil) -> Double {
    var sum = 0.0
    for (n, target) in targets.enumerated() {
      let z = (0..<logits.columns).map { logits[n * logits.columns + $0] }, largest = z.max() ?? 0
      let logSum = log(z.reduce(0) { $0 + exp($1 - largest) }) + largest
      sum += (weights?[n] ?? 1) * zip(target, z).reduce(0) { $0 - $1.0 * ($1.1 - logSum) }
    }
    return sum / Double(targets.count)
  }

  private func softmax(_ logits: Tensor) -> [[Double]] {
    (0..<logits.rows).map { n in
      let z = (0..<logits.columns).map { logits[n * logits.columns + $0] }, largest = z.max() ?? 0
      let e = z.map { exp($0 - largest) }, sum = e.reduce(0, +)
      return e.map { $0 / sum }
    }
  }

  private func oneHot(_ labels: [Int]) -> [[Double]] { labels.map { label in (0..<3).map { $0 == label ? 1 : 0 } } }

  private func mostProbable(_ rows: [[Double]]) -> [[Double]] {
    oneHot(rows.map { row in row.indices.max { row[$0] < row[$1] } ?? 0 })
  }

  /// Compares what plain SGD moved a network by with the central differences of `objective`.
  private func expectGradient(
    of network: Network, before: Network, _ objective: (Network) throws -> Double, _ name: Comment
  ) throws {
    let probe = try before.copy(), step = 1e-5
    var square = 0.0, difference = 0.0
    for index in 0..<probe.parameters.count {
      let value = before.parameters[index]
      probe.parameters[index] = value + step
      let above = try objective(probe)
      probe.parameters[index] = value - step
      let below = try objective(probe)
      probe.parameters[index] = value
      let expected = (above - below) / (2 * step), moved = (value - network.parameters[index]) / Self.rate
      square += expected * expected
      difference += (expected - moved) * (expected - moved)
    }
    #expect(square > 1e-8, name)
    #expect((difference / square).squareRoot() < 1e-7, name)
  }

  @Test func pseudoLabelGradient() throws {
    let trainer = try trainer(
      "pseudo_label",
      [
        "pseudo_label_threshold": 0.5, "unlabeled_weight": 1.7, "unlabeled_ramp": 0, "label_smoothing": 0.1,
      ])
    let x = try rows(4, 1), u = try rows(9, 2), labels = [0, 1, 2, 1], before = try trainer.student.copy()
    let metrics = try trainer.step(x, labels, unlabeled: u)
    let q = softmax(try before.copy().forward(u, training: true))
    let targets = mostProbable(q), mask = q.map { ($0.max() ?? 0) >= 0.5 ? 1.0 : 0 }
    #expect(mask.contains(0) && mask.contains(1))
    #expect(metrics["mask_rate"] == mask.reduce(0, +) / 9)
    let smoothed = oneHot(labels).map { $0.map { 0.9 * $0 + 0.1 / 3 } }
    func supervised(_ network: Network) throws -> Double {
      crossEntropy(try network.forward(x, training: true), smoothed)
    }
    func pseudo(_ network: Network) throws -> Double {
      crossEntropy(try network.forward(u, training: true), targets, mask)
    }
    try expectGradient(of: trainer.student, before: before, { try supervised($0) + 1.7 * pseudo($0) }, "pseudo_label")
    #expect(abs((metrics["loss/supervised"] ?? 0) - (try supervised(before))) < 1e-12)
    #expect(abs((metrics["loss/pseudo_label"] ?? 0) - (try pseudo(before))) < 1e-12)
    for term in ["supervised", "pseudo_label"] { #expect(metrics["gradient_norm/\(term)"] ?? 0 > 1e-3) }
  }

  @Test(arguments: [false, true]) func selfTrainingGradients(soft: Bool) throws {
    let trainer = try trainer(
      "self_training",
      [
        "steps": 2, "soft_labels": .boolean(soft), "pseudo_label_threshold": 0.5, "unlabeled_weight": 1.7,
        "supervised_weight": 0.6,
      ])
    let x = try rows(4, 1), u = try rows(9, 2), strong = try rows(9, 3), labels = [0, 1, 2, 1]
    let teacher = try trainer.network("teacher"), firstTeacher = try teacher.copy(),
      student = try trainer.student.copy()
    func supervised(_ network: Network) throws -> Double {
      crossEntropy(try network.forward(x, training: true), oneHot(labels))
    }
    let first = try trainer.step(x, labels, unlabeled: u, strong: strong)
    try expectGradient(of: teacher, before: firstTeacher, supervised, "the teacher's stage")
    #expect(trainer.student.parameters.bytes == student.parameters.bytes)
    #expect(first["gradient_norm/teacher"] ?? 0 > 1e-3)

    let taught = try teacher.copy(), second = try trainer.step(x, labels, unlabeled: u, strong: strong)
    #expect(teacher.parameters.bytes == taught.parameters.bytes && teacher.statistics.bytes == taught.statistics.bytes)
    let q = softmax(try taught.forward(u)), targets = soft ? q : mostProbable(q)
    let mask = q.map { ($0.max() ?? 0) >= 0.5 ? 1.0 : 0 }
    #expect(mask.contains(0) && mask.contains(1))
    func pseudo(_ network: Network) throws -> Double {
      crossEntropy(try network.forward(strong, training: true), targets, mask)
    }
    try expectGradient(
      of: trainer.student, before: student, { try 0.6 * supervised($0) + 1.7 * pseudo($0) }, "the student's stage")
    for term in ["supervised", "pseudo_label"] { #expect(second["gradient_norm/\(term)"] ?? 0 > 1e-3) }
  }

  @Test func studentsBecomeTeachers() throws {
    let trainer = try trainer("self_training", ["steps": 6, "rounds": 2])
    let x = try rows(4, 1), u = try rows(9, 2), labels = [0, 1, 2, 1]
    for _ in 0..<4 { try trainer.step(x, labels, unlabeled: u) }
    let student = try trainer.student.copy()
    try trainer.step(x, labels, unlabeled: u)
    #expect(try trainer.network("teacher").parameters.bytes == student.parameters.bytes)
    #expect(try trainer.network("teacher").statistics.bytes == student.statistics.bytes)
    #expect(trainer.student.parameters.bytes != student.parameters.bytes)
    let wide: JSONObject = ["type": "mlp", "inputs": 3, "hidden": [7], "classes": 3]
    let error = Training.error {
      _ = try self.trainer("self_training", ["rounds": 2, "student_network": .object(wide)])
    }
    #expect(error.code == .invalidArgument && error.message.contains("student_network"))
    _ = try self.trainer("self_training", ["rounds": 1, "student_network": .object(wide)])
  }

  // MARK: What methods must equal

  private let smallFit: JSONObject = ["steps": 12, "labeled_batch_size": 4, "dtype": "float32"]

  @Test func withoutUnlabeledTermsThereIsSupervisedLearning() throws {
    let (features, labels) = try Training.points()
    let supervised = try trainer("supervised", smallFit)
    try supervised.fit(features, labels)
    let pseudo = try trainer("pseudo_label", smallFit.setting(["unlabeled_weight": 0, "unlabeled_batch_size": 9]))
    try pseudo.fit(features, labels)
    #expect(pseudo.student.parameters.bytes == supervised.student.parameters.bytes)
    #expect(pseudo.student.statistics.bytes == supervised.student.statistics.bytes)
    // The teacher's own terms, from the same initial values.
    let meta = try trainer(
      "meta_pseudo_labels",
      smallFit.setting([
        "feedback_weight": 0, "uda_weight": 0, "unlabeled_batch_size": 9, "pseudo_label_view": "weak", "eman": true,
      ]))
    let teacher = try meta.network("teacher"), start = try trainer("supervised", smallFit)
    teacher.setValues(from: start.student)
    try meta.fit(features, labels)
    #expect(teacher.parameters.bytes == supervised.student.parameters.bytes)
    #expect(teacher.statistics.bytes == supervised.student.statistics.bytes)
    // The first stage of self-training.
    let stage = try trainer("self_training", smallFit.setting(["steps": 24, "unlabeled_batch_size": 9]))
    let first = try stage.network("teacher")
    first.setValues(from: start.student)
    try stage.fit(features, labels, steps: 12)
    #expect(first.parameters.bytes == supervised.student.parameters.bytes)
  }

  @Test(arguments: Trainer.methodNames) func averageOfDecayZeroIsTheStudent(method: String) throws {
    let (features, labels) = try Training.points()
    let trainer = try trainer(method, smallFit.setting(["average_decay": 0, "average_statistics": true]))
    try trainer.fit(features, labels)
    let average = try trainer.network("average")
    #expect(average.parameters.bytes == trainer.student.parameters.bytes)
    #expect(average.statistics.bytes == trainer.student.statistics.bytes)
  }

  /// Rows in another order, and classes by other numbers, are the same problem.
  @Test(arguments: Trainer.methodNames) func permutationsPermuteResults(method: String) throws {
    let x = try rows(6, 1), u = try rows(9, 2), test = try rows(5, 3), labels = [0, 1, 2, 1, 0, 2]
    let usesUnlabeled = try trainer(method).method.needsUnlabeled
    let changes: JSONObject = method == "pseudo_label" ? ["pseudo_label_threshold": 0, "unlabeled_ramp": 0] : [:]
    func trained(rows order: [Int], unlabeled: [Int], classes: [Int]) throws -> [[Double]] {
      let trainer = try trainer(method, changes.setting(["steps": 4]))
      for learner in trainer.method.learners {
        // Class c of the first problem is class classes[c] here.
        for name in learner.network.parameterNames where name.hasPrefix("dense1") {
          let values = try learner.network.parameter(name), width = values.count / 3, old = values.values
          for c in 0..<3 { for i in 0..<width { values[classes[c] * width + i] = old[c * width + i] } }
        }
      }
      for _ in 0..<4 {
        try trainer.step(
          x.selectingRows(order), order.map { classes[labels[$0]] },
          unlabeled: usesUnlabeled ? u.selectingRows(unlabeled) : nil)
      }
      let probabilities = try trainer.predictProbabilities(test)
      return (0..<5).map { n in (0..<3).map { probabilities[n * 3 + classes[$0]] } }
    }
    let usual = try trained(rows: Array(0..<6), unlabeled: Array(0..<9), classes: [0, 1, 2])
    let permuted = try trained(rows: [5, 2, 0, 1, 4, 3], unlabeled: [8, 0, 3, 1, 2, 7, 6, 5, 4], classes: [2, 0, 1])
    for (a, b) in zip(usual.joined(), permuted.joined()) { #expect(abs(a - b) < 1e-9) }
  }
}
