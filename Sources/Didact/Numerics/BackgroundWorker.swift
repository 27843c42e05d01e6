import CPlatform

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A thread that makes one value at a time, while its owner does something else.
///
/// Where no thread can be had, values are made when they are taken.
final class BackgroundWorker<Value> {
  /// What owner and thread share: the thread keeps it alive.
  private final class Desk: @unchecked Sendable {
    var task: (() throws -> Value)?
    var result: Result<Value, any Error>?
    var isClosed = false
    let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    let changed = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

    init() {
      pthread_mutex_init(lock, nil)
      pthread_cond_init(changed, nil)
    }

    deinit {
      pthread_mutex_destroy(lock)
      pthread_cond_destroy(changed)
      lock.deallocate()
      changed.deallocate()
    }

    /// Waits until `body` finds what it looks for on the desk.
    func wait<Found>(_ body: (Desk) -> Found?) -> Found {
      pthread_mutex_lock(lock)
      defer {
        pthread_cond_broadcast(changed)
        pthread_mutex_unlock(lock)
      }
      while true {
        if let found = body(self) { return found }
        pthread_cond_wait(changed, lock)
      }
    }

    func work() {
      while let task = wait({ desk in desk.isClosed ? .some(nil) : desk.task.map { .some($0) } }) {
        let result = Result(catching: task)
        wait { desk in
          desk.result = result
          desk.task = nil
          return ()
        }
      }
    }
  }

  private let desk = Desk()
  private let thread: pthread_t?

  init() {
    // Signals are for the threads of the program.
    var before = sigset_t()
    platform_hold_signals(&before)
    defer { platform_release_signals(&before) }
    #if canImport(Darwin)
      var thread: pthread_t?
    #else
      var thread = pthread_t()
    #endif
    let box = Unmanaged.passRetained(Work(body: desk.work))
    let status = pthread_create(
      &thread, nil,
      { argument in
        #if canImport(Darwin)
          Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body()
        #else
          if let argument { Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().body() }
        #endif
        return nil
      }, box.toOpaque())
    if status != 0 { box.release() }
    self.thread = status == 0 ? thread : nil
  }

  deinit {
    guard let thread else { return }
    desk.wait { desk in desk.isClosed = true }
    pthread_join(thread, nil)
  }

  /// Asks for a value; the last one must have been taken.
  func begin(_ task: @escaping () throws -> Value) { desk.wait { desk in desk.task = task } }

  /// The value that was asked for, as soon as it is there.
  func take() throws -> Value {
    guard thread == nil else {
      return try desk.wait { desk in
        defer { desk.result = nil }
        return desk.result
      }.get()
    }
    return try desk.wait { desk in
      defer { desk.task = nil }
      return desk.task
    }()
  }
}

/// What a thread does; not generic, so that C can call it.
private final class Work {
  let body: () -> Void

  init(body: @escaping () -> Void) { self.body = body }
}
