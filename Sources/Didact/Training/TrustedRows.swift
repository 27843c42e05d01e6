/// Labelled rows that only feed back: the teacher is corrected by the student's result on them, in place of its result on the
/// labelled rows, whose labels may be wrong (after Pham et al., CVPR 2021, section 2, where both are the same rows).
struct TrustedRows {
  let rows: RowSource
  let labels: Labels

  /// - Parameters:
  ///   - arrays: of a fit by the trainer, which has scaled its rows.
  ///   - labeledRows: those that the fit learns from.
  /// - Throws: `DidactError`, before time is spent, where a row has no label or one that no labelled row has, all have one class, or
  ///   there are more of them than labelled rows.
  init(_ arrays: LabeledArrays, of trainer: Trainer, beside labels: Labels, of labeledRows: [Int]) throws {
    let inputs = try trainer.checkedRows(arrays.inputs, "X_trusted")
    let own = try Labels(arrays.labels, of: inputs.rows, trainer.student.task, "y_trusted")
    if let row = (0..<own.examples).first(where: { !own.hasAny($0) }) {
      throw DidactError(.data, "y_trusted, row \(row) has no label; trusted rows need one each")
    }
    let known = Set(labeledRows.lazy.flatMap { labels.ofExample($0) }), trusted = Set(own.classes).subtracting([-1])
    if let label = trusted.subtracting(known).min() {
      throw DidactError(
        .data,
        "y_trusted has \(trainer.nameOfClass(label)), which no labelled row has: the teacher could not learn it. Put such rows into X and y"
      )
    }
    guard trusted.count > 1 else {
      throw DidactError(
        .data,
        "all trusted labels are \(trusted.first.map(trainer.nameOfClass) ?? "none"); feedback needs at least two classes"
      )
    }
    guard own.examples <= labeledRows.count else {
      throw DidactError(
        .data,
        "\(own.examples) trusted rows and \(labeledRows.count) labelled ones: with so many that can be trusted, train on them as X and y"
      )
    }
    rows = RowSource(parts: [inputs])
    self.labels = own
  }
}

/// Rows of the caller's with the labels of each.
package typealias LabeledArrays = (inputs: BorrowedArray, labels: BorrowedArray)

extension MethodDefinition {
  /// Whether it has a feedback, which trusted rows can have in place of the labelled ones.
  var takesTrustedRows: Bool { fields.contains { $0.key == "feedback_weight" } }

  /// - Throws: `DidactError.unsupported` where there is no feedback.
  func checkTakesTrustedRows() throws {
    guard !takesTrustedRows else { return }
    let others = MethodDefinition.all.filter(\.takesTrustedRows).map(\.name)
    throw DidactError(
      .unsupported,
      "method \"\(name)\" has no feedback, which trusted rows are for; these have: \(others.joined(separator: ", "))")
  }
}
