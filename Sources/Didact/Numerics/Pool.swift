import Synchronization

/// Whether nobody else refers to an object. What its last owner did with it happened before.
func isFree<Object: AnyObject>(_ object: inout Object) -> Bool {
  guard isKnownUniquelyReferenced(&object) else { return false }
  atomicMemoryFence(ordering: .acquiring)
  return true
}

/// Objects that are used again: a free one is handed out anew. For one thread at a time.
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

  /// A free object of that key, if there is one.
  mutating func take(_ key: Key) -> Object? {
    uses += 1
    for index in entries.indices where entries[index].key == key && isFree(&entries[index].object) {
      entries[index].lastUse = uses
      return entries[index].object
    }
    return nil
  }

  /// A new object, which is kept. To make room, of the free ones those go first that were not used for longest.
  mutating func add(_ key: Key, byteCount: Int, make: () throws -> Object) rethrows -> Object {
    makeRoom(byteCount: byteCount)
    let object = try make()
    if entries.count < capacity {
      entries.append(Entry(key: key, object: object, byteCount: byteCount, lastUse: uses))
    }
    return object
  }

  private mutating func makeRoom(byteCount: Int) {
    let free = entries.indices.filter { isFree(&entries[$0].object) }.sorted {
      entries[$0].lastUse < entries[$1].lastUse
    }
    var freeByteCount = free.reduce(byteCount) { $0 + entries[$1].byteCount }, dropped: Set<Int> = []
    for index in free where entries.count - dropped.count >= capacity || freeByteCount > freeByteCapacity {
      freeByteCount -= entries[index].byteCount
      dropped.insert(index)
    }
    entries = entries.indices.filter { !dropped.contains($0) }.map { entries[$0] }
  }

  /// Lets go of the free objects, and forgets the others.
  mutating func removeAll() { entries = [] }
}
