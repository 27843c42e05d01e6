/// MixMatch (Berthelot et al., NeurIPS 2019).
///
/// Student θ, labelled batch (x, y), unlabelled batch u of M rows in two views a and b:
///
///     q_i = sharpen((softmax(S(aᵢ)) + softmax(S(bᵢ))) / 2)          constants;  sharpen(p) ∝ p^(1 / sharpening_temperature)
///     W = a shuffle of the rows (x, y), (a, q), (b, q);  β ~ Beta(mixing_parameter, mixing_parameter), β ← max(β, 1 − β)
///     (x′, y′), (u′, q′) = β · ((x, y), (a, q), (b, q)) + (1 − β) · W
///     θ ← θ − update(∇_θ [ CE(y′, S(x′)) + λ(k) (1 / 2M C) Σ_i ‖softmax(S(u′_i)) − q′_i‖² ])
///
/// One β for each step. λ rises to `unlabeled_weight`. Mixed rows pass together, as the authors' code interleaves them, or
/// those of (x′, y′) by themselves, which alone move the running statistics then (`student_batch`).
final class MixMatch: Method {
  static let definition = MethodDefinition(
    name: "mixmatch", fields: unlabeledFields + strongViewFields + fields,
    make: { try MixMatch(student: $0.student, configuration: $0.configuration, seed: $0.seed) })

  static let fields: [Field] =
    [
      SupervisedTerm.field,
      Field(
        "unlabeled_weight", .number(.atLeast(0)), 10, "λ, the factor of the squared difference, after its ramp",
        source: "Berthelot et al. 2019: 75 to 250 on images"),
      Field(
        "unlabeled_ramp", .number(.closed(0, 1)), 0.4, "share of `steps` over which λ rises linearly from 0"),
      Field(
        "sharpening_temperature", .number(.above(0)), 0.5, "temperature of the guessed labels",
        source: "Berthelot et al. 2019"),
      Field(
        "mixing_parameter", .number(.above(0)), 0.75, "both parameters of the Beta distribution of β",
        source: "Berthelot et al. 2019"),
    ] + StudentTraining.batchFields + optimizerFields("student")

  let learners: [Learner]
  let metricNames =
    SupervisedTerm.metricNames + ["loss/consistency", "gradient_norm/consistency", "learning_rate/student"]

  private let student: Network
  private let labelSmoothing, weight, temperature, mixingParameter: Double
  private let ramp: Ramp
  private let mixing, guessDropout, labeledDropout, unlabeledDropout: RandomStream
  private let objectives: Objectives
  private let terms: WeightedTerms
  private let isJoint: Bool

  init(student: Network, configuration: FieldValues, seed: UInt64) throws {
    self.student = student
    learners = [try Learner("student", student, configuration)]
    objectives = Objectives(student.kernels)
    terms = try WeightedTerms(student, measuresEach: configuration.boolean(WeightedTerms.field.key))
    isJoint = try StudentTraining.isJoint(student, configuration)
    labelSmoothing = try configuration.number("label_smoothing")
    weight = try configuration.number("unlabeled_weight")
    temperature = try configuration.number("sharpening_temperature")
    mixingParameter = try configuration.number("mixing_parameter")
    ramp = Ramp(steps: try configuration.number("unlabeled_ramp") * Double(try configuration.integer("steps")))
    mixing = RandomStream(seed: seed, name: "mixing")
    guessDropout = RandomStream(seed: seed, name: "student/dropout/guess")
    labeledDropout = RandomStream(seed: seed, name: "student/dropout/labeled")
    unlabeledDropout = RandomStream(seed: seed, name: "student/dropout/unlabeled")
  }

  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    let (a, b) = try batch.unlabeledViews(), x = try batch.labeled.inputs
    let q = try guessedLabels(a, b, draw: draw)
    let y = try objectives.smoothed(
      try objectives.oneHot(batch.labeled.labels, classes: student.classes), labelSmoothing)
    let inputs = try objectives.joined([x, a, b]), targets = try objectives.joined([y, q, q])
    let beta = mixing.draw(draw, lane: 1).beta(mixingParameter), share = max(beta, 1 - beta)
    let order = mixing.draw(draw).permutation(inputs.rows)
    let mixedInputs = try objectives.mixed(inputs, order, share: share)
    let mixedTargets = try objectives.mixed(targets, order, share: share)

    terms.begin()
    let labeled = 0..<x.rows, unlabeled = x.rows..<inputs.rows
    let mode = PassMode(normalization: .batchUpdatingRunning, noise: labeledDropout, draw: draw)
    let together = isJoint ? try student.record(mixedInputs, mode: mode) : nil
    let first =
      try together.map { RowsOfPass(pass: $0, range: labeled) }
      ?? RowsOfPass(student.record(mixedInputs.rows(labeled), mode: mode))
    let supervised = try objectives.crossEntropy(logits: first.logits, targets: mixedTargets.rows(labeled))
    metrics["loss/supervised"] = supervised.loss
    metrics["gradient_norm/supervised"] = try terms.add(
      supervised, "supervised", weight: 1, through: first, draw: draw)
    let weight = weight * ramp.factor(at: Int(draw))
    if weight > 0 {
      let second =
        try together.map { RowsOfPass(pass: $0, range: unlabeled) }
        ?? RowsOfPass(
          student.record(
            mixedInputs.rows(unlabeled), mode: PassMode(normalization: .batch, noise: unlabeledDropout, draw: draw)))
      let term = try objectives.squaredDifference(logits: second.logits, targets: mixedTargets.rows(unlabeled))
      metrics["loss/consistency"] = term.loss
      metrics["gradient_norm/consistency"] = try terms.add(
        term, "consistency", weight: weight, through: second, draw: draw)
    }
    try terms.finish()
    try learners[0].step(draw: draw, into: &metrics)
  }

  /// q [M, C]
  private func guessedLabels(_ a: Tensor, _ b: Tensor, draw: UInt64) throws -> Tensor {
    let mode = PassMode(normalization: .batch, noise: guessDropout, draw: draw, isKept: false)
    let mean = try objectives.softmax(try student.record(a, mode: mode).logits)
    let other = try objectives.softmax(try student.record(b, mode: mode).logits)
    student.kernels.add(other, scaledBy: 1, to: mean)
    return try objectives.sharpened(mean, temperature: temperature)
  }
}
