/// A method at work on its networks: step by step, or by `fit`.
///
/// Training calls exclude each other: a second one on a busy trainer throws `DidactError.busy`. Predictions may run from
/// any number of threads at any time, also within a progress callback.
public final class Trainer: @unchecked Sendable {
  public let configuration: FieldValues
  let definition: MethodDefinition
  public var methodName: String { definition.name }
  /// Seeds every random stream of the run.
  public let seed: UInt64
  public let elementType: ElementType
  /// The names of the classes, in the order of the logits; empty if none were given.
  public internal(set) var classNames: [String] = []
  public internal(set) var featureNames: [String] = []
  /// How the columns of a table become features; nil where the trainer's data are no table. See `setTable`.
  public internal(set) var table: TableEncoding?
  /// What raw inputs go through before they reach a network; set by the first `fit`.
  public internal(set) var scaling: InputScaling?
  let classPrior: ClassPrior
  /// The first fit found these for `class_prior` "estimate"; nil where it kept the shares of the labels.
  var estimatedShares: [Double]?
  /// So many trees learn beside the networks, and this is the part of all of them in the prediction: see `ForestGrowth`.
  let forestTrees: Int
  let forestWeight: Double
  /// The trees so far; nil where there are none.
  var forest: Forest?
  /// Steps completed.
  public internal(set) var steps = 0
  /// The metrics of every completed step.
  public var history: [Metrics] {
    let names = metricNames
    return (0..<steps).map { step in
      Metrics(
        columns: names, terms: names.count,
        row: Array(historyValues[step * names.count..<(step + 1) * names.count]))
    }
  }
  /// The rows of the history, one after the other.
  var historyValues: [Double] = []
  /// What the last fit that came to its end found that its user should know; none while one is at work.
  public internal(set) var warnings: [Warning] = []
  /// The steps after which policies that learn are still to be shown their probes; nil where they were.
  var dueProbes: Int?
  /// Labelled rows that the last fit set aside to choose the best network by; nil where it set none aside.
  var validationRowCount: Int?
  /// Texts that programs keep with the model.
  var annotations: [(key: String, value: String)] = []
  /// Tells the data of the last fit from others; nil before the first.
  public internal(set) var dataDigest: UInt64?
  /// Tells the rows of the last fit from others, whatever their labels are; nil before the first.
  public internal(set) var rowsDigest: UInt64?
  /// The metrics of the method, in order, then those of the stages around it: the columns of the history.
  public let metricNames: [String]
  /// The metrics of the last step, or of its halves as they were called.
  public internal(set) var lastMetrics: Metrics
  /// Of the step at work.
  var workingMetrics: Metrics

  /// Trainers beside this one that a fit trains too; what predicts then is the mean of all: see `membersField`.
  public let members: [Trainer]
  let method: any Method
  public let student: Network
  let movingAverage: MovingAverage?
  /// The stage after the method's own steps, if one is configured.
  let finetuning: Finetuning?
  /// What keeps the best network of a fit, if that is wanted.
  let selection: Selection?
  /// All three of these that there are, in the order of `stageKinds`.
  let stages: [any Stage]
  /// What changes the images of a fit, by strength of the view.
  let augmentations: [String: AugmentationPolicy]
  /// The network that predicts, and its role.
  private let predicting: Locked<(role: String, network: Network)>
  /// Made by the first step.
  var transaction: Transaction?
  /// The student's step that a teacher's step answers; nil where none waits for one.
  var studentMove: Any?
  private let isTraining = Locked(false)
  /// The rows of steps, in the networks' element type.
  let batchMemory = TensorPool()
  /// All networks, whose locks a step takes in this order.
  let networks: [Network]
  /// The method's steps of a whole fit.
  let scheduledSteps: Int

