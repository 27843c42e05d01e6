/// A way of training: what happens in one step. A method uses networks, objectives and optimisers, never a kernel's
/// elements.
protocol Method: AnyObject {
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
}

/// A method whose step has two halves that can be called apart.
protocol TwoStepMethod: Method {
  /// The student learns from the teacher's labels.
  func studentStep(weak: Tensor, strong: Tensor, labeled: LabeledBatch?, draw: UInt64, into metrics: inout Metrics)
    throws
  /// The teacher learns from the student's result on labelled data.
  func teacherStep(_ labeled: LabeledBatch, draw: UInt64, into metrics: inout Metrics) throws
  /// Forgets a student step that gets no answer.
  func abandonStep()
}

extension TwoStepMethod {
  var needsUnlabeled: Bool { true }

  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    guard let weak = batch.weak, let strong = batch.strong else {
      throw DidactError(.invalidArgument, "this method needs unlabelled rows in every step")
    }
    try studentStep(weak: weak, strong: strong, labeled: batch.labeled, draw: draw, into: &metrics)
    do {
      try teacherStep(batch.labeled, draw: draw, into: &metrics)
    } catch {
      abandonStep()
      throw error
    }
  }
}

/// A network in a role, with what trains it.
struct Learner {
  let role: String
  let network: Network
  let optimizer: Optimizer
}

/// Labelled rows [N, inputs] with their classes [N] (int64).
struct LabeledBatch {
  let inputs: Tensor
  let labels: Tensor
}

/// What one step learns from.
struct Batch {
  let labeled: LabeledBatch
  /// The unlabelled rows in two views [M, inputs], row by row the same examples.
  let weak: Tensor?
  let strong: Tensor?
}

/// What a step reports, by name, in order.
public struct Metrics: Sendable, Equatable {
  /// What the method can report.
  let columns: [String]
  /// A value for each column; NaN for what was not reported.
  var row: [Double]

  init(columns: [String], row: [Double]? = nil) {
    self.columns = columns
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

  /// 0 for what was not reported: a term of weight 0 is not computed.
  mutating func fillWithZeros() { for index in row.indices where row[index].isNaN { row[index] = 0 } }

  public static func == (a: Metrics, b: Metrics) -> Bool { a.names == b.names && a.values == b.values }
}

/// - Throws: `DidactError.diverged` naming step and term where `value` is not finite.
func checkFinite(_ value: Double, term: String, draw: UInt64) throws {
  guard value.isFinite else {
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

/// The methods by name.
enum MethodName: String, CaseIterable, Sendable {
  case metaPseudoLabels = "meta_pseudo_labels"
  case supervised

  var fields: [Field] {
    switch self {
    case .metaPseudoLabels: unlabeledFields + MetaPseudoLabels.fields
    case .supervised: Supervised.fields
    }
  }
}

/// What `fit` does with unlabelled rows, for the methods that use them.
private let unlabeledFields: [Field] = [
  Field(
    "unlabeled_batch_size", .integer(.atLeast(1)), 448, "fit: unlabelled rows a step, at most all of them",
    source: "seven a label, as in UDA and FixMatch"),
  Field("strong_noise", .number(.atLeast(0)), 0.2, "fit: standard deviation of the strong view's Gaussian noise"),
  Field(
    "strong_feature_dropout", .number(.halfOpen(0, 1)), 0.1, "fit: share of features that the strong view sets to 0"),
]

/// The fields of the optimiser of one role: `student_optimizer.learning_rate` and so on.
func optimizerFields(_ role: String) -> [Field] { OptimizerSettings.fields.map { $0.prefixed("\(role)_optimizer.") } }
