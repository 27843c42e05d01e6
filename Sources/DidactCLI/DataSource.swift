import Didact

/// What `--data` names.
enum DataSource {
  case twoMoons
  /// As images with pixels from 0 to 255, or vectors of numbers from 0 to 16.
  case digits(asImages: Bool)
  case csv(String)
  case npz(String)
  case npy(String)
  /// A folder of images, or a file or folder of a published set.
  case images(String, ImageFormat, ImageOptions)

  /// - Throws: `DidactError.invalidArgument` for anything but a built-in name and a file name of a known kind, and for
  ///   options that do not go with it; `.file` and `.format` for a file of which it is unclear what it is.
  init(named name: String, _ imageFiles: ImageFileOptions? = nil) throws {
    let options = try imageFiles?.options() ?? ImageOptions()
    let lowercased = name.lowercased()
    switch name {
    case "two-moons": self = .twoMoons
    case "digits": self = .digits(asImages: false)
    case _ where lowercased.hasSuffix(".csv"): self = .csv(name)
    case _ where lowercased.hasSuffix(".npz"): self = .npz(name)
    case _ where lowercased.hasSuffix(".npy"): self = .npy(name)
    default:
      guard fileExists(name) else {
        throw DidactError(
          .invalidArgument,
          "unknown data \"\(name)\": give two-moons, digits, a file ending in .csv, .npz or .npy, or a folder, .tar.gz or "
            + ".mat file of images that is there." + nearest(to: name, among: ["two-moons", "digits"]))
      }
      self = .images(name, try ImageFormat(detecting: name), options)
    }
    if case .images(_, .folder, _) = self { return }
    guard options.size == nil, !options.skipsCorruptFiles else {
      throw DidactError(
        .invalidArgument,
        "--image-size and --skip-corrupt are for folders of images; \(name) has images of one size, or none"
      )
    }
  }

  /// The same data for a network of images, or of vectors: the digits come in both forms.
  func taken(asImages: Bool) -> DataSource {
    if case .digits = self { .digits(asImages: asImages) } else { self }
  }

  /// The same data as a trained model takes it.
  func taken(by trainer: Trainer) -> DataSource { taken(asImages: trainer.student.imageExtent != nil) }

  /// As given by `--data`.
  var name: String {
    switch self {
    case .twoMoons: "two-moons"
    case .digits: "digits"
    case .csv(let path), .npz(let path), .npy(let path), .images(let path, _, _): path
    }
  }

  /// - Throws: `DidactError.invalidArgument` for options about columns of data that have none to choose from.
  func check(_ table: TableOptions, categorical: String? = nil) throws {
    if case .npy = self {
    } else if table.labelFile != nil {
      throw DidactError(.invalidArgument, "--label-file is for data in an .npy file; \(name) has its labels in place")
    }
    if case .csv = self { return }
    for (option, value) in [
      ("label-column", table.labelColumn), ("ignore", table.ignoredList), ("categorical", categorical),
      ("trusted-column", table.trustedColumn),
    ] where value != nil {
      throw DidactError(.invalidArgument, "--\(option) is for CSV files; \(name) has its labels and features in place")
    }
  }

  // MARK: - Loading

  /// Everything that there is to learn from, with a test part where the data has one.
  /// - Parameters:
  ///   - labels: how many labels to keep, balanced over the classes; nil for all.
  ///   - categorical: columns of a CSV file that are categorical whatever they hold.
  ///   - trainer: which a resumed run goes on with, and which knows the columns of a CSV file; nil for a new one.
  ///   - seed: of the points of two-moons, of the split of digits, and of the choice of labels.
  /// - Returns: the rows to learn from, and the trusted ones where there is such a column.
  func trainingData(
    labels: Int?, table: TableOptions, categorical: [String] = [], for trainer: Trainer? = nil, seed: UInt64
  ) throws -> (dataset: Dataset, trusted: Trusted?) {
    var dataset = try complete(seed: seed, table, categorical: categorical, for: trainer)
    var trusted: Trusted?
    if table.trustedColumn != nil {
      do {
        trusted = try dataset.takeTrustedRows()
      } catch let error as DidactError {
        throw error.at(name)
      }
      try trusted.map { try DataSource.checkLabels($0.labels, of: "\(name): trusted rows") }
    }
    return (try keepingLabels(labels, of: dataset, table, seed: seed), trusted)
  }

  /// Everything that there is to learn from, with a test part where the data has one.
  func trainingData(labels: Int?, seed: UInt64) throws -> Dataset {
    try keepingLabels(labels, of: try complete(seed: seed, nil, for: nil), nil, seed: seed)
  }

