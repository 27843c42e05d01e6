/// Which rows make the batch of a step: consecutive parts of an endless sequence of shuffled epochs.
///
/// The rows are a function of seed and step alone, so that a resumed run sees what an uninterrupted one would.
struct BatchSampler {
  let count: Int
  let batchSize: Int
  private let stream: RandomStream
  /// The orders of the epochs last asked for.
  private var orders: [(epoch: Int, order: [Int])] = []

  /// - Parameter batchSize: reduced to `count` where that is smaller.
  init(count: Int, batchSize: Int, stream: RandomStream) {
    self.count = count
    self.batchSize = min(batchSize, count)
    self.stream = stream
  }

  mutating func rows(step: Int) -> [Int] {
    let start = step * batchSize
    return (start..<start + batchSize).map { order(epoch: $0 / count)[$0 % count] }
  }

  private mutating func order(epoch: Int) -> [Int] {
    if let known = orders.first(where: { $0.epoch == epoch }) { return known.order }
    let order = stream.draw(UInt64(epoch)).permutation(count)
    // A batch touches two epochs at the most.
    orders = orders.suffix(1) + [(epoch, order)]
    return order
  }
}
