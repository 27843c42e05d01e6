import ArgumentParser
import Didact

/// `didact reproduce`
struct Reproduce: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "reproduce",
    abstract: "Measures the accuracies of every method on the built-in data.",
    discussion: """
      Two moons with 3 labels a class, digits with 4, 10 and 25, over several seeds: the mean ± standard error of \
      teacher, student, average and fine-tuned student, and of the paired difference to supervised learning. The control \
      is the same run with feedback weight 0. didact.reproduce of the Python package adds scikit-learn's classifiers and \
      more data.

      EXAMPLES:
        didact reproduce
        didact reproduce --seeds 3 --data two-moons --json
      """)

  @Option(help: ArgumentHelp("How many seeds, from 0. (default: 10)", valueName: "n"))
  var seeds = 10

  @Option(help: ArgumentHelp("One of two-moons and digits; both by default.", valueName: "data"))
  var data: String?

  @Flag(help: "Write JSON, one object a line: each run's accuracies.")
  var json = false

  private struct Row {
    let name: String
    let method: String
    var changes: JSONObject = [:]
  }

  /// Teacher, student, average and fine-tuned student of one run.
  private static let stages: JSONObject = [
    "average_decay": 0.99, "average_warmup": "tensorflow", "finetune_steps": 200, "finetune_learning_rate": 0.01,
  ]

  private static let rows: [Row] =
    [
      "supervised", "pseudo_label", "self_training", "pi_model", "temporal_ensembling", "mean_teacher", "vat", "ict",
      "mixmatch", "uda", "fixmatch", "distillation",
    ].map { Row(name: $0, method: $0) }
    + [
      Row(name: "control", method: "meta_pseudo_labels", changes: ["feedback_weight": 0]),
      Row(name: "exact", method: "meta_pseudo_labels", changes: ["feedback": "exact"]),
      Row(name: "gradient_dot", method: "meta_pseudo_labels", changes: ["feedback": "gradient_dot"]),
      Row(name: "loss_difference", method: "meta_pseudo_labels", changes: ["feedback": "loss_difference"]),
      Row(name: "EMAN, exact", method: "meta_pseudo_labels", changes: ["feedback": "exact", "eman": true]),
    ].map { row in
      var row = row
      for (key, value) in stages.members { row.changes[key] = value }
      return row
    }
    + [
      Row(name: "reduced, control", method: "reduced_meta_pseudo_labels", changes: ["feedback_weight": 0]),
      Row(name: "reduced, exact", method: "reduced_meta_pseudo_labels", changes: ["feedback": "exact"]),
    ]

  private static let roles = ["student", "teacher", "average", "finetuned"]

  func run() throws {
    guard seeds > 0 else { throw DidactError(.invalidArgument, "--seeds \(seeds): give at least 1") }
    let known = ["two-moons", "digits"]
    if let data, !known.contains(data) {
      throw DidactError(.invalidArgument, "--data \(data): give one of \(known.joined(separator: ", "))")
    }
    for name in known where data == nil || data == name {
      for labels in name == "two-moons" ? [6] : [40, 100, 250] { try report(name, labels: labels) }
    }
  }

  private func report(_ data: String, labels: Int) throws {
    let source = try DataSource(named: data)
    var table = [["\(data), \(labels) labels"] + Self.roles + ["student − supervised"]]
    var supervised: [Double] = []
    for row in Self.rows {
      var accuracies: [String: [Double]] = [:]
      for seed in 0..<seeds {
        let run = try accuraciesByRole(row, data, source, labels: labels, seed: UInt64(seed))
        for (role, accuracy) in run { accuracies[role, default: []].append(accuracy) }
        guard json else { continue }
        var object: JSONObject = [
          "data": .string(data), "labels": JSON(labels), "row": .string(row.name), "seed": JSON(seed),
        ]
        for (role, accuracy) in run { object[role] = .number(accuracy) }
        try writeOutput(JSON.object(object).serialized() + "\n")
      }
      let student = accuracies["student"] ?? []
      if row.name == "supervised" { supervised = student }
      let cells = Self.roles.map { accuracies[$0].map { spread($0, signed: false) } ?? "" }
      let difference = zip(student, supervised).map { $0 - $1 }
      table.append([row.name] + cells + [row.name == "supervised" ? "" : spread(difference, signed: true)])
    }
    if !json { try writeOutput(aligned(table) + "\n") }
  }

  private func accuraciesByRole(
    _ row: Row, _ data: String, _ source: DataSource, labels: Int, seed: UInt64
  ) throws -> [(role: String, accuracy: Double)] {
    let dataset = try source.trainingData(labels: labels, seed: seed)
    var row = row
    if row.method == "reduced_meta_pseudo_labels" {
      // From the stored distributions of the teacher of the exact row.
      guard let full = Self.rows.first(where: { $0.name == "exact" }) else { return [] }
      let directory = try TemporaryDirectory()
      defer { directory.remove() }
      let path = directory.path("teacher.safetensors")
      try fitted(full, data, dataset, seed: seed).storeDistributions(
        of: dataset.features, unlabeled: dataset.unlabeled, by: "teacher", to: path)
      row.changes["teacher_distributions"] = .string(path)
      return try evaluated(fitted(row, data, dataset, seed: seed), dataset, data)
    }
    return try evaluated(fitted(row, data, dataset, seed: seed), dataset, data)
  }

  private func fitted(_ row: Row, _ data: String, _ dataset: Dataset, seed: UInt64) throws -> Trainer {
    var values = try Preset(data: data, columns: dataset.columns).configuration(
      method: row.method, classes: dataset.classNames.count)
    for (key, value) in row.changes.members { values[key] = value }
    values["seed"] = .integer(Int64(seed))
    let trainer = try Trainer(configuration: values)
    try trainer.fit(dataset.features, dataset.labels, unlabeled: dataset.unlabeled)
    return trainer
  }

  private func evaluated(
    _ trainer: Trainer, _ dataset: Dataset, _ data: String
  ) throws -> [(role: String, accuracy: Double)] {
    guard let features = dataset.testFeatures, let labels = dataset.testLabels else {
      throw DidactError(.internalError, "\(data) has no test part")
    }
    return try trainer.networkRoles.map { ($0, try trainer.evaluate(features, labels, by: $0).accuracy) }
  }

  /// Mean ± standard error in per cent.
  private func spread(_ values: [Double], signed: Bool) -> String {
    let count = Double(values.count), mean = values.reduce(0, +) / count
    let square = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    let error = values.count > 1 ? (square / (count - 1) / count).squareRoot() : 0
    return formatted(signed ? "%+.1f ± %.1f" : "%.1f ± %.1f", 100 * mean, 100 * error)
  }
}
