#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The memory that this process can still have. A system that promises more than it has, and a control group that is full,
/// end a process without an error.
enum AvailableMemory {
  /// The least of what machine, control groups and the limit of addresses leave; nil where none of them says.
  static func bytes() -> Int? { [ofMachine(), ofControlGroups(), ofAddresses()].compactMap { $0 }.min() }

  /// The bytes that the machine can give to programs; nil where it does not say: Linux alone does.
  static func ofMachine() -> Int? {
    let sizes = numbers("/proc/meminfo")
    return sizes["MemAvailable:"].map { 1024 * ($0 + (sizes["SwapFree:"] ?? 0)) }
  }

  /// The bytes that the control groups of this process leave, the outer ones too: containers and batch systems limit memory
  /// by them. Cached files count as free, as far as they are given up first.
  /// - Parameters:
  ///   - membership: which groups this process is in, as in `/proc/self/cgroup`.
  ///   - root: where the groups are.
  static func ofControlGroups(membership: String = "/proc/self/cgroup", root: String = "/sys/fs/cgroup") -> Int? {
    var least: Int?
    for line in lines(membership) {
      // A line is "0::/user/job" (version 2), or "4:memory:/job" (version 1).
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3 else { continue }
      let isFirstVersion = parts[1].split(separator: ",").contains("memory")
      guard isFirstVersion || parts[1].isEmpty else { continue }
      var path = parts[2]
      // A container may see its own group as the root.
      while true {
        let folder = root + (isFirstVersion ? "/memory" : "") + path
        if let left = isFirstVersion ? ofFirstVersion(folder) : ofSecondVersion(folder) {
          least = min(least ?? left, left)
        }
        guard let slash = path.lastIndex(of: "/") else { break }
        path = path[..<slash]
      }
    }
    return least
  }

  private static func ofFirstVersion(_ folder: String) -> Int? {
    left(
      limit: folder + "/memory.limit_in_bytes", used: folder + "/memory.usage_in_bytes",
      cached: numbers(folder + "/memory.stat")["total_inactive_file"])
  }

  private static func ofSecondVersion(_ folder: String) -> Int? {
    left(
      limit: folder + "/memory.max", used: folder + "/memory.current",
      cached: numbers(folder + "/memory.stat")["inactive_file"])
  }

  private static func left(limit: String, used: String, cached: Int?) -> Int? {
    // No limit is "max", or about 2^63.
    guard let most = lines(limit).first.flatMap({ Int($0) }), let used = lines(used).first.flatMap({ Int($0) }),
      most < 1 << 60
    else { return nil }
    return max(0, most - used + min(used, cached ?? 0))
  }

  /// The bytes that are left of the addresses that this process may have; nil where there is no limit.
  static func ofAddresses() -> Int? {
    var limit = rlimit()
    #if canImport(Glibc)
      let isKnown = getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0
    #else
      let isKnown = getrlimit(RLIMIT_AS, &limit) == 0
    #endif
    guard isKnown, limit.rlim_cur < 1 << 60,
      let pages = lines("/proc/self/statm").first.flatMap({ Int($0.prefix { $0 != " " }) })
    else { return nil }
    return max(0, Int(limit.rlim_cur) - pages * Int(sysconf(Int32(_SC_PAGESIZE))))
  }

  /// The numbers of lines such as "MemAvailable:   22772840 kB", by their names.
  private static func numbers(_ path: String) -> [Substring: Int] {
    var sizes: [Substring: Int] = [:]
    for line in lines(path) {
      let words = line.split(whereSeparator: \.isWhitespace)
      if words.count > 1 { sizes[words[0]] = Int(words[1]) }
    }
    return sizes
  }

  /// The lines of a small file; none where it cannot be read.
  private static func lines(_ path: String) -> [String] {
    guard let file = fopen(path, "re") else { return [] }
    defer { fclose(file) }
    var lines: [String] = [], line = [CChar](repeating: 0, count: 512)
    while fgets(&line, Int32(line.count), file) != nil {
      let bytes = line.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
      lines.append(String(decoding: bytes, as: UTF8.self))
    }
    return lines
  }
}
