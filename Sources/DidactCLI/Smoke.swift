import ArgumentParser
import Didact

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// `didact smoke`
struct Smoke: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "smoke",
    abstract: "Tries everything once, in a few seconds.",
    discussion: """
      Trains on both built-in data sets, checks gradients, saves, loads, resumes and predicts; prints one line a check \
      and fails if any fails.
      """)

  @Option(help: ArgumentHelp("Seed of data, networks and batches. (default: 100)", valueName: "n"))
  var seed: Int?

  func run() throws {
    let seed = try checkedSeed(seed) ?? 100
    let directory = try TemporaryDirectory()
    defer { directory.remove() }
    var failures = 0
    func check(_ name: String, _ body: () throws -> String) throws {
      do {
        try writeOutput("ok      \(name): \(try body())\n")
      } catch let error as DidactError {
        failures += 1
        try writeOutput("FAILED  \(name): \(error.message)\n")
      }
    }
    let moons = SmokeRun(data: "two-moons", labels: 6, steps: 400, minimumAccuracy: 0.7, seed: seed)
    let digits = SmokeRun(data: "digits", labels: 40, steps: 150, minimumAccuracy: 0.6, seed: seed)
    for run in [moons, digits] {
      try check("train on \(run.data)") { try run.checkAccuracy(method: "meta_pseudo_labels") }
    }
    try check("train supervised") { try moons.checkAccuracy(method: "supervised") }
    for feedback in GradientCheck.feedbacks {
      try check("gradients, \(feedback)") { try checkGradients(feedback, seed: seed) }
    }
    try check("save and load") { try moons.checkSaving(in: directory) }
    try check("resume") { try moons.checkResuming(in: directory) }
    try check("predict") { try digits.checkPrediction(in: directory) }
    try check("refuse a damaged model") { try moons.checkDamage(in: directory) }
    try check("stop where training diverges") { try moons.checkDivergence() }
    if failures > 0 { throw ExitCode.failure }
  }

  private func checkGradients(_ feedback: String, seed: UInt64) throws -> String {
    let checks = try GradientCheck.run(feedback: feedback, seed: seed)
    if let failed = checks.first(where: { !$0.passed }) {
      throw SmokeRun.failure("\(failed.configuration): norm \(failed.norm), error \(failed.error)")
    }
    return "\(checks.count) configurations, worst error " + formatted("%.1e", checks.map(\.error).max() ?? 0)
  }
}

/// A short run on built-in data, and what can be tried with it.
private struct SmokeRun {
  let data: String
  let labels: Int
  let steps: Int
  /// By far less than what the run reaches, by far more than chance.
  let minimumAccuracy: Double
  let seed: UInt64

  static func failure(_ message: String) -> DidactError { DidactError(.internalError, message) }

  func checkAccuracy(method: String) throws -> String {
    let dataset = try dataset()
    let trainer = try trainer(dataset, method: method)
    try trainer.fit(dataset.features, dataset.labels, steps: steps)
    guard let features = dataset.testFeatures, let labels = dataset.testLabels else {
      throw SmokeRun.failure("no test part")
    }
    let accuracy = try trainer.evaluate(features, labels).accuracy
    guard accuracy >= minimumAccuracy else {
      throw SmokeRun.failure("accuracy \(percent(accuracy)), less than \(percent(minimumAccuracy))")
    }
    return "\(percent(accuracy)) after \(steps) steps with \(self.labels) labels"
  }

  func checkSaving(in directory: TemporaryDirectory) throws -> String {
    let dataset = try dataset()
    let trainer = try trainer(dataset)
    try trainer.fit(dataset.features, dataset.labels, steps: 50)
    let path = directory.path("saved.safetensors")
    try trainer.save(to: path)
    let loaded = try Trainer(loading: path)
    for role in trainer.networkRoles {
      let before = try trainer.predictProbabilities(dataset.features, by: role)
      let after = try loaded.predictProbabilities(dataset.features, by: role)
      guard before.bytes == after.bytes else { throw SmokeRun.failure("the loaded \(role) predicts otherwise") }
    }
    guard loaded.classNames == dataset.classNames, loaded.featureNames == dataset.featureNames else {
      throw SmokeRun.failure("names were lost")
    }
    return "predictions are the same, bit for bit"
  }

