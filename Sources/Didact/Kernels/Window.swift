/// A square window that moves over an image: of a convolution, or of pooling. Images are channels last.
struct Window: Equatable, Sendable {
  let input, output: Extent
  /// Height and width of the window.
  let height, width: Int
  let stride: Int
  /// Zeros (of pooling: nothing) around the image.
  let padding: Int
  /// Channels are divided into so many groups, which a convolution does not mix.
  var groups = 1

  /// - Throws: `DidactError.invalidArgument` where the window does not fit into the image, and where the output is too large.
  init(
    over input: Extent, height: Int, width: Int, stride: Int, padding: Int, channels: Int, groups: Int = 1,
    called name: String
  ) throws {
    func length(_ length: Int, _ window: Int) throws -> Int {
      let room = length + 2 * padding - window
      guard room >= 0 else {
        throw DidactError(
          .invalidArgument,
          "\(name): a window of \(height) × \(width) does not fit into \(input.height) × \(input.width) pixels with "
            + "padding \(padding); give a larger input, or a smaller window")
      }
      return room / stride + 1
    }
    self.input = input
    output = try Extent(
      checking: try length(input.height, height), try length(input.width, width), channels, of: "the output of \(name)")
    self.height = height
    self.width = width
    self.stride = stride
    self.padding = padding
    self.groups = groups
  }

  /// Of a convolution's weight: [outputs, inputs / groups, height, width].
  var weights: Shape {
    get throws { try Shape(checking: [output.channels, input.channels / groups, height, width]) }
  }

  /// The pixels of the window at an output pixel that lie in the image: row, column, and the index within the window.
  @inline(__always)
  func forEachPixel(_ y: Int, _ x: Int, _ body: (_ row: Int, _ column: Int, _ index: Int) -> Void) {
    for ky in 0..<height {
      let row = y * stride + ky - padding
      guard row >= 0, row < input.height else { continue }
      for kx in 0..<width {
        let column = x * stride + kx - padding
        guard column >= 0, column < input.width else { continue }
        body(row, column, ky * width + kx)
      }
    }
  }
}
