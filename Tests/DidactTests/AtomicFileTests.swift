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
    // Where there are no files without a name, none is given one.
    #expect(
      failures.filter { $0 != .name } == [.open, .write, .write, .synchronize, .close, .rename, .synchronizeDirectory])
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

  @Test func aLinkToNothingStaysALink() throws {
    let directory = try TemporaryDirectory()
    let folder = directory.path("folder")
    mkdir(folder, 0o755)
    #expect(symlink("folder/second", directory.path("first")) == 0 && symlink("target", folder + "/second") == 0)
    for text in ["new", "newer"] {
      try writeFileAtomically(to: directory.path("first")) { try $0.write(text) }
      #expect(try readBytes(folder + "/target") == Array(text.utf8))
      var status = stat()
      #expect(lstat(directory.path("first"), &status) == 0 && status.st_mode & S_IFMT == S_IFLNK)
    }
    #expect(symlink("ring", directory.path("ring")) == 0)
    expectError(.file, containing: "ring", "symbolic links") {
      try writeFileAtomically(to: directory.path("ring")) { try $0.write("x") }
    }
  }

  /// A pipe holds 64 KiB, and its reader takes its time.
  @Test func aPipeTakesMoreThanItHolds() throws {
    let directory = try TemporaryDirectory(), path = directory.path("pipe")
    #expect(mkfifo(path, 0o600) == 0)
    let length = 300_000, reader = PipeReader(path)
    try writeFileAtomically(to: path) { writer in
      try writer.write(String(repeating: "a", count: length))
    }
    #expect(reader.countOfBytes() == length)
  }

  /// As that of a caller who does not want to wait.
  @Test func aDescriptorThatDoesNotWaitTakesAll() {
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    #expect(fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0)
    let reader = PipeReader(ends[0]), bytes = [UInt8](repeating: 7, count: 300_000)
    #expect(bytes.withUnsafeBytes { writeAll($0, to: ends[1]) })
    close(ends[1])
    #expect(reader.countOfBytes() == bytes.count)
  }

  @Test func signsOfASyntaxAreFoundBeforeAnAccent() {
    let accent = "\u{301}"
    #expect("a,\(accent)b,c".separated(by: ",") == ["a", "\(accent)b", "c"])
    #expect("it's'\(accent)".replacing("'", by: "''") == "it''s''\(accent)")
    #expect(Didact.directory(of: "a/b/\(accent)c") == "a/b" && Didact.directory(of: "/\(accent)c") == "/")
    #expect(Didact.directory(of: "c") == ".")
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

/// Reads a pipe to its end, slowly, on a thread of its own.
private final class PipeReader: @unchecked Sendable {
  private var count = 0
  private var thread = pthread_t()
  private let open: () -> Int32

  convenience init(_ path: String) { self.init { Glibc.open(path, O_RDONLY) } }
  convenience init(_ descriptor: Int32) { self.init { descriptor } }

  private init(_ open: @escaping () -> Int32) {
    self.open = open
    let body: @convention(c) (UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? = { argument in
      guard let argument else { return nil }
      Unmanaged<PipeReader>.fromOpaque(argument).takeUnretainedValue().read()
      return nil
    }
    pthread_create(&thread, nil, body, Unmanaged.passUnretained(self).toOpaque())
  }

  private func read() {
    let descriptor = open()
    var buffer = [UInt8](repeating: 0, count: 10_000)
    while case let read = Glibc.read(descriptor, &buffer, buffer.count), read > 0 {
      count += read
      usleep(1000)
    }
    close(descriptor)
  }

  func countOfBytes() -> Int {
    pthread_join(thread, nil)
    return count
  }
}
