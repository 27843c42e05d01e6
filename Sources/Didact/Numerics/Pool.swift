import Synchronization

/// Objects that are used again: one that nobody else refers to any more is free, and handed out anew.
///
/// For one thread at a time; the owners of the objects may be others.
struct Pool<Key: Equatable, Object: AnyObject> {
  private struct Entry {
    let key: Key
    var object: Object
    let byteCount: Int
    var lastUse: Int
  }
  private var entries: [Entry] = []
  private var uses = 0
  /// Objects kept, and the bytes of those that are free.
  private let capacity: Int
  private let freeByteCapacity = 1 << 28

  init(capacity: Int) { self.capacity = capacity }

  /// A free object of that key, or one made now. A new one makes room: of the free ones, those not used for longest go.
  mutating func object(_ key: Key, byteCount: @autoclosure () throws -> Int, make: () throws -> Object) rethrows
    -> Object
  {
    uses += 1
    for index in entries.indices where entries[index].key == key && isFree(index) {
      entries[index].lastUse = uses
      return entries[index].object
    }
    let byteCount = try byteCount()
    makeRoom(byteCount: byteCount)
    let object = try make()
    if entries.count < capacity {
      entries.append(Entry(key: key, object: object, byteCount: byteCount, lastUse: uses))
    }
    return object
  }

  /// Lets go of the free objects, and forgets the others.
  mutating func removeAll() { entries = [] }

  private mutating func makeRoom(byteCount: Int) {
    let free = entries.indices.filter { isFree($0) }.sorted { entries[$0].lastUse < entries[$1].lastUse }
    var freeByteCount = free.reduce(0) { $0 + entries[$1].byteCount }, dropped: Set<Int> = []
    for index in free {
      guard entries.count - dropped.count >= capacity || freeByteCount > freeByteCapacity - byteCount else { break }
      freeByteCount -= entries[index].byteCount
      dropped.insert(index)
    }
    entries = entries.indices.filter { !dropped.contains($0) }.map { entries[$0] }
  }

  private mutating func isFree(_ index: Int) -> Bool {
    guard isKnownUniquelyReferenced(&entries[index].object) else { return false }
    // What its last owner did with it happened before the last reference went.
    atomicMemoryFence(ordering: .acquiring)
    return true
  }
}
