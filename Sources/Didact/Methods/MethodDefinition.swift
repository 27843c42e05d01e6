/// A method as the rest of the house knows it: each method has its definition in its own file, and `all` lists them.
struct MethodDefinition: Sendable {
  /// Role and specification of a second network.
  typealias SecondNetwork = (role: String, specification: NetworkSpecification)

  let name: String
  /// The keys of its configuration, beside those of every trainer.
  let fields: [Field]
  /// Defaults of common keys that differ.
  var defaults: JSONObject = [:]
  /// Whether the student's moving average is the method's teacher, or can be.
  var labelsByAverage = false
  /// For methods that train a second network: which, by the configuration, the teacher's specification, and how many classes the
  /// student has.
  var secondNetwork: (@Sendable (FieldValues, NetworkSpecification, Int) throws -> SecondNetwork)?
  /// Whether it learns from labelled rows, so that its networks tell classes; without, they give features.
  var learnsFromLabels = true
  /// The tasks that it serves: segmentation too where it looks at rows of logits alone, whatever example they are of.
  var tasks: [TaskName] = [.classification]
  let make: @Sendable (MethodParts) throws -> any Method

  /// Whether a fit may give it what teachers say of the rows.
  var takesTeacherDistributions: Bool { fields.contains { $0.key == "teacher_distributions" } }

  /// The views in which a fit gives it unlabelled rows, the first of which is that of labelled rows too: those that it has
  /// fields for.
  var views: [String] {
    ["weak"] + fields.map(\.key).filter { $0.hasSuffix("_noise") }.map { String($0.dropLast("_noise".utf8.count)) }
  }

  static let all = [
    Distillation.definition, FixMatch.definition, InterpolationConsistency.definition, MeanTeacher.definition,
    MetaPseudoLabels.definition, MixMatch.definition, PiModel.definition, PseudoLabel.definition,
    ReducedMetaPseudoLabels.definition, SelfTraining.definition, Supervised.definition, TemporalEnsembling.definition,
    UnsupervisedDataAugmentation.definition, VirtualAdversarialTraining.definition,
  ]

  static let names = all.map(\.name)

  /// - Throws: `DidactError.invalidArgument` naming the nearest known method.
  static func named(_ name: String) throws -> MethodDefinition {
    if let found = all.first(where: { $0.name == name }) { return found }
    throw DidactError(
      .invalidArgument,
      name == Preset.automaticMethod
        ? "\"\(name)\" is a choice of the classifier and of didact train; a trainer's method is one of: "
          + names.joined(separator: ", ")
        : "unknown method \"\(name)\".\(suggestion(for: name, among: names))")
  }

  /// A second network of the teacher's kind.
  static let teacher: @Sendable (FieldValues, NetworkSpecification, Int) -> SecondNetwork = { _, network, _ in
    ("teacher", network)
  }
}

/// The parts that a trainer gives a method.
struct MethodParts {
  let student: Network
  /// Makes the second network, for the methods that have one.
  let second: () throws -> Network
  /// The moving average of the student, if one is kept.
  let average: MovingAverage?
  let configuration: FieldValues
  let seed: UInt64
}

/// The keys for unlabelled rows, for the methods that `fit` gives any.
let unlabeledFields: [Field] = [
  Field(
    "unlabeled_batch_size", .integer(.atLeast(1)), 448, "fit: unlabelled rows a step, at most all of them",
    source: "seven a label, as in UDA and FixMatch")
]

/// For the methods that look at unlabelled rows in a second view.
let strongViewFields = View.fields("strong", noise: 0.2, featureDropout: 0.1)

/// The fields of the optimiser of one role: `student_optimizer.learning_rate` and so on.
/// - Parameter defaults: where they differ, by key.
func optimizerFields(_ role: String, defaults: JSONObject = [:]) -> [Field] {
  (OptimizerSettings.fields + Schedule.fields).map { $0.prefixed("\(role)_optimizer.", default: defaults[$0.key]) }
}
