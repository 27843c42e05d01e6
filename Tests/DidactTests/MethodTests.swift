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
    // Passes of their own are what most of these tests restate.
    if try Trainer.fields(method: method).contains(where: { $0.key == "student_batch" }) {
      base["student_batch"] = "separate"
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

  /// (1 / N C) Σ ‖softmax(logits) − targets‖²
  private func squaredDifference(_ logits: Tensor, _ targets: [[Double]]) -> Double {
    zip(softmax(logits).joined(), targets.joined()).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
      / Double(logits.count)
  }

  private func entropy(_ logits: Tensor) -> Double {
    softmax(logits).joined().reduce(0) { $0 - $1 * log($1) } / Double(logits.rows)
  }

  private func mixed(_ rows: [[Double]], _ order: [Int], _ share: Double) -> [[Double]] {
    rows.indices.map { i in zip(rows[i], rows[order[i]]).map { share * $0 + (1 - share) * $1 } }
  }

  /// The batch of these tests, and the student's labelled loss.
  private struct Problem {
    let x, u, strong: Tensor
    let labels = [0, 1, 2, 1]
  }

  private func problem() throws -> Problem { Problem(x: try rows(4, 1), u: try rows(9, 2), strong: try rows(9, 3)) }

  private func labeledLoss(_ network: Network, _ problem: Problem) throws -> Double {
    crossEntropy(try network.forward(problem.x, training: true), oneHot(problem.labels))
  }

  /// Runs a step and compares it with the central differences of an objective, whose constants are taken before it.
  private func expectStep(
    _ method: String, _ changes: JSONObject, stepsBefore: Int = 0, terms: [String],
    _ objective: (Trainer, Problem) throws -> (Network) throws -> Double
  ) throws {
    let trainer = try trainer(method, changes), problem = try problem()
    for _ in 0..<stepsBefore {
      try trainer.step(problem.x, problem.labels, unlabeled: problem.u, strong: problem.strong)
    }
    let before = try trainer.student.copy(), value = try objective(trainer, problem)
    let metrics = try trainer.step(problem.x, problem.labels, unlabeled: problem.u, strong: problem.strong)
    try expectGradient(of: trainer.student, before: before, value, "\(method) \(changes)")
    for term in terms { #expect(metrics["gradient_norm/\(term)"] ?? 0 > 1e-4, "\(method), \(term)") }
  }

  @Test(arguments: ["raw", "sharpened"], ["all", "kept"]) func udaGradient(confidence: String, divisor: String) throws {
    let changes: JSONObject = [
      "unlabeled_weight": 1.7, "uda_temperature": 0.6, "uda_threshold": .number(confidence == "raw" ? 0.5 : 0.7),
      "uda_confidence": .string(confidence), "uda_divisor": .string(divisor), "entropy_weight": 0.3,
    ]
    try expectStep("uda", changes, terms: ["supervised", "uda", "entropy"]) { trainer, problem in
      let logits = try trainer.student.copy().forward(problem.u, training: true)
      let raw = softmax(logits), target = softmax(try Tensor(logits.values.map { $0 / 0.6 }, shape: logits.shape))
      let mask = (confidence == "raw" ? raw : target).map {
        ($0.max() ?? 0) >= (confidence == "raw" ? 0.5 : 0.7) ? 1.0 : 0
      }
      #expect(mask.contains(0) && mask.contains(1))
      let factor = divisor == "all" ? 1 : 9 / mask.reduce(0, +)
      return { network in
        let consistency = crossEntropy(try network.forward(problem.strong, training: true), target, mask) * factor
        let entropy = entropy(try network.forward(problem.u, training: true))
        return try labeledLoss(network, problem) + 1.7 * consistency + 0.3 * entropy
      }
    }
  }

  @Test(arguments: ["kept", "all"]) func signalAnnealing(divisor: String) throws {
    let changes: JSONObject = [
      "unlabeled_weight": 0, "signal_annealing": "linear", "signal_annealing_divisor": .string(divisor), "steps": 20,
    ]
    try expectStep("uda", changes, stepsBefore: 6, terms: ["supervised"]) { trainer, problem in
      let q = softmax(try trainer.student.copy().forward(problem.x, training: true))
      let threshold = 0.3 * (1 - 1.0 / 3) + 1.0 / 3
      let mask = zip(q, problem.labels).map { $0[$1] <= threshold ? 1.0 : 0 }
      #expect(mask.contains(0) && mask.contains(1))
      let factor = divisor == "all" ? 1 : 4 / mask.reduce(0, +)
      return { crossEntropy(try $0.forward(problem.x, training: true), oneHot(problem.labels), mask) * factor }
    }
  }

  @Test func signalAnnealingThresholds() throws {
    func thresholds(_ rise: String) throws -> [Double] {
      let fields = try Trainer.fields(method: "uda"), network = JSON.object(Self.network)
      let values = try FieldValues(
        ["method": "uda", "network": network, "signal_annealing": .string(rise)], fields: fields, subject: "test")
      let annealing = try #require(try SignalAnnealing(values))
      return [0, 0.5, 1].map { annealing.threshold($0, classes: 10) }
    }
    let expected = [
      ("linear", [0.1, 0.55, 1]), ("exponential", [0.10606, 0.17388, 1]), ("logarithmic", [0.1, 0.92612, 0.99394]),
    ]
    for (rise, values) in expected {
      for (a, b) in zip(try thresholds(rise), values) { #expect(abs(a - b) < 5e-6, "\(rise)") }
    }
  }

  @Test(arguments: ["plain", "eman", "aligned", "joint"]) func fixMatchGradient(labeling: String) throws {
    let eman = labeling == "eman", isAligned = labeling == "aligned"
    let changes: JSONObject = [
      "unlabeled_weight": 1.7, "pseudo_label_threshold": 0.5, "eman": .boolean(eman), "average_decay": 0.6,
      "distribution_alignment": .boolean(isAligned), "student_batch": labeling == "joint" ? "joint" : "separate",
    ]
    try expectStep("fixmatch", changes, stepsBefore: 3, terms: ["supervised", "pseudo_label"]) { trainer, problem in
      let together = try Tensor(
        problem.x.values + problem.u.values + problem.strong.values, shape: Shape(22, 3))
      let logits =
        switch labeling {
        case "eman": try trainer.network("average").forward(problem.u)
        case "joint": try trainer.student.copy().forward(together, training: true).rows(4..<13)
        default: try trainer.student.copy().forward(problem.u, training: true)
        }
      var q = softmax(logits)
      if isAligned {
        let classes = q[0].count, averages = trainer.method.scalars.map { $0.value[0] }
        #expect(averages.count == 2 * classes && averages != Array(repeating: 1 / Double(classes), count: 2 * classes))
        let targets = oneHot(problem.labels)
        func moved(_ average: Double, _ column: [Double]) -> Double {
          127 / 128.0 * average + column.reduce(0, +) / Double(column.count) / 128
        }
        let ratios = (0..<classes).map { label in
          moved(averages[label], targets.map { $0[label] })
            / moved(averages[classes + label], q.map { $0[label] })
        }
        q = q.map { row in
          let weights = zip(row, ratios).map { $0 * $1 }, total = weights.reduce(0, +)
          return weights.map { $0 / total }
        }
      }
      let mask = q.map { ($0.max() ?? 0) >= 0.5 ? 1.0 : 0 }
      #expect(mask.contains(0) && mask.contains(1))
      return { [q] network in
        guard labeling == "joint" else {
          return try labeledLoss(network, problem)
            + 1.7 * crossEntropy(try network.forward(problem.strong, training: true), mostProbable(q), mask)
        }
        let logits = try network.forward(together, training: true)
        return crossEntropy(logits.rows(0..<4), oneHot(problem.labels))
          + 1.7 * crossEntropy(logits.rows(13..<22), mostProbable(q), mask)
      }
    }
  }

  /// What counts follows from the predictions on both batches and from averages over the steps before.
  @Test(arguments: ["relative", "adaptive", "soft"]) func thresholdRules(rule: String) throws {
    let changes: JSONObject = [
      "unlabeled_weight": 1.7, "pseudo_label_threshold": 0.9, "threshold_rule": .string(rule), "threshold_decay": 0.9,
    ]
    try expectStep("fixmatch", changes, stepsBefore: 3, terms: ["supervised", "pseudo_label"]) { trainer, problem in
      let q = softmax(try trainer.student.copy().forward(problem.u, training: true))
      let state = Dictionary(
        uniqueKeysWithValues: trainer.method.scalars.map { ($0.name.replacing("/", with: "."), $0.value[0]) })
      func mean(_ values: [Double]) -> Double { values.reduce(0, +) / Double(values.count) }
      func largest(_ rows: [[Double]]) -> [Double] { rows.map { $0.max() ?? 0 } }
      func column(_ rows: [[Double]], _ label: Int) -> Double { mean(rows.map { $0[label] }) }
      // The start and three steps, of which this is the fourth.
      #expect(rule == "relative" || state["confidence.count"] == 4)
      func moved(_ name: String, _ value: Double, _ decay: Double = 0.8) -> Double {
        decay * (state[name] ?? .nan) + (1 - decay) * value
      }
      let weights: [Double]
      switch rule {
      case "relative":
        let labeled = mean(largest(softmax(try trainer.student.copy().forward(problem.x, training: true))))
        weights = largest(q).map { $0 >= 0.9 * labeled ? 1 : 0 }
      case "adaptive":
        let level = moved("confidence.level", mean(largest(q)))
        let shares = (0..<3).map { moved("confidence.shares.\($0)", column(q, $0)) }
        weights = zip(largest(q), mostProbable(q)).map { largest, label in
          largest >= level * zip(label, shares).reduce(0) { $0 + $1.0 * $1.1 } / (shares.max() ?? 0) ? 1 : 0
        }
      default:
        let ratios = (0..<3).map { label in
          moved("alignment.labeled.\(label)", column(oneHot(problem.labels), label), 127 / 128.0)
            / moved("alignment.predicted.\(label)", column(q, label), 127 / 128.0)
        }
        let aligned = largest(
          q.map { row in
            let scaled = zip(row, ratios).map { $0 * $1 }, total = scaled.reduce(0, +)
            return scaled.map { $0 / total }
          })
        let center = mean(aligned), level = moved("confidence.level", center)
        let squares = aligned.map { ($0 - center) * ($0 - center) }.reduce(0, +) / Double(aligned.count - 1)
        let variance = moved("confidence.variance", squares)
        weights = aligned.map { $0 < level ? exp(-2 * ($0 - level) * ($0 - level) / variance) : 1 }
      }
      #expect(weights.contains(1) && weights.contains { $0 < 1 }, "\(weights)")
      return { network in
        try labeledLoss(network, problem)
          + 1.7 * crossEntropy(try network.forward(problem.strong, training: true), mostProbable(q), weights)
      }
    }
  }

  /// Averages of a confidence rule are in files, and a step that fails leaves them as they were.
  @Test(arguments: ["fixmatch", "uda", "meta_pseudo_labels"], ["relative", "adaptive", "soft"])
  func thresholdRulesResume(method: String, rule: String) throws {
    let problem = try problem(), changes: JSONObject = ["threshold_rule": .string(rule)]
    func step(_ trainer: Trainer) throws {
      try trainer.step(problem.x, problem.labels, unlabeled: problem.u, strong: problem.strong)
    }
    let whole = try trainer(method, changes), plain = try trainer(method)
    for _ in 0..<3 { try step(whole) }
    let resumed = try whole.copy(), rows = try Tensor(Array(repeating: .infinity, count: 27), shape: Shape(9, 3))
    #expect(throws: DidactError.self) {
      try resumed.step(problem.x, problem.labels, unlabeled: rows, strong: problem.strong)
    }
    for _ in 0..<3 {
      try step(whole)
      try step(resumed)
    }
    for _ in 0..<6 { try step(plain) }
    #expect(Trainer.differences(whole, resumed) == [])
    #expect(whole.student.parameters.bytes != plain.student.parameters.bytes)
  }

  /// A class that is hardly predicted any more is brought back: predictions of it count for more, in the measure in which
  /// the labels name it more often than the predictions do.
  @Test func alignmentBringsLostClassesBack() throws {
    let objectives = Objectives(try makeKernels(.float64))
    let alignment = try DistributionAlignment(classes: 2, objectives)
    let targets = try Tensor(rows: [[1, 0], [0, 1]])
    let predicted = try Tensor(rows: [[0.9, 0.1], [0.9, 0.1], [0.6, 0.4]])
    var aligned = predicted
    for _ in 0..<2000 {
      aligned = try alignment.aligned(predicted, labels: LabelTargets(rows: targets, count: targets.rows))
    }
    // p̄ = (0.8, 0.2), p = (0.5, 0.5): the odds of the second class grow fourfold.
    let expected: [Double] = [9 / 13, 4 / 13, 9 / 13, 4 / 13, 3 / 11, 8 / 11]
    for index in expected.indices { #expect(abs(aligned[index] - expected[index]) < 1e-6) }
  }

  /// The averages do not lag behind while there are few batches.
  @Test func alignmentGoesByTheBatchesThereAre() throws {
    let objectives = Objectives(try makeKernels(.float64))
    let alignment = try DistributionAlignment(classes: 2, objectives)
    let targets = LabelTargets(rows: try Tensor(rows: [[1, 0], [0, 1]]), count: 2)
    let predicted = try Tensor(rows: [[0.8, 0.2]])
    for batches in 1...3 {
      let aligned = try alignment.aligned(predicted, labels: targets)
      // p̄ is near the mean of so many batches of 0.8 and one of 0.5; older ones count for 1/128 less a batch.
      let mean = (0.5 + 0.8 * Double(batches)) / Double(batches + 1)
      let expected = 0.8 / mean / (0.8 / mean + 0.2 / (1 - mean))
      #expect(abs(aligned[0] - expected) < 0.005)
    }
  }

  /// Within the limit nothing changes; beyond it predictions of a class that runs away count for less.
  @Test func shareGuardHoldsWhatRunsAway() throws {
    let objectives = Objectives(try makeKernels(.float64))
    let guardian = try ShareGuard(classes: 2, limit: 1.5, objectives)
    let even = try Tensor(rows: [[0.5, 0.5], [0.4, 0.6], [0.6, 0.4]])
    for _ in 0..<500 { try guardian.support(even) }
    // (0.625, 0.375) is within (1/3, 0.75) of both classes.
    let near = try Tensor(rows: [[0.6, 0.4], [0.65, 0.35]]), far = try Tensor(rows: [[0.95, 0.05], [0.85, 0.15]])
    var held = near
    for _ in 0..<500 { held = try guardian.held(near) }
    for index in 0..<near.count { #expect(abs(held[index] - near[index]) < 1e-9) }
    for _ in 0..<500 { held = try guardian.held(far) }
    // p̄ = (0.9, 0.1) is brought to (0.75, 1/3): the odds of the second class grow by 0.9 / 0.75 · (1/3) / 0.1 = 4.
    let expected = [0.95 / (0.95 + 4 * 0.05), 0.2 / 1.15, 0.85 / (0.85 + 4 * 0.15), 0.6 / 1.45]
    for index in expected.indices { #expect(abs(held[index] - expected[index]) < 1e-6) }
  }

  @Test func metaPseudoLabelsHoldsSharesAfterItsWait() throws {
    let (features, labels) = try Training.points()
    func trainer(_ changes: JSONObject) throws -> Trainer {
      let trainer = try Trainer(configuration: Training.configuration(changes.setting(["steps": 6])))
      try trainer.fit(features, labels)
      return trainer
    }
    let held = try trainer(["uda_wait_steps": 3, "share_limit": 1]), free = try trainer(["uda_wait_steps": 3])
    // While the teacher learns from labels alone there is no consistency loss, and after it there is.
    for run in [held, free] {
      #expect(run.history.map { $0["gradient_norm/uda"] ?? 0 }.prefix(3).allSatisfy { $0 == 0 })
      #expect(run.history.map { $0["gradient_norm/uda"] ?? 0 }.suffix(3).allSatisfy { $0 > 0 })
    }
    #expect(held.history[5]["loss/uda"] != free.history[5]["loss/uda"])
    #expect(throws: DidactError.self) { try trainer(["share_limit": 2]) }
  }

  @Test(arguments: ["training", "evaluation", "eman"]) func meanTeacherGradient(mode: String) throws {
    let changes: JSONObject = [
      "unlabeled_weight": 17, "unlabeled_ramp": 0, "average_decay": 0.6, "eman": .boolean(mode == "eman"),
      "teacher_mode": .string(mode == "evaluation" ? mode : "training"),
    ]
    try expectStep("mean_teacher", changes, stepsBefore: 2, terms: ["supervised", "consistency"]) { trainer, problem in
      let teacher = try trainer.network("average")
      if mode == "eman" { #expect(teacher.statistics.bytes != trainer.student.statistics.bytes) }
      let target = softmax(try teacher.copy().forward(problem.u, training: mode == "training"))
      return { network in
        try labeledLoss(network, problem)
          + 17 * squaredDifference(try network.forward(problem.strong, training: true), target)
      }
    }
  }

  @Test(arguments: [false, true]) func piModelGradient(detached: Bool) throws {
    let changes: JSONObject = ["unlabeled_weight": 17, "unlabeled_ramp": 0, "detach_target": .boolean(detached)]
    try expectStep("pi_model", changes, terms: ["supervised", "consistency"]) { trainer, problem in
      let constant = softmax(try trainer.student.copy().forward(problem.u, training: true))
      return { network in
        let target = detached ? constant : softmax(try network.forward(problem.u, training: true))
        return try labeledLoss(network, problem)
          + 17 * squaredDifference(try network.forward(problem.strong, training: true), target)
      }
    }
  }

  @Test(arguments: [false, true]) func distillationGradient(soft: Bool) throws {
    let changes: JSONObject = [
      "steps": 4, "distillation_weight": 0.7, "distillation_temperature": 3, "soft_labels": .boolean(soft),
    ]
    try expectStep("distillation", changes, stepsBefore: 2, terms: ["supervised", "distillation"]) { trainer, problem in
      let temperature = soft ? 3.0 : 1.0
      func softened(_ logits: Tensor) throws -> Tensor {
        try Tensor(logits.values.map { $0 / temperature }, shape: logits.shape)
      }
      let q = softmax(try softened(try trainer.network("teacher").forward(problem.u)))
      return { network in
        let logits = try softened(try network.forward(problem.strong, training: true))
        return try 0.3 * labeledLoss(network, problem)
          + 0.7 * temperature * temperature * crossEntropy(logits, soft ? q : mostProbable(q))
      }
    }
  }

  @Test func interpolationConsistencyGradient() throws {
    let changes: JSONObject = [
      "unlabeled_weight": 17, "unlabeled_ramp": 0, "average_decay": 0.6, "teacher_mode": "evaluation",
    ]
    try expectStep("ict", changes, stepsBefore: 2, terms: ["supervised", "consistency"]) { trainer, problem in
      let stream = RandomStream(seed: 5, name: "mixing"), beta = stream.draw(2, lane: 1).beta(0.5)
      let share = max(beta, 1 - beta), order = stream.draw(2).permutation(9)
      let target = mixed(softmax(try trainer.network("average").forward(problem.u)), order, share)
      let inputs = (0..<9).map { n in (0..<3).map { problem.u[n * 3 + $0] } }
      let rows = try Tensor(mixed(inputs, order, share).flatMap { $0 }, shape: Shape(9, 3))
      return { network in
        try labeledLoss(network, problem) + 17 * squaredDifference(try network.forward(rows, training: true), target)
      }
    }
  }

  @Test func mixMatchGradient() throws {
    let changes: JSONObject = ["unlabeled_weight": 17, "unlabeled_ramp": 0, "label_smoothing": 0.1]
    try expectStep("mixmatch", changes, terms: ["supervised", "consistency"]) { trainer, problem in
      let stream = RandomStream(seed: 5, name: "mixing"), beta = stream.draw(0, lane: 1).beta(0.75)
      let share = max(beta, 1 - beta), order = stream.draw(0).permutation(22)
      let student = try trainer.student.copy()
      let a = softmax(try student.forward(problem.u, training: true))
      let b = softmax(try student.forward(problem.strong, training: true))
      let q = zip(a, b).map { a, b in
        let squares = zip(a, b).map { ($0 + $1) * ($0 + $1) }, sum = squares.reduce(0, +)
        return squares.map { $0 / sum }
      }
      func rows(_ tensor: Tensor) -> [[Double]] { (0..<tensor.rows).map { n in (0..<3).map { tensor[n * 3 + $0] } } }
      let inputs = mixed(rows(problem.x) + rows(problem.u) + rows(problem.strong), order, share)
      let y = oneHot(problem.labels).map { $0.map { 0.9 * $0 + 0.1 / 3 } }
      let targets = mixed(y + q + q, order, share)
      let first = try Tensor(inputs[..<4].flatMap { $0 }, shape: Shape(4, 3))
      let second = try Tensor(inputs[4...].flatMap { $0 }, shape: Shape(18, 3))
      return { network in
        crossEntropy(try network.forward(first, training: true), Array(targets[..<4]))
          + 17 * squaredDifference(try network.forward(second, training: true), Array(targets[4...]))
      }
    }
  }

  /// The direction that the power iteration finds is that of the largest second derivative, and the gradient is that of
  /// the divergence there.
  @Test(arguments: [0, 1, 60]) func virtualAdversarialGradient(iterations: Int) throws {
    let changes: JSONObject = [
      "unlabeled_weight": 1.7, "unlabeled_ramp": 0, "entropy_weight": 0.3, "adversarial_radius": 0.5,
      "power_iterations": JSON.integer(Int64(iterations)),
      "network": .object(Self.network.setting(["batch_norm": false])),
    ]
    try expectStep("vat", changes, stepsBefore: 2, terms: ["supervised", "consistency", "entropy"]) {
      trainer, problem in
      let student = try trainer.student.copy(), u = problem.u
      let p = softmax(try student.forward(u, training: true))
      func divergences(_ rows: Tensor) throws -> [Double] {
        zip(p, softmax(try student.forward(rows, training: true))).map { p, q in
          zip(p, q).reduce(0) { $0 + $1.0 * log($1.0 / $1.1) }
        }
      }
      // The Hessian of each row's divergence by finite differences of the divergence itself.
      let noise = try Tensor(Shape(9, 3), .float64)
      trainer.student.kernels.addNormal(
        noise, deviation: 1, RandomStream(seed: 5, name: "adversarial directions").draw(2))
      var directions = (0..<9).map { n in (0..<3).map { noise[n * 3 + $0] } }
      func normalized(_ v: [Double]) -> [Double] {
        let length = v.reduce(0) { $0 + $1 * $1 }.squareRoot()
        return v.map { $0 / length }
      }
      directions = directions.map(normalized)
      let step = 1e-3
      func shifted(_ i: Int, _ a: Double, _ j: Int, _ b: Double) throws -> [Double] {
        let rows = try u.copy()
        for n in 0..<9 {
          rows[n * 3 + i] += a
          rows[n * 3 + j] += b
        }
        return try divergences(rows)
      }
      var hessians = Array(repeating: Array(repeating: [0.0, 0, 0], count: 3), count: 9)
      for i in 0..<3 {
        for j in 0..<3 {
          let values = [
            try shifted(i, step, j, step), try shifted(i, step, j, -step), try shifted(i, -step, j, step),
            try shifted(i, -step, j, -step),
          ]
          for n in 0..<9 {
            hessians[n][i][j] = (values[0][n] - values[1][n] - values[2][n] + values[3][n]) / (4 * step * step)
          }
        }
      }
      for _ in 0..<iterations {
        directions = zip(hessians, directions).map { h, d in
          normalized((0..<3).map { i in zip(h[i], d).reduce(0) { $0 + $1.0 * $1.1 } })
        }
      }
      let adversarial = try u.copy()
      for n in 0..<9 { for i in 0..<3 { adversarial[n * 3 + i] += 0.5 * directions[n][i] } }
      return { network in
        let q = softmax(try network.forward(adversarial, training: true))
        var divergence = 0.0
        for (p, q) in zip(p, q) { for (a, b) in zip(p, q) { divergence += a * log(a / b) / 9 } }
        return try labeledLoss(network, problem) + 1.7 * divergence
          + 0.3 * entropy(try network.forward(u, training: true))
      }
    }
  }

  /// Two epochs of one batch each: the target of the second is the first's prediction.
  @Test func temporalEnsemblingGradient() throws {
    let trainer = try trainer(
      "temporal_ensembling",
      [
        "steps": 4, "unlabeled_weight": 17, "unlabeled_ramp": 0, "unlabeled_batch_size": 60, "labeled_batch_size": 6,
        "weak_noise": 0, "strong_noise": 0, "strong_feature_dropout": 0, "input_scaling": "none",
      ])
    let (features, labels) = try Training.points()
    let x = try features.selectingRows(Array(0..<6))
    func rows(_ network: Network) throws -> [[Double]] { softmax(try network.copy().forward(features, training: true)) }
    let first = try rows(trainer.student)
    try trainer.fit(features, labels, steps: 1)
    // No row had a prediction yet.
    #expect(trainer.history[0]["loss/consistency"] == 0)
    let before = try trainer.student.copy(), second = try rows(before)
    try trainer.fit(features, labels, steps: 1)
    func objective(_ targets: [[Double]]) -> (Network) throws -> Double {
      { network in
        crossEntropy(try network.forward(x, training: true), oneHot(Array(labels[..<6])))
          + 17 * squaredDifference(try network.forward(features, training: true), targets)
      }
    }
    try expectGradient(of: trainer.student, before: before, objective(first), "the second epoch")
    #expect(trainer.history[1]["gradient_norm/consistency"] ?? 0 > 1e-4)
    let later = try trainer.student.copy()
    try trainer.fit(features, labels, steps: 1)
    // (0.6 · 0.4 p₁ + 0.4 p₂) / (1 − 0.6²)
    let mean = zip(first, second).map { zip($0, $1).map { (0.24 * $0 + 0.4 * $1) / 0.64 } }
    try expectGradient(of: trainer.student, before: later, objective(mean), "the third epoch")
    // Other rows begin anew.
    try trainer.fit(try features.selectingRows(Array((0..<60).reversed())), labels.reversed(), steps: 1)
    #expect(trainer.history[3]["loss/consistency"] == 0)
    let problem = try problem()
    #expect(
      Training.error { try trainer.step(problem.x, problem.labels, unlabeled: problem.u) }.code == .unsupported)
  }

  /// Beta(a, a) has mean 1/2 and variance 1 / (4 (2 a + 1)).
  @Test(arguments: [0.1, 0.5, 1, 4, 1e4]) func betaValues(a: Double) {
    let stream = RandomStream(seed: 1, name: "beta"), values = (0..<20_000).map { stream.draw(UInt64($0)).beta(a) }
    #expect(values.allSatisfy { $0 >= 0 && $0 <= 1 })
    let mean = values.reduce(0, +) / 20_000
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 20_000
    #expect(abs(mean - 0.5) < 0.015)
    #expect(abs(variance * 4 * (2 * a + 1) - 1) < 0.05)
  }

  /// Google's released feedback has a loss, and no gradient.
  @Test func releasedCodeHasNoGradient() throws {
    let trainer = try trainer("meta_pseudo_labels", ["feedback": "released_code"]), problem = try problem()
    let exact = try self.trainer("meta_pseudo_labels", ["feedback": "exact"])
    for _ in 0..<5 {
      let metrics = try trainer.step(problem.x, problem.labels, unlabeled: problem.u, strong: problem.strong)
      #expect(metrics["loss/feedback"] != 0 && metrics["feedback"] != 0)
      #expect(metrics["gradient_norm/feedback"] ?? 1 < 1e-16)
      for term in ["student", "supervised", "uda"] { #expect(metrics["gradient_norm/\(term)"] ?? 0 > 1e-4) }
      let other = try exact.step(problem.x, problem.labels, unlabeled: problem.u, strong: problem.strong)
      #expect(other["gradient_norm/feedback"] ?? 0 > 1e-6)
    }
    let control = try self.trainer("meta_pseudo_labels", ["feedback_weight": 0])
    for _ in 0..<5 { try control.step(problem.x, problem.labels, unlabeled: problem.u, strong: problem.strong) }
    for (a, b) in zip(
      try trainer.network("teacher").parameters.values, try control.network("teacher").parameters.values)
    {
      #expect(abs(a - b) < 1e-12)
    }
  }

  // MARK: Reduced Meta Pseudo Labels

  /// What `fixture` says of the points of these tests.
  private func storedRows(_ rows: [Int]) throws -> Tensor {
    let file = try SafetensorsFile(reading: fixture("distributions.safetensors"))
    let stored = try #require(file.tensor(named: "distributions"))
    return try Tensor(stored.selectingRows(rows).values, shape: Shape(rows.count, 3))
  }

  /// The corrector's step against central differences of the moved student's labelled loss, with momentum and clipping in
  /// the student's step.
  @Test(arguments: ["exact", "gradient_dot", "loss_difference"]) func reducedGradient(feedback: String) throws {
    let temperature = 1.3, smoothing = 0.1, threshold = 0.5
    let trainer = try trainer(
      "reduced_meta_pseudo_labels",
      [
        "feedback": .string(feedback), "feedback_weight": 1, "teacher_temperature": .number(temperature),
        "label_smoothing": .number(smoothing), "pseudo_label_threshold": .number(threshold),
        "corrector_hidden": [4], "corrector_activation": "tanh",
        "teacher_distributions": .string(fixture("distributions.safetensors")),
        "corrector_optimizer": ["name": "sgd", "learning_rate": .number(Self.rate), "momentum": 0, "nesterov": false],
        "student_optimizer": ["learning_rate": 0.5, "momentum": 0.9, "nesterov": true, "clip_norm": 0.2],
      ])
    let corrector = try trainer.network("corrector"), rows = [3, 50, 17, 8, 9, 31, 22, 40, 59]
    #expect(try corrector.parameter("dense1.weight").values.allSatisfy { $0 == 0 }, "it begins as the identity")
    trainer.student.kernels.uniform(
      corrector.parameters, low: -0.5, high: 0.5, RandomStream(seed: 1, name: "test").draw(0))
    let (points, _) = try Training.points(), problem = try problem()
    try trainer.method.prepare(
      UnlabeledRows(count: points.rows, isNew: true, digest: 1, classNames: ["a", "b", "c"]))
    func step() throws -> Metrics {
      try trainer.step(
        Batch(
          labeled: LabeledBatch(inputs: problem.x, labels: try Tensor(problem.labels)),
          views: [problem.u, problem.strong], unlabeledRows: rows))
      return trainer.lastMetrics
    }
    _ = try step()

    let before = try corrector.copy(), student = try trainer.student.copy()
    let optimizer = try trainer.optimizer("student").copy(for: student), p = try storedRows(rows)
    func distributions(_ corrector: Network) throws -> [[Double]] {
      let correction = try corrector.forward(p)
      let logits = try Tensor(
        zip(p.values, correction.values).map { (log(max($0, 1e-8)) + $1) / temperature }, shape: p.shape)
      return softmax(logits)
    }
    let mask = try distributions(before).map { ($0.max() ?? 0) >= threshold ? 1.0 : 0 }
    #expect(mask.contains(0) && mask.contains(1))
    /// L_l of the student after a step on these targets.
    func movedLoss(_ targets: [[Double]]) throws -> Double {
      let moved = try student.copy(), own = try optimizer.copy(for: moved)
      let pass = try moved.record(problem.strong, training: true)
      let smoothed = targets.map { $0.map { (1 - smoothing) * $0 + smoothing / 3 } }
      let cotangent = try Tensor(
        zip(zip(softmax(pass.logits), smoothed), mask).flatMap { row, m in zip(row.0, row.1).map { m * ($0 - $1) / 9 }
        },
        shape: pass.logits.shape)
      try pass.backward(cotangent)
      try own.step()
      return try labeledLoss(moved, problem)
    }
    let metrics = try step()
    #expect(metrics["gradient_norm/feedback"] ?? 0 > 1e-4)
    if feedback == "exact" {
      try expectGradient(of: corrector, before: before, { try movedLoss(distributions($0)) }, "exact")
      return
    }
    // Sampled labels: h · Σ CE(ŷ_i, q_i), with h and ŷ as they were.
    let q = try distributions(before)
    let sample = try Tensor(Shape(9, 3), .float64)
    student.kernels.sample(
      sample, probabilities: try Tensor(q.flatMap { $0 }, shape: Shape(9, 3)),
      RandomStream(seed: 5, name: "pseudo_labels").draw(1))
    let hard = (0..<9).map { n in (0..<3).map { sample[n * 3 + $0] } }
    let h = try #require(metrics["feedback"])
    if feedback == "loss_difference" {
      #expect(abs(h - (try labeledLoss(student.copy(), problem) - movedLoss(hard))) < 1e-12)
    }
    try expectGradient(
      of: corrector, before: before,
      { network in
        let q = try distributions(network)
        return h * zip(hard, q).reduce(0) { sum, row in sum - zip(row.0, row.1).reduce(0) { $0 + $1.0 * log($1.1) } }
      }, "sampled")
  }

  /// Two pairs of classes are swapped in what is stored; feedback alone puts them right.
  @Test(.enabled(if: isOptimizedBuild), arguments: ["exact", "gradient_dot", "loss_difference"])
  func reducedFeedbackCorrectsWhatIsStored(feedback: String) throws {
    let digits = try Dataset.digits().stratifiedSplit(seed: 0), directory = try TemporaryDirectory()
    let labeled = try digits.keepingLabels(100, seed: 0), path = directory.path("stored.safetensors")
    let swapped = [0, 1, 2, 8, 9, 5, 6, 7, 3, 4], stored = try Tensor(Shape(digits.rows, 10), .float32)
    for (row, label) in digits.labels.enumerated() {
      for c in 0..<10 { stored[row * 10 + c] = 0.01 + (swapped[label] == c ? 0.9 : 0) }
    }
    try SafetensorsFile(tensors: [("distributions", stored)]).write(to: path)
    func accuracy(weight: Double) throws -> Double {
      let configuration: JSONObject = [
        "method": "reduced_meta_pseudo_labels",
        "network": ["type": "mlp", "inputs": 64, "hidden": [32], "classes": 10],
        "teacher_distributions": .string(path), "input_scaling": "unit", "steps": 1500, "unlabeled_batch_size": 64,
        "labeled_batch_size": 100, "weak_noise": 0, "strong_noise": 0, "strong_feature_dropout": 0,
        "student_optimizer": ["learning_rate": 0.5, "momentum": 0, "nesterov": false],
        "feedback": .string(feedback), "feedback_weight": .number(weight), "threads": 1,
      ]
      let trainer = try Trainer(configuration: configuration)
      try trainer.fit(digits.features, labeled.labels)
      let predicted = try trainer.predict(try #require(digits.testFeatures)), expected = try #require(digits.testLabels)
      return Double(zip(predicted, expected).count { $0 == $1 }) / Double(expected.count)
    }
    let control = try accuracy(weight: 0), corrected = try accuracy(weight: 1), reversed = try accuracy(weight: -1)
    #expect((0.55...0.65).contains(control), "\(control)")
    #expect(corrected >= 0.93, "\(corrected)")
    #expect(reversed < 0.2, "\(reversed)")
  }

  /// Distributions are the same in a file and as an array; of two teachers the corrector sees both, and begins with their mean.
  @Test func distributionsAreGivenAsArraysToo() throws {
    let (features, labels) = try Training.points()
    let path = fixture("distributions.safetensors"), other = fixture("other_distributions.safetensors")
    func matrix(_ path: String) throws -> Tensor {
      try #require(try SafetensorsFile(reading: path).tensors.first { $0.name == "distributions" }).tensor
    }
    func student(_ changes: JSONObject) throws -> Trainer {
      try trainer(
        "reduced_meta_pseudo_labels", smallFit.setting(["unlabeled_batch_size": 9]).setting(changes))
    }
    func parameters(_ trainer: Trainer) -> [UInt8] { trainer.student.parameters.bytes }
    let first = try matrix(path), second = try matrix(other)
    let byFile = try student(["teacher_distributions": .string(path)]), byArray = try student([:])
    try byFile.fit(features, labels)
    try byArray.fit(features, labels, teacherDistributions: first)
    #expect(parameters(byFile) == parameters(byArray))

    let both = try Tensor(Shape(2, 60, 3), .float64)
    for index in 0..<180 { (both[index], both[180 + index]) = (first[index], second[index]) }
    let files = try student(["teacher_distributions": [.string(path), .string(other)]])
    let arrays = try student(["teachers": 2])
    #expect(try files.network("corrector").inputs == 6)
    try files.fit(features, labels)
    try arrays.fit(features, labels, teacherDistributions: both)
    #expect(parameters(files) == parameters(arrays) && parameters(files) != parameters(byFile))
    // Without feedback it corrects nothing: the student learns from the mean.
    let mean = try Tensor((0..<180).map { (first[$0] + second[$0]) / 2 }, shape: Shape(60, 3))
    let uncorrected = try student(["teachers": 2, "feedback_weight": 0]), single = try student(["feedback_weight": 0])
    try uncorrected.fit(features, labels, teacherDistributions: both)
    try single.fit(features, labels, teacherDistributions: mean)
    #expect(
      zip(uncorrected.student.parameters.values, single.student.parameters.values).allSatisfy { abs($0 - $1) < 1e-6 })

    func refusal(_ changes: JSONObject, _ given: Tensor?) -> String {
      Training.error { try student(changes).fit(features, labels, teacherDistributions: given) }.message
    }
    #expect(refusal([:], both).contains("[2, 60, 3]; expected [60, 3]"))
    #expect(refusal(["teachers": 2], first).contains("expected [2, 60, 3]"))
    #expect(refusal(["teachers": 3, "teacher_distributions": [.string(path)]], nil).contains("\"teachers\" is 3"))
    both[180 + 3 * 11] = 7
    #expect(refusal(["teachers": 2], both).contains("teacher_distributions[1], row 11"))
    let supervised = try trainer("supervised", smallFit)
    #expect(
      Training.error { try supervised.fit(features, labels, teacherDistributions: first) }.message.contains("no use"))
  }

  @Test func distributionsOfOtherDataAreRefused() throws {
    let directory = try TemporaryDirectory(), path = directory.path("stored.safetensors")
    let (features, labels) = try Training.points()
    func student(_ path: JSON, classes: [String] = []) throws -> Trainer {
      let trainer = try trainer(
        "reduced_meta_pseudo_labels", smallFit.setting(["teacher_distributions": path, "unlabeled_batch_size": 9]))
      trainer.classNames = classes
      return trainer
    }
    func refusal(_ trainer: Trainer, _ features: Tensor, _ words: String...) {
      let error = Training.error { try trainer.fit(features, labels) }
      for word in words { #expect(error.message.contains(word), "\(error.message)") }
      #expect(trainer.steps == 0)
    }
    let teacher = try trainer("supervised", smallFit)
    try teacher.fit(features, labels)
    teacher.classNames = ["a", "b", "c"]
    try teacher.storeDistributions(of: features, to: path)
    let stored = try SafetensorsFile(mapping: path)
    #expect(stored.tensor(named: "distributions")?.bytes == (try teacher.predictProbabilities(features).bytes))
    try student(.string(path), classes: ["a", "b", "c"]).fit(features, labels)
    refusal(try student(.string(path)), features, "0, 1, …")
    teacher.classNames = []
    try teacher.storeDistributions(of: features, to: path)
    try student(.string(path)).fit(features, labels)
    refusal(try student(.string(path), classes: ["a", "b", "c"]), features, path, "0, 1, …")

    refusal(try student(nil), features, "teacher_distributions", "store_distributions")
    refusal(try student(.string(directory.path("none"))), features, "none")
    let others = try features.copy()
    others[5] += 1
    refusal(try student(.string(path)), others, path, "other rows")
    refusal(try student(.string(fixture("little_f4.npy"))), features, "little_f4")
    refusal(try student(.string(fixture("official.safetensors"))), features, "no tensor \"distributions\"")
    let more = try randomTensor(Shape(2, 3), seed: 1)
    expectError(.data, containing: "60 rows", "62") {
      try student(.string(path)).fit(features, labels, unlabeled: more)
    }
    // In two parts as in one.
    try teacher.storeDistributions(
      of: features.rows(0..<20), unlabeled: features.rows(20..<60), by: "student", to: path)
    try student(.string(path)).fit(features, labels)

    func write(_ change: (Tensor) -> Void, _ shape: Shape = Shape(60, 3)) throws {
      let matrix = try Tensor(Array(repeating: 1 / Double(shape[1]), count: shape.count), shape: shape)
      change(matrix)
      try SafetensorsFile(tensors: [("distributions", matrix)]).write(to: path)
    }
    for value in [2, -0.5, .nan, .infinity] {
      try write { $0[3 * 7] = value }
      refusal(try student(.string(path)), features, path, "row 7")
    }
    try write({ _ in }, Shape(60, 4))
    refusal(try student(.string(path)), features, "4 classes", "3")

    let reduced = try student(.string(fixture("distributions.safetensors"))), problem = try problem()
    expectError(.unsupported, containing: "fit") {
      try reduced.step(problem.x, problem.labels, unlabeled: problem.u)
    }
    expectError(.unsupported, containing: "corrector") {
      _ = try reduced.predictProbabilities(features, by: "corrector")
    }
    #expect(reduced.networkRoles == ["student"])
  }

  // MARK: What methods must equal

  private let smallFit: JSONObject = ["steps": 12, "labeled_batch_size": 4, "dtype": "float32"]

  @Test func withoutUnlabeledTermsThereIsSupervisedLearning() throws {
    let (features, labels) = try Training.points()
    let supervised = try trainer("supervised", smallFit)
    try supervised.fit(features, labels)
    for method in ["pseudo_label", "uda", "fixmatch", "mean_teacher", "pi_model", "ict", "vat"] {
      var changes: JSONObject = ["unlabeled_weight": 0, "unlabeled_batch_size": 9]
      if method == "vat" { changes["entropy_weight"] = 0 }
      let trainer = try trainer(method, smallFit.setting(changes))
      try trainer.fit(features, labels)
      #expect(trainer.student.parameters.bytes == supervised.student.parameters.bytes, "\(method)")
      #expect(trainer.student.statistics.bytes == supervised.student.statistics.bytes, "\(method)")
    }
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
    let trainer = try trainer(
      method, Training.fitKeys(method).setting(smallFit).setting(["average_decay": 0, "average_statistics": true]))
    try trainer.fit(features, labels)
    let average = try trainer.network("average")
    #expect(average.parameters.bytes == trainer.student.parameters.bytes)
    #expect(average.statistics.bytes == trainer.student.statistics.bytes)
  }

  /// Thresholds above 1, identical views, cold targets, averages of decay 0.
  @Test func limitsOfMethods() throws {
    let (features, labels) = try Training.points()
    func fitted(_ method: String, _ changes: JSONObject) throws -> Trainer {
      let quiet: JSONObject = [
        "unlabeled_batch_size": 9, "weak_noise": 0, "strong_noise": 0, "strong_feature_dropout": 0,
      ]
      let known = try Trainer.fields(method: method).map(\.key)
      let trainer = try trainer(
        method, smallFit.setting(JSONObject(quiet.members.filter { known.contains($0.key) })).setting(changes))
      try trainer.fit(features, labels)
      return trainer
    }
    func same(_ a: Trainer, _ b: Trainer) -> Bool { a.student.parameters.bytes == b.student.parameters.bytes }
    // No row is surer than 1. The masked rows still move the running statistics.
    let supervised = try fitted("supervised", [:])
    for (method, key) in [
      ("fixmatch", "pseudo_label_threshold"), ("uda", "uda_threshold"), ("pseudo_label", "pseudo_label_threshold"),
    ] {
      let masked = try fitted(method, [key: 1.5])
      #expect(same(masked, supervised) && masked.history.allSatisfy { $0["mask_rate"] == 0 }, "\(method)")
    }
    // With one view and no dropout, FixMatch is Pseudo-Label with a threshold.
    let thresholded: JSONObject = ["pseudo_label_threshold": 0.5]
    let fixMatch = try fitted("fixmatch", thresholded)
    #expect(same(fixMatch, try fitted("pseudo_label", thresholded.setting(["unlabeled_ramp": 0]))))
    #expect(!same(fixMatch, supervised))
    // A cold target is a hard label.
    let cold = try fitted("uda", ["uda_temperature": 1e-4, "uda_threshold": 0.5])
    for (a, b) in zip(cold.student.parameters.values, fixMatch.student.parameters.values) { #expect(abs(a - b) < 1e-4) }
    // An average of decay 0 is the student, whose predictions agree with themselves.
    let eman = try fitted("fixmatch", thresholded.setting(["average_decay": 0, "eman": true]))
    #expect(eman.average?.statistics.bytes == eman.student.statistics.bytes)
    let copied = try fitted("fixmatch", thresholded.setting(["average_decay": 0, "average_statistics": false]))
    #expect(copied.average?.statistics.bytes == copied.student.statistics.bytes)
  }

  /// An EMAN teacher's output for a row does not depend on the rows beside it.
  @Test func emanLabelsRowsOneByOne() throws {
    let (features, labels) = try Training.points()
    for method in ["fixmatch", "mean_teacher"] {
      let trainer = try trainer(
        method, smallFit.setting(["average_decay": 0.8, "eman": true, "unlabeled_batch_size": 9]))
      try trainer.fit(features, labels)
      let teacher = try trainer.network("average"), rows = try randomTensor(Shape(7, 3), .float32, seed: 77)
      let whole = try teacher.forward(rows)
      for row in 0..<7 {
        let alone = try teacher.forward(try rows.selectingRows([row, (row + 3) % 7]))
        #expect(alone.rows(0..<1).values == whole.rows(row..<row + 1).values)
      }
    }
  }

  /// Rows in another order, and classes by other numbers, are the same problem.
  @Test(arguments: Trainer.methodNames) func permutationsPermuteResults(method: String) throws {
    let x = try rows(6, 1), u = try rows(9, 2), test = try rows(5, 3), labels = [0, 1, 2, 1, 0, 2]
    let usesUnlabeled = try trainer(method).method.needsUnlabeled
    // These mix rows, or draw for them, in their order; or are for fits alone.
    if ["ict", "mixmatch", "vat", "temporal_ensembling", "reduced_meta_pseudo_labels"].contains(method) { return }
    let known = try Trainer.fields(method: method).map(\.key)
    let all: JSONObject = ["pseudo_label_threshold": 0, "uda_threshold": 0, "unlabeled_ramp": 0]
    let changes = JSONObject(all.members.filter { known.contains($0.key) })
    func trained(rows order: [Int], unlabeled: [Int], classes: [Int]) throws -> [[Double]] {
      let trainer = try trainer(method, changes.setting(["steps": 4]))
      for role in trainer.networkRoles {
        // Class c of the first problem is class classes[c] here.
        let network = try trainer.network(role)
        for name in network.parameterNames where name.hasPrefix("dense1") {
          let values = try network.parameter(name), width = values.count / 3, old = values.values
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
