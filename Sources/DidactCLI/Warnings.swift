import Didact

/// Writes a warning to standard error, at once.
/// - Parameter place: the file or argument that it is about.
func warn(_ text: String, in place: String) {
  writeError("didact: warning: \(DidactError.printable("\(place): \(text)"))\n")
}

extension Dataset {
  /// Says on standard error what reading the data found that its user should know.
  /// - Parameter name: that of the data, as given by `--data`.
  func showWarnings(in name: String) {
    if let first = skippedFiles.first {
      let files = skippedFiles.count == 1 ? "1 file is" : "\(skippedFiles.count) files are"
      warn("\(files) left out; the first is \(first.path): \(first.reason)", in: name)
    }
    for unseen in unseenCategories {
      let first = unseen.firstCategory.isEmpty ? "a missing value" : "\"\(unseen.firstCategory.prefix(40))\""
      let cells = unseen.cells == 1 ? "1 cell" : "\(unseen.cells) cells"
      warn(
        "column \"\(unseen.column)\" has \(cells) that training did not see, taken for none of its categories; the first "
          + "is \(first), line \(unseen.firstLine)", in: name)
    }
    for warning in warnings { warn(warning.message, in: name) }
  }
}