  /// The fields of every trainer, before those of its method.
  private static func commonFields(_ definition: MethodDefinition) -> [Field] {
    let known = MethodDefinition.names
    let names = known.contains(definition.name) ? known : [definition.name]
    return [
      Field("method", .choice(names), nil, "the way of training"),
      Field("network", .object, nil, "specification of the networks; the teacher's, where the student's differs"),
      Field("student_network", .object, .null, "specification of the student; null for the same as the teacher's"),
      Field("dtype", .choice(["float32", "float64"]), "float32", "element type of all computation"),
      Field("seed", .integer(.atLeast(0)), 0, "seed of every random stream"),
      Field("threads", .integer(.closed(0, 1024)), 0, "most threads to use, at most one a core; 0 for one a core"),
      ConvolutionArithmetic.fields[0], ConvolutionArithmetic.fields[1],
      Field(
        "average_decay", .number(.closed(0, 1)), .null,
        "decay of a moving average of the student, which then makes the predictions; null for none",
        source: "Polyak and Juditsky 1992"),
      Field(
        "average_statistics", .boolean, false, "average the running statistics too instead of copying them",
        source: "EMAN: Cai et al. 2021"),
      Field(
        "average_warmup", .choice(["none", "tensorflow", "mean_teacher"]), "none",
        "smaller decays at the average's first updates k = 0, 1, …: min(decay, (1 + k) / (10 + k)) or "
          + "min(decay, 1 − 1 / (k + 1))",
        source: "TensorFlow, in Google's Meta Pseudo Labels code; Mean Teacher's code"),
      Field("steps", .integer(.closed(0, 1e11)), 1000, "fit: steps in all, which learning rate schedules run over"),
      Field(
        "time_limit", .number(.above(0)), .null,
        "fit: seconds after which a fit makes no more steps; it makes at least one"),
      Field("labeled_batch_size", .integer(.atLeast(1)), 64, "fit: labelled rows a step, at most all of them"),
      Field(
        "input_scaling", .choice(["standard", "table", "channel", "unit", "none"]), "standard",
        "fit: mean 0 and deviation 1 by column; or of those columns that hold more than 0 and 1; or by channel of an "
          + "image; or all divided by the largest absolute value; or as they are"),
    ] + View.fields("weak", noise: 0.05, featureDropout: 0) + Finetuning.fields + Selection.fields + [
      ClassPrior.field, membersField,
    ] + forestFields
  }

  /// The names of all methods.
  public static var methodNames: [String] { MethodDefinition.names }

  /// The configuration table of a method, common keys first.
  /// - Throws: `DidactError.invalidArgument` naming the nearest known method.
  public static func fields(method: String) throws -> [Field] {
    try fields(MethodDefinition.named(method))
  }

  static func fields(_ definition: MethodDefinition) -> [Field] {
    commonFields(definition).map { $0.prefixed("", default: definition.defaults[$0.key]) } + definition.fields
  }

  /// - Parameter json: an object of configuration keys; `method` and `network` must be there. Nested objects and dotted
  ///   keys mean the same.
  /// - Throws: `DidactError.invalidArgument` naming key, value and what the key takes.
  public convenience init(_ json: JSON) throws {
    guard let object = json.members else {
      throw DidactError(.invalidArgument, "trainer: expected an object such as {\"method\": …, \"network\": …}")
    }
    try self.init(configuration: object)
  }

  public convenience init(configuration object: JSONObject) throws {
    try self.init(configuration: object, members: nil)
  }

  private static func definition(_ configuration: JSONObject) throws -> MethodDefinition {
    guard let method = configuration["method"]?.text else {
      throw DidactError(
        .invalidArgument, "trainer: \"method\" must be one of: \(methodNames.joined(separator: ", "))")
    }
    return try MethodDefinition.named(method)
  }

