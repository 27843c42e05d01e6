import Didact

/// What `--data` names.
enum DataSource {
  case twoMoons
  case digits
  case csv(String)
  case npz(String)

  /// - Throws: `DidactError.invalidArgument` for anything but a built-in name and a file name of a known kind.
  init(named name: String) throws {
    let lowercased = name.lowercased()
    switch name {
    case "two-moons": self = .twoMoons
    case "digits": self = .digits
    case _ where lowercased.hasSuffix(".csv"): self = .csv(name)
    case _ where lowercased.hasSuffix(".npz"): self = .npz(name)
    default:
      throw DidactError(
        .invalidArgument,
        "unknown data \"\(name)\": give two-moons, digits, or a file ending in .csv or .npz."
          + nearest(to: name, among: ["two-moons", "digits"]))
    }
  }

  /// As given by `--data`.
  var name: String {
    switch self {
    case .twoMoons: "two-moons"
    case .digits: "digits"
    case .csv(let path), .npz(let path): path
    }
  }

  /// - Throws: `DidactError.invalidArgument` for a label column of data that has no columns to choose from.
  func check(labelColumn: String?) throws {
    guard labelColumn != nil else { return }
    if case .csv = self { return }
    throw DidactError(.invalidArgument, "--label-column is for CSV files; \(name) has its labels in place")
  }

  // MARK: - Loading

  /// Everything that there is to learn from, with a test part where the data has one.
  /// - Parameters:
  ///   - labels: how many labels to keep, balanced over the classes; nil for all.
  ///   - seed: of the points of two-moons, of the split of digits, and of the choice of labels.
  func trainingData(labels: Int?, labelColumn: String?, seed: UInt64) throws -> Dataset {
    let dataset = try complete(labelColumn: labelColumn, seed: seed)
    guard let labels else { return dataset }
    do {
      return try dataset.keepingLabels(labels, seed: seed)
    } catch let error as DidactError {
      throw error.at("--labels \(labels), \(name)")
    }
  }

  /// All data with all its labels, the built-in sets split.
  private func complete(labelColumn: String?, seed: UInt64) throws -> Dataset {
    switch self {
    case .twoMoons:
      var dataset = try Dataset.twoMoons(perMoon: 1000, noise: 0.1, seed: seed)
      let fresh = try Dataset.twoMoons(perMoon: 1000, noise: 0.1, seed: seed &+ 1_000_003)
      dataset.testFeatures = fresh.features
      dataset.testLabels = fresh.labels
      return dataset
    case .digits: return try Dataset.digits().stratifiedSplit(testFraction: 0.25, seed: seed)
    case .csv(let path): return try Dataset(csv: path, labelColumn: labelColumn)
    case .npz(let path): return try Dataset(npz: path)
    }
  }

  /// Rows to predict: the built-in sets whole, a file's `X`.
  /// - Parameter trainer: whose feature names say which columns of a CSV file are meant.
  func rowsToPredict(for trainer: Trainer, labelColumn: String?, seed: UInt64) throws -> Tensor {
    let dataset: Dataset
    switch self {
    case .digits: dataset = try Dataset.digits()
    case .csv(let path): dataset = try table(path, for: trainer, labelColumn: labelColumn)
    case .twoMoons, .npz: dataset = try complete(labelColumn: nil, seed: seed)
    }
    return try checked(dataset.features, for: trainer)
  }

  /// Rows with labels, by the number of the class in the model: the test part where the data has one, else all rows
  /// with a label.
  func rowsToEvaluate(
    for trainer: Trainer, labelColumn: String?, seed: UInt64
  ) throws -> (features: Tensor, labels: [Int]) {
    let dataset: Dataset
    if case .csv(let path) = self {
      dataset = try table(path, for: trainer, labelColumn: labelColumn)
    } else {
      dataset = try complete(labelColumn: nil, seed: seed)
    }
    if let features = dataset.testFeatures, let labels = dataset.testLabels {
      return (try checked(features, for: trainer), try dataset.labels(labels, asIn: trainer, source: self))
    }
    let rows = dataset.labels.indices.filter { dataset.labels[$0] >= 0 }
    guard !rows.isEmpty else {
      var hint = ""
      if case .csv = self, labelColumn == nil { hint = "; --label-column names the column that has them" }
      throw DidactError(.data, "\(name): no row has a label to compare with\(hint)")
    }
    let labels = try dataset.labels(rows.map { dataset.labels[$0] }, asIn: trainer, source: self)
    return (try checked(dataset.features, for: trainer).selectingRows(rows), labels)
  }

  private func table(_ path: String, for trainer: Trainer, labelColumn: String?) throws -> Dataset {
    // x0, x1 and so on are what columns without a name are called.
    let numbered = (0..<trainer.student.inputs).map { "x\($0)" }
    let names = trainer.featureNames == numbered ? [] : trainer.featureNames
    return try Dataset(csv: path, labelColumn: labelColumn, featureNames: names.isEmpty ? nil : names)
  }

  /// - Throws: `DidactError.data` where the data does not have the columns that the model takes.
  func checked(_ features: Tensor, for trainer: Trainer) throws -> Tensor {
    guard features.columns == trainer.student.inputs else {
      var hint = ""
      if case .csv = self { hint = ", beside a label column that --label-column names" }
      throw DidactError(
        .data, "\(name): \(features.columns) columns; the model takes \(trainer.student.inputs)\(hint)")
    }
    return features
  }
}

extension Dataset {
  /// Class indices of this data as the model's, which match by name.
  /// - Throws: `DidactError.data` naming a class that the model does not know.
  func labels(_ labels: [Int], asIn trainer: Trainer, source: DataSource) throws -> [Int] {
    let known = trainer.namesOfClasses
    let indices = try classNames.enumerated().map { index, name in
      if let known = known.firstIndex(of: name) { return known }
      // A class that no row has does no harm.
      guard labels.contains(index) else { return -1 }
      throw DidactError(
        .data, "\(source.name): the model does not know class \"\(name)\".\(suggestion(for: name, among: known))")
    }
    return labels.map { $0 < 0 ? -1 : indices[$0] }
  }
}

extension Trainer {
  /// The class names, or the numbers of the classes where none were given.
  var namesOfClasses: [String] { classNames.isEmpty ? (0..<student.classes).map { String($0) } : classNames }
}

/// " Did you mean …?" where one of the names is near, else nothing.
private func nearest(to name: String, among known: [String]) -> String {
  let text = suggestion(for: name, among: known)
  return text.contains("?") ? text : ""
}
