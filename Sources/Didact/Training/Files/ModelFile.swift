/// The parts of model files that networks and trainers share: safetensors with a JSON description in the metadata.
///
/// Metadata: `didact.format` (the version of this layout, 1), `didact.kind` (`network` or `trainer`) and
/// `didact.description` (JSON); what else there is are texts that programs keep with their models. Files may be hostile:
/// shapes are compared with the description before any memory is asked for, and values must be finite.
struct ModelFile {
  static let formatVersion = "1"

  var kind: String
  var description: JSONObject
  /// Texts that programs keep with a model, by metadata key.
  var annotations: [(key: String, value: String)] = []
  var tensors: [(name: String, tensor: Tensor)] = []
  /// The tensors of a file that was read, by name.
  private var index: [String: Tensor] = [:]

  /// The keys that this layout itself has.
  static let ownKeys: Set<String> = ["didact.format", "didact.kind", "didact.description"]

  init(kind: String, description: JSONObject) {
    self.kind = kind
    self.description = description
  }

  /// - Throws: `DidactError.file`, or `.format` for a file of another kind or version.
  init(reading path: String, kind: String) throws {
    let file = try SafetensorsFile(reading: path)
    do {
      try self.init(file, kind: kind)
    } catch let error as DidactError {
      throw error.at(path)
    }
  }

  init(_ file: SafetensorsFile, kind: String) throws {
    guard let version = file.metadata(named: "didact.format"), let found = file.metadata(named: "didact.kind"),
      let description = file.metadata(named: "didact.description")
    else {
      throw DidactError(
        .format, "not a Didact model: the metadata keys didact.format, .kind and .description are missing")
    }
    guard version == ModelFile.formatVersion else {
      throw DidactError(
        .format, "model format \(version.prefix(20)); this version reads \(ModelFile.formatVersion). Update Didact")
    }
    guard found == kind else {
      throw DidactError(.format, "the file holds a \(found.prefix(20)), not a \(kind)")
    }
    guard let object = try JSON(parsing: description).members else {
      throw DidactError(.format, "didact.description is not an object")
    }
    self.kind = kind
    self.description = object
    annotations = file.metadata.filter { !ModelFile.ownKeys.contains($0.key) }
    tensors = file.tensors
    index = ModelFile.index(tensors)
  }

  var safetensors: SafetensorsFile {
    SafetensorsFile(
      metadata: [
        ("didact.format", ModelFile.formatVersion), ("didact.kind", kind),
        ("didact.description", JSON.object(description).serialized()),
      ] + annotations, tensors: tensors)
  }

  /// - Throws: `DidactError.data`, with any old file left, for values that would not be read.
  func write(to path: String) throws {
    do {
      try checkValues()
    } catch let error as DidactError {
      throw DidactError(.data, "\(path) was not written: \(error.message)")
    }
    try safetensors.write(to: path)
  }

  /// The content of the file, which `write` would write.
  /// - Parameters:
  ///   - allocate: returns memory for so many bytes; nil where there is none, and nothing is written.
  /// - Throws: as `write`.
  func write(into allocate: (Int) throws -> UnsafeMutableRawPointer?) throws {
    do {
      try checkValues()
    } catch let error as DidactError {
      throw DidactError(.data, error.message)
    }
    try safetensors.write(into: allocate)
  }

  /// Views may have written anything to parameters, statistics and the state of optimisers.
  /// - Throws: `DidactError.format` for values that `read` refuses.
  private func checkValues() throws {
    for (name, tensor) in tensors where name != "history" && !name.hasSuffix(".history") {
      guard tensor.isFinite else {
        throw DidactError(
          .format,
          "tensor \"\(name)\" holds NaN or infinity. Where a single step made it so, the next one goes back to the last finite "
            + "state; lower the learning rate before it")
      }
      try ModelFile.checkVariances(name, tensor)
      if tensor.elementType == .int64, tensor.count == 1 { try ModelFile.checkCount(name, tensor.integer) }
    }
  }

  private static func checkVariances(_ name: String, _ tensor: Tensor) throws {
    guard !name.hasSuffix("running_variance") || !tensor.values.contains(where: { $0 < 0 }) else {
      throw DidactError(.format, "tensor \"\(name)\" holds a negative variance")
    }
  }

  private static func checkCount(_ name: String, _ count: Int64) throws {
    guard count >= 0, count < 1 << 38 else {
      throw DidactError(.format, "tensor \"\(name)\" is \(count), no count of steps")
    }
  }

  // MARK: - Members

