/// A way of training: what happens in one step. A method uses networks, objectives and optimisers, never a kernel's
/// elements.
protocol Method: AnyObject {
  /// The networks and optimisers, by role, `student` first.
  var learners: [Learner] { get }
  /// Keys of what a step reports, in order.
  var metricNames: [String] { get }
  /// Whether a step needs unlabelled rows.
  var needsUnlabeled: Bool { get }
  /// Scalars that a resumed run needs, by name.
  var scalars: [(name: String, value: Double)] { get set }
  /// One whole step.
  func step(_ batch: Batch, draw: UInt64) throws -> Metrics
}

/// A method whose step has two halves that can be called apart.
protocol TwoStepMethod: Method {
  /// The student learns from the teacher's labels.
  func studentStep(weak: Tensor, strong: Tensor, labeled: LabeledBatch?, draw: UInt64) throws -> Metrics
  /// The teacher learns from the student's result on labelled data.
  func teacherStep(_ labeled: LabeledBatch, draw: UInt64) throws -> Metrics
  /// Forgets a student step that gets no answer.
  func abandonStep()
}

extension TwoStepMethod {
  var needsUnlabeled: Bool { true }

  func step(_ batch: Batch, draw: UInt64) throws -> Metrics {
    guard let weak = batch.weak, let strong = batch.strong else {
      throw DidactError(.invalidArgument, "this method needs unlabelled rows in every step")
    }
    let student = try studentStep(weak: weak, strong: strong, labeled: batch.labeled, draw: draw)
    do {
      return student.merging(try teacherStep(batch.labeled, draw: draw))
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
  public private(set) var names: [String]
  public private(set) var values: [Double]

  init(names: [String] = [], values: [Double] = []) {
    self.names = names
    self.values = values
  }

  public subscript(name: String) -> Double? {
    get { names.firstIndex(of: name).map { values[$0] } }
    set {
      guard let newValue else { return }
      if let index = names.firstIndex(of: name) {
        values[index] = newValue
      } else {
        names.append(name)
        values.append(newValue)
      }
    }
  }

  func merging(_ other: Metrics) -> Metrics {
    var merged = self
    for (name, value) in zip(other.names, other.values) { merged[name] = value }
    return merged
  }
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