  /// - Parameters:
  ///   - memberConfigurations: what a file says of the members; nil for what the configuration says of them.
  ///   - definition: of a method that is not listed; nil for the one that the configuration names.
  init(
    configuration object: JSONObject, members memberConfigurations: [JSONObject]? = nil,
    definition given: MethodDefinition? = nil
  ) throws {
    let definition = try given ?? Self.definition(object)
    let method = definition.name
    let configuration = try FieldValues(
      object, fields: View.adjusted(Self.fields(definition), for: object), subject: "trainer")
    self.configuration = configuration
    self.definition = definition
    let seed = UInt64(try configuration.integer("seed"))
    let elementType: ElementType = try configuration.text("dtype") == "float64" ? .float64 : .float32
    self.seed = seed
    self.elementType = elementType
    scheduledSteps = try configuration.integer("steps")
    let specification = try NetworkSpecification(configuration.value("network"))
    let given = try configuration.value("student_network")
    let studentSpecification = given == .null ? specification : try NetworkSpecification(given)
    guard studentSpecification.inputs == specification.inputs else {
      throw DidactError(
        .invalidArgument,
        "trainer: the student takes \(studentSpecification.inputs) inputs, the teacher \(specification.inputs)")
    }
    let threads = try configuration.integer("threads")
    let arithmetic = try ConvolutionArithmetic(configuration, elementType)
    let student = try Network(
      studentSpecification, elementType: elementType, seed: seed, threads: threads, arithmetic: arithmetic,
      stream: "initialization/student")
    self.student = student
    // EMAN: a teacher that is an average normalises with averaged statistics.
    let isEMAN = try definition.labelsByAverage && configuration.has("eman") && configuration.boolean("eman")
    let averagesStatistics = try configuration.boolean("average_statistics") || isEMAN
    let averageWarmup: MovingAverage.Warmup = try configuration.choice("average_warmup")
    movingAverage = try configuration.optionalNumber("average_decay").map {
      try MovingAverage(student, decay: $0, averagesStatistics: averagesStatistics, warmup: averageWarmup)
    }
    func second() throws -> Network {
      guard let (role, second) = try definition.secondNetwork?(configuration, specification, student.classes) else {
        throw DidactError(.internalError, "\(method) has no second network")
      }
      let network = try Network(
        second, elementType: elementType, seed: seed, threads: threads, arithmetic: arithmetic,
        stream: "initialization/\(role)", sharingMemoryOf: student)
      guard network.classes == student.classes else {
        throw DidactError(
          .invalidArgument, "trainer: the student has \(student.classes) classes, the \(role) \(network.classes)")
      }
      guard network.task.labelShape(examples: 1) == student.task.labelShape(examples: 1) else {
        throw DidactError(
          .invalidArgument,
          "trainer: an example has labels \(student.task.labelShape(examples: 1)) to the student and "
            + "\(network.task.labelShape(examples: 1)) to the \(role)")
      }
      return network
    }
    self.method = try definition.make(
      MethodParts(
        student: student, second: second, average: movingAverage, configuration: configuration, seed: seed))
    var augmentations: [String: AugmentationPolicy] = [:]
    for strength in definition.views {
      augmentations[strength] = try View.policy(configuration, strength, of: student.specification.extent)
    }
    self.augmentations = augmentations
    finetuning = try Finetuning(student, configuration, seed: seed)
    selection = try Selection(student, configuration)
    let stages = ([movingAverage, selection, finetuning] as [(any Stage)?]).compactMap { $0 }
    self.stages = stages
    predicting = Locked(movingAverage.map { (MovingAverage.role, $0.network) } ?? ("student", student))
    networks = self.method.learners.map(\.network) + stages.map(\.network)
    metricNames = self.method.metricNames + stages.reversed().flatMap { type(of: $0).metricNames }
    lastMetrics = Metrics(columns: metricNames, terms: self.method.metricNames.count)
    workingMetrics = lastMetrics
    guard !definition.learnsFromLabels || definition.tasks.contains(student.taskName) else {
      let others = MethodDefinition.all.filter { $0.tasks.contains(student.taskName) }.map(\.name)
      throw DidactError(
        .invalidArgument,
        "trainer: method \"\(method)\" does not learn \(student.taskName.rawValue); these do: \(others.joined(separator: ", "))"
      )
    }
    if student.labelsPerExample > 1, let strength = definition.views.first(where: { augmentations[$0] != nil }) {
      throw DidactError(
        .invalidArgument,
        "trainer: \"\(strength)_augmentation\" may move pixels, and the labels of pixels would stay; leave it out for segmentation"
      )
    }
    classPrior = try ClassPrior(configuration, student)
    forestTrees = try configuration.integer("forest_trees")
    forestWeight = try configuration.number("forest_weight")
    guard forestTrees == 0 || definition.learnsFromLabels && student.labelsPerExample == 1 else {
      throw DidactError(.unsupported, "trainer: \"forest_trees\" learn one label for each row, which there is not here")
    }
    guard definition.learnsFromLabels || stages.allSatisfy({ $0 is MovingAverage }) else {
      throw DidactError(
        .invalidArgument, "trainer: method \"\(method)\" learns without labels, which validation and fine-tuning need")
    }
    guard definition.learnsFromLabels || classPrior == .labels else {
      throw DidactError(
        .invalidArgument, "trainer: method \"\(method)\" learns without labels, which \"class_prior\" repeats")
    }
    members = try Self.makeMembers(
      memberConfigurations ?? Self.memberConfigurations(object, configuration), of: student)
    try arithmetic.check(hasConvolutions: networks.contains { $0.graph.hasConvolutions })
    guard movingAverage != nil || !averagesStatistics && averageWarmup == .none else {
      let key = averagesStatistics ? "average_statistics" : "average_warmup"
      throw DidactError(.invalidArgument, "trainer: \"\(key)\" needs \"average_decay\"")
    }
  }

