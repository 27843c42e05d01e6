// swift-format-ignore-file: AlwaysUseLowerCamelCase
// MARK: Data sets
import CDidact
import Didact

/// The digits, kept for as long as the process lives.
private let digits: Result<(features: Tensor, labels: Tensor), any Error> = Result {
  let dataset = try Dataset.digits()
  return (dataset.features, try Tensor(dataset.labels))
}

/// Views of the built-in digits: 1,797 images of 8 x 8 pixels (E. Alpaydin and C. Kaynak, Optical Recognition of
/// Handwritten Digits, UCI Machine Learning Repository, 1998). They live as long as the process; do not write to them.
///
/// - Parameters:
///   - x: takes a view of the pixels [1797, 64], uint8 in 0..16.
///   - y: takes a view of the classes [1797], int64 in 0..9.
@_cdecl("didact_dataset_digits")
public func didact_dataset_digits(
  _ x: UnsafeMutablePointer<didact_array>?, _ y: UnsafeMutablePointer<didact_array>?
) -> didact_status {
  call {
    let digits = try digits.get()
    try exportView(digits.features, to: x, "x")
    try exportView(digits.labels, to: y, "y")
  }
}

/// Makes two interleaved half circles, scikit-learn's geometry.
///
/// - Parameters:
///   - x: takes points [2 n, 2], float64, the first n of the outer moon.
///   - y: takes classes [2 n], int64, 0 for the outer moon and 1 for the inner one.
///   - noise: standard deviation of the Gaussian noise.
///   - seed: of the noise.
@_cdecl("didact_dataset_two_moons")
public func didact_dataset_two_moons(
  _ x: UnsafePointer<didact_array>?, _ y: UnsafePointer<didact_array>?, _ noise: Double, _ seed: UInt64
) -> didact_status {
  call {
    let perMoon = try importArray(x, "x").rows / 2
    let moons = try Dataset.twoMoons(perMoon: perMoon, noise: noise, seed: seed)
    try exportArray(moons.features, to: x, "x")
    try exportArray(Tensor(moons.labels), to: y, "y")
  }
}

/// Chooses what each row is used for: a stratified test part, and labels for some of the rest, balanced over classes.
///
/// - Parameters:
///   - parts: takes, for each row [N], int64: 0 labelled, 1 unlabelled, 2 test.
///   - y: a class for each row [N].
///   - labels: how many labels to keep, in all.
///   - test_fraction: in [0, 1); 0 for no test part.
///   - seed: of the choice.
@_cdecl("didact_dataset_split")
public func didact_dataset_split(
  _ parts: UnsafePointer<didact_array>?, _ y: UnsafePointer<didact_array>?, _ labels: Int64, _ test_fraction: Double,
  _ seed: UInt64
) -> didact_status {
  call {
    let chosen = try splitParts(
      classes: importLabels(y, "y"), labels: Int(labels), testFraction: test_fraction, seed: seed)
    try exportArray(Tensor(chosen.map(\.rawValue)), to: parts, "parts")
  }
}
