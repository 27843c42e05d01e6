/// A method at work on its networks: step by step, or by `fit`.
///
/// Training calls exclude each other: a second one on a busy trainer throws `DidactError.busy`. Predictions may run from
/// any number of threads at any time, also within a progress callback.
public final class Trainer: @unchecked Sendable {
  public let configuration: FieldValues
  public let methodName: String
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
  /// Labelled rows that the last fit set aside to choose the best network by; nil where it set none aside.
  var validationRowCount: Int?
  /// Texts that programs keep with the model.
  var annotations: [(key: String, value: String)] = []
  /// Tells the data of the last fit from others; nil before the first.
  public internal(set) var dataDigest: UInt64?
  /// Tells the rows of the last fit from others, whatever their labels are; nil before the first.
  public internal(set) var rowsDigest: UInt64?
  /// The metrics of the last step, or of its halves as they were called.
  public private(set) var lastMetrics: Metrics
  /// Of the step at work.
  private var workingMetrics: Metrics

  /// Trainers beside this one that a fit trains too; what predicts then is the mean of all: see `membersField`.
  public let members: [Trainer]
  let method: any Method
  let movingAverage: MovingAverage?
  /// The stage after the method's own steps, if one is configured.
  let finetuning: Finetuning?
  /// What keeps the best network of a fit, if that is wanted.
  let selection: Selection?
  /// What changes the images of a fit, by strength of the view.
  let augmentations: [String: AugmentationPolicy]
  /// The network that predicts, and its role.
  private let predicting: Locked<(role: String, network: Network)>
  /// Made by the first step.
  private var restorePoint: RestorePoint?
  private let isTraining = Locked(false)
  /// The rows of steps, in the networks' element type.
  private let batchMemory = TensorPool()
  /// All networks, whose locks a step takes in this order.
  private let networks: [Network]
  /// The method's steps of a whole fit.
  let scheduledSteps: Int

  /// The fields of every trainer, before those of its method.
  static let commonFields: [Field] =
    [
      Field("method", .choice(MethodName.allCases.map(\.rawValue)), nil, "the way of training"),
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
    ] + View.fields("weak", noise: 0.05, featureDropout: 0) + Finetuning.fields + Selection.fields + [membersField]

  /// The names of all methods.
  public static var methodNames: [String] { MethodName.allCases.map(\.rawValue) }

