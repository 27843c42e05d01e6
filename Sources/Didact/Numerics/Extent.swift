/// The lengths of one example: an image, channels last, or a vector, which is an image of 1 × 1 with its length in channels.
public struct Extent: Equatable, Sendable, CustomStringConvertible {
  public let height, width, channels: Int

  public init(_ height: Int, _ width: Int, _ channels: Int) {
    self.height = height
    self.width = width
    self.channels = channels
  }

  init(_ length: Int) { self.init(1, 1, length) }

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
