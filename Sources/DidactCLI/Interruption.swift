import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Whether somebody has pressed Ctrl-C.
enum Interruption {
  /// As of a process that was killed by SIGINT.
  static let exitCode: Int32 = 130

  private static let flag = Atomic<Bool>(false)

  static var isRequested: Bool { flag.load(ordering: .relaxed) }

  /// From now on the first SIGINT only sets the flag; a second one kills.
  static func watch() {
    // Read once, so that the handler finds the flag initialised.
    _ = isRequested
    var action = sigaction()
    let handler: @convention(c) (Int32) -> Void = { _ in Interruption.flag.store(true, ordering: .relaxed) }
    #if canImport(Glibc)
      action.__sigaction_handler.sa_handler = handler
    #else
      action.__sigaction_u.__sa_handler = handler
    #endif
    // A job that a shell put into the background has SIGINT ignored, and stays deaf to it.
    var inherited = sigaction()
    sigaction(SIGINT, nil, &inherited)
    #if canImport(Glibc)
      let isIgnored = unsafeBitCast(inherited.__sigaction_handler.sa_handler, to: Int.self) == 1
    #else
      let isIgnored = unsafeBitCast(inherited.__sigaction_u.__sa_handler, to: Int.self) == 1
    #endif
    guard !isIgnored else { return }
    action.sa_flags = Int32(truncatingIfNeeded: SA_RESETHAND) | Int32(truncatingIfNeeded: SA_RESTART)
    sigaction(SIGINT, &action, nil)
  }
}
