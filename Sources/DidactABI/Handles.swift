import Didact
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The classes of handles.
enum HandleKind: UInt8 {
  case network = 1
  case pass, optimizer, average, trainer, predictor, dataset

  var name: String {
    switch self {
    case .network: "didact_network"
    case .pass: "didact_pass"
    case .optimizer: "didact_optimizer"
    case .average: "didact_average"
    case .trainer: "didact_trainer"
    case .predictor: "didact_predictor"
    case .dataset: "didact_dataset"
    }
  }
}

/// All live handles. A handle is a number, not an address: class (8 bits), slot (24 bits) and generation (31 bits), so that
/// a freed or foreign one is recognised.
private struct HandleTable: Sendable {
  struct Entry: Sendable {
    var generation: UInt32 = 0
    var kind: HandleKind?
    var object: (any AnyObject & Sendable)?
  }
  var entries: [Entry] = []
  var free: [Int] = []
}

private let handles = Mutex(HandleTable())
private let hasForked = Atomic(false)
/// Registered by the first call: a child of a process that never used the library may use it.
private let forkWatch: Void = {
  // Made before any fork that counts: a child cannot wait for a thread that is making it.
  _ = buildInformationText
  pthread_atfork(nil, nil) { hasForked.store(true, ordering: .relaxed) }
  return ()
}()

func checkNotForked() throws {
  _ = forkWatch
  guard !hasForked.load(ordering: .relaxed) else {
    throw DidactError(
      .forked,
      "this process was forked after Didact was used, and threads and locks do not survive that; start worker "
        + "processes with spawn or exec (in Python: multiprocessing.set_start_method(\"spawn\"))")
  }
}

/// A new handle that keeps `object` alive.
func makeHandle(_ object: some AnyObject & Sendable, _ kind: HandleKind) throws -> OpaquePointer {
  try handles.withLock { table in
    let slot: Int
    if let reused = table.free.popLast() {
      slot = reused
    } else {
      slot = table.entries.count
      guard slot < 1 << 24 else { throw DidactError(.outOfMemory, "more than 16 million handles are alive; free some") }
      table.entries.append(HandleTable.Entry())
    }
    // Generation 0 is never used, so that no handle is null.
    let generation = table.entries[slot].generation == 0x7fff_ffff ? 1 : table.entries[slot].generation + 1
    table.entries[slot] = HandleTable.Entry(generation: generation, kind: kind, object: object)
    let bits = UInt(generation) << 32 | UInt(slot) << 8 | UInt(kind.rawValue)
    guard let handle = OpaquePointer(bitPattern: bits) else { throw DidactError(.internalError, "a null handle") }
    return handle
  }
}

/// The entry of a live handle of this kind.
private func find(_ handle: OpaquePointer, _ kind: HandleKind, _ table: borrowing HandleTable) -> Int? {
  let bits = UInt(bitPattern: handle)
  let slot = Int(bits >> 8 & 0xff_ffff)
  guard bits & 0xff == UInt(kind.rawValue), slot < table.entries.count, table.entries[slot].kind == kind,
    UInt(table.entries[slot].generation) == bits >> 32
  else { return nil }
  return slot
}

/// The object behind a handle.
/// - Throws: `DidactError.invalidArgument` for null, `.invalidHandle` for one that is not alive or of another class.
func resolve<Object: AnyObject & Sendable>(_ handle: OpaquePointer?, _ kind: HandleKind, as: Object.Type = Object.self)
  throws -> Object
{
  guard let handle else { throw DidactError(.invalidArgument, "the \(kind.name) is null") }
  let object = handles.withLock { table in find(handle, kind, table).flatMap { table.entries[$0].object } }
  guard let object = object as? Object else {
    throw DidactError(.invalidHandle, "not a live \(kind.name): it was freed, or belongs to another class or library")
  }
  return object
}

/// Frees a handle; nothing for null or one that is not alive.
func freeHandle(_ handle: OpaquePointer?, _ kind: HandleKind) {
  guard let handle, !hasForked.load(ordering: .relaxed) else { return }
  // The object is released outside the lock, because its end may take a while.
  let object: (any AnyObject & Sendable)? = handles.withLock { table in
    guard let slot = find(handle, kind, table) else { return nil }
    defer {
      table.entries[slot].object = nil
      table.entries[slot].kind = nil
      table.free.append(slot)
    }
    return table.entries[slot].object
  }
  _ = object
}

/// How many handles are alive.
func liveHandles() -> Int { handles.withLock { $0.entries.count - $0.free.count } }