  func checkResuming(in directory: TemporaryDirectory) throws -> String {
    let dataset = try dataset()
    let whole = try trainer(dataset), first = try trainer(dataset)
    try whole.fit(dataset.features, dataset.labels, steps: 60)
    try first.fit(dataset.features, dataset.labels, steps: 23)
    let path = directory.path("interrupted.safetensors")
    try first.save(to: path)
    let second = try Trainer(loading: path)
    try second.fit(dataset.features, dataset.labels, steps: 37)
    for role in whole.networkRoles {
      guard try whole.network(role).parameters.bytes == second.network(role).parameters.bytes else {
        throw SmokeRun.failure("the resumed \(role) differs")
      }
    }
    guard whole.history == second.history else { throw SmokeRun.failure("the histories differ") }
    return "23 steps, a file and 37 steps equal 60 steps, bit for bit"
  }

  func checkPrediction(in directory: TemporaryDirectory) throws -> String {
    let dataset = try dataset()
    let trainer = try trainer(dataset)
    try trainer.fit(dataset.features, dataset.labels, steps: 20)
    let probabilities = try trainer.predictProbabilities(dataset.features)
    let path = directory.path("predictions.csv")
    try writeFileAtomically(to: path) { writer in
      try predictionLines(probabilities, trainer.namesOfClasses) { try writer.write($0) }
    }
    let table = try Dataset(csv: path, labelColumn: "label")
    guard table.features.values.map(Float.init) == probabilities.values.map(Float.init) else {
      throw SmokeRun.failure("the probabilities in the file are others")
    }
    let labels = try trainer.predict(dataset.features).map { trainer.namesOfClasses[$0] }
    guard table.labels.map({ table.classNames[$0] }) == labels else {
      throw SmokeRun.failure("the labels in the file are others")
    }
    return "\(table.rows) rows as CSV read back the same"
  }

  func checkDamage(in directory: TemporaryDirectory) throws -> String {
    let dataset = try dataset()
    let path = directory.path("damaged.safetensors")
    try trainer(dataset).save(to: path)
    let bytes = try readFile(path).withBytes { Array($0) }
    try writeFileAtomically(to: path) { writer in
      try bytes.dropLast(100).withUnsafeBytes { try writer.write($0) }
    }
    do {
      _ = try Trainer(loading: path)
    } catch let error as DidactError where error.code == .format {
      return "a file that is cut off is not loaded"
    }
    throw SmokeRun.failure("a file that is cut off was loaded")
  }

  func checkDivergence() throws -> String {
    let dataset = try dataset()
    let trainer = try trainer(dataset, more: ["student_optimizer.learning_rate": 1e30])
    do {
      try trainer.fit(dataset.features, dataset.labels, steps: 50)
    } catch let error as DidactError where error.code == .diverged {
      _ = try trainer.predict(dataset.features)
      return "after \(trainer.steps) steps, with a usable model left"
    }
    throw SmokeRun.failure("a learning rate of 1e30 went unnoticed")
  }

  private func dataset() throws -> Dataset {
    try DataSource(named: data).trainingData(labels: labels, seed: seed)
  }

  private func trainer(
    _ dataset: Dataset, method: String = "meta_pseudo_labels", more: JSONObject = [:]
  ) throws -> Trainer {
    let preset = Preset(data: data, columns: dataset.columns)
    let network = JSONObject().completed(
      columns: dataset.columns, hidden: preset.hidden, classes: dataset.classNames.count)
    let own: JSONObject = [
      "method": .string(method), "seed": .integer(Int64(clamping: seed)), "network": .object(network),
    ]
    let layers = [try preset.configuration(method: method), own, more]
    let trainer = try Trainer(configuration: try Trainer.mergedConfiguration(layers, method: method))
    try trainer.setNames(.classes, from: .array(dataset.classNames.map { .string($0) }))
    try trainer.setNames(.features, from: .array(dataset.featureNames.map { .string($0) }))
    return trainer
  }
}