  // MARK: - Networks and optimisers

  /// The student's moving average, if one is kept.
  public var average: Network? { movingAverage?.network }
  /// The network that predicts, of this trainer itself: the fine-tuned one once there is one, else the best one where a fit
  /// chose one, else the student's average if one is kept, else the student.
  public var predictor: Network { predicting.withLock { $0.network } }
  /// The role of what predicts: of that network, or `ensemble` where there are members or trees.
  public var predictorRole: String { isEnsemble ? Self.ensembleRole : ownPredictorRole }
  /// The role of `predictor`.
  var ownPredictorRole: String { predicting.withLock { $0.role } }

  func choosePredictor() {
    let stage = stages.last { $0.hasBegun }
    let chosen = stage.map { (type(of: $0).role, $0.network) } ?? ("student", student)
    predicting.withLock { $0 = chosen }
  }

  /// - Parameter role: "student", "teacher", "corrector", "average", "best" or "finetuned".
  /// - Throws: `DidactError.unsupported` where there is no such network.
  public func network(_ role: String) throws -> Network {
    if let kind = Self.stageKinds.first(where: { $0.role == role }) {
      if let stage = stages.first(where: { type(of: $0) == kind && $0.hasBegun }) { return stage.network }
      throw DidactError(.unsupported, "there is no \(role) network\(kind.remedy)")
    }
    guard role != Self.ensembleRole else {
      let remedy = isEnsemble ? ": it is the mean of several that predict" : "; set \"members\""
      throw DidactError(.unsupported, "there is no \(role) network\(remedy)")
    }
    guard role != Self.forestRole else {
      throw DidactError(
        .unsupported, "there is no \(role) network\(forestTrees > 0 ? ": it has trees" : "; set \"forest_trees\"")")
    }
    return try learner(role).network
  }

  public func optimizer(_ role: String) throws -> Optimizer { try learner(role).optimizer }

  private func learner(_ role: String) throws -> Learner {
    guard let learner = method.learners.first(where: { $0.role == role }) else {
      let roles = method.learners.map(\.role).joined(separator: ", ")
      throw DidactError(.unsupported, "method \"\(methodName)\" has no network \"\(role)\"; it has \(roles)")
    }
    return learner
  }

  // MARK: - One at a time

