/// Members: trainers beside a trainer that learn from the same rows, each by its own method. What predicts then is the
/// ensemble, the mean of the probabilities of all of them: it seldom falls behind its best member by much, whichever that is
/// on the data at hand, and labels are too few to find out (Lakshminarayanan et al., NeurIPS 2017).
extension Trainer {
  static let membersField = Field(
    "members", .objects, [],
    "fit: further trainers, whose probabilities are averaged with this one's; each is this configuration with its own keys "
      + "in place, such as {\"method\": \"supervised\"}",
    source: "Lakshminarayanan et al. 2017")

  /// What predicts where there are members.
  static let ensembleRole = "ensemble"

  /// Keys that a member cannot have for itself: the fit's, and what makes it fit the others.
  private static let sharedKeys = [
    "members", "steps", "time_limit", "dtype", "class_prior", "forest_trees", "forest_weight",
  ]

  /// The configurations of the members: each the trainer's own, as far as the member's method knows its keys, with the
  /// member's changes. Their seeds follow the trainer's, so that no two begin alike.
  /// - Parameter object: the trainer's configuration.
  static func memberConfigurations(_ object: JSONObject, _ values: FieldValues) throws -> [JSONObject] {
    let method = try values.text("method"), seed = try values.integer("seed")
    let members = try values.value("members").list ?? []
    guard !members.isEmpty else { return [] }
    let own = try mergedConfiguration([object], method: method)
    guard members.count <= ModelFile.mostMembers else {
      throw DidactError(
        .invalidArgument,
        "trainer: \(members.count) members; there can be \(ModelFile.mostMembers) beside the trainer itself")
    }
    return try members.enumerated().map { index, member in
      try failing(asMember: index) {
        guard var changes = member.members else {
          throw DidactError(.invalidArgument, "expected an object such as {\"method\": \"supervised\"}")
        }
        if let key = sharedKeys.first(where: { changes[$0] != nil }) {
          throw DidactError(.invalidArgument, "\"\(key)\" is the same for all members; give it beside \"members\"")
        }
        let name = changes["method"] ?? .string(method)
        guard let memberMethod = name.text else {
          throw DidactError(.invalidArgument, "\"method\" must be a name; got \(name.serialized())")
        }
        changes["method"] = name
        changes["seed"] = changes["seed"] ?? .integer(Int64((seed &+ index &+ 1) & Int.max))
        let keys = try fields(method: memberMethod).map(\.key)
        let alone = ["members", "forest_trees", "forest_weight"]
        let kept = own.members.filter { keys.contains($0.key) && !alone.contains($0.key) }
        return try mergedConfiguration([JSONObject(kept), changes], method: memberMethod)
      }
    }
  }

  /// - Parameter configurations: one for each member.
  static func makeMembers(_ configurations: [JSONObject], of student: Network) throws -> [Trainer] {
    try configurations.enumerated().map { index, configuration in
      try failing(asMember: index) {
        // Before any network is made: a short file could ask for any number of them.
        guard configuration["members"]?.list?.isEmpty ?? true else {
          throw DidactError(.invalidArgument, "a member cannot have members")
        }
        let member = try Trainer(configuration: configuration)
        guard member.student.specification.extent == student.specification.extent,
          member.student.task.logitsShape(examples: 1) == student.task.logitsShape(examples: 1)
        else {
          throw DidactError(
            .invalidArgument,
            "it takes inputs \(member.student.specification.extent) to \(member.student.lengthsOfLogits) classes; the trainer "
              + "\(student.specification.extent) to \(student.lengthsOfLogits)")
        }
        return member
      }
    }
  }

  /// Runs what is done for a member, so that an error says for which.
  /// - Parameter index: nil for the trainer itself.
  static func failing<Result>(asMember index: Int?, _ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as DidactError {
      throw index.map { error.at("members[\($0)]") } ?? error
    }
  }

  /// The trainer and its members, by their index.
  var indexedMembers: [(index: Int?, trainer: Trainer)] {
    [(nil, self)] + members.enumerated().map { ($0.offset, $0.element) }
  }

  /// The trainer and its members.
  var everyMember: [Trainer] { [self] + members }

  /// Members call classes and features as the trainer does.
  /// - Throws: `DidactError.invalidArgument` for one that was used by itself, under other names: its columns or classes are in
  ///   another order.
  func nameMembers(_ things: NamedThings, _ names: [String], before: [String]) throws {
    for (index, member) in members.enumerated() {
      let own = member.names(things)
      guard own.isEmpty || own == before || own == names else {
        throw DidactError(
          .invalidArgument,
          "members[\(index)] was used by itself, with other \(things.rawValue) names: \(own.prefix(5).joined(separator: ", ")). Give "
            + "the trainer the same, in this order")
      }
    }
    for member in members { try member.writing { member.keep(names, of: things) } }
  }

  /// - Throws: `DidactError.unsupported` where there are members or trees, which single steps would leave behind.
  func checkHasNoMembers() throws {
    guard !isEnsemble else {
      let key = members.isEmpty ? "forest_trees" : "members"
      throw DidactError(
        .unsupported,
        "a trainer with \(members.isEmpty ? "trees" : "members") trains all of them by fit; leave \"\(key)\" out to make single "
          + "steps")
    }
  }

  /// Takes the mean of the class probabilities of members, at least one.
  static func predict(
    _ probabilities: BorrowedArray, _ inputs: BorrowedArray, byMeanOf members: [(index: Int?, trainer: Trainer)]
  ) throws {
    // The first checks both arrays, and every row.
    let first = members[0].trainer, inputs = try first.checkedRows(inputs, "X")
    try first.predict(probabilities, inputs, with: first.predictor)
    guard members.count > 1 else { return }
    let block = min(inputs.rows, max(1, 4096 / first.student.labelsPerExample)), shape = first.student.task.logitsShape
    let memory = try members.dropFirst().map { _ in try Tensor(shape(block), .float64) }
    for start in stride(from: 0, to: inputs.rows, by: block) {
      let rows = start..<min(inputs.rows, start + block)
      let others = memory.map { rows.count == block ? $0 : $0.view(shape(rows.count)) }
      for ((index, member), other) in zip(members.dropFirst(), others) {
        try failing(asMember: index) {
          do {
            try withExtendedLifetime(other) {
              try member.predict(BorrowedArray(other), inputs.rows(rows), with: member.predictor)
            }
          } catch let error as DidactError where start > 0 {
            throw error.at("in the rows from \(start) on")
          }
        }
      }
      probabilities.rows(rows).average(with: others)
    }
  }
}
