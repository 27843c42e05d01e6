import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Whether somebody asked this process to end: by Ctrl-C (SIGINT), as schedulers and `docker stop` do (SIGTERM), or by
/// closing its terminal (SIGHUP).
enum Interruption {
  private static let signals: [Int32] = [SIGINT, SIGTERM, SIGHUP]
  /// That which came first; 0 before.
  private static let number = Atomic<Int32>(0)

  static var isRequested: Bool { number.load(ordering: .relaxed) != 0 }

  /// As of a process that was killed by the signal: 130 after Ctrl-C.
  static var exitCode: Int32 { 128 + number.load(ordering: .relaxed) }

  /// From now on the first of these signals only sets the flag; the same one a second time kills.
  static func watch() {
    // Read once, so that the handler finds the flag initialised.
    _ = isRequested
    for signal in signals {
      // What was ignored stays so: Ctrl-C in a job that a shell put into the background, and SIGHUP under nohup.
      guard handler(of: signal) != 1 else { continue }
      handle(signal, flags: Int32(truncatingIfNeeded: SA_RESETHAND) | Int32(truncatingIfNeeded: SA_RESTART)) { number in
        _ = Interruption.number.compareExchange(expected: 0, desired: number, ordering: .relaxed)
      }
    }
  }

  private static func handle(_ signal: Int32, flags: Int32, _ handler: @escaping @convention(c) (Int32) -> Void) {
    var action = sigaction()
    #if canImport(Glibc)
      action.__sigaction_handler.sa_handler = handler
    #else
      action.__sigaction_u.__sa_handler = handler
    #endif
    action.sa_flags = flags
    sigaction(signal, &action, nil)
  }

  /// As a number: 1 is SIG_IGN.
  private static func handler(of signal: Int32) -> Int {
    var inherited = sigaction()
    sigaction(signal, nil, &inherited)
    #if canImport(Glibc)
      return unsafeBitCast(inherited.__sigaction_handler.sa_handler, to: Int.self)
    #else
      return unsafeBitCast(inherited.__sigaction_u.__sa_handler, to: Int.self)
    #endif
  }
}
