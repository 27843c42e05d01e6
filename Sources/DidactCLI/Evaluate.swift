import ArgumentParser
import Didact

/// `didact evaluate`
struct Evaluate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "evaluate",
    abstract: "Compares predictions with labels: accuracy and confusion.",
    discussion: """
      Measures on the test part where the data has one (two-moons, digits, X_test and y_test of an .npz file, the test \
      part of image data), else on all rows with a label, and says so where the model was trained on these rows. \
      Built-in data is split by the model's own seed, so that no row is tested that was learned from. Labels are \
      matched by class name; rows of classes that the model does not know are counted apart. Columns of a CSV file are \
      matched as by didact predict.

      EXAMPLES:
        didact evaluate --model digits.safetensors --data digits
        didact evaluate --model species.safetensors --data test.csv --json
      """)

  @Option(help: ArgumentHelp("A model that train wrote.", valueName: "file"))
  var model: String

  @Option(
    help: ArgumentHelp(
      "two-moons, digits, a table ending in .csv, arrays ending in .npz or .npy, or a folder or file of images.",
      valueName: "data"))
  var data: String

  @OptionGroup var table: TableOptions

  @OptionGroup var images: ImageFileOptions

  @Option(help: ArgumentHelp("Seed of the built-in data and its split. (default: the model's)", valueName: "n"))
  var seed: Int?

  @Option(
    help: ArgumentHelp(
      "As in training; measures built-in data also on the training rows whose labels were hidden.", valueName: "n"))
  var labels: Int?

  @Flag(help: "Write one JSON object.")
  var json = false

  func run() throws {
    var source = try DataSource(named: data, images)
    try source.check(table)
    let trainer = try Trainer(loading: model)
    source = source.taken(by: trainer)
    let seed = try checkedSeed(seed) ?? trainer.seed
    let rows = try source.rowsToEvaluate(for: trainer, table, seed: seed)
    let report: AccuracyReport
    do {
      report = try AccuracyReport(
        on: rows.part.description(of: source.name), trainer, rows.features, rows.labels)
    } catch let error as DidactError {
      throw error.at(source.name)
    }
    let hidden = try hiddenReport(trainer, source, seed: seed)

    guard json else {
      try writeOutput(
        report.text() + rows.unknownLine(report.predictor.accuracy) + (hidden?.text() ?? "") + report.confusionText())
      return
    }
    var object = report.json().members ?? [:]
    object["classes"] = .array(trainer.namesOfClasses.map { .string($0) })
    object["confusion"] = report.confusionJSON()
    object["measured_on"] = .string(rows.part.name)
    object["unknown_rows"] = JSON(rows.unknownRows)
    object["unknown_classes"] = .object(JSONObject(rows.unknown.map { ($0.name, JSON($0.rows)) }))
    object["accuracy_with_unknown"] = .number(rows.accuracyWithUnknown(report.predictor.accuracy))
    if let hidden { object["unlabeled"] = hidden.json() }
    try writeOutput(JSON.object(object).serialized() + "\n")
  }

  /// On the training rows whose labels training did not see.
  private func hiddenReport(_ trainer: Trainer, _ source: DataSource, seed: UInt64) throws -> AccuracyReport? {
    guard let labels else { return nil }
    switch source {
    case .csv, .npz, .npy, .images:
      throw DidactError(.invalidArgument, "--labels is for two-moons and digits; in a file, hidden labels are unknown")
    case .twoMoons, .digits: break
    }
    let complete = try source.trainingData(labels: nil, seed: seed)
    let kept = try source.trainingData(labels: labels, seed: seed)
    let rows = kept.labels.indices.filter { kept.labels[$0] < 0 }
    guard !rows.isEmpty else { return nil }
    let hidden = try EvaluationRows(
      complete.features.selectingRows(rows), rows.map { complete.labels[$0] }, of: complete, .labeled, for: trainer,
      source)
    return try AccuracyReport(on: "unlabelled training rows", trainer, hidden.features, hidden.labels)
  }
}
