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
  case open, write, synchronize, name, close, rename, synchronizeDirectory
}

/// Called before each step of a save. An error number in return makes the step fail with it: so tests can reach every
/// failure.
package typealias FileFault = (FileOperation) -> Int32?

/// Replaces the file at `path` by what `body` writes, wholly or not at all.
///
/// The content goes to a file beside it, without a name where the system has such, which then takes this one. Should
/// anything fail, or `body` throw, the other file is removed and the old one is as it was. A symbolic link stays one: its
/// target is replaced. Where `path` is a device or a pipe, such as `/dev/stdout`, it is written directly.
/// - Throws: `DidactError.file` with the path and the system's reason, and whatever `body` throws.
package func writeFileAtomically(
  to path: String, fault: FileFault? = nil, _ body: (FileWriter) throws -> Void
) throws {
  try checkPath(path)
  var status = stat()
  let exists = stat(path, &status) == 0
  if exists && status.st_mode & S_IFMT != S_IFREG {
    // Waits for a pipe's other end, as every program does.
    let descriptor = try perform(.open, path, fault) { open(path, O_WRONLY | O_CLOEXEC) }
    let writer = FileWriter(path: path, descriptor: descriptor, fault: fault)
    defer { _ = try? writer.close() }
    return try body(writer)
  }

  let target = try resolvingLinks(path), directory = directory(of: target)
  // The name does not contain the target's, which may already be as long as the file system allows.
  let temporary = directory + "/.didact-" + String(UInt64.random(in: .min ... .max), radix: 16) + ".partial"
  var isNamed = true
  let descriptor = try perform(.open, path, fault) {
    let unnamed = openUnnamed(in: directory)
    isNamed = unnamed < 0
    return isNamed ? open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666) : unnamed
  }
  let writer = FileWriter(path: path, descriptor: descriptor, fault: fault)
  do {
    if exists { fchmod(descriptor, status.st_mode & 0o7777) }
    try body(writer)
    try perform(.synchronize, path, fault) { fsync(descriptor) }
    if !isNamed {
      try perform(.name, path, fault) { name(descriptor, temporary) }
      isNamed = true
    }
    try writer.close()
    try perform(.rename, path, fault) { rename(temporary, target) }
  } catch {
    _ = try? writer.close()
    if isNamed { unlink(temporary) }
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
    guard bytes.count > 0 else { return }
    try perform(.write, path, fault) { writeAll(bytes, to: descriptor) ? 0 : -1 }
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

/// Writes all bytes, waiting where a descriptor that was made not to wait has no room, such as a pipe with a slow reader.
/// - Returns: whether it could; if not, the reason is in `errno`.
package func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Bool {
  var rest = bytes
  while let start = rest.baseAddress, rest.count > 0 {
    #if canImport(Glibc)
      let count = Glibc.write(descriptor, start, min(rest.count, largestTransfer))
    #else
      let count = Darwin.write(descriptor, start, min(rest.count, largestTransfer))
    #endif
    if count < 0, errno == EAGAIN || errno == EWOULDBLOCK {
      var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
      poll(&waiting, 1, -1)
    } else if count < 0, errno != EINTR {
      return false
    } else if count > 0 {
      rest = UnsafeRawBufferPointer(rebasing: rest[count...])
    }
  }
  return true
}

/// A new file without a name, which is gone with the process, however that ends; a negative number where there is no such
/// thing.
private func openUnnamed(in directory: String) -> Int32 {
  #if os(Linux)
    // The name is given through /proc. The flag is O_TMPFILE, which Swift does not import.
    guard access("/proc/self/fd", X_OK) == 0 else { return -1 }
    return open(directory, 0o20000000 | O_DIRECTORY | O_WRONLY | O_CLOEXEC, 0o666)
  #else
    return -1
  #endif
}

private func name(_ descriptor: Int32, _ path: String) -> Int32 {
  linkat(AT_FDCWD, "/proc/self/fd/\(descriptor)", AT_FDCWD, path, AT_SYMLINK_FOLLOW)
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
    // Without O_NONBLOCK, opening a pipe to read would wait for its other end; files do not mind.
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

/// Where the file is, or is to be, whose name is a chain of symbolic links.
private func resolvingLinks(_ path: String) throws -> String {
  var path = path
  // No more than the system itself follows.
  for _ in 0..<40 {
    var status = stat()
    guard lstat(path, &status) == 0, status.st_mode & S_IFMT == S_IFLNK else { return path }
    var target = [CChar](repeating: 0, count: Int(PATH_MAX) + 1)
    let length = readlink(path, &target, target.count - 1)
    guard length > 0 else { throw fileError("could not read the link", path, errno) }
    let text = String(decoding: target[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    path = text.utf8.first == UInt8(ascii: "/") ? text : directory(of: path) + "/" + text
  }
  throw fileError("could not write", path, ELOOP)
}

func fileError(_ what: String, _ path: String, _ code: Int32) -> DidactError {
  DidactError(.file, "\(what) \(path): \(String(cString: strerror(code)))")
}
