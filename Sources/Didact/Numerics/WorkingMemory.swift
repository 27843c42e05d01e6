/// Memory for what lives no longer than one run of a pass: values that nobody keeps, cotangents, tangents and scratch.
///
/// All networks take turns in it, so that a step of several networks holds it once. Runs on several threads at a time have
/// a piece each.
final class WorkingMemory: Sendable {
  private let free = Locked<[Buffer]>([])
  private static let kept = 16
  /// With less, a pass has its own, because a lock would cost more than is saved.
  static let leastByteCount = 1 << 20

  /// Runs `body` with memory of arbitrary values that nobody else uses until it returns.
  /// - Throws: `DidactError.outOfMemory`.
  func withBuffer<Result>(byteCount: Int, _ body: (Buffer) throws -> Result) throws -> Result {
    let buffer = try take(byteCount)
    defer {
      free.withLock { if $0.count < WorkingMemory.kept { $0.append(buffer) } }
    }
    return try body(buffer)
  }

  /// Lets go of what nobody uses.
  func clear() { free.withLock { $0 = [] } }

  /// The smallest piece that is large enough; where there is none, the largest goes to make room for a new one.
  private func take(_ byteCount: Int) throws -> Buffer {
    func rank(_ piece: Buffer) -> Int { piece.byteCount >= byteCount ? piece.byteCount : Int.max - piece.byteCount }
    let found = free.withLock { free -> Buffer? in
      guard let index = free.indices.min(by: { rank(free[$0]) < rank(free[$1]) }) else { return nil }
      let piece = free.remove(at: index)
      return piece.byteCount >= byteCount ? piece : nil
    }
    return try found ?? Buffer(byteCount: byteCount)
  }

  // MARK: - The process's

  private struct WeakReference { weak var memory: WorkingMemory? }
  private static let alive = Locked(WeakReference())

  /// That of all networks, which lives as long as one of its users does.
  static func shared() -> WorkingMemory {
    alive.withLock { alive in
      if let memory = alive.memory { return memory }
      let memory = WorkingMemory()
      alive.memory = memory
      return memory
    }
  }
}
