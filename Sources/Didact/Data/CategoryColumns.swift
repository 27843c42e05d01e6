/// Runs of columns of 0 and 1 alone of which no row has two ones: the one-hot columns of a category, or a column that says
/// yes or no.
///
/// Categories that never meet in a row become one run. Whoever changes it as a whole does neither of them harm.
struct CategoryColumns: Sendable {
  let ranges: [Range<Int>]

  /// - Parameter forEachBlock: calls what it is given with one block of rows [N, columns] (float64) after the other.
  init(columns: Int, _ forEachBlock: ((Tensor) throws -> Void) throws -> Void) throws {
    var isIndicator = Array(repeating: true, count: columns)
    // Of a column, the first one that a run which ends with it can begin with.
    var first = Array(repeating: 0, count: columns)
    try forEachBlock { block in
      for row in 0..<block.rows {
        var afterOne = 0
        for column in 0..<columns {
          let value = block[row * columns + column]
          if value != 0 {
            first[column] = max(first[column], afterOne)
            afterOne = column + 1
            if value != 1 { isIndicator[column] = false }
          }
        }
      }
    }
    var found: [Range<Int>] = []
    for column in 0..<columns where isIndicator[column] {
      if let run = found.last, run.upperBound == column, first[column] <= run.lowerBound {
        found[found.count - 1] = run.lowerBound..<column + 1
      } else {
        found.append(column..<column + 1)
      }
    }
    ranges = found
  }
}
