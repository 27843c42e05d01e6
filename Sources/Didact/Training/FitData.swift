/// What a fit learns from: rows where the caller has them, checked and, by the first fit, the scaling's.
struct FitData {
  /// All rows, labels aside.
  let pool: RowSource
  /// Which of them have a label to learn from.
  let labeledRows: [Int]
  /// The same, each as often as batches have it in an epoch: see `ClassPrior`.
  let drawnRows: [Int]
  /// Of the first of all rows, as many as have any.
  let labels: Labels
  /// Labelled rows set aside, scaled, with their labels (int64).
  let validation: LabeledBatch?
  /// The feedback is measured on these where there are any, else on the labelled rows.
  let trusted: TrustedRows?
  /// The columns of categories, where a view changes them as such.
  let categories: [Range<Int>]

  /// - Parameters:
  ///   - weights: how much each row counts where it has a label; nil for all alike. One of 0 is as without its label.
  ///   - shares: of the classes among the drawn rows; nil for those of the labels.
  init(
    _ trainer: Trainer, _ arrays: FitArrays, _ labels: Labels, weights: [Double]?, shares: [Double]? = nil
  ) throws {
    var labeledRows = (0..<labels.examples).filter { labels.hasAny($0) && weights?[$0] != 0 }
    if trainer.definition.learnsFromLabels {
      guard let first = labeledRows.first.flatMap({ labels.ofExample($0).first { $0 >= 0 } }) else {
        throw DidactError(
          .data,
          "no row has a label\(weights == nil ? "" : " and a weight above 0"); −1 means none, classes are 0..<"
            + "\(trainer.student.classes)")
      }
      guard labeledRows.contains(where: { labels.ofExample($0).contains { $0 >= 0 && $0 != first } }) else {
        throw DidactError(
          .data,
          "all labels\(weights == nil ? "" : " of rows with a weight above 0") are class \(first); training needs at least two "
            + "classes")
      }
    }
    let more = arrays.unlabeled.flatMap { $0.shape.rank > 1 && $0.rows == 0 ? nil : $0 }
    let given = [(array: arrays.features, name: "X")] + (more.map { [(array: $0, name: "X_unlabeled")] } ?? [])
    let parts = try given.map { (array: try trainer.checkedRows($0.array, $0.name), name: $0.name) }
    try FitData.scale(trainer, parts)
    categories = try FitData.categories(trainer, parts)
    let pool = RowSource(parts: parts.map(\.array))
    self.pool = pool

    if let selection = trainer.selection {
      let groups = labeledRows.map { labels.task.group(labels.ofExample($0)) }
      let rows = try selection.validationRows(groups, seed: trainer.seed).map { labeledRows[$0] }, chosen = Set(rows)
      validation = LabeledBatch(
        inputs: try pool.rows(
          rows, trainer.elementType, trainer.student.kernels, trainer.scaling, in: TensorPool()),
        labels: try labels.batch(rows))
      labeledRows.removeAll { chosen.contains($0) }
      try FitData.checkEachClassIsLeft(rows, labeledRows, labels)
    } else {
      validation = nil
    }
    self.labeledRows = labeledRows
    self.labels = labels
    trusted = try arrays.trusted.map { try TrustedRows($0, of: trainer, beside: labels, of: labeledRows) }
    try FitData.checkFinite(trainer, trusted?.rows.parts.map { (array: $0, name: "X_trusted") } ?? [])
    drawnRows = FitData.repeated(labeledRows, labels, weights, for: shares)
  }

  /// Labelled rows, each as often as it counts.
  private static func repeated(_ rows: [Int], _ labels: Labels, _ weights: [Double]?, for shares: [Double]?) -> [Int] {
    guard weights != nil || shares != nil else { return rows }
    var counting = rows.map { weights?[$0] ?? 1 }
    if let shares {
      let classes = rows.map { row in labels.ofExample(row).first { $0 >= 0 } ?? 0 }
      counting = RowRepetition.weights(counting, of: classes, for: shares)
    }
    return zip(rows, RowRepetition.counts(counting)).flatMap { Array(repeating: $0, count: $1) }
  }

