/// Columns of 0 and 1 alone that make a category together: of each row one of them has the 1.
///
/// Columns beside them that never meet in a row become a run too: a category of which one column was dropped, or of which some
/// rows have none, looks like that. Where two such categories stand side by side, a run may have columns of both.
struct CategoryColumns: Sendable {
  let ranges: [Range<Int>]

  /// - Parameter forEachBlock: calls what it is given with one block of rows [N, columns] (float64) after the other.
  init(columns: Int, _ forEachBlock: ((Tensor) throws -> Void) throws -> Void) throws {
    var isIndicator = Array(repeating: true, count: columns)
    // `first[c]`: a run that ends with c has at most one 1 in a row if it begins there or later. `needed[c]`: a run that begins with
    // c has at least one 1 in each row if it ends there or later.
    var first = Array(repeating: 0, count: columns), needed = first
    try forEachBlock { block in
      for row in 0..<block.rows {
        var afterOne = 0
        for column in 0..<columns {
          let value = block[row * columns + column]
          if value != 0 {
            first[column] = max(first[column], afterOne)
            for start in afterOne...column { needed[start] = max(needed[start], column) }
            afterOne = column + 1
            if value != 1 { isIndicator[column] = false }
          }
        }
        for start in afterOne..<columns { needed[start] = columns }
      }
    }
    /// The category that begins with a column, where every row has one of it.
    func whole(from start: Int) -> Range<Int>? {
      let last = needed[start]
      guard last < columns,
        (start...last).allSatisfy({ isIndicator[$0] && first[$0] <= start })
      else { return nil }
      return start..<last + 1
    }
    var found: [Range<Int>] = [], column = 0
    while column < columns {
      guard isIndicator[column] else {
        column += 1
        continue
      }
      var run = whole(from: column) ?? column..<column + 1
      if run.count == 1 {
        while run.upperBound < columns, isIndicator[run.upperBound], first[run.upperBound] <= column,
          whole(from: run.upperBound) == nil
        {
          run = column..<run.upperBound + 1
        }
      }
      found.append(run)
      column = run.upperBound
    }
    ranges = found
  }
}
