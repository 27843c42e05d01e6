/// The lengths of one example: an image, channels last, or a vector, which is an image of 1 × 1 with its length in channels.
public struct Extent: Equatable, Sendable, CustomStringConvertible {
  public let height, width, channels: Int

  public init(_ height: Int, _ width: Int, _ channels: Int) {
    self.height = height
    self.width = width
    self.channels = channels
  }

  init(_ length: Int) { self.init(1, 1, length) }

  /// The most values that an example may have: 2³¹.
  public static let mostValues = 1 << 31

  /// Lengths that come from a caller or a file.
  /// - Parameter subject: what they are of, for the message.
  /// - Throws: `DidactError.invalidArgument` for negative lengths, and for more than `mostValues` values.
  init(checking height: Int, _ width: Int, _ channels: Int, of subject: String) throws {
    var count = 1
    for length in [height, width, channels] {
      guard length >= 0 else { throw DidactError(.invalidArgument, "\(subject): a length is negative, \(length)") }
      let (product, overflow) = count.multipliedReportingOverflow(by: max(length, 1))
      guard !overflow, product <= Extent.mostValues else {
        throw DidactError(
          .invalidArgument,
          "\(subject): \(height) × \(width) × \(channels) values are too many; at most \(Extent.mostValues) are supported"
        )
      }
      count = product
    }
    self.init(height, width, channels)
  }

  var pixels: Int { height * width }
  public var isImage: Bool { pixels > 1 }
  public var count: Int { pixels * channels }
  public var description: String { pixels == 1 ? "[\(channels)]" : "[\(height), \(width), \(channels)]" }
  /// Where an element of an example stands, for messages.
  func place(of index: Int) -> String {
    guard isImage else { return "column \(index)" }
    let pixel = index / channels
    return "y \(pixel / width), x \(pixel % width), channel \(index % channels)"
  }

  /// What shapes of arrays such examples have, for messages.
  var expected: String {
    guard pixels > 1 else { return "[rows, \(channels)]" }
    return "[rows, \(height), \(width), \(channels)], [rows, \(channels), \(height), \(width)] or [rows, \(count)]"
  }
}