  /// The configuration table of a method, common keys first.
  /// - Throws: `DidactError.invalidArgument` naming the nearest known method.
  public static func fields(method: String) throws -> [Field] {
    guard let name = MethodName(rawValue: method) else {
      if method == Preset.automaticMethod {
        throw DidactError(
          .invalidArgument,
          "\"\(method)\" is a choice of the classifier and of didact train; a trainer's method is one of: "
            + methodNames.joined(separator: ", "))
      }
      throw DidactError(
        .invalidArgument, "unknown method \"\(method)\".\(suggestion(for: method, among: methodNames))")
    }
    return commonFields.map { $0.prefixed("", default: name.defaults[$0.key]) } + name.fields
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

  /// - Parameter memberConfigurations: what a file says of the members; nil for what the configuration says of them.
  init(configuration object: JSONObject, members memberConfigurations: [JSONObject]?) throws {
    guard let method = object["method"]?.text else {
      throw DidactError(
        .invalidArgument, "trainer: \"method\" must be one of: \(Self.methodNames.joined(separator: ", "))")
    }
    let configuration = try FieldValues(
      object, fields: View.adjusted(Self.fields(method: method), for: object), subject: "trainer")
    self.configuration = configuration
    methodName = method
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
    let methodKind: MethodName = try configuration.choice("method")
    // EMAN: a teacher that is an average normalises with averaged statistics.
    let isEMAN = try methodKind.labelsByAverage && configuration.has("eman") && configuration.boolean("eman")
    let averagesStatistics = try configuration.boolean("average_statistics") || isEMAN
    let averageWarmup: MovingAverage.Warmup = try configuration.choice("average_warmup")
    movingAverage = try configuration.optionalNumber("average_decay").map {
      try MovingAverage(student, decay: $0, averagesStatistics: averagesStatistics, warmup: averageWarmup)
    }
    self.method = try methodKind.make(
      student: student,
      second: {
        guard
          let (role, second) = try methodKind.secondNetwork(
            configuration, network: specification, classes: student.classes)
        else { throw DidactError(.internalError, "\(method) has no second network") }
        let network = try Network(
          second, elementType: elementType, seed: seed, threads: threads, arithmetic: arithmetic,
          stream: "initialization/\(role)", sharingMemoryOf: student)
        guard network.classes == student.classes else {
          throw DidactError(
            .invalidArgument, "trainer: the student has \(student.classes) classes, the \(role) \(network.classes)")
        }
        return network
      }, average: movingAverage, configuration: configuration, seed: seed)
    var augmentations: [String: AugmentationPolicy] = [:]
    for strength in ["weak", "strong"] {
      augmentations[strength] = try View.policy(configuration, strength, of: student.specification.extent)
    }
    self.augmentations = augmentations
    finetuning = try Finetuning(student, configuration, seed: seed)
    selection = try Selection(student, configuration)
    let average = movingAverage?.network
    predicting = Locked(average.map { ("average", $0) } ?? ("student", student))
    networks =
      self.method.learners.map(\.network) + [average, selection?.network, finetuning?.network].compactMap { $0 }
    metricNames =
      self.method.metricNames + (finetuning == nil ? [] : Finetuning.metricNames)
      + (selection == nil ? [] : Selection.metricNames)
    lastMetrics = Metrics(columns: metricNames, terms: self.method.metricNames.count)
    workingMetrics = lastMetrics
    members = try Self.makeMembers(
      memberConfigurations ?? Self.memberConfigurations(object, configuration), of: student)
    try arithmetic.check(hasConvolutions: networks.contains { $0.graph.hasConvolutions })
    guard movingAverage != nil || !averagesStatistics && averageWarmup == .none else {
      let key = averagesStatistics ? "average_statistics" : "average_warmup"
      throw DidactError(.invalidArgument, "trainer: \"\(key)\" needs \"average_decay\"")
    }
  }

  // MARK: - What it reports

  /// The metrics of the method, in order, then those of the stages around it: the columns of the history.
  public let metricNames: [String]

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
    try writing { if things == .classes { classNames = names } else { featureNames = names } }
    try nameMembers()
  }

  // MARK: - Networks and optimisers

  public var student: Network { method.learners[0].network }
  /// The student's moving average, if one is kept.
  public var average: Network? { movingAverage?.network }
  /// The network that predicts, of this trainer itself: the fine-tuned one once there is one, else the best one where a fit
  /// chose one, else the student's average if one is kept, else the student.
  public var predictor: Network { predicting.withLock { $0.network } }
  /// The role of what predicts: of that network, or `ensemble` where there are members.
  public var predictorRole: String { members.isEmpty ? ownPredictorRole : Self.ensembleRole }
  /// The role of `predictor`.
  var ownPredictorRole: String { predicting.withLock { $0.role } }

  func choosePredictor() {
    let chosen: (role: String, network: Network)
    if let finetuning, finetuning.start != nil {
      chosen = ("finetuned", finetuning.network)
    } else if let selection, selection.best != nil {
      chosen = ("best", selection.network)
    } else {
      chosen = average.map { ("average", $0) } ?? ("student", student)
    }
    predicting.withLock { $0 = chosen }
  }

  /// - Parameter role: "student", "teacher", "corrector", "average", "best" or "finetuned".
  /// - Throws: `DidactError.unsupported` where there is no such network.
  public func network(_ role: String) throws -> Network {
    func existing(_ network: Network?, _ hint: String) throws -> Network {
      guard let network else { throw DidactError(.unsupported, "there is no \(role) network\(hint)") }
      return network
    }
    switch role {
    case "average": return try existing(average, "; set \"average_decay\"")
    case "best":
      return try existing(
        selection?.best == nil ? nil : selection?.network, " yet; set \"validation_fraction\", and fit")
    case "finetuned":
      return try existing(
        finetuning?.start == nil ? nil : finetuning?.network, " yet; set \"finetune_steps\", and fit to the end")
    case Self.ensembleRole:
      return try existing(
        nil, members.isEmpty ? "; set \"members\"" : ": it is the mean of all members, each a network")
    default: return try learner(role).network
    }
  }

  public func optimizer(_ role: String) throws -> Optimizer { try learner(role).optimizer }

