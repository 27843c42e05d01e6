#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif
import Testing

@testable import Didact

/// A directory that lasts as long as the object.
final class TemporaryDirectory {
  let path: String

  init() throws {
    var template = Array("/tmp/didact-test-XXXXXX".utf8CString)
    try #require(mkdtemp(&template) != nil)
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  func path(_ name: String) -> String { path + "/" + name }

  /// Makes a folder in it and returns its path.
  func folder(_ name: String) throws -> String {
    try #require(mkdir(path(name), 0o777) == 0)
    return path(name)
  }

  /// Writes a file and returns its path.
  @discardableResult func write(_ bytes: [UInt8], to name: String) throws -> String {
    try writeFileAtomically(to: path(name)) { writer in try bytes.withUnsafeBytes { try writer.write($0) } }
    return path(name)
  }

  func write(_ text: String, to name: String) throws -> String { try write(Array(text.utf8), to: name) }

  /// The names of the files in it, sorted.
  var fileNames: [String] { TemporaryDirectory.names(path) }

  private static func names(_ path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  private static func remove(_ path: String) {
    for name in names(path) where unlink("\(path)/\(name)") != 0 { remove("\(path)/\(name)") }
    rmdir(path)
  }

  deinit { TemporaryDirectory.remove(path) }
}

/// The path of a file under Tests/Fixtures, which scripts/make-fixtures.py writes.
func fixture(_ name: String, testFile: String = #filePath) -> String {
  let tests = testFile.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
  return tests + "/Fixtures/" + name
}

func readBytes(_ path: String) throws -> [UInt8] { try readFile(path).withBytes { Array($0) } }

/// Rewrites a model file with its description changed.
func changeDescription(of path: String, _ change: (inout JSONObject) throws -> Void) throws {
  var file = try SafetensorsFile(reading: path)
  let text = try #require(file.metadata(named: "didact.description"))
  var description = try #require(JSON(parsing: text).members)
  try change(&description)
  file.metadata = file.metadata.map {
    ($0.key, $0.key == "didact.description" ? JSON.object(description).serialized() : $0.value)
  }
  try file.write(to: path)
}

/// Expects an error of this kind whose message has all these parts.
func expectError(
  _ code: DidactError.Code, containing parts: String..., sourceLocation: SourceLocation = #_sourceLocation,
  from body: () throws -> Void
) {
  do {
    try body()
    Issue.record("no error; expected \(parts)", sourceLocation: sourceLocation)
  } catch let error as DidactError {
    #expect(error.code == code, "\(error.message)", sourceLocation: sourceLocation)
    for part in parts {
      #expect(error.message.contains(part), "\(error.message)", sourceLocation: sourceLocation)
    }
  } catch {
    Issue.record("\(error)", sourceLocation: sourceLocation)
  }
}
