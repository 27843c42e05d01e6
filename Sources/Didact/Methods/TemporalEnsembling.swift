/// Temporal ensembling (Laine and Aila, ICLR 2017, section 2.2): a row's prediction agrees with the average of its
/// predictions in earlier epochs.
///
/// Student θ, labelled batch (x, y), unlabelled batch u of M rows, Z_i the running average of row i, n_i its updates:
///
///     t_i = Z_i / (1 − ensemble_decay^n_i)                    constants;  m_i = 0 where n_i = 0, else 1
///     p_i = softmax(S(u_i; θ))                                on the strong view
///     θ ← θ − update(∇_θ [ CE(smooth(y), S(x)) + λ(k) (1 / M C) Σ_i m_i ‖p_i − t_i‖² ])
///     Z_i ← ensemble_decay · Z_i + (1 − ensemble_decay) · p_i
///
/// A row comes up once in an epoch. λ rises to `unlabeled_weight`. Only a fit knows which rows a batch has.
final class TemporalEnsembling: Method {
  static let definition = MethodDefinition(
    name: "temporal_ensembling", fields: unlabeledFields + strongViewFields + fields,
    make: { try TemporalEnsembling(student: $0.student, configuration: $0.configuration, seed: $0.seed) })

  static let fields: [Field] =
    [
      SupervisedTerm.field,
      Field(
        "unlabeled_weight", .number(.atLeast(0)), 10,
        "λ, the factor of the consistency loss, the mean over rows and classes, after its ramp",
        source: "Laine and Aila's code: 30 × labelled share of the rows"),
      Field(
        "unlabeled_ramp", .number(.closed(0, 1)), 0.27, "share of `steps` over which λ rises as exp(−5 (1 − t)²)",
        source: "Laine and Aila 2017: 80 of 300 epochs"),
      Field("ensemble_decay", .number(.halfOpen(0, 1)), 0.6, "decay of a row's average", source: "Laine and Aila 2017"),
    ] + optimizerFields("student")

  let learners: [Learner]
  let metricNames =
    SupervisedTerm.metricNames + ["loss/consistency", "gradient_norm/consistency", "learning_rate/student"]

  private let student: Network
  private let training: StudentTraining
  private let objectives: Objectives
  private let decay: Double
  private let dropout: RandomStream
  /// Z [rows, C], and n [rows].
  private let ensemble, updates: RowState

  init(student: Network, configuration: FieldValues, seed: UInt64) throws {
    self.student = student
    training = try StudentTraining(student, configuration, seed: seed, ramp: .exponential)
    learners = [training.learner]
    objectives = training.objectives
    decay = try configuration.number("ensemble_decay")
    dropout = RandomStream(seed: seed, name: "student/dropout/strong")
    ensemble = RowState("ensemble", columns: student.classes, student.elementType)
    updates = RowState("updates", columns: 1, student.elementType)
  }

  var rowStates: [RowState] { [ensemble, updates] }

  func prepare(_ rows: UnlabeledRows) throws {
    guard rows.isNew || ensemble.values?.rows != rows.count else { return }
    for state in rowStates { try state.prepare(rows: rows.count) }
  }

  func step(_ batch: Batch, draw: UInt64, into metrics: inout Metrics) throws {
    guard let rows = batch.unlabeledRows, let ensemble = ensemble.values, let updates = updates.values else {
      throw DidactError(
        .unsupported, "temporal_ensembling must know which rows a batch has: train by fit, not by single steps")
    }
    try training.begin(batch, draw: draw, into: &metrics)
    let kernels = student.kernels
    let pass = try student.record(
      try batch.unlabeledViews().strong,
      mode: PassMode(normalization: .batchUpdatingRunning, noise: dropout, draw: draw))
    let target = try objectives.tensor(pass.logits.shape)
    let mask = try objectives.tensor(Shape(rows.count))
    kernels.gather(target, ensemble, rows: rows)
    for (position, row) in rows.enumerated() {
      mask[position] = updates[row] > 0 ? 1 : 0
      if updates[row] > 0 {
        kernels.scale(target.rows(position..<position + 1), by: 1 / (1 - power(decay, updates[row])))
      }
    }
    let weight = training.unlabeledWeight(at: draw)
    if weight > 0 {
      let term = try objectives.squaredDifference(logits: pass.logits, targets: target, weights: mask)
      metrics["loss/consistency"] = term.loss
      metrics["gradient_norm/consistency"] = try training.terms.add(
        term, "consistency", weight: weight, through: pass, draw: draw)
    }
    let probabilities = try objectives.softmax(pass.logits)
    try training.end(draw: draw, into: &metrics)
    // Last, when nothing can go wrong any more.
    for (position, row) in rows.enumerated() {
      kernels.movingAverage(
        ensemble.rows(row..<row + 1), of: probabilities.rows(position..<position + 1), decay: decay)
      updates[row] += 1
    }
  }
}