  private func learner(_ role: String) throws -> Learner {
    guard let learner = method.learners.first(where: { $0.role == role }) else {
      throw DidactError(.unsupported, "method \"\(methodName)\" has no \(role)")
    }
    return learner
  }

  // MARK: - Steps

  /// One step: the student's, the teacher's and the average's, bit for bit as the three calls in this order.
  /// - Parameters:
  ///   - inputs: labelled rows [N, inputs] of any element type.
  ///   - labels: a class for each row.
  ///   - unlabeled: [M, inputs]; nil only for methods that use none.
  ///   - strong: another view of the same rows; nil for `unlabeled` itself. Nothing is augmented here.
  /// - Throws: `DidactError`; where a step diverges, the state is that before the last step whose losses were finite.
  @discardableResult
  public func step(_ inputs: Tensor, _ labels: [Int], unlabeled: Tensor? = nil, strong: Tensor? = nil) throws -> Metrics
  {
    let labels = try Tensor(labels)
    return try withExtendedLifetime((inputs, labels, unlabeled, strong)) {
      try step(
        BorrowedArray(inputs), BorrowedArray(labels), unlabeled: unlabeled.map { BorrowedArray($0) },
        strong: strong.map { BorrowedArray($0) })
      return lastMetrics
    }
  }

  /// The same on arrays of the caller's; labels are int64 or uint8.
  package func step(
    _ inputs: BorrowedArray, _ labels: BorrowedArray, unlabeled: BorrowedArray?, strong: BorrowedArray?
  ) throws {
    try checkHasNoMembers()
    try training {
      let weak = try unlabeled.map { try prepared($0, "unlabeled", in: batchMemory) }
      let batch = Batch(
        labeled: try labeledBatch(inputs, labels), weak: weak, strong: try strongView(strong, of: weak))
      try step(batch)
    }
  }

  /// The student's half of a step.
  @discardableResult
  public func studentStep(_ unlabeled: Tensor, strong: Tensor? = nil) throws -> Metrics {
    try withExtendedLifetime((unlabeled, strong)) {
      try studentStep(BorrowedArray(unlabeled), strong: strong.map { BorrowedArray($0) })
      return lastMetrics
    }
  }

  package func studentStep(_ unlabeled: BorrowedArray, strong: BorrowedArray?) throws {
    try checkHasNoMembers()
    try training {
      let weak = try prepared(unlabeled, "unlabeled", in: batchMemory)
      let strong = try strongView(strong, of: weak) ?? weak
      try stepping(begins: true) {
        workingMetrics.clear()
        try twoStepMethod().studentStep(
          weak: weak, strong: strong, labeled: nil, draw: UInt64(steps), into: &workingMetrics)
        swap(&lastMetrics, &workingMetrics)
      }
    }
  }

  /// The teacher's half of a step; completes the step that `studentStep` began.
  @discardableResult
  public func teacherStep(_ inputs: Tensor, _ labels: [Int]) throws -> Metrics {
    let labels = try Tensor(labels)
    return try withExtendedLifetime((inputs, labels)) {
      try teacherStep(BorrowedArray(inputs), BorrowedArray(labels))
      return lastMetrics
    }
  }

  package func teacherStep(_ inputs: BorrowedArray, _ labels: BorrowedArray) throws {
    try checkHasNoMembers()
    try training {
      let labeled = try labeledBatch(inputs, labels)
      try stepping(begins: false) {
        workingMetrics.take(lastMetrics)
        try twoStepMethod().teacherStep(labeled, draw: UInt64(steps), into: &workingMetrics)
        completeStep()
      }
    }
  }

  /// Moves the student's average; nothing where none is kept.
  public func updateAverage() throws {
    try checkHasNoMembers()
    try training { try writing { moveAverage(after: max(0, steps - 1)) } }
  }

  /// The average is that of the steps in which the student learned: it begins anew where another student begins.
  private func moveAverage(after step: Int) {
    guard let movingAverage else { return }
    guard studentLearns(in: step) else { return movingAverage.restart() }
    if method.studentIsReplaced(in: step) { movingAverage.restart() }
    movingAverage.update()
  }

  /// Whether the student learns in a step, and neither the method nor its schedule lets it wait.
  func studentLearns(in step: Int) -> Bool {
    method.studentLearns(in: step)
      && method.scheduled(step, of: scheduledSteps).step >= method.learners[0].schedule.waitSteps
  }

