import ArgumentParser
import Didact

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// `didact train`
struct Train: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Trains a model.",
    discussion: """
      Built-in data: two-moons (1,000 points a moon, noise 0.1, tested on 2,000 fresh points) and digits (1,797 images \
      of 8×8 pixels, tested on a stratified quarter of them). Files: .csv, and .npz with the arrays X, y (-1 or "" for \
      none), X_unlabeled, X_test and y_test; .npy, whose rows stay in the file, with --label-file. Images: \
      cifar-10-binary.tar.gz and cifar-100-binary.tar.gz, SVHN's .mat files, or a folder with a sub-folder of PNG and \
      JPEG files a class, and "unlabeled" (or "train" and "test", each such a folder).

      Of a CSV file, columns of numbers are taken as they are, and columns of text become a feature a category. An \
      empty cell is a missing value: the column's mean, or a category of its own; a missing label is none. The model \
      keeps all that a prediction needs of this.

      Configuration values come from a preset for the data, the file of --config, and --set and the other options; \
      later ones win. didact info --method M lists the keys. A network without inputs and classes gets the data's; \
      of images those are height, width and channels.

      Ctrl-C stops after the step at work and writes the model; --resume goes on from there.

      EXAMPLES:
        didact train --data two-moons --labels 6
        didact train --data digits --labels 40 --seed 1 --model digits.safetensors
        didact train --method supervised --data digits --labels 40
        didact train --data digits --labels 40 --set feedback=loss_difference --set student_optimizer.learning_rate=0.1
        didact train --data table.csv --label-column species --hidden 64,64 --steps 2000 --model species.safetensors
        didact train --data noisy.csv --trusted right.csv --set feedback_weight=20 --set uda_weight=0
        didact train --data table.csv --trusted-column checked --set feedback_weight=20 --set uda_weight=0
        didact train --data digits --network small-cnn --method supervised --labels 40
        didact train --data cifar-10-binary.tar.gz --network wide-resnet-28-2 --method fixmatch --labels 4000
        didact train --resume digits.safetensors --data digits --labels 40 --steps 3000 --model digits.safetensors
      """)

  @Option(
    help: ArgumentHelp(
      "The method: see didact info. \"auto\" is meta_pseudo_labels, and of tables an ensemble of it, supervised and trees. (default: auto)",
      valueName: "name"))
  var method: String?

  @Option(
    help: ArgumentHelp(
      "two-moons, digits, a table ending in .csv, arrays ending in .npz or .npy, or a folder or file of images.",
      valueName: "data"))
  var data: String

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Labels to keep in all, balanced over the classes; all by default.", valueName: "n"))
  var labels: Int?

  @Option(
    help: ArgumentHelp(
      "A file of rows with labels that are right, where those of --data may be wrong: the feedback is measured on them.",
      valueName: "data"))
  var trusted: String?

  @OptionGroup var table: TableOptions

  @OptionGroup var images: ImageFileOptions

  @Option(
    help: ArgumentHelp(
      "CSV columns whose values are categories even where they are numbers, by name or number, with commas between.",
      valueName: "columns"))
  var categorical: String?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Seed of data, networks and batches. (default: 0)", valueName: "n"))
  var seed: Int?

  @Option(parsing: .unconditional, help: ArgumentHelp("Steps in all.", valueName: "n"))
  var steps: Int?

  @Option(
    help: ArgumentHelp(
      "mlp, small-cnn, wide-resnet-28-2, resnet-18, efficientnet-b0 and so on. (default: small-cnn for files of images, else mlp)",
      valueName: "name"))
  var network: String?

  @Option(help: ArgumentHelp("Lengths of the hidden layers, such as 128,128.", valueName: "list"))
  var hidden: String?

  @Option(help: ArgumentHelp("float32 or float64.", valueName: "type"))
  var dtype: String?

  @OptionGroup var options: ConfigurationOptions

  @Option(help: ArgumentHelp("Where to write the model, a .safetensors file.", valueName: "file"))
  var model: String?

  @Option(
    help: ArgumentHelp(
      "Seconds between two saves of --model during training, so that a process that is killed loses no more; 0 for none.",
      valueName: "n"))
  var checkpointSeconds = 600.0

  @Option(help: ArgumentHelp("A model to go on with, on the same data.", valueName: "file"))
  var resume: String?

  @Flag(help: "Write JSON, one object a line.")
  var json = false

  func run() throws {
    var source = try DataSource(named: data, images)
    try source.check(table, categorical: categorical)
    guard trusted == nil || table.trustedColumn == nil else {
      throw DidactError(
        .invalidArgument, "--trusted names a file of trusted rows and --trusted-column those of --data; give one")
    }
    guard checkpointSeconds >= 0 else {
      throw DidactError(.invalidArgument, "--checkpoint-seconds must be 0 or more; got \(checkpointSeconds)")
    }
    if let model {
      try checkWritable(model)
      try checkDiffer(model, "--model", data)
      for file in [table.labelFile, options.config, self.trusted].compactMap(\.self) {
        try checkDiffer(model, "--model", file)
      }
    }
    // A reader of our output that goes away must not cost the model.
    signal(SIGPIPE, SIG_IGN)

    let trainer: Trainer, dataset: Dataset
    var trusted: DataSource.Trusted?
    if let resume {
      trainer = try resumed(resume)
      source = source.taken(by: trainer)
      (dataset, trusted) = try source.trainingData(
        labels: labels, table: table, for: trainer, seed: trainer.seed)
      trusted = try trusted ?? DataSource.trusted(named: self.trusted, images, for: trainer, table)
      try checkFits(trainer, dataset, trusted, source)
    } else {
      let values = try givenValues()
      let seed = try seed(in: values)
      source = source.taken(asImages: NetworkSpecification.takesImages(values["network"]?.members ?? [:]))
      (dataset, trusted) = try source.trainingData(
        labels: labels, table: table, categorical: TableOptions.columns(categorical), seed: seed)
      trainer = try newTrainer(values, dataset, source)
      trusted = try trusted ?? DataSource.trusted(named: self.trusted, images, for: trainer, table)
    }
    try train(trainer, dataset, trusted, source)
  }

  // MARK: - Configuration

  /// The values of file and options.
  private func givenValues() throws -> JSONObject {
    let fileValues = try options.fileValues()
    let assigned = try options.setValues()
    var flags = assigned
    func set(_ key: String, _ option: String, _ value: JSON?) throws {
      guard let value else { return }
      guard assigned[key] == nil else {
        throw DidactError(.invalidArgument, "\"\(key)\" is given twice: by --\(option) and by --set")
      }
      flags[key] = value
    }
    try set("method", "method", method.map { .string($0) })
    try set("seed", "seed", seed.map { JSON($0) })
    try set("steps", "steps", steps.map { JSON($0) })
    try set("dtype", "dtype", dtype.map { .string($0) })
    for (key, value) in try network.map({ try NetworkSpecification.described(by: $0) })?.members ?? [] {
      try set("network.\(key)", "network", value)
    }
    try set("network.hidden", "hidden", try hidden.map { .array(try hiddenLengths($0).map { JSON($0) }) })

    let name = flags["method"] ?? fileValues["method"] ?? .string(Preset.automaticMethod)
    guard let method = name.text else {
      throw DidactError(.invalidArgument, "\"method\" must be a name; got \(name.serialized())")
    }
    flags["method"] = name
    return try Trainer.mergedConfiguration([fileValues, flags], method: Preset.method(named: method))
  }

  private func hiddenLengths(_ text: String) throws -> [Int] {
    try text.separated(by: ",").map { part in
      guard let length = Int(part) else {
        throw DidactError(.invalidArgument, "--hidden \(text): give lengths with commas between, such as 128,128")
      }
      return length
    }
  }

  private func seed(in values: JSONObject) throws -> UInt64 {
    let given = values["seed"] ?? 0
    guard case .integer(let number) = given, let seed = UInt64(exactly: number) else {
      throw DidactError(.invalidArgument, "\"seed\" must be an integer, zero or more; got \(given.serialized())")
    }
    return seed
  }

  private func newTrainer(_ given: JSONObject, _ dataset: Dataset, _ source: DataSource) throws -> Trainer {
    let classCount = dataset.classNames.count
    let labeled = Set(dataset.labels)
    if classCount > 1, let empty = (0..<classCount).first(where: { !labeled.contains($0) }) {
      if let labels, labels < classCount {
        throw DidactError(
          .data,
          "--labels \(labels), \(source.name): \(labels) labels for \(classCount) classes leave none for class "
            + "\"\(dataset.classNames[empty])\"; keep at least \(classCount), one a class")
      }
      throw DidactError(
        .data,
        "\(source.name): no training row has the label \"\(dataset.classNames[empty])\", which "
          + (table.trustedColumn == nil ? "the test part has" : "trusted rows have"))
    }
    guard classCount > 1 else {
      var hint = "; training needs at least two"
      if case .npy = source, table.labelFile == nil { hint += "; --label-file names the file that has them" }
      if case .csv = source, classCount == 0, table.labelColumn == nil {
        let columns = dataset.encoding?.hasHeader == true ? dataset.encoding?.columns.map(\.name) ?? [] : []
        let more = columns.count > 20 ? " and \(columns.count - 20) more" : ""
        hint =
          "; --label-column names the column of labels"
          + (columns.isEmpty ? "" : "; the columns are \(columns.prefix(20).joined(separator: ", "))\(more)")
      }
      throw DidactError(.data, "\(source.name): \(classCount == 0 ? "no labels" : "labels of a single class")\(hint)")
    }
    var given = given
    // Files of images are for networks of images, where no other is asked for.
    var network = given["network"]?.members ?? [:]
    if dataset.imageExtent != nil, network["type"] == nil, network["hidden"] == nil {
      network["type"] = "small_cnn"
      given["network"] = .object(network)
    }
    let takesImages = NetworkSpecification.takesImages(network), extent = takesImages ? dataset.imageExtent : nil
    if takesImages, extent == nil, network["inputs"] == nil {
      throw DidactError(
        .invalidArgument,
        "the network \"\(network["type"]?.text ?? "")\" takes images, and \(source.name) has rows of \(dataset.columns) "
          + "numbers; give images, or their lengths by --set network.inputs=[HEIGHT,WIDTH,CHANNELS]")
    }
    let preset =
      extent.map { Preset(images: $0, isAugmented: dataset.features.elementType == .uint8) }
      ?? Preset(data: source.name, columns: dataset.columns)
    let asked = given["method"]?.text ?? "", name = Preset.method(named: asked)
    // The ensemble's other members and its trees would learn the labels that may be wrong.
    let method = trusted == nil && table.trustedColumn == nil ? asked : name
    given["method"] = .string(name)
    var values = try Trainer.mergedConfiguration([preset.configuration(method: method), given], method: name)
    for key in ["network", "student_network"] {
      let network = values[key]?.members
      guard network != nil || values[key] == nil && key == "network" else { continue }
      let specification = (network ?? [:]).completed(
        columns: dataset.columns, images: dataset.imageExtent, hidden: preset.hidden, classes: classCount)
      values[key] = .object(specification)
    }
    let trainer = try Trainer(configuration: values)
    guard trainer.student.inputs == dataset.columns, trainer.student.classes == classCount else {
      throw DidactError(
        .invalidArgument,
        "the network takes \(trainer.student.inputs) columns to \(trainer.student.classes) classes; "
          + "\(source.name) has \(dataset.columns) and \(classCount)")
    }
    try source.check(dataset, for: trainer)
    try trainer.setNames(.classes, from: .array(dataset.classNames.map { .string($0) }))
    if let encoding = dataset.encoding {
      try trainer.setTable(encoding)
    } else if !dataset.featureNames.isEmpty {
      try trainer.setNames(.features, from: .array(dataset.featureNames.map { .string($0) }))
    }
    return trainer
  }

  // MARK: - Training

  private func train(_ trainer: Trainer, _ dataset: Dataset, _ trusted: DataSource.Trusted?, _ source: DataSource)
    throws
  {
    let firstStep = trainer.steps
    var last = trainer.plannedSteps
    let progress = ProgressReport(firstStep: firstStep, isJSON: json)
    // Why reports could not be written any more.
    var lost: DidactError?
    func report(_ write: () throws -> Void) throws {
      do {
        if lost == nil { try write() }
      } catch let error as DidactError {
        // Training goes on for the model alone.
        guard model != nil else { throw error }
        lost = error
      }
    }
    if !json { try report { try writeOutput(heading(trainer, dataset, trusted, source)) } }
    Interruption.watch()
    var seconds = 0.0, lastCheckpoint = 0.0
    // What goes into a pipe stays there.
    let checkpoint = model.flatMap { checkpointSeconds > 0 && !isPipeOrDevice($0) ? $0 : nil }
    let outcome: Trainer.Outcome
    do {
      outcome = try trainer.fit(
        dataset.features, dataset.labels, unlabeled: dataset.unlabeled, trusted: trusted,
        // A new trainer's steps are in its configuration.
        steps: resume == nil ? nil : steps.map { $0 - trainer.steps }
      ) { now in
        last = now.steps
        seconds = now.seconds
        try report { try progress.show(now) }
        if let checkpoint, now.seconds - lastCheckpoint >= checkpointSeconds {
          lastCheckpoint = now.seconds
          do {
            try trainer.save(to: checkpoint)
          } catch let error as DidactError {
            // There may be room again at the end.
            warn("no checkpoint after step \(trainer.steps): \(error.message)", in: source.name)
          }
        }
        return !Interruption.isRequested
      }
    } catch let error as DidactError {
      progress.end()
      let error = error.code == .data || error.code == .shape ? error.at(source.name) : error
      guard let model, trainer.steps > firstStep else { throw error }
      try trainer.save(to: model)
      throw DidactError(error.code, "\(error.message). Wrote \(model), as after step \(trainer.steps)")
    }
    progress.end()
    let isInterrupted = outcome == .cancelled && trainer.steps < last

    // Saved first: nothing that follows may cost the model.
    if let model { try trainer.save(to: model) }
    if let lost, let model {
      throw DidactError(lost.code, "\(lost.message). Wrote \(model), as after step \(trainer.steps)")
    }
    for warning in trainer.warnings { warn(warning.message, in: source.name) }
    var accuracy: AccuracyReport?
    if !isInterrupted, let features = dataset.testFeatures, let labels = dataset.testLabels {
      accuracy = try AccuracyReport(on: "test rows", trainer, features, labels)
    }
    if json {
      try writeOutput(result(trainer, accuracy, seconds: seconds, isInterrupted: isInterrupted).serialized() + "\n")
    } else if !isInterrupted {
      try writeOutput(formatted("trained to step %ld in %.2f s\n", trainer.steps, seconds))
      if let accuracy { try writeOutput(accuracy.text()) }
      if let model { try writeOutput("wrote \(model)\n") }
    }
    if isInterrupted {
      writeError("didact: interrupted after step \(trainer.steps) of \(last); \(continuation(trainer))\n")
      throw ExitCode(Interruption.exitCode)
    }
  }

  private func heading(
    _ trainer: Trainer, _ dataset: Dataset, _ trusted: DataSource.Trusted?, _ source: DataSource
  ) -> String {
    let labels = dataset.labels.count { $0 >= 0 }
    let rows = dataset.rows + (dataset.unlabeled?.rows ?? 0)
    let start = trainer.steps > 0 ? ", from step \(trainer.steps)" : ""
    let lengths = dataset.imageExtent.map { "images \($0)" } ?? "\(dataset.columns) columns"
    let members = trainer.members.isEmpty ? "" : " and \(trainer.members.count) members"
    return "\(trainer.methodName)\(members) on \(source.name): \(rows) rows, \(labels) with labels"
      + (trusted.map { " and \($0.labels.count) trusted ones" } ?? "") + ", \(lengths), "
      + "\(dataset.classNames.count) classes; seed \(trainer.seed)\(start)\n" + categoricalText(dataset)
  }

  /// A line with the columns that were taken for categorical, so that nobody has to guess.
  private func categoricalText(_ dataset: Dataset) -> String {
    let columns = (dataset.encoding?.columns ?? []).compactMap { column in
      if case .categorical(let categories) = column.kind { "\(column.name) (\(categories.count))" } else { nil }
    }
    guard !columns.isEmpty else { return "" }
    let more = columns.count > 10 ? " and \(columns.count - 10) more" : ""
    return "categorical, with the number of categories: \(columns.prefix(10).joined(separator: ", "))\(more)\n"
  }

  private func result(
    _ trainer: Trainer, _ report: AccuracyReport?, seconds: Double, isInterrupted: Bool
  ) -> JSON {
    var result: JSONObject = [
      "method": .string(trainer.methodName), "data": .string(data), "seed": .integer(Int64(clamping: trainer.seed)),
      "members": JSON(trainer.members.count), "steps": JSON(trainer.steps), "seconds": .number(seconds),
      "interrupted": .boolean(isInterrupted),
      "model": model.map { .string($0) } ?? .null,
      "warnings": .array(trainer.warnings.map(\.json)),
    ]
    if let report { result["test"] = report.json() }
    return ["result": .object(result)]
  }

  /// Where the model is, and the command that goes on with it.
  private func continuation(_ trainer: Trainer) -> String {
    guard let model else { return "nothing was saved, for want of --model" }
    func quoted(_ word: String) -> String {
      let isPlain = word.utf8.allSatisfy { byte in
        let scalar = Unicode.Scalar(byte)
        return scalar.isASCII
          && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar) || "-_./,".utf8.contains(byte))
      }
      return isPlain && !word.isEmpty ? word : "'" + word.replacing("'", by: "'\\''") + "'"
    }
    var command = "didact train --resume \(quoted(model)) --model \(quoted(model)) --data \(quoted(data))"
    if let labels { command += " --labels \(labels)" }
    if let column = table.labelColumn { command += " --label-column \(quoted(column))" }
    if let header = table.header { command += " --header \(header.rawValue)" }
    if let columns = table.ignoredList { command += " --ignore \(quoted(columns))" }
    if let size = images.imageSize { command += " --image-size \(size)" }
    if images.skipCorrupt { command += " --skip-corrupt" }
    if checkpointSeconds != 600 { command += " --checkpoint-seconds \(checkpointSeconds)" }
    if let steps { command += " --steps \(steps)" }
    if let trusted { command += " --trusted \(quoted(trusted))" }
    if let trustedColumn = table.trustedColumn { command += " --trusted-column \(quoted(trustedColumn))" }
    return "wrote \(model). Go on with: \(command)"
  }

  /// Before hours of training rather than after.
  private func checkWritable(_ path: String) throws {
    guard !path.isEmpty else { throw DidactError(.file, "--model: the file name is empty") }
    var status = stat()
    if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
      throw DidactError(.file, "could not write \(path): it is a directory")
    }
    guard access(directory(of: path), W_OK) == 0 else {
      throw DidactError(.file, "could not write \(path): \(String(cString: strerror(errno)))")
    }
  }
}
