#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

// MARK: - Reading

/// The whole content of a regular file.
/// - Parameter most: of how many bytes it may be at most.
/// - Throws: `DidactError.file` with the path and the system's reason; `.outOfMemory`.
package func readFile(_ path: String, most: Int = .max) throws -> Buffer {
  let (descriptor, length) = try openRegularFile(path)
  defer { close(descriptor) }
  guard length <= most else {
    throw DidactError(.file, "could not read \(path): it has \(length) bytes; at most \(most) are read")
  }
  let content = try Buffer(byteCount: length)
  var filled = 0
  while filled < content.byteCount {
    let length = min(content.byteCount - filled, largestTransfer)
    let count = read(descriptor, content.address + filled, length)
    if count < 0 && errno == EINTR { continue }
    if count < 0 { throw fileError("could not read", path, errno) }
    if count == 0 { throw DidactError(.file, "could not read \(path): it became shorter meanwhile; try again") }
    filled += count
  }
  return content
}

/// Opens a file to read from; the caller closes it.
func openRegularFile(_ path: String) throws -> (descriptor: Int32, length: Int) {
  let descriptor = try openFile(path, O_RDONLY | O_CLOEXEC, mode: 0)
  var status = stat()
  guard fstat(descriptor, &status) == 0 else {
    let code = errno
    close(descriptor)
    throw fileError("could not read", path, code)
  }
  guard status.st_mode & S_IFMT == S_IFREG else {
    close(descriptor)
    throw DidactError(.file, "could not read \(path): it is a directory, a pipe or a device; give a regular file")
  }
  return (descriptor, Int(status.st_size))
}

// MARK: - Writing

/// The steps of a save that can fail.
package enum FileOperation: Sendable {
  case open, write, synchronize, close, rename, synchronizeDirectory
}

/// Called before each step of a save. An error number in return makes the step fail with it: so tests can reach every
/// failure.
package typealias FileFault = (FileOperation) -> Int32?

/// Replaces the file at `path` by what `body` writes, wholly or not at all.
///
/// The content goes to a temporary file beside it, which then takes its name. Should anything fail, or `body` throw,
/// the temporary file is removed and the old file is as it was. A symbolic link stays one: its target is replaced.
/// Where `path` is a device or a pipe, such as `/dev/stdout`, it is written directly.
/// - Throws: `DidactError.file` with the path and the system's reason, and whatever `body` throws.
package func writeFileAtomically(
  to path: String, fault: FileFault? = nil, _ body: (FileWriter) throws -> Void
) throws {
  try checkPath(path)
  var status = stat()
  let exists = stat(path, &status) == 0
  if exists && status.st_mode & S_IFMT != S_IFREG {
    let writer = FileWriter(path: path, descriptor: try openFile(path, O_WRONLY | O_CLOEXEC, mode: 0), fault: fault)
    defer { _ = try? writer.close() }
    return try body(writer)
  }

  let target = exists ? resolvingLinks(path) : path
  let directory = directory(of: target)
  // The name does not contain the target's, which may already be as long as the file system allows.
  let temporary = directory + "/.didact-" + String(UInt64.random(in: .min ... .max), radix: 16) + ".partial"
  let descriptor = try perform(.open, path, fault) { open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666) }
  let writer = FileWriter(path: path, descriptor: descriptor, fault: fault)
  do {
    if exists { fchmod(descriptor, status.st_mode & 0o7777) }
    try body(writer)
    try perform(.synchronize, path, fault) { fsync(descriptor) }
    try writer.close()
    try perform(.rename, path, fault) { rename(temporary, target) }
  } catch {
    _ = try? writer.close()
    unlink(temporary)
    throw error
  }
  do {
    try synchronizeDirectory(directory, path, fault)
  } catch let error as DidactError {
    throw DidactError(.file, error.message + " (the new file is in place, but may not survive a power failure)")
  }
}

