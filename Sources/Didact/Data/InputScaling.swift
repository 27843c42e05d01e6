/// How raw inputs become the network's: (input − mean) / scale, by column, pixels and channels of an image being columns.
public struct InputScaling: Sendable {
  public enum Kind: String, Sendable {
    /// As they are.
    case none
    /// Mean 0 and standard deviation 1 in every column; a constant column is only centred.
    case standard
    /// The same, but columns of 0 and 1 alone, such as those of categories, stay as they are: standardised, a rare
    /// category would be a giant.
    case table
    /// The same over all pixels of each channel of an image.
    case channel
    /// All columns divided by the largest absolute value of all, for features that share a unit, such as pixels.
    case unit
  }

  /// [inputs], float64.
  public let mean, scale: Tensor

  init(mean: Tensor, scale: Tensor) {
    self.mean = mean
    self.scale = scale
  }

  /// Fitted on blocks of rows [N, inputs]; nil for `.none`.
  /// - Parameters:
  ///   - rows: how many there are in all blocks.
  ///   - forEachBlock: calls what it is given with one block of float64 after the other; used twice.
  /// - Throws: `DidactError.data` where the squares of a column's values are too large for float64.
  init?(_ kind: Kind, rows: Int, of extent: Extent, _ forEachBlock: ((Tensor) throws -> Void) throws -> Void) throws {
    guard kind != .none else { return nil }
    let inputs = extent.count
    let mean = try Tensor(Shape(inputs), .float64), scale = try Tensor(Shape(inputs), .float64)
    // Of a column, or of a channel: the first ones stand for all pixels until the end.
    let period = kind == .channel ? extent.channels : inputs, count = Double(rows * (inputs / period))
    var largest = 0.0, isIndicator = Array(repeating: kind == .table, count: period)
    // Sums are of differences to the first value: those of a constant column are 0, however far from 0 it is.
    var origin: [Double] = []
    try forEachBlock { block in
      if origin.isEmpty { origin = (0..<period).map { block[$0] } }
      for i in 0..<block.count {
        let value = block[i]
        mean[i % period] += (value - origin[i % period]) / count
        largest = max(largest, abs(value))
        if value != 0, value != 1 { isIndicator[i % period] = false }
      }
    }
    switch kind {
    case .none, .unit:
      for c in 0..<inputs {
        mean[c] = 0
        scale[c] = largest > 0 ? largest : 1
      }
    case .standard, .table, .channel:
      for c in 0..<period { mean[c] += origin[c] }
      try forEachBlock { block in
        for i in 0..<block.count {
          let difference = block[i] - mean[i % period]
          scale[i % period] += difference * difference / count
        }
      }
      for c in 0..<period {
        let deviation = scale[c].squareRoot()
        guard deviation.isFinite else {
          let name = kind == .channel ? "channel \(c)" : extent.place(of: c)
          throw DidactError(.data, "X, \(name): its values are too large to be scaled; give them in another unit")
        }
        // A column that differs by rounding alone is constant.
        scale[c] = deviation > 1e-12 * abs(mean[c]) ? deviation : 1
        if isIndicator[c] { (mean[c], scale[c]) = (0, 1) }
      }
      for c in period..<inputs { (mean[c], scale[c]) = (mean[c % period], scale[c % period]) }
    }
    self.init(mean: mean, scale: scale)
  }
}