  /// What validation takes may be all that there is of a class where an example has labels of several.
  private static func checkEachClassIsLeft(_ taken: [Int], _ left: [Int], _ labels: Labels) throws {
    guard labels.task.labelsPerExample > 1 else { return }
    let known = Set(left.lazy.flatMap { labels.ofExample($0) })
    for row in taken {
      if let label = labels.ofExample(row).first(where: { !known.contains($0) && $0 >= 0 }) {
        throw DidactError(
          .data,
          "validation_fraction takes all examples with class \(label), of which row \(row) is one; give more examples of it, "
            + "another seed, or a smaller share")
      }
    }
  }

  /// Fits the scaling to all rows where no fit has done so, and checks that they are finite once scaled.
  private static func scale(_ trainer: Trainer, _ parts: [NamedRows]) throws {
    let memory = TensorPool()
    if trainer.scaling == nil, trainer.steps == 0 {
      let kind: InputScaling.Kind = try trainer.configuration.choice("input_scaling")
      let count = parts.reduce(0) { $0 + $1.array.rows }
      let fitted = try InputScaling(kind, rows: count, of: trainer.student.specification.extent) { body in
        try forEachBlock(of: parts) { rows, name, firstRow in
          _ = try trainer.prepared(rows, name, in: memory, firstRow: firstRow)
          try body(try raw(rows, in: memory))
        }
      }
      try trainer.writing { trainer.scaling = fitted }
    }
    try checkFinite(trainer, parts)
  }

  private static func categories(_ trainer: Trainer, _ parts: [NamedRows]) throws -> [Range<Int>] {
    let strengths = ["weak", "strong"].map { "\($0)_category_mix" }.filter(trainer.configuration.has)
    guard try strengths.contains(where: { try trainer.configuration.number($0) > 0 }) else { return [] }
    let memory = TensorPool()
    return try CategoryColumns(columns: trainer.student.inputs) { body in
      try forEachBlock(of: parts) { rows, _, _ in try body(try raw(rows, in: memory)) }
    }.ranges
  }

  /// As they are given: in float32 a column far from 0 would lose what it differs by, and a constant one its mean.
  private static func raw(_ rows: BorrowedArray, in memory: TensorPool) throws -> Tensor {
    let block = try memory.tensor(Shape(rows.rows, rows.columns), .float64)
    _ = ReferenceKernels<Double>().convert(block, rows, mean: nil, scale: nil)
    return block
  }

  /// Checks that rows are finite once scaled.
  private static func checkFinite(_ trainer: Trainer, _ parts: [NamedRows]) throws {
    let memory = TensorPool()
    try forEachBlock(of: parts) { rows, name, firstRow in
      _ = try trainer.prepared(rows, name, in: memory, firstRow: firstRow)
    }
  }

  private typealias NamedRows = (array: BorrowedArray, name: String)

  private static func forEachBlock(
    of parts: [NamedRows], _ body: (_ rows: BorrowedArray, _ name: String, _ firstRow: Int) throws -> Void
  ) throws {
    for (array, name) in parts {
      let most = max(1, min(4096, (1 << 22) / max(1, array.columns)))
      for start in stride(from: 0, to: array.rows, by: most) {
        try body(array.rows(start..<min(array.rows, start + most)), name, start)
      }
    }
  }
}

/// The batches of a fit, each a function of seed and step. For one thread at a time.
final class FitBatches {
  private let trainer: Trainer
  private let data: FitData
  private let memory = TensorPool()
  private var labeledSampler, unlabeledSampler, finetuningSampler, trustedSampler: BatchSampler
  private let labeledView, trustedView: View
  private let unlabeledViews: [View]
  private let probeStream: RandomStream

  init(_ trainer: Trainer, _ data: FitData) throws {
    let configuration = trainer.configuration, seed = trainer.seed
    func sampler(_ count: Int, _ batchSize: Int, _ name: String) -> BatchSampler {
      BatchSampler(count: count, batchSize: batchSize, stream: RandomStream(seed: seed, name: "batches/\(name)"))
    }
    func view(_ strength: String, of rows: String) throws -> View {
      let augmentation = trainer.augmentations[strength]
      let parts = data.pool.parts + (data.trusted?.rows.parts ?? [])
      if augmentation != nil, RowSource(parts: parts).elementType != .uint8 {
        throw DidactError(
          .elementType,
          "\(strength)_augmentation changes uint8 images, pixels of 0 to 255; give X, X_unlabeled and X_trusted as uint8"
        )
      }
      return try View(
        configuration, strength, augmentation, categories: data.categories, of: rows, seed: seed)
    }
    self.trainer = trainer
    self.data = data
    let isUnlabeled = trainer.method.needsUnlabeled
    labeledSampler = sampler(max(1, data.drawnRows.count), try configuration.integer("labeled_batch_size"), "labeled")
    unlabeledSampler = sampler(
      data.pool.count, isUnlabeled ? try configuration.integer("unlabeled_batch_size") : 1, "unlabeled")
    finetuningSampler = sampler(max(1, data.drawnRows.count), trainer.finetuning?.batchSize ?? 1, "finetuning")
    trustedSampler = sampler(
      data.trusted?.rows.count ?? 1, try configuration.integer("labeled_batch_size"), "trusted")
    labeledView = try view("weak", of: "labeled")
    trustedView = try view("weak", of: "trusted")
    unlabeledViews = try trainer.definition.views.map { try view($0, of: "unlabeled") }
    probeStream = RandomStream(seed: seed, name: "augmentation/probes")
  }