  func step(_ batch: Batch) throws {
    try stepping(begins: true) {
      workingMetrics.clear()
      try method.step(batch, draw: UInt64(steps), into: &workingMetrics)
      moveAverage(after: steps)
      completeStep()
    }
  }

  /// One step of the stage after the method's own.
  func finetune(_ labeled: LabeledBatch, _ finetuning: Finetuning) throws {
    try stepping(begins: true) {
      workingMetrics.clear()
      try finetuning.step(labeled, draw: UInt64(steps), into: &workingMetrics)
      swap(&lastMetrics, &workingMetrics)
      keepMetrics()
    }
  }

  /// Where the last step is to be validated: measures what the method trains, keeps it if it is the best, and adds the result
  /// to that step's metrics.
  func validateIfDue(_ rows: (inputs: Tensor, labels: Tensor)?) throws {
    guard let selection, selection.isDue, let rows else { return }
    try afterStep {
      let score = try selection.validate(average ?? student, inputs: rows.inputs, labels: rows.labels, step: steps)
      selection.isDue = false
      lastMetrics["validation/accuracy"] = score.accuracy
      lastMetrics["validation/loss"] = score.loss
      historyValues.replaceSubrange((historyValues.count - lastMetrics.row.count)..., with: lastMetrics.row)
    }
    choosePredictor()
  }

  /// Gives the optimisers the learning rates of the next step.
  private func applySchedules() {
    let (step, count) = method.scheduled(steps, of: scheduledSteps)
    for learner in method.learners { learner.apply(step: step, of: count) }
  }

  private func completeStep() {
    workingMetrics.fillWithZeros()
    swap(&lastMetrics, &workingMetrics)
    keepMetrics()
  }

  private func keepMetrics() {
    historyValues += lastMetrics.row
    steps += 1
    selection?.isDue = false
    restorePoint?.complete()
  }

  /// Forgets steps from that one on.
  func forget(from step: Int) {
    historyValues.removeLast(max(0, steps - step) * metricNames.count)
    steps = step
    method.forget(from: step)
    selection?.forget(from: step)
    if let finetuning, let start = finetuning.start, step <= start { finetuning.start = nil }
    choosePredictor()
  }

  private func twoStepMethod() throws -> any TwoStepMethod {
    guard let method = method as? any TwoStepMethod else {
      throw DidactError(
        .unsupported, "method \"\(methodName)\" has no separate student and teacher steps; call step or fit")
    }
    return method
  }

  // MARK: - The meta-gradient

  /// The gradient of the student's labelled loss after its step, L_l(θ′(φ)), with respect to the teacher's parameters:
  /// the feedback alone, without weight or baseline. Changes nothing.
  /// - Parameters:
  ///   - pseudoLabels: a class for each unlabelled row in place of sampled ones; not for `exact` feedback.
  ///   - draw: which dropout masks and samples; `steps` for those of the next step.
  /// - Returns: flat in the teacher's public order.
  public func metaGradient(
    _ inputs: Tensor, _ labels: [Int], unlabeled: Tensor, strong: Tensor? = nil, pseudoLabels: [Int]? = nil,
    draw: UInt64 = 0
  ) throws -> Tensor {
    let gradient = try Tensor(try network("teacher").parameters.shape, elementType)
    _ = try meta(inputs, labels, unlabeled, strong, pseudoLabels, draw, into: gradient)
    return gradient
  }

  /// L_l(θ′(φ)): the student's labelled loss after its step. Changes nothing.
  public func metaObjective(
    _ inputs: Tensor, _ labels: [Int], unlabeled: Tensor, strong: Tensor? = nil, pseudoLabels: [Int]? = nil,
    draw: UInt64 = 0
  ) throws -> Double {
    try meta(inputs, labels, unlabeled, strong, pseudoLabels, draw, into: nil)
  }

