/// One trainer's part in a fit: its steps, one after the other.
final class FitRun {
  let trainer: Trainer
  private let data: FitData
  private let source: FitBatches
  private let batches: BatchesAhead
  /// The step that the fit ends before, where it was asked for a number of steps.
  private let end: Int
  private let isAskedForNumber: Bool
  /// Whether the trainer's last fit was on other data.
  let isNewData: Bool

  /// - Parameters:
  ///   - teachers: what teachers say of the rows, where the fit was given it; for as long as the fit lasts.
  ///   - rowsDigest: tells the rows from others.
  ///   - dataDigest: tells rows and labels from others.
  ///   - end: the step that the fit ends before; nil for what is left of the configured `steps` and `finetune_steps`.
  init(
    _ trainer: Trainer, _ data: FitData, teachers: BorrowedArray? = nil, rowsDigest: UInt64, dataDigest: UInt64,
    end: Int?
  ) throws {
    self.trainer = trainer
    self.data = data
    isNewData = trainer.dataDigest != dataDigest
    source = try FitBatches(trainer, data)
    // What the next batch looks like may depend on this step where a policy learns.
    batches = BatchesAhead(
      source, isAhead: !trainer.augmentations.isEmpty && trainer.augmentations.values.allSatisfy { $0.adaptive == nil })
    if trainer.method.needsUnlabeled {
      try trainer.method.prepare(
        UnlabeledRows(
          count: data.pool.count, isNew: isNewData, digest: rowsDigest, classNames: trainer.classNames,
          teacherDistributions: teachers))
    }
    try trainer.begin(rowsDigest: rowsDigest, dataDigest: dataDigest, validationRows: data.validation?.inputs.rows)
    self.end = end ?? .max
    isAskedForNumber = end != nil
    // The last fit may have had no memory for them. The probes are of the batch of a step, which other data have not.
    if isNewData { trainer.dueProbes = nil }
    try learnFromProbesIfDue()
    try trainer.validateIfDue(data.validation)
  }

  /// Steps there will be in all when the fit ends, as far as is known.
  var plannedSteps: Int { isAskedForNumber ? end : trainer.ownPlannedSteps }

  /// Makes the next step.
  /// - Returns: false where there is none left.
  func step() throws -> Bool {
    do {
      return try makeStep()
    } catch let error as DidactError where error.code == .diverged {
      guard trainer.definition.learnsFromLabels else { throw error }
      // Losses of the state that is kept were finite, in training, where batches normalise themselves.
      let rows = try data.pool.given(Array(data.labeledRows.prefix(8)), in: TensorPool())
      let isOfUse = (try? trainer.predictProbabilities(rows, by: trainer.ownPredictorRole)) != nil
      throw isOfUse ? error : DidactError(error.code, "\(error.message). That state cannot predict: begin anew")
    }
  }

  private func makeStep() throws -> Bool {
    guard trainer.steps < end else { return false }
    if let finetuning = trainer.finetuning {
      if finetuning.start == nil, trainer.isMethodDone { try trainer.beginFinetuning() }
      if let begin = finetuning.start { return try step(finetuning, begin: begin) }
    }
    // A fit that is asked for a number of steps makes them beyond those that were planned.
    guard !trainer.isMethodDone || isAskedForNumber && !(trainer.selection?.isOver ?? false) else { return false }
    let methodEnd = isAskedForNumber && trainer.finetuning == nil ? end : min(end, trainer.scheduledSteps)
    try trainer.step(try batches.batch(trainer.steps, before: methodEnd))
    if let selection = trainer.selection, trainer.studentLearns(in: trainer.steps - 1),
      trainer.steps % selection.every == 0 || trainer.isMethodDone
    {
      selection.progress.dueStep = trainer.steps
    }
    trainer.dueProbes = trainer.steps
    try learnFromProbesIfDue()
    try trainer.validateIfDue(data.validation)
    return true
  }

  private func step(_ finetuning: Finetuning, begin: Int) throws -> Bool {
    let finetuningEnd = begin + finetuning.steps
    guard trainer.steps < finetuningEnd else { return false }
    let labeled = try batches.finetuning(trainer.steps, before: min(end, finetuningEnd))
    try trainer.finetune(labeled, finetuning)
    return true
  }

  /// Shows the labelled images of the last step to what will predict, changed by the probes of the policies that learn.
  private func learnFromProbesIfDue() throws {
    guard trainer.dueProbes == trainer.steps else { return }
    // Nothing is learned before all is known.
    var lessons: [(rates: CTAugmentRates, probe: CTAugment.Probe, proximity: Double)] = []
    for strength in trainer.definition.views {
      guard let policy = trainer.augmentations[strength], let rates = policy.adaptive?.rates else { continue }
      let (labeled, probes) = try source.probes(policy, step: trainer.steps - 1)
      let network = trainer.average ?? trainer.student, rows = labeled.inputs.rows
      let probabilities = try Tensor(Shape(rows, network.classes), .float64)
      try trainer.afterStep {
        do {
          try network.predict(BorrowedArray(probabilities), BorrowedArray(labeled.inputs), scaling: nil) { _ in }
        } catch let error as DidactError where error.code == .data {
          throw DidactError(
            .diverged,
            "step \(trainer.steps - 1): what the network says of labelled images is not finite; the last finite state is kept. Lower "
              + "the learning rate or set clip_norm")
        }
        for row in 0..<rows {
          // 1 − ½ ‖p − onehot(y)‖₁ is the probability of y.
          let proximity = probabilities[row * network.classes + Int(labeled.labels[row])]
          lessons += probes[row].map { (rates, $0, proximity) }
        }
      }
    }
    try trainer.afterStep {
      for lesson in lessons { lesson.rates.update(lesson.probe, proximity: lesson.proximity) }
      trainer.dueProbes = nil
    }
  }
}
