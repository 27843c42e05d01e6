/// The batches of a fit, the next of which is made while a step is at work on the last.
final class BatchesAhead {
  private enum Request: Equatable {
    case step(Int), finetuning(Int)

    var next: Request {
      switch self {
      case .step(let step): .step(step + 1)
      case .finetuning(let step): .finetuning(step + 1)
      }
    }
  }

  private struct Made {
    let request: Request
    let batch: Batch
  }

  private let source: FitBatches
  private let worker: BackgroundWorker<Made>?
  /// Whether the worker has something to make, or has made it.
  private var isPending = false

  /// - Parameter isAhead: without that, a batch is made when it is asked for.
  init(_ source: FitBatches, isAhead: Bool) {
    self.source = source
    worker = isAhead ? BackgroundWorker() : nil
  }

  /// - Parameter end: the step at which this stage or the fit ends, as far as is known: its batch is not made ahead.
  func batch(_ step: Int, before end: Int) throws -> Batch { try take(.step(step), isLast: step + 1 >= end) }

  /// The labelled rows of a fine-tuning step.
  func finetuning(_ step: Int, before end: Int) throws -> LabeledBatch {
    try take(.finetuning(step), isLast: step + 1 >= end).labeled
  }

  private func take(_ request: Request, isLast: Bool) throws -> Batch {
    guard let worker else { return try make(request).batch }
    var made: Made?
    if isPending {
      isPending = false
      made = try worker.take()
    }
    let batch: Batch
    // Nothing is there for the first, or where another stage begins.
    if let made, made.request == request { batch = made.batch } else { batch = try make(request).batch }
    guard !isLast else { return batch }
    isPending = true
    worker.begin { [source] in try BatchesAhead.make(request.next, source) }
    return batch
  }

  private func make(_ request: Request) throws -> Made { try BatchesAhead.make(request, source) }

  private static func make(_ request: Request, _ source: FitBatches) throws -> Made {
    switch request {
    case .step(let step): Made(request: request, batch: try source.batch(step))
    case .finetuning(let step):
      Made(request: request, batch: Batch(labeled: try source.finetuning(step)))
    }
  }
}
