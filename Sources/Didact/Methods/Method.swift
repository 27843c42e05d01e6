/// A way of training: what happens in one step. A method uses networks, objectives and optimisers, never a kernel's
/// elements.
protocol Method: AnyObject, Stateful {
  /// The networks and optimisers, by role, `student` first.
  var learners: [Learner] { get }
  /// Keys of what a step reports, in order.
  var metricNames: [String] { get }
  /// Whether a step needs unlabelled rows.
  var needsUnlabeled: Bool { get }
  /// Scalars that a resumed run needs, by name: single float64 elements.
  var scalars: [(name: String, value: Tensor)] { get }
  /// One whole step.
  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws
  /// The state that the method keeps for each unlabelled row.
  var rowStates: [RowState] { get }
  /// Gets ready for the unlabelled rows of a fit, before its steps.
  func prepare(_ rows: UnlabeledRows) throws
  /// Where a step stands in the run of the learning rates' schedules, and how long that run is.
  func scheduled(_ step: Int, of steps: Int) -> (step: Int, steps: Int)
  /// The first step in which a consistency loss counts.
  var consistencyStart: Int { get }
  /// Whether the student learns in a step: until it does, nothing of it is worth averaging or validating.
  func studentLearns(in step: Int) -> Bool
  /// Whether another student than before begins with a step.
  func studentIsReplaced(in step: Int) -> Bool
}

extension Method {
  var needsUnlabeled: Bool { true }
  var scalars: [(name: String, value: Tensor)] { [] }
  var rowStates: [RowState] { [] }
  func prepare(_ rows: UnlabeledRows) throws {}

  var state: [StateEntry] {
    scalars.map { StateEntry(name: $0.name, tensor: $0.value, kind: .scalar, change: .inEitherHalf) }
      + rowStates.compactMap { state in
        state.values.map { StateEntry(name: state.fileName, tensor: $0, change: .inRowsOfBatch) }
      }
  }

  func scheduled(_ step: Int, of steps: Int) -> (step: Int, steps: Int) { (step, steps) }
  var consistencyStart: Int { 0 }
  func studentLearns(in step: Int) -> Bool { true }
  func studentIsReplaced(in step: Int) -> Bool { false }
}

/// A method whose step has two halves that can be called apart.
protocol TwoStepMethod: Method {
  /// What the second half has to know of the first.
  associatedtype StudentMove
  /// The student learns from the teacher's labels.
  func studentStep(weak: Tensor, strong: Tensor, labeled: LabeledBatch?, draw: UInt64, into metrics: inout Metrics)
    throws -> StudentMove
  /// The teacher learns from the student's result on labelled data.
  /// - Parameter trusted: rows for that result where they are not the labelled ones.
  func teacherStep(
    _ labeled: LabeledBatch, trusted: LabeledBatch?, answering move: StudentMove, draw: UInt64,
    into metrics: inout Metrics) throws
}

extension TwoStepMethod {
  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    let views = try batch.unlabeledViews()
    let move = try studentStep(
      weak: views.weak, strong: views.strong, labeled: batch.labeled, draw: draw, into: &metrics)
    try teacherStep(batch.labeled, trusted: batch.trusted, answering: move, draw: draw, into: &metrics)
  }

  /// For a caller that keeps moves of any method.
  func teacherStep(
    _ labeled: LabeledBatch, trusted: LabeledBatch?, answering move: Any, draw: UInt64, into metrics: inout Metrics
  ) throws {
    guard let move = move as? StudentMove else { throw DidactError(.internalError, "a move of another method") }
    try teacherStep(labeled, trusted: trusted, answering: move, draw: draw, into: &metrics)
  }
}

/// A network in a role, with what trains it.
final class Learner: Stateful {
  let role: String
  let network: Network
  let optimizer: Optimizer
  let schedule: Schedule
  /// Whether a step changes parameters and optimiser state only by the optimiser's own step, after which nothing of the step
  /// can fail.
  let movesLast: Bool
  /// As the step at work found them, where a trainer keeps them until the next step; nil where none does.
  var parametersBeforeStep: Tensor?
  private let rateName: String

  /// The optimiser's step, and what it reports.
  func step(draw: UInt64, into metrics: inout Metrics) throws {
    metrics[rateName] = optimizer.scheduledRate
    try stepOptimizer(optimizer, of: role, draw: draw)
  }

  /// With the optimiser and the schedule that the configuration has for the role.
  init(_ role: String, _ network: Network, _ configuration: FieldValues, movesLast: Bool = true) throws {
    let subject = "\(role)_optimizer", scheduleKeys = Set(Schedule.fields.map(\.key))
    let values = configuration.nested("\(subject).").members
    self.role = role
    self.network = network
    self.movesLast = movesLast
    rateName = "learning_rate/\(role)"
    optimizer = try Optimizer.make(
      network,
      OptimizerSettings(JSONObject(values.filter { !scheduleKeys.contains($0.key) }), subject: subject))
    schedule = try Schedule(
      JSONObject(values.filter { scheduleKeys.contains($0.key) }), for: optimizer.settings.name, subject: subject)
    let steps = try configuration.integer("steps")
    guard schedule.shape != .rampDown || schedule.decaySteps ?? 0 <= Double(steps) else {
      throw DidactError(
        .invalidArgument,
        "\(subject): \"decay_steps\" of ramp_down must be at most the \(steps) \"steps\", of which they are the last")
    }
  }

