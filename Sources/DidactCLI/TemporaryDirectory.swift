import Didact

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A directory for a few files.
struct TemporaryDirectory {
  private let path: String

  init() throws {
    let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    var template = Array("\(parent)/didact-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw DidactError(.file, "could not make a directory in \(parent): \(String(cString: strerror(errno)))")
    }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  func path(_ name: String) -> String { path + "/" + name }

  /// With the files in it.
  func remove() {
    if let directory = opendir(path) {
      while let entry = readdir(directory) {
        withUnsafePointer(to: &entry.pointee.d_name) {
          _ = $0.withMemoryRebound(to: CChar.self, capacity: 256) { unlinkat(dirfd(directory), $0, 0) }
        }
      }
      closedir(directory)
    }
    rmdir(path)
  }
}
