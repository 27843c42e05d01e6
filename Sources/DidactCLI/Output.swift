import Didact

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Writes to standard output, at once.
/// - Throws: `DidactError.file` where that fails, for instance on a full disk.
func writeOutput(_ text: String) throws {
  guard write(text, to: STDOUT_FILENO) else {
    throw DidactError(.file, "could not write to standard output: \(String(cString: strerror(errno)))")
  }
}

/// - Throws: `DidactError.file` where writing `path` would replace a file that is read.
func checkDiffer(_ path: String, _ option: String, _ file: String) throws {
  var written = stat(), read = stat()
  guard stat(path, &written) == 0, stat(file, &read) == 0 else { return }
  guard written.st_ino != read.st_ino || written.st_dev != read.st_dev else {
    throw DidactError(.file, "\(option) \(path) would replace \(file), which is read; give another file")
  }
}

/// Whether there is a file or a folder.
func fileExists(_ path: String) -> Bool { access(path, F_OK) == 0 }

/// Whether a name is that of something that cannot be written anew, such as `/dev/stdout`.
func isPipeOrDevice(_ path: String) -> Bool {
  var status = stat()
  return stat(path, &status) == 0 && status.st_mode & S_IFMT != S_IFREG
}

/// Writes to standard error, at once. There is nobody to tell where that fails.
func writeError(_ text: String) { _ = write(text, to: STDERR_FILENO) }

private func write(_ text: String, to descriptor: Int32) -> Bool {
  var text = text
  return text.withUTF8 { writeAll(UnsafeRawBufferPointer($0), to: descriptor) }
}

/// Numbers as C's printf writes them.
func formatted(_ format: String, _ values: any CVarArg...) -> String {
  withVaList(values) { list in
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: 512) { buffer in
      // The buffer is longer than any number that is written here, and what does not fit is cut off.
      vsnprintf(buffer.baseAddress, buffer.count, format, list)
      return buffer.baseAddress.map { String(cString: $0) } ?? ""
    }
  }
}

/// "97.50 %"
func percent(_ fraction: Double) -> String { formatted("%.2f %%", 100 * fraction) }

/// Rows of cells as aligned columns; the first column to the left, the others as `leftAligned` says.
func aligned(_ rows: [[String]], leftAligned: Set<Int> = [0]) -> String {
  let count = rows.map(\.count).max() ?? 0
  let widths = (0..<count).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
  var text = ""
  for row in rows {
    var line = ""
    for (column, cell) in row.enumerated() {
      let padding = String(repeating: " ", count: widths[column] - cell.count)
      line += (column > 0 ? "  " : "") + (leftAligned.contains(column) ? cell + padding : padding + cell)
    }
    while line.last == " " { line.removeLast() }
    text += line + "\n"
  }
  return text
}

extension JSON {
  /// A number of things.
  init(_ count: Int) { self = .integer(Int64(count)) }
}