  private func keepingLabels(_ labels: Int?, of dataset: Dataset, _ table: TableOptions?, seed: UInt64) throws
    -> Dataset
  {
    if case .csv = self, table?.header == nil, dataset.encoding?.hasHeader == false, let first = dataset.labels.first,
      first >= 0,
      dataset.labels.count(where: { $0 == first }) == 1
    {
      warn(
        "the first line is taken for a row, but no other has its label \"\(dataset.classNames[first])\"; if it is a header, "
          + "say --header yes", in: name)
    }
    guard let labels else { return dataset }
    do {
      return try dataset.keepingLabels(labels, seed: seed)
    } catch let error as DidactError {
      throw error.at("--labels \(labels), \(name)")
    }
  }

  /// All data with all its labels, the built-in sets split. Says on standard error what reading it found.
  /// - Parameters:
  ///   - trainer: whose classes and columns the data has; nil where training is to learn them.
  ///   - readsLabels: whether labels are of use; if not, those of tables and `.npz` files may be anything.
  private func complete(
    seed: UInt64, _ options: TableOptions?, categorical: [String] = [], for trainer: Trainer?, readsLabels: Bool = true
  ) throws -> Dataset {
    let dataset = try read(seed: seed, options, categorical: categorical, for: trainer, readsLabels: readsLabels)
    dataset.showWarnings(in: name)
    return dataset
  }

  private func read(
    seed: UInt64, _ options: TableOptions?, categorical: [String], for trainer: Trainer?, readsLabels: Bool
  ) throws -> Dataset {
    let classes = trainer?.namesOfClasses
    switch self {
    case .twoMoons:
      var dataset = try Dataset.twoMoons(perMoon: 1000, noise: 0.1, seed: seed)
      let fresh = try Dataset.twoMoons(perMoon: 1000, noise: 0.1, seed: seed &+ 1_000_003)
      dataset.testFeatures = fresh.features
      dataset.testLabels = fresh.labels
      return dataset
    case .digits(let asImages):
      return try Dataset.digits(asImages: asImages).stratifiedSplit(testFraction: 0.25, seed: seed)
    case .csv(let path):
      if let trainer { return try table(path, for: trainer, options, readsLabels: readsLabels) }
      return try Dataset(
        csv: path, labelColumn: options?.labelColumn, ignoring: options?.ignored ?? [], categorical: categorical,
        trustedColumn: options?.trustedColumn, hasHeader: options?.hasHeader)
    case .npz(let path): return try Dataset(npz: path, knownClasses: classes, readsLabels: readsLabels)
    case .npy(let path):
      return try Dataset(npy: path, labels: readsLabels ? options?.labelFile : nil, knownClasses: classes)
    case .images(let path, let format, let options):
      return try Dataset(images: path, format: format, options: options)
    }
  }

  /// Rows to predict: the built-in sets whole, a file's `X`; and the files that they are from, where they are images of a
  /// folder.
  /// - Parameter trainer: which knows the columns of a CSV file.
  func rowsToPredict(
    for trainer: Trainer, _ options: TableOptions, seed: UInt64
  ) throws -> (features: Tensor, files: [String]) {
    let dataset: Dataset
    if case .digits(let asImages) = self {
      dataset = try Dataset.digits(asImages: asImages)
    } else {
      dataset = try complete(seed: seed, options, for: trainer, readsLabels: false)
    }
    try check(dataset, for: trainer)
    return (dataset.features, dataset.imageFiles)
  }

  /// Rows with labels, by the number of the class in the model: the test part where the data has one, else all rows
  /// with a label.
  /// - Throws: `DidactError.data` where no row has a label, or none a class that the model knows.
  func rowsToEvaluate(for trainer: Trainer, _ options: TableOptions, seed: UInt64) throws -> EvaluationRows {
    let dataset = try complete(seed: seed, options, for: trainer)
    try check(dataset, for: trainer)
    if let features = dataset.testFeatures, let labels = dataset.testLabels {
      return try EvaluationRows(features, labels, of: dataset, .test, for: trainer, self)
    }
    return try labeledRows(of: dataset, part(of: dataset, for: trainer), for: trainer, options)
  }

  /// All rows with a label, the test part aside.
  private func labeledRows(
    of dataset: Dataset, _ part: EvaluationRows.Part, for trainer: Trainer, _ options: TableOptions
  ) throws -> EvaluationRows {
    let rows = dataset.labels.indices.filter { dataset.labels[$0] >= 0 }
    guard !rows.isEmpty else {
      var hint = ""
      if case .csv = self, options.labelColumn == nil { hint = "; --label-column names the column that has them" }
      if case .npy = self { hint = "; --label-file names the file that has them" }
      throw DidactError(.data, "\(name): no row has a label to compare with\(hint)")
    }
    return try EvaluationRows(
      dataset.features.selectingRows(rows), rows.map { dataset.labels[$0] }, of: dataset, part, for: trainer, self)
  }

