/// An image while it is changed: uint8 pixels [height, width, channels], a second image of the same size for operations
/// that cannot work in place, and tables. The extensions in this folder are the operations.
///
/// They compute what Pillow's of the same name compute, bit for bit where they say nothing else. Colour is that of
/// images of 3 channels, red first; images of 1 channel are gray.
struct ImageCanvas {
  let height, width, channels: Int
  /// The image.
  private(set) var pixels: UnsafeMutablePointer<UInt8>
  private(set) var spare: UnsafeMutablePointer<UInt8>
  /// [channels, 256] of new values, and of how many pixels have a value.
  let tables: UnsafeMutablePointer<UInt8>
  let counts: UnsafeMutablePointer<Int32>
  /// Of the pixels of one line: see `resample` and `gaussianBlur`.
  let weights: UnsafeMutablePointer<Double>
  let fixedWeights: UnsafeMutablePointer<Int32>
  private let memory: Buffer

  init(_ extent: Extent) throws {
    (height, width, channels) = (extent.height, extent.width, extent.channels)
    let size = (extent.count + 63) / 64 * 64, entries = 256 * extent.channels, line = max(extent.height, extent.width)
    memory = try Buffer(byteCount: 2 * size + 5 * entries + 12 * line)
    // The widest elements first, so that all are aligned.
    weights = memory.address.assumingMemoryBound(to: Double.self)
    fixedWeights = (memory.address + 8 * line).assumingMemoryBound(to: Int32.self)
    counts = (memory.address + 12 * line).assumingMemoryBound(to: Int32.self)
    tables = (memory.address + 12 * line + 4 * entries).assumingMemoryBound(to: UInt8.self)
    pixels = tables + entries
    spare = pixels + size
  }

  /// Of pixel values.
  var count: Int { height * width * channels }
  var rowLength: Int { width * channels }

  /// Takes one of the images, which lie side by side.
  func load(_ images: BorrowedArray, _ index: Int) { pixels.update(from: image(images, index), count: count) }
  func store(_ images: BorrowedArray, _ index: Int) { image(images, index).update(from: pixels, count: count) }

  private func image(_ images: BorrowedArray, _ index: Int) -> UnsafeMutablePointer<UInt8> {
    images.address.assumingMemoryBound(to: UInt8.self) + index * count
  }

  /// Makes the image that an operation left in `spare` the image.
  mutating func swapImages() { swap(&pixels, &spare) }
}
