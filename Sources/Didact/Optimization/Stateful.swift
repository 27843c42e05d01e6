/// Something that training changes, in one tensor. Model files, copies of trainers and transactions walk lists of these.
struct StateEntry {
  /// When a step changes it.
  enum Change {
    /// At any time.
    case inStep
    /// At any time in each half of a step, where the halves are made apart.
    case inEitherHalf
    /// In the rows of the batch alone.
    case inRowsOfBatch
    /// All at once, after this was given. Until then it is as the last such change left it.
    case afterNotice(Notice)
    /// Not at all: it changes between steps.
    case never
  }

  /// What a file may hold of it.
  enum Kind {
    /// Finite numbers.
    case values
    /// A single int64 that counts.
    case count
    /// A single float64, which a file has in its description.
    case scalar
    /// Numbers in [0, 1].
    case shares
  }

  /// In files; of a tensor of several parts what is before the name of each.
  let name: String
  let tensor: Tensor
  /// The parts that files keep apart, if they do.
  var slots: [Slot]?
  var kind = Kind.values
  let change: Change

  /// What files keep, by name.
  var parts: [(name: String, tensor: Tensor)] {
    slots?.map { (name + $0.name, $0[tensor]) } ?? [(name, tensor)]
  }
}

/// What has state that training changes.
protocol Stateful {
  var state: [StateEntry] { get }
}

/// Tells who must know it first that something is about to change.
final class Notice {
  var handler: (() -> Void)?

  func give() { handler?() }
}

extension Network {
  /// Parameters and statistics.
  func state(_ prefix: String, parameters change: StateEntry.Change, statistics: StateEntry.Change) -> [StateEntry] {
    [
      StateEntry(name: prefix, tensor: self.parameters, slots: parameterSlots, change: change),
      StateEntry(name: prefix, tensor: self.statistics, slots: statisticSlots, change: statistics),
    ]
  }
}

extension Optimizer {
  /// - Parameter change: of the vectors, which a step moves with the parameters.
  func state(_ prefix: String, vectors change: StateEntry.Change) -> [StateEntry] {
    vectors.map {
      StateEntry(name: "\(prefix)\($0.name).", tensor: $0.flat, slots: network.parameterSlots, change: change)
    } + [StateEntry(name: "\(prefix)step", tensor: stepCount, kind: .count, change: .inEitherHalf)]
  }
}

extension MovingAverage: Stateful {
  var state: [StateEntry] { state("average.") }

  func state(_ prefix: String) -> [StateEntry] {
    network.state(prefix, parameters: .inStep, statistics: .inStep)
      + [StateEntry(name: "\(prefix)update_count", tensor: updateCount, kind: .count, change: .inStep)]
  }
}