  private func meta(
    _ inputs: Tensor, _ labels: [Int], _ unlabeled: Tensor, _ strong: Tensor?, _ pseudoLabels: [Int]?, _ draw: UInt64,
    into gradient: Tensor?
  ) throws -> Double {
    guard let method = method as? MetaPseudoLabels else {
      throw DidactError(.unsupported, "method \"\(methodName)\" has no meta-gradient")
    }
    applySchedules()
    try checkLabels(labels, "y", rows: inputs.rows)
    let labeled = LabeledBatch(inputs: try prepared(inputs, "X"), labels: try Tensor(labels))
    let weak = try prepared(unlabeled, "unlabeled")
    let strongRows = try strong.map { try prepared($0, "unlabeled, strong view") } ?? weak
    try checkStrong(strongRows, of: weak)
    if let pseudoLabels { try checkLabels(pseudoLabels, "pseudo_labels") }
    do {
      return try writing {
        try method.metaGradient(
          labeled, weak: weak, strong: strongRows, pseudoLabels: pseudoLabels.map { try Tensor($0) }, draw: draw,
          into: gradient)
      }
    } catch let error as DidactError where error.code == .diverged {
      throw DidactError(
        .diverged,
        "step \(steps): the meta-gradient, or a loss on the way to it, is not finite; nothing was changed. Look for "
          + "parameters or inputs that are very large")
    }
  }

  // MARK: - Prediction

  /// Class probabilities [N, classes] of rows [N, inputs] of any element type.
  public func predictProbabilities(_ inputs: Tensor) throws -> Tensor {
    try predictProbabilities(inputs, by: predictorRole)
  }

  /// The same into an array of the caller's, float32 or float64.
  package func predict(_ probabilities: BorrowedArray, _ inputs: BorrowedArray) throws {
    if members.isEmpty {
      try predict(probabilities, inputs, with: predictor)
    } else {
      try Self.predict(probabilities, inputs, byMeanOf: indexedMembers)
    }
  }

  /// By one network, or by the ensemble.
  package func predict(_ probabilities: BorrowedArray, _ inputs: BorrowedArray, by role: String) throws {
    if role == Self.ensembleRole, !members.isEmpty {
      try Self.predict(probabilities, inputs, byMeanOf: indexedMembers)
    } else {
      try predict(probabilities, inputs, with: predictingNetwork(role))
    }
  }

  func predict(_ probabilities: BorrowedArray, _ inputs: BorrowedArray, with network: Network) throws {
    // The lock is about the input scaling too.
    try network.lock.reading {
      let inputs = try checkedRows(inputs, "X")
      try network.predict(probabilities, inputs, scaling: scaling) { rows in
        try checkFinite(inputs.rows(rows), "X", from: rows.lowerBound)
      }
    }
  }

  /// The most probable class of each row.
  public func predict(_ inputs: Tensor) throws -> [Int] {
    try mostProbable(try predictProbabilities(inputs))
  }

  /// The class of the largest probability of each row.
  func mostProbable(_ probabilities: Tensor) throws -> [Int] {
    let labels = try Tensor(Shape(probabilities.rows), .int64)
    student.kernels.argmax(labels, probabilities)
    return labels.values.map { Int($0) }
  }

  // MARK: - Checks of what comes in

  /// `input` as the networks take it: scaled, in their element type.
  /// - Throws: `DidactError.shape`, or `.data` naming row and column of what is not finite.
  /// - Parameters:
  ///   - memory: where the rows of steps are; nil for memory of their own.
  ///   - firstRow: what the first row is called.
  func prepared(
    _ input: BorrowedArray, _ name: String, in memory: TensorPool? = nil, firstRow: Int = 0
  ) throws -> Tensor {
    let input = try checkedRows(input, name), shape = Shape(input.rows, input.columns)
    let rows = try memory?.tensor(shape, elementType) ?? Tensor(shape, elementType)
    if !student.kernels.convert(rows, input, mean: scaling?.mean, scale: scaling?.scale) {
      try checkFinite(input, name, from: firstRow)
    }
    try input.checkNoneLost()
    return rows
  }

  func prepared(_ input: Tensor, _ name: String) throws -> Tensor {
    try withExtendedLifetime(input) { try prepared(BorrowedArray(input), name) }
  }

  /// Examples as the networks take them: see `BorrowedArray.examples`.
  func checkedRows(_ input: BorrowedArray, _ name: String) throws -> BorrowedArray {
    let extent = student.specification.extent
    guard let examples = input.examples(of: extent) else {
      throw DidactError(.shape, "\(name) has shape \(input.shape); expected \(extent.expected)")
    }
    guard examples.rows > 0 else { throw DidactError(.shape, "\(name) has no rows") }
    return examples
  }

