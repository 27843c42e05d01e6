#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What a name in a directory stands for; links are followed.
struct DirectoryEntry {
  let name: String
  let isDirectory: Bool
}

/// Whether a path leads to a directory.
/// - Throws: `DidactError.file` where it leads nowhere.
package func isDirectory(_ path: String) throws -> Bool {
  guard !path.utf8.contains(0) else { throw DidactError(.file, "the file name contains a NUL character") }
  var status = stat()
  guard stat(path, &status) == 0 else { throw fileError("could not open", path, errno) }
  return status.st_mode & S_IFMT == S_IFDIR
}

/// The names in a directory, sorted by their bytes; hidden ones, which begin with a dot, are left out.
/// - Throws: `DidactError.file`, also for a name that is not UTF-8 or a link that leads nowhere.
func directoryEntries(_ path: String) throws -> [DirectoryEntry] {
  guard let directory = opendir(path) else { throw fileError("could not open", path, errno) }
  defer { closedir(directory) }
  var entries: [DirectoryEntry] = []
  while true {
    errno = 0
    guard let entry = readdir(directory) else {
      if errno != 0 { throw fileError("could not read", path, errno) }
      break
    }
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(validatingCString: $0) ?? "\u{fffd}" }
    }
    guard !name.contains("\u{fffd}") else {
      throw DidactError(.file, "\(path): it has a file whose name is not UTF-8; rename it")
    }
    guard !name.hasPrefix(".") else { continue }
    entries.append(DirectoryEntry(name: name, isDirectory: try isDirectory("\(path)/\(name)")))
  }
  return entries.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
}
