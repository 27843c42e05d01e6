import CKernels

/// The loops over pixels that augmentation spends its time in, compiled for several instruction sets.
enum PixelLoops {
  /// a ← a + factor · (b − a) as Pillow's blend: cut off below, and clipped.
  static func blend(_ a: UnsafeMutablePointer<UInt8>, _ b: UnsafePointer<UInt8>, count: Int, factor: Float) {
    kernels_pixels().pointee.blend(Int64(count), a, b, factor)
  }

  /// Moves three channels away from their luma by `factor`.
  static func color(_ x: UnsafeMutablePointer<UInt8>, pixels: Int, factor: Float) {
    kernels_pixels().pointee.color(Int64(pixels), x, factor)
  }

  /// Of three channels.
  static func lumaSum(_ x: UnsafePointer<UInt8>, pixels: Int) -> Int {
    Int(kernels_pixels().pointee.luma_sum(Int64(pixels), x))
  }

  /// The smallest and the largest value of each of three channels.
  static func extremes(
    _ x: UnsafePointer<UInt8>, count: Int, low: UnsafeMutablePointer<UInt8>, high: UnsafeMutablePointer<UInt8>
  ) { kernels_pixels().pointee.extremes(Int64(count), x, low, high) }

  /// (5 · x + its 8 neighbours) / 13, rounded.
  /// - Parameter step: between neighbours in a row; `row` between those in a column.
  static func smooth(
    _ x: UnsafePointer<UInt8>, to result: UnsafeMutablePointer<UInt8>, count: Int, step: Int, row: Int
  ) { kernels_pixels().pointee.smooth(Int64(count), Int64(step), Int64(row), x, result) }
}
