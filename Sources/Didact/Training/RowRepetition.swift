/// A fit draws labelled rows several times in an epoch, so that rows count as their weights say and classes have the shares
/// that they are to have, whichever method learns from them.
enum RowRepetition {
  /// The most that a row is repeated.
  static let most = 30
  /// Whole numbers are as few as follow the weights so far, in parts of each.
  static let tolerance = 0.02

  /// Says how often rows are drawn that count so much, at least 0 and finite; one of 0 is never drawn, every other at least once.
  static func counts(_ weights: [Double]) -> [Int] {
    guard let largest = weights.max(), largest > 0 else { return weights.map { _ in 0 } }
    // Weights may be as small as numbers get.
    let parts = weights.map { $0 > 0 ? max($0 / largest, 1 / Double(most)) : 0 }
    let scale = (1..<most).first { scale in
      parts.allSatisfy { abs((Double(scale) * $0).rounded() - Double(scale) * $0) <= tolerance * Double(scale) * $0 }
    }
    return parts.map { Int((Double(scale ?? most) * $0).rounded()) }
  }

  /// Changes weights so that the rows of a class together count as its share.
  /// - Parameters:
  ///   - classes: one for each row.
  ///   - shares: of every class; a class of share 0 keeps a little.
  static func weights(_ weights: [Double], of classes: [Int], for shares: [Double]) -> [Double] {
    let largest = max(weights.max() ?? 0, .leastNonzeroMagnitude), largestShare = shares.max() ?? 0
    guard largestShare > 0 else { return weights }
    // Sums of the largest numbers would be infinite.
    let held = weights.map { $0 > 0 ? max($0 / largest, .leastNonzeroMagnitude) : 0 }
    var sums = Array(repeating: 0.0, count: shares.count)
    for (weight, label) in zip(held, classes) { sums[label] += weight }
    return zip(held, classes).map { weight, label in
      weight > 0 ? max(shares[label] / largestShare * weight / sums[label], .leastNonzeroMagnitude) : 0
    }
  }
}
