/// Single steps, their halves, and what a fit makes of them.
extension Trainer {
  /// One step: the student's, the teacher's and the average's, bit for bit as the three calls in this order.
  /// - Parameters:
  ///   - inputs: labelled rows [N, inputs] of any element type.
  ///   - labels: a class for each row; in segmentation, by the other call, for each pixel.
  ///   - unlabeled: [M, inputs]; nil only for methods that use none.
  ///   - strong: another view of the same rows; nil for `unlabeled` itself. Nothing is augmented here.
  ///   - trusted: rows and labels that the feedback is measured on, for methods that have one; nil for the labelled rows.
  /// - Throws: `DidactError`; where a step diverges, the state is that before the last step whose losses were finite.
  @discardableResult
  public func step(
    _ inputs: Tensor, _ labels: [Int], unlabeled: Tensor? = nil, strong: Tensor? = nil,
    trusted: (inputs: Tensor, labels: [Int])? = nil
  ) throws -> Metrics {
    try step(
      inputs, labels: Tensor(labels), unlabeled: unlabeled, strong: strong,
      trusted: trusted.map { ($0.inputs, try Tensor($0.labels)) })
  }

  /// The same with labels [N], of a network that segments [N, height, width] with 255 or −1 for none; int64 or uint8.
  @discardableResult
  public func step(
    _ inputs: Tensor, labels: Tensor, unlabeled: Tensor? = nil, strong: Tensor? = nil,
    trusted: (inputs: Tensor, labels: Tensor)? = nil
  ) throws -> Metrics {
    try withExtendedLifetime((inputs, labels, unlabeled, strong, trusted)) {
      try step(
        BorrowedArray(inputs), BorrowedArray(labels), unlabeled: unlabeled.map { BorrowedArray($0) },
        strong: strong.map { BorrowedArray($0) },
        trusted: trusted.map { (BorrowedArray($0.inputs), BorrowedArray($0.labels)) })
      return lastMetrics
    }
  }

  /// The same on arrays of the caller's; labels are int64 or uint8.
  package func step(
    _ inputs: BorrowedArray, _ labels: BorrowedArray, unlabeled: BorrowedArray?, strong: BorrowedArray?,
    trusted: LabeledArrays? = nil
  ) throws {
    try checkHasNoMembers()
    try training {
      let weak = try unlabeled.map { try prepared($0, "unlabeled", in: batchMemory) }
      let strong = try strongView(strong, of: weak)
      var batch = Batch(labeled: try labeledBatch(inputs, labels), weak: weak, strong: strong)
      batch.trusted = try trustedBatch(trusted)
      try step(batch)
    }
  }