  var state: [StateEntry] {
    let change: StateEntry.Change = movesLast ? .afterNotice(optimizer.willMove) : .inStep
    return network.state("\(role).", parameters: change, statistics: .inEitherHalf)
      + optimizer.state("optimizer.\(role).", vectors: change)
  }

  /// Gives the optimiser what the schedule says of a step.
  func apply(step: Int, of steps: Int) {
    optimizer.scheduleFactor = schedule.factor(at: step, of: steps)
    optimizer.betas = schedule.betas(optimizer.settings.beta1, optimizer.settings.beta2, at: step, of: steps)
  }
}

/// Labelled rows [N, inputs] with the labels of each [N · labels of one] (int64); -1 for none, of which a row may have some.
struct LabeledBatch {
  let inputs: Tensor
  let labels: Tensor
}

/// What one step learns from.
struct Batch {
  private let labeledRows: LabeledBatch?
  // Two are no array, so that a step of two views allocates nothing.
  private let first, second: Tensor?
  private let others: ArraySlice<Tensor>
  /// Which of the fit's rows they are, where that is known.
  let unlabeledRows: [Int]?
  /// Rows that the feedback is measured on, where those are not the labelled ones: see `TrustedRows`.
  var trusted: LabeledBatch?

  init(labeled: LabeledBatch?, weak: Tensor? = nil, strong: Tensor? = nil) {
    labeledRows = labeled
    (first, second) = (weak, strong)
    others = []
    unlabeledRows = nil
  }

  init(labeled: LabeledBatch?, views: [Tensor], unlabeledRows: [Int]? = nil) {
    labeledRows = labeled
    first = views.first
    second = views.dropFirst().first
    others = views.dropFirst(2)
    self.unlabeledRows = unlabeledRows
  }

  /// The unlabelled rows in each view of the method [M, inputs], row by row the same examples; none where there are none.
  var views: [Tensor] { [first, second].compactMap { $0 } + others }

  /// - Throws: `DidactError.invalidArgument` where there are none.
  var labeled: LabeledBatch {
    get throws {
      guard let labeledRows else {
        throw DidactError(.invalidArgument, "this method needs labelled rows in every step")
      }
      return labeledRows
    }
  }

  /// The first view and the last, which are the same where there is one.
  /// - Throws: `DidactError.invalidArgument` where there are none.
  func unlabeledViews() throws -> (weak: Tensor, strong: Tensor) {
    guard let weak = first, let strong = others.last ?? second ?? first else {
      throw DidactError(.invalidArgument, "this method needs unlabelled rows in every step")
    }
    return (weak, strong)
  }
}

/// What a step reports, by name, in order.
public struct Metrics: Sendable, Equatable {
  /// What can be reported: the method's terms first.
  let columns: [String]
  let terms: Int
  /// A value for each column; NaN for what was not reported.
  var row: [Double]

  init(columns: [String], terms: Int, row: [Double]? = nil) {
    self.columns = columns
    self.terms = terms
    self.row = row ?? Array(repeating: .nan, count: columns.count)
  }

  public var names: [String] { columns.indices.filter { !row[$0].isNaN }.map { columns[$0] } }
  public var values: [Double] { row.filter { !$0.isNaN } }

  public internal(set) subscript(name: String) -> Double? {
    get { columns.firstIndex(of: name).flatMap { row[$0].isNaN ? nil : row[$0] } }
    set {
      guard let index = columns.firstIndex(of: name) else { return }
      row[index] = newValue ?? .nan
    }
  }

  /// Forgets all values.
  mutating func clear() { for index in row.indices { row[index] = .nan } }

  /// Takes the values of another step of the same method, in place.
  mutating func take(_ other: Metrics) { for index in row.indices { row[index] = other.row[index] } }

  /// 0 for terms that were not reported: one of weight 0 is not computed.
  mutating func fillWithZeros() { for index in 0..<terms where row[index].isNaN { row[index] = 0 } }

  public static func == (a: Metrics, b: Metrics) -> Bool { a.names == b.names && a.values == b.values }
}

/// - Throws: `DidactError.diverged` naming step and term where `value` is not finite.
func checkFinite(_ value: Double, term: String, draw: UInt64) throws {
  guard value.isFinite, !Fault.isDue(.loss) else {
    throw DidactError(
      .diverged,
      "step \(draw): the \(term) loss is \(value.isNaN ? "NaN" : "infinite"); the last finite state is kept. Lower the learning rate or set clip_norm"
    )
  }
}

/// Runs an optimiser's step, so that an error says whose gradient it was, and when.
func stepOptimizer(_ optimizer: Optimizer, of role: String, draw: UInt64, effect: Tensor? = nil) throws {
  do {
    try optimizer.step(effect: effect)
  } catch let error as DidactError where error.code == .diverged {
    throw DidactError(
      .diverged,
      "step \(draw): the \(role)'s gradient is not finite; the last finite state is kept. Lower the learning rate or the "
        + "weights of the terms, or set clip_norm")
  }
}
