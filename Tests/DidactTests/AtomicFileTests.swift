#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif
import Testing

@testable import Didact

@Suite("Atomic files") struct AtomicFileTests {
  @Test func readsWhatWasWritten() throws {
    let directory = try TemporaryDirectory()
    let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 * 7) }
    #expect(try readBytes(try directory.write(bytes, to: "a")) == bytes)
    #expect(try readBytes(try directory.write([], to: "a")) == [])
    #expect(directory.fileNames == ["a"])
  }

  @Test func errorsNameFileAndReason() throws {
    let directory = try TemporaryDirectory()
    expectError(.file, containing: directory.path("none"), "No such file") { _ = try readFile(directory.path("none")) }
    expectError(.file, containing: directory.path, "regular file") { _ = try readFile(directory.path) }
    expectError(.file, containing: "/none/x", "No such file") { try writeFileAtomically(to: "/none/x") { _ in } }
    expectError(.file, containing: directory.path, "directory") { try writeFileAtomically(to: directory.path) { _ in } }
    expectError(.file, containing: "empty") { _ = try readFile("") }
    expectError(.file, containing: "NUL") { _ = try readFile("a\0b") }
    expectError(.file, containing: "NUL") { try writeFileAtomically(to: "a\0b") { _ in } }
  }

  /// Fails the first, second, … step of a save until one runs through.
  @Test func everyFailingStepLeavesTheOldFile() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write("old", to: "model")
    var failures: [FileOperation] = []
    for failing in 0... {
      var step = 0
      var failed: FileOperation?
      let fault: FileFault = { operation in
        defer { step += 1 }
        if step != failing { return nil }
        failed = operation
        return ENOSPC
      }
      do {
        try writeFileAtomically(to: path, fault: fault) { writer in
          try writer.write("new ")
          try writer.write("content")
        }
        break
      } catch let error as DidactError {
        #expect(error.code == .file)
        #expect(error.message.contains(path) && error.message.contains("No space left"))
      }
      let operation = try #require(failed)
      failures.append(operation)
      #expect(directory.fileNames == ["model"])
      // Once the new file has its name, only durability can fail, and the error says so.
      let expected = operation == .synchronizeDirectory ? "new content" : "old"
      #expect(try readBytes(path) == Array(expected.utf8))
      _ = try directory.write("old", to: "model")
    }
    #expect(failures == [.open, .write, .write, .synchronize, .close, .rename, .synchronizeDirectory])
    #expect(try readBytes(path) == Array("new content".utf8))
    #expect(directory.fileNames == ["model"])
  }

  @Test func anErrorOfTheCallerLeavesTheOldFile() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write("old", to: "model")
    expectError(.diverged) {
      try writeFileAtomically(to: path) { writer in
        try writer.write("new")
        throw DidactError(.diverged, "stop")
      }
    }
    #expect(try readBytes(path) == Array("old".utf8))
    #expect(directory.fileNames == ["model"])
  }

  @Test func aFailedFirstSaveLeavesNothing() throws {
    let directory = try TemporaryDirectory()
    expectError(.file) {
      try writeFileAtomically(to: directory.path("model"), fault: { $0 == .rename ? EIO : nil }) { try $0.write("x") }
    }
    #expect(directory.fileNames == [])
  }

  @Test func keepsPermissionsAndLinks() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write("old", to: "model")
    #expect(chmod(path, 0o640) == 0)
    #expect(symlink("model", directory.path("link")) == 0)
    _ = try directory.write("new", to: "link")
    #expect(try readBytes(path) == Array("new".utf8))
    var status = stat()
    #expect(lstat(directory.path("link"), &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
    #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o640)
  }

  @Test func writesDevicesDirectly() throws {
    try writeFileAtomically(to: "/dev/null") { try $0.write("x") }
    var status = stat()
    #expect(stat("/dev/null", &status) == 0 && status.st_mode & S_IFMT == S_IFCHR)
  }
}
