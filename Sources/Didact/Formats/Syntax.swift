/// The signs of a syntax, such as quotes and slashes, as they stand in a text: to Swift a quote with an accent behind it is
/// one character, and no quote.
extension String {
  /// The parts between separators.
  package func separated(by separator: Unicode.Scalar, omittingEmpty: Bool = false) -> [String] {
    unicodeScalars.split(separator: separator, omittingEmptySubsequences: omittingEmpty).map { String($0) }
  }

  /// The text with `replacement` for every `sign`.
  package func replacing(_ sign: Unicode.Scalar, by replacement: String) -> String {
    separated(by: sign).joined(separator: replacement)
  }
}

/// The folder of a path, without the slash behind it unless it is the root.
package func directory(of path: String) -> String {
  guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
  return slash == path.startIndex ? "/" : String(path[..<slash])
}
