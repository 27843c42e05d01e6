/// The members of a fit side by side: each lane is a thread that makes a step of each of its members, one after the other.
/// What a member learns does not depend on the lane that it is in.
final class MemberLanes {
  typealias Member = (index: Int?, run: FitRun)

  private let lanes: [[Member]]
  /// One for each lane but the first, which is the caller's.
  private let workers: [BackgroundWorker<Bool>]

  /// - Parameter threads: the most to use.
  init(_ members: [Member], threads: Int) {
    var lanes = Array(repeating: [Member](), count: max(1, min(threads, members.count)))
    func cost(_ lane: [Member]) -> Int { lane.reduce(0) { $0 + $1.run.cost } }
    for member in members.sorted(by: { $0.run.cost > $1.run.cost }) {
      let lightest = lanes.indices.min { cost(lanes[$0]) < cost(lanes[$1]) } ?? 0
      lanes[lightest].append(member)
    }
    self.lanes = lanes
    workers = lanes.dropFirst().map { _ in BackgroundWorker() }
  }

  /// Lets each member make its step, as long as it has one left.
  /// - Returns: whether any of them had one.
  /// - Throws: the first error of a lane. Members behind it in that lane have not made the step; a later fit makes it.
  func step() throws -> Bool {
    for (worker, lane) in zip(workers, lanes.dropFirst()) { worker.begin { try MemberLanes.step(lane) } }
    let first = Result { try MemberLanes.step(lanes[0]) },
      others = workers.map { worker in Result { try worker.take() } }
    return try ([first] + others).map { try $0.get() }.contains(true)
  }

  private static func step(_ lane: [Member]) throws -> Bool {
    var hasStepped = false
    for (index, run) in lane {
      if try Trainer.failing(asMember: index, { try run.step() }) { hasStepped = true }
    }
    return hasStepped
  }
}