  func batch(_ step: Int) throws -> Batch {
    let method = trainer.method
    let labeled =
      trainer.definition.learnsFromLabels ? try labeledBatch(labeledSampler.rows(step: step), draw: UInt64(step)) : nil
    guard method.needsUnlabeled else { return Batch(labeled: labeled) }
    let indices = unlabeledSampler.rows(step: step)
    var batch = Batch(
      labeled: labeled, views: try views(unlabeledViews, of: indices, in: data.pool, draw: UInt64(step)),
      unlabeledRows: indices)
    if trainer.definition.takesTrustedRows, let trusted = data.trusted {
      let rows = trustedSampler.rows(step: step)
      batch.trusted = LabeledBatch(
        inputs: try views([trustedView], of: rows, in: trusted.rows, draw: UInt64(step))[0],
        labels: try trusted.labels.batch(rows))
    }
    return batch
  }

  /// The labelled rows of a fine-tuning step.
  func finetuning(_ step: Int) throws -> LabeledBatch {
    try labeledBatch(finetuningSampler.rows(step: step), draw: UInt64(step))
  }

  /// The labelled images of a step, changed by an adaptive policy's probes, and by what each was changed.
  func probes(_ policy: AugmentationPolicy, step: Int) throws -> (LabeledBatch, [[CTAugment.Probe]]) {
    let positions = labeledSampler.rows(step: step)
    let images = try data.pool.raw(positions.map { data.drawnRows[$0] }, .uint8, in: memory)
    let changed = try memory.tensor(images.shape, .uint8)
    let probes = try withExtendedLifetime((images, changed)) {
      try policy.applyProbes(BorrowedArray(images), to: BorrowedArray(changed), probeStream, draw: UInt64(step))
    }
    return (LabeledBatch(inputs: try scaled(changed), labels: try labels(of: positions)), probes)
  }

  /// - Parameter positions: among the drawn rows.
  private func labeledBatch(_ positions: [Int], draw: UInt64) throws -> LabeledBatch {
    let rows = try views([labeledView], of: positions.map { data.drawnRows[$0] }, in: data.pool, draw: draw)
    return LabeledBatch(inputs: rows[0], labels: try labels(of: positions))
  }

  private func labels(of positions: [Int]) throws -> Tensor {
    try data.labels.batch(positions.map { data.drawnRows[$0] })
  }

  /// The same rows in several views. What no policy changes is read and scaled once.
  private func views(_ views: [View], of indices: [Int], in source: RowSource, draw: UInt64) throws -> [Tensor] {
    let kernels = trainer.student.kernels
    let images = views.contains { $0.augmentation != nil } ? try source.raw(indices, .uint8, in: memory) : nil
    var unchanged: Tensor?
    return try views.map { view in
      var rows: Tensor
      if let images, view.augmentation != nil {
        rows = try scaled(try view.changed(images, draw: draw, threads: trainer.student.threads, in: memory))
      } else {
        rows = try unchanged ?? images.map { try scaled($0) } ?? gather(indices, in: source)
        unchanged = rows
      }
      return try view.vectors(kernels, rows, draw: draw)
    }
  }

  private func scaled(_ raw: Tensor) throws -> Tensor {
    try RowSource.scaled(raw, trainer.elementType, trainer.student.kernels, trainer.scaling, in: memory)
  }

  private func gather(_ rows: [Int], in source: RowSource) throws -> Tensor {
    try source.rows(rows, trainer.elementType, trainer.student.kernels, trainer.scaling, in: memory)
  }
}
