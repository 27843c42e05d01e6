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
    case completed
    /// The progress callback said stop; everything is as after the last step.
    case cancelled
  }

  /// Trains on rows with and without labels, with weak and strong views made by noise and feature dropout.
  ///
  /// Labelled rows are learned from in their weak view, and are among the unlabelled ones too, as in the papers' code.
  /// A fit continues where the last one on the same data ended: two fits of 100 steps equal one of 200, bit for bit.
  /// - Parameters:
  ///   - features: [N, inputs] of any element type.
  ///   - labels: a class for each row, −1 for none.
  ///   - unlabeled: more rows without labels [M, inputs].
  ///   - steps: how many to make now; nil for what is left of the configured `steps`.
  ///   - progress: called after every step; false stops.
  /// - Throws: `DidactError.data` where labels are missing, out of range or of a single class.
  @discardableResult
  public func fit(
    _ features: Tensor, _ labels: [Int], unlabeled: Tensor? = nil, steps count: Int? = nil,
    progress: ((Progress) throws -> Bool)? = nil
  ) throws -> Outcome {
    if let count, count < 0 || count > 100_000_000_000 {
      throw DidactError(.invalidArgument, "fit: steps must be in [0, 1e11]; got \(count)")
    }
    return try training {
      let data = try fitData(features, labels, unlabeled)
      let digest = Trainer.digest(features, labels, unlabeled)
      try writing { dataDigest = digest }
      let kernels = student.kernels
      var labeledBatches = try BatchSampler(
        count: data.labeled.rows, batchSize: configuration.integer("labeled_batch_size"),
        stream: RandomStream(seed: seed, name: "batches/labeled"))
      let labeledView = try view("weak", of: "labeled")
      var unlabeledViews = method.needsUnlabeled ? try UnlabeledViews(self, rows: data.pool) : nil

      func batch(_ step: Int) throws -> Batch {
        let rows = labeledBatches.rows(step: step)
        let labeled = LabeledBatch(
          inputs: try labeledView(kernels, try gather(data.labeled, rows), draw: UInt64(step)),
          labels: try Tensor(rows.map { data.labels[$0] }))
        let views = try unlabeledViews?.views(step: step)
        return Batch(labeled: labeled, weak: views?.weak, strong: views?.strong)
      }

      let last = try count.map { self.steps + $0 } ?? max(self.steps, configuration.integer("steps"))
      let start = secondsOfClock()
      while self.steps < last {
        try step(try batch(self.steps))
        if let progress {
          let report = Progress(
            step: self.steps, steps: last, seconds: secondsOfClock() - start, metrics: lastMetrics)
          guard try progress(report) else { return .cancelled }
        }
      }
      return .completed
    }
  }

  /// The unlabelled batches of a fit, in two views.
  private struct UnlabeledViews {
    private let trainer: Trainer
    private let rows: Tensor
    private var batches: BatchSampler
    private let weak, strong: VectorView

    init(_ trainer: Trainer, rows: Tensor) throws {
      self.trainer = trainer
      self.rows = rows
      batches = try BatchSampler(
        count: rows.rows, batchSize: trainer.configuration.integer("unlabeled_batch_size"),
        stream: RandomStream(seed: trainer.seed, name: "batches/unlabeled"))
      weak = try trainer.view("weak", of: "unlabeled")
      strong = try trainer.view("strong", of: "unlabeled")
    }

    mutating func views(step: Int) throws -> (weak: Tensor, strong: Tensor) {
      let kernels = trainer.student.kernels
      let batch = try trainer.gather(rows, batches.rows(step: step))
      return (
        try weak(kernels, batch, draw: UInt64(step)), try strong(kernels, batch, draw: UInt64(step))
      )
    }
  }

  /// A number that differs, but for chance, where data do: FNV-1a over values and labels.
  public static func digest(_ features: Tensor, _ labels: [Int], _ unlabeled: Tensor?) -> UInt64 {
    var hash = FowlerNollVoHash()
    for part in [features, unlabeled].compactMap({ $0 }) {
      hash.add(UInt64(part.rows))
      for index in 0..<part.count { hash.add(part[index].bitPattern) }
    }
    for label in labels { hash.add(UInt64(bitPattern: Int64(label))) }
    return hash.value
  }

  /// Rows as the networks take them.
  private struct FitData {
    let labeled: Tensor
    let labels: [Int]
    /// All rows, labels aside.
    let pool: Tensor
  }

  private func fitData(_ features: Tensor, _ labels: [Int], _ unlabeled: Tensor?) throws -> FitData {
    guard features.shape.rank == 2, labels.count == features.rows else {
      throw DidactError(.shape, "\(labels.count) labels for X of shape \(features.shape)")
    }
    let classes = student.classes
    if let row = labels.firstIndex(where: { $0 < -1 || $0 >= classes }) {
      throw DidactError(.data, "y, row \(row): label \(labels[row]) is not −1 (none) or in 0..<\(classes)")
    }
    let labeledRows = labels.indices.filter { labels[$0] >= 0 }
    guard let first = labeledRows.first else {
      throw DidactError(.data, "no row has a label; −1 means none, classes are 0..<\(classes)")
    }
    guard labeledRows.contains(where: { labels[$0] != labels[first] }) else {
      throw DidactError(.data, "all labels are class \(labels[first]); training needs at least two classes")
    }
    let unlabeled = unlabeled.flatMap { $0.rows > 0 ? $0 : nil }
    if scaling == nil, steps == 0 {
      let parts = try [prepared(features, "X")] + (unlabeled.map { [try prepared($0, "X_unlabeled")] } ?? [])
      let fitted = try InputScaling(configuration.choice("input_scaling"), fittedOn: parts, inputs: student.inputs)
      try writing { scaling = fitted }
    }
    let rows = try prepared(features, "X")
    let labeled = try gather(rows, labeledRows)
    var pool = rows
    if let unlabeled {
      let more = try prepared(unlabeled, "X_unlabeled")
      pool = try Tensor(Shape(rows.rows + more.rows, student.inputs), elementType)
      student.kernels.copy(rows, to: pool.rows(0..<rows.rows))
      student.kernels.copy(more, to: pool.rows(rows.rows..<pool.rows))
    }
    return FitData(labeled: labeled, labels: labeledRows.map { labels[$0] }, pool: pool)
  }

  private func view(_ strength: String, of rows: String) throws -> VectorView {
    VectorView(
      noise: try configuration.number("\(strength)_noise"),
      featureDropout: try configuration.number("\(strength)_feature_dropout"),
      stream: RandomStream(seed: seed, name: "views/\(strength)/\(rows)"))
  }

  private func gather(_ input: Tensor, _ rows: [Int]) throws -> Tensor {
    let result = try Tensor(Shape(rows.count, input.columns), input.elementType)
    student.kernels.gather(result, input, rows: rows)
    return result
  }
}

/// Seconds of a clock that never goes back.
func secondsOfClock() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
