#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension Dataset {
  /// Two interleaved half circles, with scikit-learn's `make_moons` geometry: features `[2 · perMoon, 2]`, float64.
  ///
  /// Moon 0 is (cos t, sin t), moon 1 is (1 − cos t, ½ − sin t), for t evenly spaced from 0 to π. The rows are moon 0's,
  /// then moon 1's; all are labelled.
  /// - Parameters:
  ///   - perMoon: points on each moon.
  ///   - noise: standard deviation of the Gaussian noise on both coordinates.
  ///   - seed: of the noise.
  /// - Throws: `DidactError.invalidArgument` for a count below 1 or above 100 million, or a noise below 0 or not finite.
  public static func twoMoons(perMoon: Int = 1000, noise: Double = 0.1, seed: UInt64) throws -> Dataset {
    guard (1...100_000_000).contains(perMoon) else {
      throw DidactError(.invalidArgument, "\(perMoon) points a moon; give a number from 1 to 100,000,000")
    }
    guard noise.isFinite, noise >= 0 else {
      throw DidactError(.invalidArgument, "noise \(noise); give a finite standard deviation, zero or more")
    }
    let features = try Tensor(Shape(2 * perMoon, 2), .float64)
    let coordinates = features.address.assumingMemoryBound(to: Double.self)
    let draw = RandomStream(seed: seed, name: "two_moons/noise").draw(0)
    let step = perMoon > 1 ? Double.pi / Double(perMoon - 1) : 0
    for row in 0..<2 * perMoon {
      let isOuter = row < perMoon
      let t = step * Double(isOuter ? row : row - perMoon)
      let x = isOuter ? cos(t) : 1 - cos(t)
      let y = isOuter ? sin(t) : 1 - sin(t) - 0.5
      coordinates[2 * row] = x + noise * draw.normal(2 * row)
      coordinates[2 * row + 1] = y + noise * draw.normal(2 * row + 1)
    }
    let labels = (0..<2 * perMoon).map { $0 < perMoon ? 0 : 1 }
    return Dataset(features: features, labels: labels, classNames: ["0", "1"], featureNames: ["x", "y"])
  }
}
