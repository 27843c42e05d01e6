import Didact

/// Rows with labels to measure a model on.
struct EvaluationRows {
  /// What the rows are of the data that they are from.
  enum Part {
    /// Its test part.
    case test
    /// All of its rows that have a label.
    case labeled
    /// The same, and the model was trained on these rows, with these labels or with some of them hidden.
    case training(isWithLabels: Bool)

    /// The value of `measured_on` in JSON.
    var name: String {
      switch self {
      case .test: "test"
      case .labeled: "labelled rows"
      case .training: "training rows"
      }
    }

    /// For a sentence.
    func description(of data: String) -> String {
      switch self {
      case .test: "test rows"
      case .labeled: "labelled rows of \(data)"
      case .training(isWithLabels: true): "rows that the model was trained on"
      case .training(isWithLabels: false): "rows that the model was trained on, with these labels or others"
      }
    }
  }

  let part: Part
  /// Those of which the model knows the class.
  let features: Tensor
  /// The number of the class in the model, one a row.
  let labels: [Int]
  /// Classes that the model does not know, in the order of the data, and how many rows have each.
  let unknown: [(name: String, rows: Int)]
  private let knownClasses: [String]

  /// - Parameters:
  ///   - features: rows that all have a label.
  ///   - labels: their classes by number in `dataset`; classes match those of the model by name, or as equal numbers.
  /// - Throws: `DidactError.data` where the model knows the class of no row.
  init(
    _ features: Tensor, _ labels: [Int], of dataset: Dataset, _ part: Part, for trainer: Trainer, _ source: DataSource
  ) throws {
    let known = trainer.namesOfClasses, places = Dictionary(zip(known, known.indices)) { first, _ in first }
    // A class of pandas' may be 1.0 where the model has 1.
    let numbers = known.map { Double($0) }
    let indices = dataset.classNames.map { name in places[name] ?? Double(name).flatMap { numbers.firstIndex(of: $0) } }
    var counts = Array(repeating: 0, count: dataset.classNames.count)
    for label in labels where indices[label] == nil { counts[label] += 1 }
    unknown = counts.indices.filter { counts[$0] > 0 }.map { (dataset.classNames[$0], counts[$0]) }
    knownClasses = known
    self.part = part
    self.labels = labels.compactMap { indices[$0] }
    if unknown.isEmpty {
      self.features = features
    } else {
      self.features = try features.selectingRows(labels.indices.filter { indices[labels[$0]] != nil })
    }
    guard !self.labels.isEmpty else {
      throw DidactError(.data, "\(source.name): the model knows the class of no row: they are \(unknownText)")
    }
  }

  var unknownRows: Int { unknown.reduce(0) { $0 + $1.rows } }

  /// The unknown classes, the most frequent first, with what may be meant.
  private var unknownText: String {
    let sorted = unknown.sorted { $0.rows > $1.rows }
    let listed = sorted.prefix(10).map { "\"\($0.name)\" (\($0.rows))" }.joined(separator: ", ")
    let more = sorted.count > 10 ? " and \(sorted.count - 10) more" : ""
    return "\(listed)\(more).\(suggestion(for: sorted[0].name, among: Array(knownClasses.prefix(20))))"
  }

  /// The accuracy with the rows of unknown classes, whose predictions are wrong by definition.
  func accuracyWithUnknown(_ accuracy: Double) -> Double {
    accuracy * Double(labels.count) / Double(labels.count + unknownRows)
  }

  /// A line about the rows that were left out; empty where there are none.
  func unknownLine(_ accuracy: Double) -> String {
    guard unknownRows > 0 else { return "" }
    return
      "\(unknownRows) more \(unknownRows == 1 ? "row has a class" : "rows have classes") that the model does not know, "
      + "and \(unknownRows == 1 ? "is" : "are") left out: \(unknownText) Counted as wrong, "
      + "\(unknownRows == 1 ? "it makes" : "they make") the accuracy \(percent(accuracyWithUnknown(accuracy)))\n"
  }
}
