/// A fit is given these arrays of the caller's, which are read where they are for as long as it lasts.
package struct FitArrays {
  /// [N, inputs] of any element type.
  package let features: BorrowedArray
  /// A class for each row of `features`; nil for none, where the method needs none. Copied.
  package var labels: BorrowedArray?
  /// More rows without labels [M, inputs].
  package var unlabeled: BorrowedArray?
  /// Each row of `features` that has a label counts so much [N], at least 0; nil for all alike.
  package var sampleWeights: BorrowedArray?
  /// Teachers say this of every row, those of `unlabeled` last: [N + M, classes], or [teachers, N + M, classes].
  package var teacherDistributions: BorrowedArray?

  /// Rows [T, inputs] with a label each that the feedback is measured on; nil for the labelled rows of `features`. Labels are
  /// copied.
  package var trusted: LabeledArrays?

  package init(
    _ features: BorrowedArray, labels: BorrowedArray? = nil, unlabeled: BorrowedArray? = nil,
    sampleWeights: BorrowedArray? = nil, teacherDistributions: BorrowedArray? = nil, trusted: LabeledArrays? = nil
  ) {
    self.features = features
    self.labels = labels
    self.unlabeled = unlabeled
    self.sampleWeights = sampleWeights
    self.teacherDistributions = teacherDistributions
    self.trusted = trusted
  }

  /// - Throws: `DidactError.shape`, or `.data` naming the row of a weight that is none.
  func checkedWeights() throws -> [Double]? {
    guard let sampleWeights else { return nil }
    guard sampleWeights.shape.rank == 1, sampleWeights.rows == features.rows else {
      throw DidactError(
        .shape,
        "sample_weight has shape \(sampleWeights.shape); give one number for each of the \(features.rows) rows of X")
    }
    return try (0..<sampleWeights.rows).map { row in
      let weight = sampleWeights[row]
      guard weight >= 0, weight.isFinite else {
        throw DidactError(.data, "sample_weight, row \(row): must be a finite number of at least 0; got \(weight)")
      }
      return weight
    }
  }
}