  /// Rows with labels that the feedback is measured on.
  typealias Trusted = (inputs: Tensor, labels: [Int])

  /// - Parameter name: as given by `--trusted`.
  /// - Throws: `DidactError.data` where none has a label; `.invalidArgument` for data without rows and labels of their own.
  static func trusted(
    named name: String?, _ images: ImageFileOptions, for trainer: Trainer, _ options: TableOptions
  ) throws -> Trusted? {
    try name.map { try DataSource(named: $0, images).trusted(for: trainer, options) }
  }

  private func trusted(for trainer: Trainer, _ options: TableOptions) throws -> Trusted {
    switch self {
    case .twoMoons, .digits, .npy:
      throw DidactError(
        .invalidArgument, "--trusted \(name): give a .csv or .npz file, or images, that have rows and their labels")
    case .csv, .npz, .images: break
    }
    // By name the model knows which columns are what; by number they are as in the other file.
    let dataset = try complete(seed: 0, trainer.table?.hasHeader == true ? nil : options, for: trainer)
    try check(dataset, for: trainer)
    try DataSource.checkLabels(dataset.labels, of: "--trusted \(name): rows")
    let rows = try labeledRows(of: dataset, .labeled, for: trainer, options)
    if let unknown = rows.unknown.first {
      throw DidactError(
        .data,
        "--trusted \(name): the label \"\(unknown.name)\" is none of the training data, which has "
          + trainer.namesOfClasses.joined(separator: ", "))
    }
    return (rows.features, rows.labels)
  }

  /// - Throws: `DidactError.data` where a trusted row has no label.
  private static func checkLabels(_ labels: [Int], of rows: String) throws {
    let missing = labels.count { $0 < 0 }
    guard missing == 0 else {
      throw DidactError(
        .data, "\(rows) without a label: \(missing) of \(labels.count); feedback needs the label of each")
    }
  }

  /// Whether the model was trained on these rows, and with these labels.
  private func part(of dataset: Dataset, for trainer: Trainer) -> EvaluationRows.Part {
    if trainer.dataDigest == Trainer.digest(dataset.features, dataset.labels, dataset.unlabeled) {
      return .training(isWithLabels: true)
    }
    if let rowsDigest = trainer.rowsDigest, rowsDigest == Trainer.rowsDigest(dataset.features, dataset.unlabeled) {
      return .training(isWithLabels: false)
    }
    return .labeled
  }

  /// A CSV file as the model takes it. A model that was not trained on one takes numbers, by name where its features
  /// have names.
  private func table(
    _ path: String, for trainer: Trainer, _ options: TableOptions?, readsLabels: Bool
  ) throws -> Dataset {
    let inputs = trainer.student.inputs
    let names = trainer.featureNames.isEmpty ? (0..<inputs).map { "x\($0)" } : trainer.featureNames
    return try Dataset(
      csv: path, encoding: trainer.table ?? TableEncoding(numericColumns: names), labelColumn: options?.labelColumn,
      ignoring: options?.ignored ?? [], trustedColumn: options?.trustedColumn, knownClasses: trainer.namesOfClasses,
      hasHeader: options?.hasHeader, readsLabels: readsLabels)
  }

  /// - Throws: `DidactError.data` where the data does not have the columns that the model takes, or images of other lengths;
  ///   `.unsupported` for a model that segments.
  func check(_ dataset: Dataset, for trainer: Trainer) throws {
    guard trainer.student.taskName == .classification else {
      throw DidactError(
        .unsupported,
        "the model says a class of each pixel (\(trainer.student.taskName.rawValue)), and \(name) cannot have masks: use it from Python, "
          + "C or Swift")
    }
    if let taken = trainer.student.imageExtent, let given = dataset.imageExtent, taken != given {
      var hint = ""
      if case .images(_, .folder, let options) = self, options.size == nil, taken.channels == given.channels {
        hint = "; --image-size \(taken.height),\(taken.width) resizes them"
      }
      throw DidactError(.data, "\(name): images \(given); the model takes \(taken)\(hint)")
    }
    guard dataset.columns == trainer.student.inputs else {
      throw DidactError(.data, "\(name): \(dataset.columns) columns; the model takes \(trainer.student.inputs)")
    }
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
