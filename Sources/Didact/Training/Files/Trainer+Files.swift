extension Trainer {
  /// Writes everything that a resumed run or a prediction needs to a safetensors file: networks, optimisers, average,
  /// scaling, names, history. Completes or leaves the old file.
  ///
  /// Tensors are `student.dense0.weight`, `teacher.…`, `average.…`, `optimizer.student.momentum.…`. A student step that
  /// awaits its teacher step is not written.
  /// - Throws: `DidactError.file`; `.state` where the features of a table were given other names.
  public func save(to path: String) throws {
    // A step holds the student's lock for writing from its first change to its last.
    try student.lock.reading { try modelFile().write(to: path) }
  }

  /// A trainer that goes on where the saved one stood.
  /// - Throws: `DidactError.file`, or `.format` naming file and tensor.
  public convenience init(loading path: String) throws { try self.init(loading: path, definition: nil) }

  /// - Parameter definition: of a method that is not listed; nil for the one that the file names.
  convenience init(loading path: String, definition: MethodDefinition?) throws {
    let file = try ModelFile(reading: path, kind: "trainer")
    do {
      try self.init(file, definition: definition)
    } catch let error as DidactError {
      throw error.code == .invalidArgument ? DidactError(.format, "\(path): \(error.message)") : error.at(path)
    }
  }

  /// A text that a program keeps with the model, in its files and copies; nil for none.
  public func annotation(_ key: String) -> String? { annotations.first { $0.key == key }?.value }

  /// - Parameter text: nil takes the annotation away.
  /// - Throws: `DidactError.invalidArgument` for a key that model files have themselves.
  public func setAnnotation(_ key: String, _ text: String?) throws {
    guard !key.isEmpty, !ModelFile.ownKeys.contains(key) else {
      throw DidactError(
        .invalidArgument, "\"\(key)\" cannot be the key of an annotation: it is empty or a key of every model file")
    }
    try writing {
      annotations.removeAll { $0.key == key }
      if let text { annotations.append((key, text)) }
    }
  }

  /// A trainer of its own in the same state.
  public func copy() throws -> Trainer {
    try student.lock.reading {
      try Trainer(ModelFile(try modelFile().safetensors, kind: "trainer"), definition: definition)
    }
  }

  /// Keeps how the columns of a table become features, so that a prediction needs the table alone, and names the
  /// features after them.
  /// - Throws: `DidactError.shape` where the networks take another number of features.
  public func setTable(_ encoding: TableEncoding) throws {
    guard encoding.featureCount == student.inputs else {
      throw DidactError(.shape, "a table of \(encoding.featureCount) features; the networks take \(student.inputs)")
    }
    try nameMembers(.features, encoding.featureNames, before: featureNames)
    try writing {
      table = encoding
      featureNames = encoding.featureNames
    }
  }

  /// A model that could not be saved is not trained.
  /// - Throws: `DidactError.invalidArgument` where the header of its file would be too long.
  func checkCanBeSaved() throws {
    // This is cheap, and more than a twelfth of the header's length, in which a name may stand twice, each byte as six.
    let texts = everyMember.reduce(0) { sum, member in
      let parts = member.state(withStages: member.stages).reduce(0) { sum, entry in
        let names = entry.slots?.reduce(0) { $0 + $1.name.utf8.count + 100 } ?? 100
        return sum + names + entry.name.utf8.count * (entry.slots?.count ?? 1)
      }
      let texts = member.classNames + member.featureNames + member.annotations.map(\.value)
      return sum + parts + texts.reduce(0) { $0 + $1.utf8.count }
    }
    guard texts > SafetensorsFile.maximumHeaderLength / 12 else { return }
    do {
      try reading { try modelFile(ofWholeState: true).safetensors.checkHeader() }
    } catch let error as DidactError {
      throw DidactError(
        error.code, "the model could not be saved: \(error.message). Use fewer members or layers, or shorter names")
    }
  }

  /// - Parameter isWhole: whether stages that have not begun are in it.
  func modelFile(ofWholeState isWhole: Bool = false) throws -> ModelFile {
    if let table, table.featureNames != featureNames {
      throw DidactError(
        .state,
        "the feature names are no longer those of the table that the model was trained on; they must be "
          + "\(table.featureNames.prefix(20).joined(separator: ", "))")
    }
    var scalars = JSONObject()
    let state = state(withStages: isWhole ? stages : stages.filter(\.hasBegun))
    for entry in state where entry.kind == .scalar { scalars[entry.name] = .number(entry.tensor[0]) }
    var learningRates = JSONObject()
    for learner in method.learners { learningRates[learner.role] = .number(learner.optimizer.learningRate) }
    let finetuneStart = finetuning?.start.map { JSON.integer(Int64($0)) } ?? .null
    var file = ModelFile(
      kind: "trainer",
      description: [
        "configuration": .object(configuration.object), "steps": .integer(Int64(steps)), "scalars": .object(scalars),
        "learning_rates": .object(learningRates), "class_names": .array(classNames.map { .string($0) }),
        "feature_names": .array(featureNames.map { .string($0) }), "finetune_start": finetuneStart,
        "selection": selection?.description ?? .null,
        "data_digest": dataDigest.map { .integer(Int64(bitPattern: $0)) } ?? .null,
        "rows_digest": rowsDigest.map { .integer(Int64(bitPattern: $0)) } ?? .null,
      ])
    if let table { file.description["table"] = table.json }
    // What the last step had no memory for: seldom, and files without it are as they were before there was this.
    let due = [("validation", selection?.progress.dueStep), ("probes", dueProbes)].filter { $0.1 == steps }.map(\.0)
    if !due.isEmpty, steps > 0 { file.description["due"] = .array(due.map { .string($0) }) }
    file.annotations = annotations
    for entry in state where entry.kind != .scalar { file.tensors += entry.parts }
    if let scaling {
      file.tensors.append(("input.mean", scaling.mean))
      file.tensors.append(("input.scale", scaling.scale))
    }
    if let estimatedShares {
      file.tensors.append(("class_shares", try Tensor(estimatedShares, shape: Shape(estimatedShares.count))))
    }
    if let forest, forest.trees > 0 { file.tensors += try forest.tensors() }
    file.tensors.append(("history", try historyTable()))
    file.add(members: try members.map { member in try member.reading { try member.modelFile(ofWholeState: isWhole) } })
    return file
  }

  convenience init(_ file: ModelFile, definition: MethodDefinition? = nil) throws {
    let memberFiles = try file.members(), files = [file] + memberFiles
    let configurations = try files.enumerated().map { index, file in
      try Self.failing(asMember: index == 0 ? nil : index - 1) {
        let configuration = try Self.completed(
          file.described("configuration", \.members), of: index == 0 ? definition : nil)
        try Self.checkTensors(file, configuration, index == 0 ? definition : nil)
        return configuration
      }
    }
    let listed = configurations[0]["members"]?.list ?? []
    guard listed.count == memberFiles.count else {
      throw DidactError(
        .format, "didact.description: \(memberFiles.count) members, of \(listed.count) in the configuration")
    }
    for (index, (given, member)) in zip(listed, configurations.dropFirst()).enumerated() {
      let method = given.members?["method"] ?? configurations[0]["method"]
      guard method == member["method"] else {
        throw DidactError(
          .format, "didact.description: members[\(index)] has another method than the configuration says")
      }
    }
    try self.init(
      configuration: configurations[0], members: Array(configurations.dropFirst()), definition: definition)
    for ((index, member), file) in zip(indexedMembers, files) {
      try Self.failing(asMember: index) { try member.read(file) }
    }
    let known = Set(try modelFile().tensors.map(\.name))
    if let stranger = file.tensors.first(where: { !known.contains($0.name) }) {
      throw DidactError(.format, "tensor \"\(stranger.name)\" does not belong to the configuration")
    }
  }

  /// Takes what a file holds of this trainer, its members aside.
  private func read(_ file: ModelFile) throws {
    for learner in method.learners {
      try learner.optimizer.setLearningRate(file.described("learning_rates") { $0.members?[learner.role]?.double })
    }
    try readPosition(file)
    if let rows = method.rowStates.compactMap({ file.rows(of: $0.fileName) }).first {
      // Compared before memory is asked for: a tensor of no bytes may name any number of rows.
      for state in method.rowStates {
        _ = try file.tensor(state.fileName, Shape(checking: [rows, state.columns]), student.elementType)
      }
      for state in method.rowStates { try state.prepare(rows: rows) }
    }
    for entry in state(withStages: stages.filter(\.hasBegun)) { try file.read(entry) }
    choosePredictor()
    if file.tensors.contains(where: { $0.name == "input.mean" }) {
      let mean = try Tensor(Shape(student.inputs), .float64), scale = try Tensor(Shape(student.inputs), .float64)
      for (name, tensor) in [("input.mean", mean), ("input.scale", scale)] {
        try file.read(StateEntry(name: name, tensor: tensor, change: .never))
      }
      guard !scale.values.contains(where: { $0 <= 0 }) else {
        throw DidactError(.format, "tensor \"input.scale\" must be positive")
      }
      scaling = InputScaling(mean: mean, scale: scale)
    }
    if file.tensors.contains(where: { $0.name == "class_shares" }) {
      let shares = try Tensor(Shape(student.classes), .float64)
      try file.read(StateEntry(name: "class_shares", tensor: shares, change: .never))
      guard shares.values.allSatisfy({ $0 >= 0 }), shares.values.contains(where: { $0 > 0 }) else {
        throw DidactError(.format, "tensor \"class_shares\" must have no negative numbers, and not only zeros")
      }
      estimatedShares = shares.values
    }
    if forestTrees > 0, file.tensors.contains(where: { $0.name == "forest.roots" }) {
      let read = try Forest(inputs: student.inputs, classes: student.classes) { name in
        file.tensors.first { $0.name == name }?.tensor
      }
      guard read.trees <= forestTrees else {
        throw DidactError(
          .format, "tensor \"forest.roots\" has \(read.trees) trees; \"forest_trees\" is \(forestTrees)")
      }
      forest = read
    }
    func names(_ key: String, count: Int) throws -> [String] {
      let list = try file.described(key, \.list), names = list.compactMap(\.text)
      guard names.count == list.count, names.isEmpty || names.count == count else {
        throw DidactError(.format, "\(key): expected \(count) strings, or none")
      }
      return names
    }
    classNames = try names("class_names", count: student.classes)
    featureNames = try names("feature_names", count: student.inputs)
    table = try file.description["table"].map { try TableEncoding($0) }
    guard table == nil || table?.featureNames == featureNames else {
      throw DidactError(.format, "table: its features are not those of feature_names")
    }
    dataDigest = file.description["data_digest"]?.int.map { UInt64(bitPattern: Int64($0)) }
    rowsDigest = file.description["rows_digest"]?.int.map { UInt64(bitPattern: Int64($0)) }
    annotations = file.annotations
    try readHistory(file)
  }

  /// How far the trainer, and the stages around the method, had come.
  private func readPosition(_ file: ModelFile) throws {
    steps = try file.describedCount("steps")
    _ = try file.described("scalars", \.members)
    if let finetuning, let start = file.description["finetune_start"], start != .null {
      let begin = try file.describedCount("finetune_start")
      guard begin <= steps else {
        throw DidactError(.format, "didact.description: \"finetune_start\" is \(begin), after \(steps) steps")
      }
      finetuning.start = begin
    }
    if let selection, let description = file.description["selection"], description != .null {
      try selection.read(description, steps: steps)
    }
    if let description = file.description["due"] {
      let due = description.list?.compactMap(\.text) ?? []
      guard !due.isEmpty, due.allSatisfy({ ["validation", "probes"].contains($0) }) else {
        throw DidactError(
          .format, "didact.description: \"due\" is \(description.serialized()); expected validation or probes")
      }
      if due.contains("validation") { selection?.progress.dueStep = steps }
      if due.contains("probes") { dueProbes = steps }
    }
  }

  private func readHistory(_ file: ModelFile) throws {
    let names = metricNames
    guard let stored = file.tensors.first(where: { $0.name == "history" })?.tensor,
      stored.elementType == .float64, stored.shape.rank == 2, stored.columns == names.count
    else { throw DidactError(.format, "tensor \"history\" is missing or not [steps, \(names.count)]") }
    guard stored.rows == steps else {
      throw DidactError(.format, "tensor \"history\" has \(stored.rows) rows for \(steps) steps")
    }
    historyValues = stored.values
  }

  /// A file's configuration, with what keys meant before they were there.
  private static func completed(_ configuration: JSONObject, of definition: MethodDefinition?) throws -> JSONObject {
    var completed = configuration
    let method = try definition ?? MethodDefinition.named(configuration["method"]?.text ?? "")
    for field in fields(method) where configuration[field.key] == nil {
      if let value = field.absentInFile { completed[field.key] = value }
    }
    return completed
  }

  /// Compares the networks of the configuration with the tensors of the file before any is made.
  private static func checkTensors(
    _ file: ModelFile, _ configuration: JSONObject, _ definition: MethodDefinition?
  ) throws {
    let method = try definition ?? MethodDefinition.named(configuration["method"]?.text ?? "")
    let values = try FieldValues(configuration, fields: fields(method), subject: "configuration")
    let elementType: ElementType = try values.text("dtype") == "float64" ? .float64 : .float32
    let teacher = try NetworkSpecification(values.value("network"))
    let given = try values.value("student_network")
    let student = given == .null ? teacher : try NetworkSpecification(given)
    try file.check(student, elementType: elementType, prefix: "student.")
    if let (role, second) = try method.secondNetwork?(values, teacher, student.classes) {
      try file.check(second, elementType: elementType, prefix: "\(role).")
    }
  }
}
