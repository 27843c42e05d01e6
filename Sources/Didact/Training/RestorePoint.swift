/// Everything that a step changes in a trainer, in memory of its own, to go back to.
final class RestorePoint {
  private let parts: [(live: Tensor, kept: Tensor)]
  private var steps = 0

  /// Remembers the trainer's state as it is.
  init(_ trainer: Trainer) throws {
    let learners = trainer.method.learners
    var live = learners.flatMap { learner in
      [learner.network.parameters, learner.network.statistics, learner.optimizer.stepCount]
        + learner.optimizer.vectors.map(\.flat)
    }
    live += trainer.method.scalars.map(\.value)
    if let average = trainer.movingAverage {
      live += [average.network.parameters, average.network.statistics, average.updateCount]
    }
    live += trainer.augmentationRates.map(\.rates.values)
    if let finetuned = trainer.finetuning?.network { live.append(finetuned.parameters) }
    parts = try live.map { ($0, try $0.copy()) }
    steps = trainer.steps
  }

  func remember(_ trainer: Trainer) {
    for part in parts { part.kept.copyElements(of: part.live) }
    steps = trainer.steps
  }

  func restore(_ trainer: Trainer) {
    for part in parts { part.live.copyElements(of: part.kept) }
    trainer.historyValues.removeLast(max(0, trainer.steps - steps) * trainer.metricNames.count)
    trainer.steps = steps
  }
}
