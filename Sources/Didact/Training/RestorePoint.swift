/// What a trainer goes back to where a step fails: everything that a step changes, as before the step at work and as before
/// the last completed one, in memory of its own.
final class RestorePoint {
  private let movedEarly: [Learner]
  /// What a step changes on its way, the parameters of `movedEarly` first.
  private let live: [Tensor]
  private var current, previous: [Tensor]
  /// What the teacher's half of a step changes before its optimiser's move, and that as before this half.
  private let liveOfHalf, half: [Tensor]
  private let lastMoves: [LastMove]
  private var currentSteps = 0, previousSteps: Int?

  init(_ trainer: Trainer) throws {
    let method = trainer.method, movedLast = method.movedLast
    movedEarly = method.learners.filter { learner in !movedLast.contains { $0 === learner } }
    var live = movedEarly.map(\.network.parameters) + movedEarly.flatMap { $0.optimizer.vectors.map(\.flat) }
    liveOfHalf =
      method.learners.flatMap { [$0.network.statistics, $0.optimizer.stepCount] } + method.scalars.map(\.value)
    half = try liveOfHalf.map { try $0.copy() }
    live += liveOfHalf
    if let average = trainer.movingAverage {
      live += [average.network.parameters, average.network.statistics, average.updateCount]
    }
    live += trainer.augmentationRates.map(\.rates.values)
    self.live = live
    current = try live.map { try $0.copy() }
    previous = try live.map { try $0.copy() }
    lastMoves = try (movedLast.map(\.optimizer) + [trainer.finetuning?.optimizer].compactMap { $0 }).map(LastMove.init)
  }

  /// Remembers the trainer's state, which a step is about to change.
  func begin(_ trainer: Trainer) {
    Self.copy(live, to: current)
    currentSteps = trainer.steps
    for (learner, parameters) in zip(movedEarly, current) { learner.parametersBeforeStep = parameters }
    for move in lastMoves { move.begin() }
  }

  /// Remembers the state in the middle of a step.
  func beginHalf() { Self.copy(liveOfHalf, to: half) }

  /// Goes back to there, so that the half can be tried again.
  func restoreHalf() { Self.copy(half, to: liveOfHalf) }

  /// The step at work is now the last completed one.
  func complete() {
    swap(&current, &previous)
    previousSteps = currentSteps
    // Where it did not move, it is as before the step.
    for move in lastMoves { move.remember() }
  }

  /// Goes back to before the step at work.
  func restoreCurrent(_ trainer: Trainer) {
    Self.copy(current, to: live)
    for move in lastMoves { move.restore(isPrevious: false) }
    trainer.forget(from: currentSteps)
  }

  /// Goes back to before the last completed step, if there is one that was not gone back on, else the one at work.
  func restorePrevious(_ trainer: Trainer) {
    guard let steps = previousSteps else { return restoreCurrent(trainer) }
    Self.copy(previous, to: live)
    for move in lastMoves { move.restore(isPrevious: true) }
    trainer.forget(from: steps)
    previousSteps = nil
  }

  private static func copy(_ tensors: [Tensor], to others: [Tensor]) {
    for (tensor, other) in zip(tensors, others) { other.copyElements(of: tensor) }
  }

  /// What an optimiser moves when nothing can go wrong any more. Until then it is as the last step left it, so that one copy
  /// is enough: made just before the move, when nothing goes back to the older one any more.
  private final class LastMove {
    private let live, kept: [Tensor]
    private var isRemembered = true

    init(_ optimizer: Optimizer) throws {
      live = [optimizer.network.parameters] + optimizer.vectors.map(\.flat)
      kept = try live.map { try $0.copy() }
      optimizer.willMove = { [weak self] in self?.remember() }
    }

    func begin() { isRemembered = false }

    func remember() {
      guard !isRemembered else { return }
      RestorePoint.copy(live, to: kept)
      isRemembered = true
    }

    /// - Parameter isPrevious: to before the last completed step, else to before the one at work.
    func restore(isPrevious: Bool) {
      if isPrevious || isRemembered { RestorePoint.copy(kept, to: live) }
      isRemembered = true
    }
  }
}