/// Writes to an open file, on behalf of `writeFileAtomically`.
package final class FileWriter {
  private let path: String
  private var descriptor: Int32?
  private let fault: FileFault?

  init(path: String, descriptor: Int32, fault: FileFault?) {
    self.path = path
    self.descriptor = descriptor
    self.fault = fault
  }

  /// - Throws: `DidactError.file` where not every byte could be written, for instance on a full disk.
  package func write(_ bytes: UnsafeRawBufferPointer) throws {
    guard let descriptor else { throw DidactError(.internalError, "write to \(path) after it was closed") }
    var rest = bytes
    while let start = rest.baseAddress, rest.count > 0 {
      let count = try perform(.write, path, fault) {
        #if canImport(Glibc)
          Glibc.write(descriptor, start, min(rest.count, largestTransfer))
        #else
          Darwin.write(descriptor, start, min(rest.count, largestTransfer))
        #endif
      }
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
  }

  package func write(_ text: String) throws {
    var text = text
    try text.withUTF8 { try write(UnsafeRawBufferPointer($0)) }
  }

  /// Closes the file; a second call does nothing.
  func close() throws {
    guard let descriptor else { return }
    // Closed even where close reports a failure, so never to be closed again.
    self.descriptor = nil
    #if canImport(Glibc)
      let result = Glibc.close(descriptor)
    #else
      let result = Darwin.close(descriptor)
    #endif
    if let code = fault?(.close) ?? (result == 0 ? nil : errno) { throw fileError("could not write", path, code) }
  }
}

// MARK: - System calls

/// Linux transfers at most 2 GiB − 4 KiB at once, macOS refuses more than 2 GiB − 1.
private let largestTransfer = 1 << 30

/// Runs one system call of a save, again where a signal interrupted it, and throws where it returns a negative number.
@discardableResult
private func perform<Result: SignedInteger>(
  _ operation: FileOperation, _ path: String, _ fault: FileFault?, _ call: () -> Result
) throws -> Result {
  if let code = fault?(operation) { throw fileError("could not write", path, code) }
  while true {
    let result = call()
    if result >= 0 { return result }
    let code = errno
    if code != EINTR { throw fileError("could not write", path, code) }
  }
}

/// Makes a rename in the directory durable.
private func synchronizeDirectory(_ directory: String, _ path: String, _ fault: FileFault?) throws {
  if let code = fault?(.synchronizeDirectory) { throw fileError("could not write", path, code) }
  let descriptor = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  // A directory that may be written but not read cannot be opened, and some file systems know no fsync of directories:
  // there the rename is as durable as it can be.
  guard descriptor >= 0 else { return }
  defer { close(descriptor) }
  if fsync(descriptor) != 0 && errno != EINVAL { throw fileError("could not write", path, errno) }
}

private func openFile(_ path: String, _ flags: Int32, mode: mode_t) throws -> Int32 {
  try checkPath(path)
  while true {
    // Without O_NONBLOCK, opening a pipe would wait for its other end; files do not mind.
    let descriptor = open(path, flags | O_NONBLOCK, mode)
    if descriptor >= 0 { return descriptor }
    if errno != EINTR { throw fileError("could not open", path, errno) }
  }
}

private func checkPath(_ path: String) throws {
  guard !path.isEmpty else { throw DidactError(.file, "the file name is empty") }
  // C would take the part before it for the name.
  guard !path.utf8.contains(0) else { throw DidactError(.file, "the file name contains a NUL character") }
}

private func resolvingLinks(_ path: String) -> String {
  guard let resolved = realpath(path, nil) else { return path }
  defer { free(resolved) }
  return String(cString: resolved)
}

private func directory(of path: String) -> String {
  guard let slash = path.lastIndex(of: "/") else { return "." }
  return slash == path.startIndex ? "/" : String(path[..<slash])
}

func fileError(_ what: String, _ path: String, _ code: Int32) -> DidactError {
  DidactError(.file, "\(what) \(path): \(String(cString: strerror(code)))")
}
