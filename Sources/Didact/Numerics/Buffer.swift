import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The type of an array's elements. The numbers are those of the C API and never change.
public enum ElementType: Int32, Sendable, CaseIterable, CustomStringConvertible {
  case float32 = 1
  case float64 = 2
  case int64 = 3
  case uint8 = 4

  public var byteCount: Int {
    switch self {
    case .float32: 4
    case .float64, .int64: 8
    case .uint8: 1
    }
  }
  public var description: String {
    switch self {
    case .float32: "float32"
    case .float64: "float64"
    case .int64: "int64"
    case .uint8: "uint8"
    }
  }
}

/// Memory that never moves: 64-byte aligned, zero-filled, freed with the last reference. Vector loads may read the
/// `padding` behind it.
///
/// Swift's own arrays end the process where an allocation fails; this throws instead.
package final class Buffer: @unchecked Sendable {
  package let address: UnsafeMutableRawPointer
  package let byteCount: Int
  private static let padding = 64
  /// Whatever must stay alive as long as this memory, where the memory is not ours (a mapped file, a static table).
  private let owner: AnyObject?

  package init(byteCount: Int) throws {
    guard byteCount >= 0 else { throw DidactError(.internalError, "a buffer of \(byteCount) bytes") }
    guard byteCount <= Buffer.physicalMemory else { throw Buffer.noRoom(byteCount) }
    // The system gives memory where it is first written: what other threads are filling counts.
    let promised = Buffer.bytesPromised.add(byteCount, ordering: .relaxed).newValue
    defer { Buffer.bytesPromised.subtract(byteCount, ordering: .relaxed) }
    var pointer: UnsafeMutableRawPointer?
    guard !Fault.isDue(.allocation), Buffer.hasRoom(byteCount: promised),
      posix_memalign(&pointer, 64, byteCount + Buffer.padding) == 0,
      let pointer
    else { throw Buffer.noRoom(byteCount) }
    memset(pointer, 0, byteCount)
    Buffer.bytesAlive.add(byteCount, ordering: .relaxed)
    self.address = pointer
    self.byteCount = byteCount
    self.owner = nil
  }

  /// Borrows memory that `owner` keeps alive.
  package init(borrowing address: UnsafeMutableRawPointer, byteCount: Int, owner: AnyObject) {
    self.address = address
    self.byteCount = byteCount
    self.owner = owner
  }

  deinit {
    guard owner == nil else { return }
    free(address)
    Buffer.bytesAlive.subtract(byteCount, ordering: .relaxed)
  }

  /// For memory that is not a buffer's, such as Swift's arrays.
  /// - Throws: `DidactError.outOfMemory` where the process cannot have so many bytes more.
  package static func checkRoom(byteCount: Int) throws {
    guard hasRoom(byteCount: byteCount) else { throw noRoom(byteCount) }
  }

  /// A system that promises more memory than there is would end the process later, without an error.
  private static func hasRoom(byteCount: Int) -> Bool {
    guard byteCount <= physicalMemory - bytesAlive.load(ordering: .relaxed) else { return false }
    // To ask takes a hundredth of the time that filling so much does.
    guard byteCount >= 1 << 24, let available = AvailableMemory.bytes() else { return true }
    return byteCount <= available
  }

  private static func noRoom(_ byteCount: Int) -> DidactError {
    let available = AvailableMemory.bytes().map { ", of which this process can still have \($0)" } ?? ""
    return DidactError(
      .outOfMemory,
      "could not allocate \(byteCount) bytes beside the \(bytesAlive.load(ordering: .relaxed)) in use, on a machine with "
        + "\(physicalMemory)\(available); use a smaller batch or network")
  }

  /// Of all buffers with memory of their own, and of those that are being filled.
  private static let bytesAlive = Atomic(0), bytesPromised = Atomic(0)
  private static let physicalMemory: Int = {
    let pages = sysconf(Int32(_SC_PHYS_PAGES)), size = sysconf(Int32(_SC_PAGESIZE))
    return pages > 0 && size > 0 ? pages * size : 1 << 50
  }()
}
