/// Something about data or training that its user should know and can act on, but that ends nothing.
public struct Warning: Error, Equatable, Sendable, CustomStringConvertible {
  /// The kind of warning. The texts are those of the C API and of Python and never change.
  public enum Code: String, Sendable, CaseIterable {
    /// Training ended with a student that gets many of its own labels wrong.
    case poorOnLabels = "poor_on_labels"
    /// The shares of the classes among the predictions are far from those of the labels and from the teacher's.
    case classShares = "class_shares"
    /// A class that has labels is predicted for no row.
    case classNeverPredicted = "class_never_predicted"
    /// There are too few labels for what is asked for.
    case fewLabels = "few_labels"
    /// Training ended before its consistency loss began.
    case fewSteps = "few_steps"
    /// Steps were made after the learning rates' schedules had come to 0.
    case stepsBeyondSchedule = "steps_beyond_schedule"
    /// Rows without labels lie far from all rows with labels.
    case rowsFarFromLabels = "rows_far_from_labels"
    /// Members that learn from unlabelled rows and members that do not name other classes for many rows.
    case membersDisagree = "members_disagree"
    /// Labels that read like a mark for a missing value were taken for no label.
    case labelText = "label_text"
    /// A file has arrays that nothing reads.
    case ignoredArrays = "ignored_arrays"
  }

  public let code: Code
  /// What was seen, where, and what can be done about it.
  public let message: String

  public init(_ code: Code, _ message: String) {
    self.code = code
    self.message = DidactError.printable(message)
  }

  public var description: String { message }

  /// The same warning with `place` in front: the file or argument that it is about.
  public func at(_ place: String) -> Warning { Warning(code, "\(place): \(message)") }
}
