/// What a trainer tells of itself: metrics, history, names.
extension Trainer {
  /// A metric of the last call.
  /// - Throws: `DidactError.invalidArgument` naming the nearest known name.
  public func lastMetric(_ name: String) throws -> Double {
    guard let value = lastMetrics[name] else {
      throw DidactError(
        .invalidArgument,
        "no metric \"\(name)\" was reported.\(suggestion(for: name, among: lastMetrics.names))")
    }
    return value
  }

  /// The metrics of the last call by column, NaN for those that it did not report, into an array [columns] of float64.
  package func copyMetrics(to array: BorrowedArray) throws {
    try array.check(Shape(lastMetrics.row.count), .float64, "out")
    guard array.elementType == .float64 else {
      throw DidactError(.elementType, "out is \(array.elementType); expected float64")
    }
    array.forEachElement { $1.storeBytes(of: lastMetrics.row[$0], as: Double.self) }
  }

  /// The history as a matrix [steps, metrics] of float64.
  public func historyTable() throws -> Tensor {
    try Tensor(historyValues, shape: Shape(steps, metricNames.count))
  }

  /// What predicts together, and what the last fit aimed at: `members`, of each its `method`, `steps` and `weight` in the
  /// prediction; `forest`, null or its `trees` and `weight`; `class_shares`, null for those of the labels or one for each class;
  /// `warnings`.
  package func report() -> JSONObject {
    reading {
      let trees = forest?.trees ?? 0, forestPart = forest.map(weight(of:)) ?? 0
      let part = (1 - forestPart) / Double(members.count + 1)
      let described = everyMember.map { member in
        JSON.object([
          "method": .string(member.methodName), "steps": .integer(Int64(member.steps)), "weight": .number(part),
        ])
      }
      var shares = estimatedShares
      if case .shares(let given) = classPrior { shares = given }
      let total = shares?.reduce(0, +) ?? 1
      return [
        "members": .array(described),
        "forest": trees > 0 ? .object(["trees": .integer(Int64(trees)), "weight": .number(forestPart)]) : .null,
        "class_shares": shares.map { .array($0.map { .number($0 / total) }) } ?? .null,
        "warnings": .array(warnings.map(\.json)),
      ]
    }
  }

  /// The names of classes or features.
  public func names(_ things: NamedThings) -> [String] { things == .classes ? classNames : featureNames }

  /// - Parameter json: an array of strings, one for each class or input, or an empty one.
  /// - Throws: `DidactError.invalidArgument` for another number of names, and for two of one name.
  public func setNames(_ things: NamedThings, from json: JSON) throws {
    let count = things == .classes ? student.classes : student.inputs
    guard let list = json.list, case let names = list.compactMap(\.text), names.count == list.count,
      names.isEmpty || names.count == count
    else { throw DidactError(.invalidArgument, "\(things.rawValue) names: expected \(count) strings, or none") }
    if let name = names.firstDuplicate {
      throw DidactError(.invalidArgument, "\(things.rawValue) names: two are \"\(name)\"; each needs a name of its own")
    }
    let length = names.reduce(0) { $0 + $1.utf8.count }
    guard length <= SafetensorsFile.maximumHeaderLength / 2 else {
      throw DidactError(
        .invalidArgument,
        "\(things.rawValue) names: \(length) bytes; a model file holds at most \(SafetensorsFile.maximumHeaderLength / 2)"
      )
    }
    try nameMembers(things, names, before: self.names(things))
    try writing { keep(names, of: things) }
  }

  func keep(_ names: [String], of things: NamedThings) {
    if things == .classes { classNames = names } else { featureNames = names }
  }
}

/// What a trainer keeps names for.
public enum NamedThings: String, Sendable {
  case classes = "class"
  case features = "feature"

  /// - Throws: `DidactError.invalidArgument` for another word.
  public init(named name: String) throws {
    guard let things = NamedThings(rawValue: name) else {
      throw DidactError(.invalidArgument, "names are kept for \"class\" and \"feature\", not \"\(name)\"")
    }
    self = things
  }
}