  /// What a fit sets before its first step.
  private struct FitState {
    let steps: Int
    let rowsDigest, dataDigest: UInt64?
    let validationRowCount: Int?
    let warnings: [Warning]
    let rows: [Tensor?]
    let forest: Forest?
  }

  /// Runs a fit. Where it ends with an error before one of its steps is kept, what was known of the rows of the last fit is kept.
  func fitting<Result>(_ body: () throws -> Result) throws -> Result {
    let before = FitState(
      steps: steps, rowsDigest: rowsDigest, dataDigest: dataDigest, validationRowCount: validationRowCount,
      warnings: warnings, rows: method.rowStates.map(\.values), forest: forest)
    do {
      return try body()
    } catch  where steps <= before.steps {
      try writing {
        rowsDigest = before.rowsDigest
        dataDigest = before.dataDigest
        validationRowCount = before.validationRowCount
        warnings = before.warnings
        for (state, values) in zip(method.rowStates, before.rows) { state.values = values }
        forest = before.forest
      }
      throw error
    }
  }

  /// Runs `body` as the only training call on this trainer.
  func training<Result>(_ body: () throws -> Result) throws -> Result {
    let taken = isTraining.withLock { busy in
      defer { busy = true }
      return !busy
    }
    guard taken else {
      throw DidactError(.busy, "this trainer is training already; use another trainer, or wait for the call to return")
    }
    defer { isTraining.withLock { $0 = false } }
    return try body()
  }

  /// Runs `body` with no step changing what it reads: steps, metrics, history, names.
  package func reading<Result>(_ body: () throws -> Result) rethrows -> Result { try student.lock.reading(body) }

  /// Runs `body` with no prediction reading the networks. Where it was too large for memory, a smaller one has room.
  func writing<Result>(_ body: () throws -> Result) throws -> Result {
    for network in networks { network.lock.lockForWriting() }
    defer { for network in networks { network.lock.unlock() } }
    do {
      return try body()
    } catch let error as DidactError where error.code == .outOfMemory {
      releaseMemory()
      throw error
    }
  }

  /// Runs a step or its half. Where it cannot end, the state is as before it. Where it diverges, the state
  /// goes back to that before the last step whose losses were finite: the move that made them infinite is the one after.
  /// - Parameter rows: those of its batch, where they are known.
  func stepping<Result>(begins: Bool, rows: [Int] = [], _ body: () throws -> Result) throws -> Result {
    if begins, transaction == nil { try checkCanBeSaved() }
    return try writing {
      let waitingMove = begins ? studentMove : nil
      if begins {
        try reserveHistory()
        applySchedules()
        let transaction = try transaction ?? Transaction(self)
        self.transaction = transaction
        try transaction.begin(position, rows: rows)
        studentMove = nil
      } else {
        transaction?.setSavepoint()
      }
      do {
        return try goingBack(body)
      } catch {
        let code = (error as? DidactError)?.code
        if code != .diverged {
          rollBack(to: begins ? .beginning : .savepoint)
          if begins { studentMove = waitingMove }
        }
        // Other training calls use it too, but not at the same time.
        if code == .outOfMemory { batchMemory.clear() }
        throw error
      }
    }
  }

  /// Runs what follows a step of a fit. Where it shows that the step diverged, the state goes back to that before it.
  func afterStep<Result>(_ body: () throws -> Result) throws -> Result { try writing { try goingBack(body) } }

  private func goingBack<Result>(_ body: () throws -> Result) throws -> Result {
    do {
      return try body()
    } catch let error as DidactError where error.code == .diverged {
      rollBack(to: .lastStep)
      throw error
    }
  }

  private func rollBack(to target: Transaction.Target) {
    if target != .savepoint { studentMove = nil }
    if let position = transaction?.rollBack(to: target) { self.position = position }
  }

  private func releaseMemory() {
    for network in networks { network.dropFreePasses() }
    LargeMemory.shared().clear()
  }
}
