/// What a trainer goes back to where a step fails: all that a step changes, as before the step at work and as before the last
/// completed one. What a step changes all at once (see `StateEntry.Change`) has one copy, made just before: by then nothing
/// goes back to the older one any more.
final class Transaction {
  enum Target {
    /// The middle of the step at work, where its second half can be tried again.
    case savepoint
    /// The beginning of the step at work.
    /// If a first half waited when it began, that half is at work again.
    case beginning
    /// The beginning of the last completed step, where there is one to go back on and the step at work has not moved what has
    /// one copy; else that of the step at work.
    case lastStep
  }

  /// Before a step.
  private struct Moment {
    var copies: [Tensor]
    var rows: [RowCopy] = []
    /// nil where there is nothing to go back to.
    var position: Trainer.Position?
  }

  private struct RowCopy {
    let all: Tensor
    let rows: [Int]
    /// [rows.count, columns]
    let values: Tensor
  }

  private let live, liveOfHalf, half: [Tensor]
  private let rowStates: [RowState]
  private var moves: [Move] = []
  /// Learners whose parameters are in `live`, and where.
  private let movedEarly: [(learner: Learner, index: Int)]
  private var current, previous: Moment
  /// Before a first half of a step that waited for its second when another step began; memory for such where none waits.
  private var waiting: Moment?
  private var hasWaiting = false
  /// Whether a step was begun and not completed: its first half may wait for the second.
  private var isAtWork = false
  /// Steps that were completed.
  private var completed = 0
  /// The step that a change belongs to.
  private var step: Int { completed + (isAtWork ? 1 : 0) }

  init(_ trainer: Trainer) throws {
    let early = trainer.method.learners.filter { !$0.movesLast }
    var live: [Tensor] = [], liveOfHalf: [Tensor] = [], movedEarly: [(learner: Learner, index: Int)] = []
    var moved: [(notice: Notice, tensors: [Tensor])] = []
    for entry in trainer.state(withStages: trainer.stages) {
      switch entry.change {
      case .inStep:
        if let learner = early.first(where: { $0.network.parameters.isSame(as: entry.tensor) }) {
          movedEarly.append((learner, live.count))
        }
        live.append(entry.tensor)
      case .inEitherHalf: liveOfHalf.append(entry.tensor)
      case .afterNotice(let notice):
        if let index = moved.firstIndex(where: { $0.notice === notice }) {
          moved[index].tensors.append(entry.tensor)
        } else {
          moved.append((notice, [entry.tensor]))
        }
      case .inRowsOfBatch, .never: break
      }
    }
    live += liveOfHalf
    self.live = live
    self.liveOfHalf = liveOfHalf
    self.movedEarly = movedEarly
    half = try liveOfHalf.map { try $0.copy() }
    current = Moment(copies: try live.map { try $0.copy() })
    previous = Moment(copies: try live.map { try $0.copy() })
    rowStates = trainer.method.rowStates
    for (notice, tensors) in moved {
      let move = try Move(tensors)
      moves.append(move)
      notice.handler = { [weak self, weak move] in if let self { move?.remember(in: step) } }
    }
  }

  /// Remembers the trainer's state, which a step is about to change.
  /// - Parameter rows: those of its batch, where they are known.
  /// - Throws: `DidactError.outOfMemory`.
  func begin(_ position: Trainer.Position, rows: [Int]) throws {
    let rows = try rowStates.compactMap { state -> RowCopy? in
      guard let all = state.values, !rows.isEmpty else { return nil }
      let copy = try Tensor(Shape(rows.count, state.columns), all.elementType)
      for (index, row) in rows.enumerated() { copy.rows(index..<index + 1).copyElements(of: all.rows(row..<row + 1)) }
      return RowCopy(all: all, rows: rows, values: copy)
    }
    if isAtWork {
      let before = current
      current = try waiting ?? Moment(copies: live.map { try $0.copy() })
      waiting = before
    }
    hasWaiting = isAtWork
    current.rows = rows
    Self.copy(live, to: current.copies)
    current.position = position
    isAtWork = true
    pointLearners()
  }

  private func pointLearners() {
    for (learner, index) in movedEarly { learner.parametersBeforeStep = current.copies[index] }
  }

  /// Remembers the state in the middle of a step.
  func setSavepoint() { Self.copy(liveOfHalf, to: half) }

  /// The step at work is now the last completed one.
  func commit() {
    swap(&current, &previous)
    isAtWork = false
    hasWaiting = false
    completed += 1
  }

  /// - Returns: the position to go back to; nil where it stays.
  func rollBack(to target: Target) -> Trainer.Position? {
    guard target != .savepoint else {
      Self.copy(half, to: liveOfHalf)
      return nil
    }
    let hasMoved = isAtWork && moves.contains { $0.step == step }
    let isPrevious = target == .lastStep && previous.position != nil && !hasMoved
    guard isPrevious || isAtWork else { return nil }
    // What diverges gives a waiting half up, so that no move of it stays.
    let moment = isPrevious ? previous : target == .lastStep && hasWaiting ? waiting ?? current : current
    Self.copy(moment.copies, to: live)
    for copy in moment.rows {
      for (index, row) in copy.rows.enumerated() {
        copy.all.rows(row..<row + 1).copyElements(of: copy.values.rows(index..<index + 1))
      }
    }
    for move in moves where move.step.map({ $0 >= (isPrevious ? completed : step) }) ?? false { move.takeBack() }
    // What has one copy has none of a time before this one.
    if isPrevious || hasMoved { previous.position = nil }
    isAtWork = target == .beginning && hasWaiting
    if isAtWork, let before = waiting {
      waiting = current
      current = before
      pointLearners()
    }
    hasWaiting = false
    return moment.position
  }

  private static func copy(_ tensors: [Tensor], to others: [Tensor]) {
    for (tensor, other) in zip(tensors, others) { other.copyElements(of: tensor) }
  }

  /// What changes all at once, and how it was before it last did.
  private final class Move {
    private let live, kept: [Tensor]
    /// The step of the last change; nil where there is none to take back.
    private(set) var step: Int?

    init(_ live: [Tensor]) throws {
      self.live = live
      kept = try live.map { try $0.copy() }
    }

    /// The first change in a step is the one to go back on.
    func remember(in step: Int) {
      guard self.step != step else { return }
      Transaction.copy(live, to: kept)
      self.step = step
    }

    func takeBack() {
      Transaction.copy(kept, to: live)
      step = nil
    }
  }
}

extension Tensor {
  fileprivate func isSame(as other: Tensor) -> Bool { buffer === other.buffer && offset == other.offset }
}