  /// - Throws: `DidactError.data` naming row and column of the first element that is not finite once scaled.
  private func checkFinite(_ input: BorrowedArray, _ name: String, from firstRow: Int = 0) throws {
    let rows = try Tensor(Shape(input.rows, input.columns), elementType)
    guard !student.kernels.convert(rows, input, mean: scaling?.mean, scale: scaling?.scale),
      let index = (0..<rows.count).first(where: { !rows[$0].isFinite })
    else { return }
    let row = firstRow + index / input.columns, column = index % input.columns
    let place = student.specification.extent.place(of: column)
    let columnName = column < featureNames.count ? " (\(featureNames[column]))" : ""
    throw DidactError(
      .data, "\(name), row \(row), \(place)\(columnName): \(input[index]) is not a finite \(elementType) number")
  }

  private func strongView(_ strong: BorrowedArray?, of weak: Tensor?) throws -> Tensor? {
    guard let strong else { return weak }
    guard let weak else {
      throw DidactError(.invalidArgument, "a strong view needs the unlabelled rows that it is a view of")
    }
    let view = try prepared(strong, "unlabeled, strong view", in: batchMemory)
    try checkStrong(view, of: weak)
    return view
  }

  private func checkStrong(_ strong: Tensor, of weak: Tensor) throws {
    guard strong.rows == weak.rows else {
      throw DidactError(.shape, "the strong view has \(strong.rows) rows, the unlabelled rows are \(weak.rows)")
    }
  }

  private func labeledBatch(_ inputs: BorrowedArray, _ labels: BorrowedArray) throws -> LabeledBatch {
    let rows = try prepared(inputs, "X", in: batchMemory)
    return LabeledBatch(inputs: rows, labels: try checkedLabels(labels, "y", rows: rows.rows))
  }

  /// A class for each row [rows], as int64.
  private func checkedLabels(_ labels: BorrowedArray, _ name: String, rows: Int) throws -> Tensor {
    guard labels.shape.rank == 1 else {
      throw DidactError(.shape, "\(name) has shape \(labels.shape); expected one dimension")
    }
    guard labels.count == rows else { throw DidactError(.shape, "\(labels.count) labels for \(rows) rows") }
    let classes = student.classes, checked = try batchMemory.tensor(Shape(rows), .int64)
    if let (row, label) = try checked.takeLabels(labels, name, classes: classes) {
      throw DidactError(.data, "\(name), row \(row): label \(label) is not in 0..<\(classes)")
    }
    return checked
  }

  func checkLabels(_ labels: [Int], _ name: String, rows: Int? = nil) throws {
    if let rows, labels.count != rows { throw DidactError(.shape, "\(labels.count) labels for \(rows) rows") }
    let classes = student.classes
    if let row = labels.firstIndex(where: { $0 < 0 || $0 >= classes }) {
      throw DidactError(.data, "\(name), row \(row): label \(labels[row]) is not in 0..<\(classes)")
    }
  }

  // MARK: - One at a time

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
  private func stepping<Result>(begins: Bool, _ body: () throws -> Result) throws -> Result {
    try writing {
      if begins {
        applySchedules()
        let restorePoint = try restorePoint ?? RestorePoint(self)
        self.restorePoint = restorePoint
        restorePoint.begin(self)
      } else {
        restorePoint?.beginHalf()
      }
      do {
        return try body()
      } catch let error as DidactError where error.code == .diverged {
        restorePoint?.restorePrevious(self)
        throw error
      } catch {
        if begins { restorePoint?.restoreCurrent(self) } else { restorePoint?.restoreHalf() }
        // Other training calls use it too, but not at the same time.
        if let error = error as? DidactError, error.code == .outOfMemory { batchMemory.clear() }
        throw error
      }
    }
  }

  /// Runs what follows a step of a fit. Where it shows that the step diverged, the state goes back to that before it.
  func afterStep<Result>(_ body: () throws -> Result) throws -> Result {
    try writing {
      do {
        return try body()
      } catch let error as DidactError where error.code == .diverged {
        restorePoint?.restorePrevious(self)
        throw error
      }
    }
  }

  private func releaseMemory() {
    for network in networks { network.dropFreePasses() }
    LargeMemory.shared().clear()
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
