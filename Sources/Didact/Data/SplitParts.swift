/// What a row of a data set is used for.
public enum SplitPart: Int, Sendable {
  case labeled = 0
  case unlabeled = 1
  case test = 2
}

/// A use for each row: a stratified test part, and `labels` of the rest labelled, balanced over classes.
///
/// The same rows as `Dataset.stratifiedSplit` followed by `Dataset.keepingLabels`.
/// - Parameters:
///   - classes: a class for each row, −1 for rows that never get a label.
///   - labels: how many labels to keep, in all.
///   - testFraction: in [0, 1); 0 for no test part.
/// - Throws: `DidactError.data` where there are fewer labels than asked for.
public func splitParts(
  classes: [Int], labels: Int, testFraction: Double = 0.25, seed: UInt64
) throws -> [SplitPart] {
  guard testFraction >= 0, testFraction < 1 else {
    throw DidactError(.invalidArgument, "a test fraction of \(testFraction); give one in [0, 1)")
  }
  // A dataset counts up to its largest class.
  if let row = classes.firstIndex(where: { $0 >= 1 << 24 }) {
    throw DidactError(.data, "y, row \(row): class \(classes[row]) is not below 2^24")
  }
  // The rows' own indices as features show where the split puts them.
  let indices = try Tensor(classes.indices.map(Double.init), shape: Shape(classes.count, 1), elementType: .int64)
  let classNames = (0...max(0, classes.max() ?? 0)).map(String.init)
  var dataset = Dataset(features: indices, labels: classes, classNames: classNames, featureNames: ["row"])
  if testFraction > 0 { dataset = try dataset.stratifiedSplit(testFraction: testFraction, seed: seed) }
  dataset = try dataset.keepingLabels(labels, seed: seed)
  var parts = [SplitPart](repeating: .test, count: classes.count)
  for (row, label) in dataset.labels.enumerated() {
    parts[Int(dataset.features[row])] = label >= 0 ? .labeled : .unlabeled
  }
  return parts
}
