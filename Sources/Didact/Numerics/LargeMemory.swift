/// Large pieces of memory that are used again: what nobody refers to any more is for the next who needs so much or less.
///
/// What lives no longer than one run of a pass (values that nobody keeps, cotangents, tangents and scratch) all networks take
/// turns in. The workspaces of large passes are pieces of their trainer: what the student's pass needs no longer, the next of
/// the teacher has. Several threads may ask at a time.
final class LargeMemory: Sendable {
  private let pieces = Locked<[Buffer]>([])
  private static let kept = 16
  /// Less is not worth a lock: passes have that themselves.
  static let leastByteCount = 1 << 20

  /// Who keeps a small thing must not keep a much larger piece.
  private static let largestShare = 8

  /// Memory of arbitrary values, the caller's as long as anybody refers to it: the smallest free piece that is large enough,
  /// and not much too large; where there is none, the largest of the smaller ones goes to make room for a new one.
  /// - Throws: `DidactError.outOfMemory`.
  func buffer(byteCount: Int) throws -> Buffer {
    func rank(_ piece: Buffer) -> Int { piece.byteCount >= byteCount ? piece.byteCount : Int.max - piece.byteCount }
    let found = pieces.withLock { pieces -> Buffer? in
      let most = byteCount.multipliedReportingOverflow(by: LargeMemory.largestShare)
      let free = pieces.indices.filter {
        (most.overflow || pieces[$0].byteCount <= most.partialValue) && isFree(&pieces[$0])
      }
      guard let index = free.min(by: { rank(pieces[$0]) < rank(pieces[$1]) }) else { return nil }
      if pieces[index].byteCount >= byteCount { return pieces[index] }
      pieces.remove(at: index)
      return nil
    }
    if let found { return found }
    let made: Buffer
    do {
      made = try Buffer(byteCount: byteCount)
    } catch let error as DidactError where error.code == .outOfMemory {
      clear()
      made = try Buffer(byteCount: byteCount)
    }
    pieces.withLock { if $0.count < LargeMemory.kept { $0.append(made) } }
    return made
  }

  /// Of the pieces that there are.
  var byteCounts: [Int] { pieces.withLock { $0.map(\.byteCount) } }

  /// Lets go of what nobody uses.
  func clear() {
    pieces.withLock { pieces in pieces = pieces.indices.filter { !isFree(&pieces[$0]) }.map { pieces[$0] } }
  }

  // MARK: - The process's

  private struct WeakReference { weak var memory: LargeMemory? }
  private static let alive = Locked(WeakReference())

  /// That of all networks, which lives as long as one of its users does.
  static func shared() -> LargeMemory {
    alive.withLock { alive in
      if let memory = alive.memory { return memory }
      let memory = LargeMemory()
      alive.memory = memory
      return memory
    }
  }
}