  /// The same with any views of the unlabelled rows, row by row the same examples, by the names that errors call them.
  package func step(
    _ labeled: LabeledArrays?, views: [(name: String, rows: BorrowedArray)], trusted: LabeledArrays? = nil
  ) throws {
    try checkHasNoMembers()
    // Any method may be given the two views of a semi-supervised step.
    guard views.count <= max(2, definition.views.count) else {
      throw DidactError(
        .unsupported,
        "method \"\(methodName)\" has \(definition.views.count) views of unlabelled rows; got \(views.count)")
    }
    try training {
      let rows = try views.map { try prepared($0.rows, $0.name, in: batchMemory) }
      for view in rows.dropFirst() { try checkStrong(view, of: rows[0]) }
      var batch = Batch(labeled: try labeled.map { try labeledBatch($0.inputs, $0.labels) }, views: rows)
      batch.trusted = try trustedBatch(trusted)
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
        studentMove = try twoStepMethod().studentStep(
          weak: weak, strong: strong, labeled: nil, draw: UInt64(steps), into: &workingMetrics)
        try checkStatistics()
        swap(&lastMetrics, &workingMetrics)
      }
    }
  }

  /// The teacher's half of a step; completes the step that `studentStep` began.
  @discardableResult
  public func teacherStep(
    _ inputs: Tensor, _ labels: [Int], trusted: (inputs: Tensor, labels: [Int])? = nil
  ) throws -> Metrics {
    try teacherStep(
      inputs, labels: Tensor(labels), trusted: trusted.map { ($0.inputs, try Tensor($0.labels)) })
  }

  /// The same with labels as `step` takes them.
  @discardableResult
  public func teacherStep(
    _ inputs: Tensor, labels: Tensor, trusted: (inputs: Tensor, labels: Tensor)? = nil
  ) throws -> Metrics {
    try withExtendedLifetime((inputs, labels, trusted)) {
      try teacherStep(
        BorrowedArray(inputs), BorrowedArray(labels),
        trusted: trusted.map { (BorrowedArray($0.inputs), BorrowedArray($0.labels)) })
      return lastMetrics
    }
  }

  package func teacherStep(
    _ inputs: BorrowedArray, _ labels: BorrowedArray, trusted: LabeledArrays? = nil
  ) throws {
    try checkHasNoMembers()
    try training {
      let labeled = try labeledBatch(inputs, labels), trusted = try trustedBatch(trusted)
      try stepping(begins: false) {
        let method = try twoStepMethod()
        guard let move = studentMove else {
          throw DidactError(.state, "teacher_step needs a student_step before it: it answers the student's last move")
        }
        workingMetrics.take(lastMetrics)
        try method.teacherStep(
          labeled, trusted: trusted, answering: move, draw: UInt64(steps), into: &workingMetrics)
        try checkStatistics()
        studentMove = nil
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
    // Before a student's step that waits for its answer is given up.
    if definition.learnsFromLabels { _ = try batch.labeled }
    if method.needsUnlabeled { _ = try batch.unlabeledViews() }
    try stepping(begins: true, rows: batch.unlabeledRows ?? []) {
      workingMetrics.clear()
      try method.step(batch, draw: UInt64(steps), into: &workingMetrics)
      try checkStatistics()
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
  func validateIfDue(_ validation: LabeledBatch?) throws {
    guard let selection, selection.progress.dueStep == steps, let validation else { return }
    try afterStep {
      let score = try selection.validate(average ?? student, on: validation, step: steps)
      let row = historyValues.count - metricNames.count
      for (name, value) in zip(Selection.metricNames, [score.accuracy, score.loss]) {
        lastMetrics[name] = value
        // A trainer that was loaded has a history, and no last metrics.
        if let column = metricNames.firstIndex(of: name) { historyValues[row + column] = value }
      }
    }
    choosePredictor()
  }

  /// Running statistics are not a part of any loss.
  private func checkStatistics() throws {
    for learner in method.learners where !learner.network.kernels.allFinite(learner.network.statistics) {
      throw DidactError(
        .diverged,
        "step \(steps): the running statistics of the \(learner.role)'s normalisation are not finite; the last finite state is kept. "
          + "Lower the learning rate, or scale the input")
    }
  }

  /// Whether the last step of a fit moved anything to infinity, which no loss has seen yet.
  func checkLastStep() throws {
    guard steps > 0 else { return }
    try afterStep {
      var moved =
        method.learners.map { ($0.role, $0.network.parameters) }
        + method.rowStates.compactMap { state in state.values.map { (state.name, $0) } }
      if let finetuning, finetuning.start != nil {
        moved += [finetuning.network.parameters, finetuning.network.statistics].map { ("fine-tuned network", $0) }
      }
      if let (name, _) = moved.first(where: { !student.kernels.allFinite($0.1) }) {
        throw DidactError(
          .diverged,
          "step \(steps - 1): the \(name) is not finite after it; the last finite state is kept. Lower the learning rate or set "
            + "clip_norm")
      }
    }
  }

  /// Gives the optimisers the learning rates of the next step.
  func applySchedules() {
    let (step, count) = method.scheduled(steps, of: scheduledSteps)
    for learner in method.learners { learner.apply(step: step, of: count) }
  }

  private func completeStep() {
    workingMetrics.fillWithZeros()
    swap(&lastMetrics, &workingMetrics)
    keepMetrics()
  }

  /// Makes room for the metrics of the next step, before it begins.
  func reserveHistory() throws {
    let needed = historyValues.count + metricNames.count
    guard needed > historyValues.capacity else { return }
    let capacity = max(2 * historyValues.capacity, needed)
    try Buffer.checkRoom(byteCount: 2 * capacity * MemoryLayout<Double>.stride)
    historyValues.reserveCapacity(capacity)
  }

  private func keepMetrics() {
    historyValues += lastMetrics.row
    steps += 1
    transaction?.commit()
  }

  private func twoStepMethod() throws -> any TwoStepMethod {
    guard let method = method as? any TwoStepMethod else {
      throw DidactError(
        .unsupported, "method \"\(methodName)\" has no separate student and teacher steps; call step or fit")
    }
    return method
  }
}
