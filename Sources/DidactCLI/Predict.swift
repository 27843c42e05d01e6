import ArgumentParser
import Didact

/// `didact predict`
struct Predict: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "predict",
    abstract: "Writes the class and the class probabilities of every row, as CSV.",
    discussion: """
      The columns are label and probability.<class>. A CSV file needs nothing but its rows: the model knows categories \
      and the means for missing values. Its columns are found by name, in whatever order, where it and the training \
      table have a header, else by position; a label column is left out. A category that training did not see counts \
      as none, with a warning on standard error. Of an .npz file X is taken. Of a folder of images, those with a class, \
      or all where none has, are taken; the column file in front says which is which.

      With --distributions the class probabilities of all rows that train would learn from go into a safetensors file, \
      for a student of reduced_meta_pseudo_labels: train --set teacher_distributions=FILE.

      EXAMPLES:
        didact predict --model species.safetensors --data more.csv --output predictions.csv
        didact predict --model species.safetensors --data more.csv --ignore id,remarks
        didact predict --model teacher.safetensors --data digits --distributions teacher-labels.safetensors
      """)

  @Option(help: ArgumentHelp("A model that train wrote.", valueName: "file"))
  var model: String

  @Option(
    help: ArgumentHelp(
      "two-moons, digits, a table ending in .csv, arrays ending in .npz or .npy, or a folder or file of images.",
      valueName: "data"))
  var data: String

  @Option(help: ArgumentHelp("Where to write; standard output by default.", valueName: "file"))
  var output: String?

  @Option(
    help: ArgumentHelp("Where to store the probabilities of the training rows; no CSV is written.", valueName: "file"))
  var distributions: String?

  @OptionGroup var table: TableOptions

  @OptionGroup var images: ImageFileOptions

  @Option(help: ArgumentHelp("Seed of the points of two-moons. (default: the model's)", valueName: "n"))
  var seed: Int?

  func run() throws {
    var source = try DataSource(named: data, images)
    try source.check(table)
    for (option, file) in [("--output", output), ("--distributions", distributions)] {
      guard let file else { continue }
      try checkDiffer(file, option, data)
      try checkDiffer(file, option, model)
    }
    let trainer = try Trainer(loading: model)
    source = source.taken(by: trainer)
    if let distributions {
      guard output == nil else {
        throw DidactError(.invalidArgument, "--distributions writes no CSV; leave --output out")
      }
      let dataset = try source.trainingData(
        labels: nil, table: table, for: trainer, seed: try checkedSeed(seed) ?? trainer.seed
      ).dataset
      return try trainer.storeDistributions(of: dataset.features, unlabeled: dataset.unlabeled, to: distributions)
    }
    let rows = try source.rowsToPredict(for: trainer, table, seed: try checkedSeed(seed) ?? trainer.seed)
    let probabilities: Tensor
    do {
      probabilities = try trainer.predictProbabilities(rows.features)
    } catch let error as DidactError {
      throw error.at(source.name)
    }
    if let output {
      try writeFileAtomically(to: output) { writer in
        try predictionLines(probabilities, trainer.namesOfClasses, rows.files) { try writer.write($0) }
      }
    } else {
      try predictionLines(probabilities, trainer.namesOfClasses, rows.files) { try writeOutput($0) }
    }
  }
}

/// Writes a header and a line for each row, in parts of about 64 KiB.
/// - Parameter files: the file of each row, which comes first; empty for none.
func predictionLines(
  _ probabilities: Tensor, _ classNames: [String], _ files: [String] = [], write: (String) throws -> Void
) throws {
  let cells = classNames.map { quoted($0) }
  let columns = (files.isEmpty ? [] : ["file"]) + ["label"] + classNames.map { quoted("probability.\($0)") }
  var text = columns.joined(separator: ",") + "\n"
  for row in 0..<probabilities.rows {
    if !files.isEmpty { text += quoted(files[row]) + "," }
    let start = row * probabilities.columns
    var best = 0
    for column in 1..<max(1, probabilities.columns)
    where probabilities[start + column] > probabilities[start + best] { best = column }
    text += cells[best]
    for column in 0..<probabilities.columns {
      let value = probabilities[start + column]
      // The fewest digits that read back to the same number.
      text += "," + (probabilities.elementType == .float32 ? Float(value).description : value.description)
    }
    text += "\n"
    if text.utf8.count > 1 << 16 {
      try write(text)
      text = ""
    }
  }
  if !text.isEmpty { try write(text) }
}

/// A CSV cell, in quotes where it must be (RFC 4180), and where blanks around it would be lost.
private func quoted(_ cell: String) -> String {
  let needsQuotes =
    cell.unicodeScalars.contains { $0 == "," || $0 == "\"" || $0 == "\n" || $0 == "\r" }
    || cell.unicodeScalars.first == " " || cell.unicodeScalars.last == " "
  guard needsQuotes else { return cell }
  return "\"" + cell.replacing("\"", by: "\"\"") + "\""
}

/// - Throws: `DidactError.invalidArgument` for a negative seed.
func checkedSeed(_ seed: Int?) throws -> UInt64? {
  guard let seed else { return nil }
  guard let checked = UInt64(exactly: seed) else {
    throw DidactError(.invalidArgument, "--seed must be an integer, zero or more; got \(seed)")
  }
  return checked
}
