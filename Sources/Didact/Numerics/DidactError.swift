/// What went wrong, where, and what to do about it.
///
/// Every check of user input throws one of these; nothing that a user can pass traps.
public struct DidactError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The kind of failure. The numbers are the status codes of the C API and never change.
  public enum Code: Int32, Sendable, CaseIterable {
    /// An argument or a configuration value is out of range, unknown or of the wrong kind.
    case invalidArgument = 1
    /// A handle was freed, belongs to another kind of object, or never existed.
    case invalidHandle = 2
    /// Another training call is using the object.
    case busy = 3
    /// The process was forked after the library was used.
    case forked = 4
    /// An array has the wrong number of dimensions or the wrong lengths.
    case shape = 5
    /// An array has an element type that is not accepted here.
    case elementType = 6
    /// A value in the data is not usable: NaN, infinity, a label out of range, too few rows.
    case data = 7
    /// A file could not be opened, read or written.
    case file = 8
    /// A file's content is malformed or not what was asked for.
    case format = 9
    /// An allocation failed.
    case outOfMemory = 10
    /// Training produced a loss or gradient that is not finite.
    case diverged = 11
    /// A progress callback asked to stop; the state is valid.
    case cancelled = 12
    /// A call came in the wrong order, such as a teacher step without a student step before it.
    case state = 13
    /// What was asked for is not available with this configuration.
    case unsupported = 14
    /// A defect of the library itself.
    case internalError = 99
  }

  public let code: Code
  public let message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = DidactError.printable(message)
  }

  /// Messages show what they were given: at most this many bytes of it, and nothing that a terminal would obey.
  static let longestMessage = 4000

  /// The message as far as it may be shown.
  package static func printable(_ message: String) -> String {
    func isControl(_ byte: UInt8) -> Bool { byte < 0x20 || byte == 0x7f }
    guard message.utf8.count > longestMessage || message.utf8.contains(where: isControl) else { return message }
    var text = ""
    for scalar in message.unicodeScalars {
      if scalar.isASCII, isControl(UInt8(truncatingIfNeeded: scalar.value)) {
        text += "\\x" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
      } else {
        text.unicodeScalars.append(scalar)
      }
      if text.utf8.count > longestMessage - 8 { return text + " …" }
    }
    return text
  }

  public var description: String { message }

  /// The same error with `place` in front: the file, tensor or argument it was met in. One that says so already stays.
  public func at(_ place: String) -> DidactError {
    let isThere = message.hasPrefix("\(place): ") || message.contains(": \(place): ")
    return isThere ? self : DidactError(code, "\(place): \(message)")
  }
}

/// " Did you mean "x"?" for the nearest of the known names, or a list of them where none is near.
package func suggestion(for name: String, among known: [String]) -> String {
  let ranked = known.map { ($0, editDistance(name, $0)) }.sorted { $0.1 < $1.1 }
  // A name with none of its letters right is no slip.
  if let nearest = ranked.first, nearest.1 <= max(2, name.utf8.count / 3), nearest.1 < name.utf8.count {
    return " Did you mean \"\(nearest.0)\"?"
  }
  return known.isEmpty ? "" : " Known: \(known.joined(separator: ", "))."
}

/// Levenshtein distance between two names, in bytes.
func editDistance(_ a: String, _ b: String) -> Int {
  let a = Array(a.utf8.prefix(200)), b = Array(b.utf8.prefix(200))
  var row = Array(0...b.count)
  for i in 0..<a.count {
    var diagonal = row[0]
    row[0] = i + 1
    for j in 0..<b.count {
      let substituted = diagonal + (a[i] == b[j] ? 0 : 1)
      diagonal = row[j + 1]
      row[j + 1] = min(substituted, diagonal + 1, row[j] + 1)
    }
  }
  return row[b.count]
}
