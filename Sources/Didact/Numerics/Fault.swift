import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Failures on purpose, for tests: when a thread comes to a point for the N-th time, what stands there fails.
enum Fault {
  enum Point: Hashable {
    /// Memory for a buffer.
    case allocation
    /// A loss that is compared with infinity.
    case loss
    /// A gradient that an optimiser takes.
    case gradient
  }

  private struct Planned {
    let point: Point
    /// How many times more all goes well.
    var remaining: Int
    var hasHappened = false
  }

  private static let planCount = Atomic(0)
  /// By thread.
  private static let plans = Locked<[UInt: Planned]>([:])

  /// Whether what stands at a point is to fail this time.
  static func isDue(_ point: Point) -> Bool {
    guard planCount.load(ordering: .relaxed) > 0 else { return false }
    return plans.withLock { plans in
      guard var plan = plans[thread], plan.point == point else { return false }
      defer { plans[thread] = plan }
      plan.remaining -= 1
      guard plan.remaining == -1 else { return false }
      plan.hasHappened = true
      return true
    }
  }

  /// Runs `body`, in which one thing fails that this thread does.
  /// - Parameter number: of the times that it comes to the point, counted from 0.
  /// - Returns: what `body` returned or threw, and whether it came so far.
  static func failing<Result>(
    _ point: Point, number: Int, _ body: () throws -> Result
  ) -> (result: Swift.Result<Result, any Error>, hasHappened: Bool) {
    plans.withLock { $0[thread] = Planned(point: point, remaining: number) }
    planCount.add(1, ordering: .relaxed)
    let result = Swift.Result(catching: body)
    planCount.subtract(1, ordering: .relaxed)
    return (result, plans.withLock { $0.removeValue(forKey: thread)?.hasHappened ?? false })
  }

  private static var thread: UInt {
    #if canImport(Darwin)
      UInt(bitPattern: pthread_self())
    #else
      UInt(pthread_self())
    #endif
  }
}