  /// More are refused: a short text must not ask for any number of networks.
  static let mostMembers = 100

  private static func prefix(ofMember index: Int) -> String { "member\(index)." }

  /// Adds the files of members: their descriptions as a list, their tensors as `member0.<name>` and so on.
  mutating func add(members: [ModelFile]) {
    guard !members.isEmpty else { return }
    description["members"] = .array(members.map { .object($0.description) })
    for (index, member) in members.enumerated() {
      tensors += member.tensors.map { (ModelFile.prefix(ofMember: index) + $0.name, $0.tensor) }
    }
  }

  /// The files of the members.
  /// - Throws: `DidactError.format` where they are not described as `add` does.
  func members() throws -> [ModelFile] {
    guard description["members"] != nil else { return [] }
    let descriptions = try described("members", \.list)
    guard descriptions.count <= ModelFile.mostMembers else {
      throw DidactError(
        .format, "didact.description: \(descriptions.count) members; at most \(ModelFile.mostMembers) can be")
    }
    return try descriptions.enumerated().map { index, member in
      guard let description = member.members, description["members"] == nil else {
        throw DidactError(
          .format, "didact.description: \"members\" has no description of member \(index), or one too deep")
      }
      var file = ModelFile(kind: kind, description: description)
      let prefix = ModelFile.prefix(ofMember: index)
      file.tensors = tensors.filter { $0.name.hasPrefix(prefix) }.map {
        (String($0.name.dropFirst(prefix.utf8.count)), $0.tensor)
      }
      file.index = ModelFile.index(file.tensors)
      return file
    }
  }

  private static func index(_ tensors: [(name: String, tensor: Tensor)]) -> [String: Tensor] {
    Dictionary(tensors.map { ($0.name, $0.tensor) }) { first, _ in first }
  }

  // MARK: - Networks

  /// - Throws: `DidactError.format` where a tensor of the specified network is missing or of another shape or type. Asks
  ///   for no memory, so that a small file cannot make a large network.
  func check(_ specification: NetworkSpecification, elementType: ElementType, prefix: String) throws {
    let builder = try NetworkBuilder(specification)
    for slot in builder.parameters + builder.statistics {
      _ = try tensor(prefix + slot.name, slot.shape, elementType)
    }
  }

  // MARK: - Tensors

  /// - Throws: `DidactError.format` where a part is missing, of another shape or type, or cannot be of its kind.
  func read(_ entry: StateEntry) throws {
    guard entry.kind != .scalar else {
      guard let number = try described("scalars", \.members)[entry.name]?.double else {
        throw DidactError(.format, "scalar \"\(entry.name)\" is missing or not a number")
      }
      entry.tensor[0] = number
      return
    }
    for (name, destination) in entry.parts {
      let source = try tensor(name, destination.shape, destination.elementType)
      guard source.isFinite else { throw DidactError(.format, "tensor \"\(name)\" holds NaN or infinity") }
      try ModelFile.checkVariances(name, source)
      if entry.kind == .count { try ModelFile.checkCount(name, source.integer) }
      if entry.kind == .shares, !source.values.allSatisfy({ (0...1).contains($0) }) {
        throw DidactError(.format, "tensor \"\(name)\" must be in [0, 1]")
      }
      destination.copyElements(of: source)
    }
  }

  /// How many rows a matrix of any number of them has; nil where there is no such tensor.
  func rows(of name: String) -> Int? { index[name].flatMap { $0.shape.rank == 0 ? nil : $0.shape[0] } }

  func tensor(_ name: String, _ shape: Shape, _ elementType: ElementType) throws -> Tensor {
    guard let tensor = index[name] else {
      throw DidactError(.format, "tensor \"\(name)\" is missing")
    }
    guard tensor.shape == shape, tensor.elementType == elementType else {
      throw DidactError(
        .format,
        "tensor \"\(name)\" is \(tensor.elementType) \(tensor.shape); the description says \(elementType) \(shape)")
    }
    return tensor
  }

  // MARK: - Description

  func described<T>(_ key: String, _ convert: (JSON) -> T?) throws -> T {
    guard let value = description[key].flatMap(convert) else {
      throw DidactError(.format, "didact.description: \"\(key)\" is missing or of the wrong kind")
    }
    return value
  }

  /// A whole number that leaves room to count on.
  func describedCount(_ key: String) throws -> Int {
    let value = try described(key, \.int)
    guard value >= 0, value < 1 << 38 else {
      throw DidactError(.format, "didact.description: \"\(key)\" is \(value)")
    }
    return value
  }
}
