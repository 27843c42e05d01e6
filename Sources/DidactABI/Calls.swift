import Didact
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The calling thread's last error message, freed with the thread.
private let messageKey: pthread_key_t = {
  var key = pthread_key_t()
  pthread_key_create(&key) { free($0) }
  return key
}()

private func setMessage(_ message: String?) {
  free(pthread_getspecific(messageKey))
  pthread_setspecific(messageKey, message.flatMap { strdup($0) })
}

func lastMessage() -> UnsafePointer<CChar>? {
  pthread_getspecific(messageKey).map { UnsafePointer($0.assumingMemoryBound(to: CChar.self)) }
}

/// Runs the body of an entry point: no call after a fork, every error a status with its message in this thread's slot,
/// the slot cleared by success.
func call(_ body: () throws -> Void) -> didact_status {
  do {
    try checkNotForked()
    try body()
    if pthread_getspecific(messageKey) != nil { setMessage(nil) }
    return didact_status_code.DIDACT_OK.rawValue
  } catch let error as DidactError {
    setMessage(error.message)
    return error.code.rawValue
  } catch {
    setMessage("unexpected error: \(error)")
    return didact_status_code.DIDACT_EINTERNAL.rawValue
  }
}

/// - Throws: `DidactError.invalidArgument` where an output is null.
func required<Pointee>(_ pointer: UnsafeMutablePointer<Pointee>?, _ name: String) throws -> UnsafeMutablePointer<
  Pointee
> {
  guard let pointer else { throw DidactError(.invalidArgument, "\(name) is null") }
  return pointer
}

/// - Throws: `DidactError.invalidArgument` where a string is null or not UTF-8.
func text(_ pointer: UnsafePointer<CChar>?, _ name: String) throws -> String {
  guard let pointer else { throw DidactError(.invalidArgument, "\(name) is null") }
  guard let text = String(validatingCString: pointer) else {
    throw DidactError(.invalidArgument, "\(name) is not UTF-8")
  }
  return text
}

func json(_ pointer: UnsafePointer<CChar>?) throws -> JSON {
  do {
    return try JSON(parsing: text(pointer, "json"))
  } catch let error as DidactError where error.code == .format {
    throw DidactError(.invalidArgument, "json: \(error.message)")
  }
}

/// Copies a string out: as much as fits, ended by a zero byte; `length` takes the bytes that all of it needs, the zero byte
/// included.
func copyOut(
  _ string: String, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int64, _ length: UnsafeMutablePointer<Int64>?
) throws {
  let length = try required(length, "length")
  let bytes = Array(string.utf8)
  length.pointee = Int64(bytes.count + 1)
  guard capacity > 0, let buffer else { return }
  let copied = min(bytes.count, Int(min(capacity, Int64(Int.max))) - 1)
  for i in 0..<copied { buffer[i] = CChar(bitPattern: bytes[i]) }
  buffer[copied] = 0
}

/// Strings and shapes that callers may keep for as long as the process lives. There are as many as distinct layer names and
/// parameter shapes.
private struct Interned: @unchecked Sendable {
  var strings: [String: UnsafePointer<CChar>] = [:]
  var shapes: [Shape: UnsafePointer<Int64>] = [:]
}
private let interned = Mutex(Interned())

func internedString(_ string: String) throws -> UnsafePointer<CChar> {
  try interned.withLock { table in
    if let known = table.strings[string] { return known }
    guard let copy = strdup(string) else { throw DidactError(.outOfMemory, "could not allocate a name") }
    table.strings[string] = UnsafePointer(copy)
    return UnsafePointer(copy)
  }
}

func internedShape(_ shape: Shape) -> UnsafePointer<Int64> {
  interned.withLock { table in
    if let known = table.shapes[shape] { return known }
    let copy = UnsafeMutablePointer<Int64>.allocate(capacity: Shape.maximumRank)
    for i in 0..<Shape.maximumRank { copy[i] = Int64(shape[i]) }
    table.shapes[shape] = UnsafePointer(copy)
    return UnsafePointer(copy)
  }
}
