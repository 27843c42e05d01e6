#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension Trainer {
  /// Where a fit stands, after one of its steps.
  public struct Progress: Sendable {
    /// Steps completed and steps there will be, over the trainer's life.
    public let step, steps: Int
    /// Since this fit began.
    public let seconds: Double
    public let metrics: Metrics
  }

  public enum Outcome: Sendable {
    /// All steps are made, or early stopping or the time limit ended them.
    case completed
    /// The progress callback said stop; everything is as after the last step.
    case cancelled
  }

  /// Trains on rows with and without labels, with weak and strong views made by noise and what else is configured.
  ///
  /// Labelled rows are learned from in their weak view, and are among the unlabelled ones too, as in the papers' code;
  /// those that `validation_fraction` sets aside are among the unlabelled ones alone. A fit continues where the last one
  /// on the same data ended: two fits of 100 steps equal one of 200, bit for bit.
  /// - Parameters:
  ///   - features: [N, inputs] of any element type.
  ///   - labels: a class for each row, −1 for none; in segmentation, by the other call, for each pixel.
  ///   - unlabeled: more rows without labels [M, inputs].
  ///   - sampleWeights: how much each row of `features` counts where it has a label, at least 0; nil for all alike. Batches have
  ///     a row as often as it counts, up to 30 times as often as another; one of 0 is as without its label.
  ///   - teacherDistributions: for `reduced_meta_pseudo_labels`, what teachers say of every row, those of `unlabeled` last:
  ///     [N + M, classes], or [teachers, N + M, classes]; nil for those in files.
  ///   - trusted: rows and a label of each that the feedback is measured on, for methods that have one, where labels of
  ///     `features` may be wrong; nil for the labelled rows. They are not learned from.
  ///   - steps: how many to make now; nil for what is left of the configured `steps` and `finetune_steps`.
  ///   - progress: called after every step; false stops.
  /// - Throws: `DidactError.data` where labels are missing, out of range or of a single class.
  ///
  /// Members learn beside the trainer, a step of each at a time. At its end a fit looks at what it made: see
  /// `warnings`.
  @discardableResult
  public func fit(
    _ features: Tensor, _ labels: [Int], unlabeled: Tensor? = nil, sampleWeights: [Double]? = nil,
    teacherDistributions: Tensor? = nil, trusted: (inputs: Tensor, labels: [Int])? = nil, steps: Int? = nil,
    progress: ((Progress) throws -> Bool)? = nil
  ) throws -> Outcome {
    try fit(
      features, labels: Tensor(labels), unlabeled: unlabeled, sampleWeights: sampleWeights,
      teacherDistributions: teacherDistributions, trusted: trusted.map { ($0.inputs, try Tensor($0.labels)) },
      steps: steps, progress: progress)
  }

  /// The same with labels [N], of a network that segments [N, height, width] with 255 or −1 for none; int64 or uint8.
  @discardableResult
  public func fit(
    _ features: Tensor, labels: Tensor, unlabeled: Tensor? = nil, sampleWeights: [Double]? = nil,
    teacherDistributions: Tensor? = nil, trusted: (inputs: Tensor, labels: Tensor)? = nil, steps: Int? = nil,
    progress: ((Progress) throws -> Bool)? = nil
  ) throws -> Outcome {
    let weights = try sampleWeights.map { try Tensor($0, shape: Shape($0.count)) }
    return try withExtendedLifetime((features, labels, unlabeled, weights, teacherDistributions, trusted)) {
      try fit(
        FitArrays(
          BorrowedArray(features), labels: BorrowedArray(labels), unlabeled: unlabeled.map { BorrowedArray($0) },
          sampleWeights: weights.map { BorrowedArray($0) },
          teacherDistributions: teacherDistributions.map { BorrowedArray($0) },
          trusted: trusted.map { (BorrowedArray($0.inputs), BorrowedArray($0.labels)) }), steps: steps,
        progress: progress)
    }
  }

  /// The same on arrays of the caller's, which are read where they are; labels are copied.
  @discardableResult
  package func fit(_ arrays: FitArrays, steps count: Int?, progress: ((Progress) throws -> Bool)?) throws -> Outcome {
    if let count, count < 0 || count > 100_000_000_000 {
      throw DidactError(.invalidArgument, "fit: steps must be in [0, 1e11]; got \(count)")
    }
    let features = arrays.features
    _ = try checkedRows(features, "X")
    if let unlabeled = arrays.unlabeled, unlabeled.shape.rank < 2 || unlabeled.rows > 0 {
      _ = try checkedRows(unlabeled, "X_unlabeled")
    }
    // Which rows have a label, their labels by class, and the order of rows in two epochs, for each member, while arrays grow.
    // Labelled rows may be repeated.
    let isRepeated = classPrior != .labels || arrays.sampleWeights != nil
    let bytesOfRow = isRepeated ? 100 + 30 * RowRepetition.most : 100
    try Buffer.checkRoom(byteCount: bytesOfRow * (features.rows + (arrays.unlabeled?.rows ?? 0)) * everyMember.count)
    guard arrays.labels.map({ $0.shape.rank != 1 || $0.rows == features.rows }) ?? true else {
      throw DidactError(.shape, "\(arrays.labels?.rows ?? 0) labels for X of shape \(features.shape)")
    }
    guard arrays.teacherDistributions == nil || everyMember.contains(where: \.definition.takesTeacherDistributions)
    else {
      throw DidactError(
        .unsupported, "method \"\(methodName)\" has no use for teacher_distributions; reduced_meta_pseudo_labels has")
    }
    if arrays.trusted != nil, !members.contains(where: \.definition.takesTrustedRows) {
      try definition.checkTakesTrustedRows()
    }
    let labels = try Labels(arrays.labels, of: features.rows, student.task), weights = try arrays.checkedWeights()
    return try Trainer.training(everyMember[...]) {
      try checkCanBeSaved()
      let unscaled = everyMember.filter { $0.scaling == nil }
      // What a fit without a step learned of its rows is not for the next one, which may have others.
      defer {
        for member in unscaled where member.steps == 0 { try? member.writing { member.scaling = nil } }
        if self.steps == 0 { try? writing { estimatedShares = nil } }
      }
      let shares = count == 0 ? nil : try classShares(arrays, labels, weights)
      if classPrior == .estimate, self.steps == 0 { try writing { estimatedShares = shares } }
      let data = try FitData(self, arrays, labels, weights: weights, shares: shares)
      let rowsDigest = Trainer.digest(data.pool.parts)
      let digest = Trainer.digest(
        rowsDigest, labels.given, weights ?? [],
        trusted: data.trusted.map { (rows: $0.rows.parts, labels: Array($0.labels.given)) })
      try data.pool.checkNoneLost()
      try data.trusted?.rows.checkNoneLost()
      // The same for all: a fit that ended with an error, and a file that was written during one, may leave members behind.
      let end = count.map { self.steps + $0 }
      let runs = try indexedMembers.map { index, member in
        try Trainer.failing(asMember: index) {
          let data = index == nil ? data : try FitData(member, arrays, labels, weights: weights, shares: shares)
          let run = try FitRun(
            member, data, teachers: arrays.teacherDistributions, rowsDigest: rowsDigest.value, dataDigest: digest,
            end: end)
          return (index: index, run: run)
        }
      }
      let growth = count == 0 ? nil : ForestGrowth(self, data, isNew: runs[0].run.isNewData)
      let timeLimit = try configuration.optionalNumber("time_limit") ?? .infinity, start = secondsOfClock()
      func checkLastSteps() throws {
        for (index, member) in indexedMembers { try Trainer.failing(asMember: index) { try member.checkLastStep() } }
      }
      repeat {
        growth?.plan()
        let isOver = try Trainer.step(runs, growth, threads: student.threads) { secondsOfClock() - start >= timeLimit }
        guard !isOver else { break }
        if let progress {
          let report = Progress(
            step: runs.map(\.run.trainer.steps).max() ?? 0, steps: runs.map(\.run.plannedSteps).max() ?? 0,
            seconds: secondsOfClock() - start, metrics: lastMetrics)
          guard try progress(report) else {
            try checkLastSteps()
            return .cancelled
          }
        }
      } while secondsOfClock() - start < timeLimit
      try checkLastSteps()
      // A fit of a few steps of many says nothing yet.
      if count == nil || self.steps >= ownPlannedSteps {
        let found = definition.learnsFromLabels ? try FitReview(self, data).warnings() : []
        try writing { warnings = found }
      }
      return .completed
    }
  }

  /// What a fit can be told as JSON: `steps`, how many to make now.
  /// - Throws: `DidactError.invalidArgument` for other keys.
  package static func fitSteps(_ json: JSON) throws -> Int? {
    guard let options = json.members else {
      throw DidactError(.invalidArgument, "fit: expected an object such as {\"steps\": 100}")
    }
    let fields = [Field("steps", .integer(.closed(0, 1e11)), .null, "how many to make now")]
    return try FieldValues(options, fields: fields, subject: "fit").optionalInteger("steps")
  }

  /// Whether a fit needs labels.
  package var learnsFromLabels: Bool { definition.learnsFromLabels }

  /// Each member makes its step, as long as it has one left, and the trees that are due grow, side by side on as many threads.
  /// Bits do not depend on which.
  /// - Returns: whether none had one left.
  private static func step(
    _ runs: [(index: Int?, run: FitRun)], _ growth: ForestGrowth?, threads: Int, isTimeUp: () -> Bool
  ) throws -> Bool {
    let failures = Locked<[(position: Int, error: any Error)]>([]), hasStepped = Locked(false)
    let count = runs.count + (growth == nil ? 0 : 1), parts = min(count, threads), next = Locked(0)
    func takeNext() -> Int? {
      next.withLock { position in
        defer { position += 1 }
        return position < count ? position : nil
      }
    }
    // Some take longer than others: each thread takes the next one that nobody has begun.
    parallelLoop(parts, parts: parts) { _, _ in
      while let position = takeNext() {
        do {
          guard position < runs.count else {
            try growth?.grow(isTimeUp)
            continue
          }
          let (index, run) = runs[position]
          if try failing(asMember: index, { try run.step() }) { hasStepped.withLock { $0 = true } }
        } catch {
          failures.withLock { $0.append((position, error)) }
        }
      }
    }
    if let first = failures.withLock({ $0.min { $0.position < $1.position } }) { throw first.error }
    return !hasStepped.withLock { $0 }
  }

  /// Runs `body` as the only training call on some trainers.
  private static func training<Result>(_ trainers: ArraySlice<Trainer>, _ body: () throws -> Result) throws -> Result {
    guard let first = trainers.first else { return try body() }
    return try first.training { try first.fitting { try training(trainers.dropFirst(), body) } }
  }

  /// Notes what a fit learns from.
  func begin(rowsDigest: UInt64, dataDigest: UInt64, validationRows: Int?) throws {
    try writing {
      self.rowsDigest = rowsDigest
      self.dataDigest = dataDigest
      validationRowCount = validationRows
      warnings = []
    }
  }

  func beginFinetuning() throws {
    try writing { finetuning?.begin(with: predictor, at: steps) }
    choosePredictor()
  }

  /// Whether a fit would make no more steps, whatever it is asked for: early stopping or fine-tuning ended them.
  public var isFinished: Bool { everyMember.allSatisfy(\.isFinishedItself) }

  private var isFinishedItself: Bool {
    guard let finetuning else { return selection?.isOver ?? false }
    return finetuning.start.map { steps >= $0 + finetuning.steps } ?? false
  }

  /// Whether the method's own steps are over, all of them or by early stopping.
  var isMethodDone: Bool { steps >= scheduledSteps || (selection?.isOver ?? false) }

  /// Steps there will be in all, as far as is known: early stopping may leave some out.
  public var plannedSteps: Int { everyMember.map(\.ownPlannedSteps).max() ?? 0 }

  /// Those of this trainer, its members aside.
  var ownPlannedSteps: Int {
    (finetuning?.start ?? max(steps, scheduledSteps)) + (finetuning?.steps ?? 0)
  }

  /// A number that differs, but for chance, where data do: FNV-1a over values and labels, trusted ones too.
  public static func digest(
    _ features: Tensor, _ labels: [Int], _ unlabeled: Tensor?, trusted: (inputs: Tensor, labels: [Int])? = nil
  ) -> UInt64 {
    withExtendedLifetime((features, unlabeled, trusted)) {
      digest(
        digest([features, unlabeled].compactMap { $0 }.map { BorrowedArray($0) }), labels,
        trusted: trusted.map { (rows: [BorrowedArray($0.inputs)], labels: $0.labels) })
    }
  }

  /// A number that differs, but for chance, where rows do, whatever their labels are.
  public static func rowsDigest(_ features: Tensor, _ unlabeled: Tensor?) -> UInt64 {
    withExtendedLifetime((features, unlabeled)) {
      digest([features, unlabeled].compactMap { $0 }.map { BorrowedArray($0) }).value
    }
  }

  /// Of all rows, however they are divided into matrices.
  static func digest(_ parts: [BorrowedArray]) -> FowlerNollVoHash {
    var hash = FowlerNollVoHash()
    for part in parts {
      for index in 0..<part.count { hash.add(part[index].bitPattern) }
    }
    return hash
  }

  private static func digest(
    _ rows: FowlerNollVoHash, _ labels: some Collection<Int>, _ weights: [Double] = [],
    trusted: (rows: [BorrowedArray], labels: [Int])? = nil
  ) -> UInt64 {
    var hash = rows
    hash.add(UInt64(labels.count))
    for label in labels { hash.add(UInt64(bitPattern: Int64(label))) }
    for weight in weights { hash.add(weight.bitPattern) }
    if let trusted {
      hash.add(digest(trusted.rows).value)
      for label in trusted.labels { hash.add(UInt64(bitPattern: Int64(label))) }
    }
    return hash.value
  }
}

/// Seconds of a clock that never goes back.
func secondsOfClock() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
