/// A method knows this of all unlabelled rows before it sees a batch of them.
struct UnlabeledRows {
  let count: Int
  /// Whether what is kept of rows is of others, and is to be forgotten.
  let isNew: Bool
  /// A number that differs, but for chance, where values or their order do.
  let digest: UInt64
  /// The names of the labelled rows' classes; empty if they have none.
  let classNames: [String]
  /// Teachers say this of them, where a fit was given it and not files: [rows, classes], or [teachers, rows, classes]; for as
  /// long as the fit lasts.
  var teacherDistributions: BorrowedArray?
}
