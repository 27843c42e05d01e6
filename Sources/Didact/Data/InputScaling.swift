/// How raw inputs become the network's: (input − mean) / scale, by column.
public struct InputScaling: Sendable {
  public enum Kind: String, Sendable {
    /// As they are.
    case none
    /// Mean 0 and standard deviation 1 in every column; a constant column is only centred.
    case standard
    /// All columns divided by the largest absolute value of all, for features that share a unit, such as pixels.
    case unit
  }

  /// [inputs], float64.
  public let mean, scale: Tensor

  init(mean: Tensor, scale: Tensor) {
    self.mean = mean
    self.scale = scale
  }

  /// Fitted on all rows of all `parts` [N, inputs]; nil for `.none`.
  init?(_ kind: Kind, fittedOn parts: [Tensor], inputs: Int) throws {
    guard kind != .none else { return nil }
    let mean = try Tensor(Shape(inputs), .float64), scale = try Tensor(Shape(inputs), .float64)
    let rows = parts.reduce(0) { $0 + $1.rows }
    var largest = 0.0
    for part in parts {
      for i in 0..<part.count {
        mean[i % inputs] += part[i] / Double(rows)
        largest = max(largest, abs(part[i]))
      }
    }
    switch kind {
    case .none, .unit:
      for c in 0..<inputs {
        mean[c] = 0
        scale[c] = largest > 0 ? largest : 1
      }
    case .standard:
      for part in parts {
        for i in 0..<part.count {
          let difference = part[i] - mean[i % inputs]
          scale[i % inputs] += difference * difference / Double(rows)
        }
      }
      for c in 0..<inputs {
        let deviation = scale[c].squareRoot()
        // Rounding leaves a constant column a deviation of about 1e-16 of its mean.
        scale[c] = deviation > 1e-12 * max(1, abs(mean[c])) ? deviation : 1
      }
    }
    self.init(mean: mean, scale: scale)
  }
}
