#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Operations on a pixel and its neighbours. The outermost pixels, which have not all of them, stay as they are where
/// Pillow's do.
extension ImageCanvas {
  /// Moves away from the smoothed image by `factor`.
  mutating func sharpness(_ factor: Float) {
    guard smoothed() else { return }
    PixelLoops.blend(spare, pixels, count: count, factor: factor)
    swapImages()
  }

  /// Moves to the smoothed image, (5 · pixel + its 8 neighbours) / 13, by `amount`.
  mutating func smooth(amount: Float) {
    guard smoothed() else { return }
    takeSpare(amount)
  }

  /// Moves by `amount` to the image blurred by Pillow's BLUR: the mean of the 16 outer pixels of 5 × 5.
  mutating func blur(amount: Float) {
    guard height > 4, width > 4 else { return }
    spare.update(from: pixels, count: count)
    let row = rowLength
    for y in 2..<height - 2 {
      for index in y * row + 2 * channels..<(y + 1) * row - 2 * channels {
        var sum = 0
        for offset in -2...2 {
          sum &+= Int(pixels[index &- 2 &* row &+ offset &* channels])
          sum &+= Int(pixels[index &+ 2 &* row &+ offset &* channels])
        }
        for offset in -1...1 {
          sum &+= Int(pixels[index &+ offset &* row &- 2 &* channels])
          sum &+= Int(pixels[index &+ offset &* row &+ 2 &* channels])
        }
        spare[index] = UInt8(truncatingIfNeeded: (sum &+ 8) >> 4)
      }
    }
    takeSpare(amount)
  }

  /// Convolves with a Gaussian of `deviation` pixels, cut off at four of them, whose weights add up to 1 inside the image.
  mutating func gaussianBlur(deviation: Double) {
    guard deviation > 0 else { return }
    let radius = max(1, Int((4 * deviation).rounded(.up)))
    blurDirection(lines: height, length: width, lineStride: rowLength, stride: channels, radius, deviation)
    swapImages()
    blurDirection(lines: width, length: height, lineStride: channels, stride: rowLength, radius, deviation)
    swapImages()
  }

  private func blurDirection(
    lines: Int, length: Int, lineStride: Int, stride: Int, _ radius: Int, _ deviation: Double
  ) {
    // Beyond the longest side no weight is used.
    let radius = min(radius, length - 1)
    for distance in 0...radius {
      let ratio = Double(distance) / deviation
      weights[distance] = exp(-ratio * ratio / 2)
    }
    for position in 0..<length {
      let first = max(0, position - radius), last = min(length - 1, position + radius)
      var total = 0.0
      for other in first...last { total += weights[abs(other - position)] }
      for line in 0..<lines {
        for channel in 0..<channels {
          let start = line * lineStride + channel
          var sum = 0.0
          for other in first...last { sum += weights[abs(other - position)] * Double(pixels[start + other * stride]) }
          spare[start + position * stride] = UInt8(truncatingIfNeeded: Int(sum / total + 0.5))
        }
      }
    }
  }

  /// Leaves the smoothed image in `spare`; false where the image is too small to change.
  private func smoothed() -> Bool {
    guard height > 2, width > 2 else { return false }
    let row = rowLength
    spare.update(from: pixels, count: row)
    spare.advanced(by: (height - 1) * row).update(from: pixels + (height - 1) * row, count: row)
    for y in 1..<height - 1 {
      let start = y * row, end = start + row
      for index in start..<start + channels { spare[index] = pixels[index] }
      for index in end - channels..<end { spare[index] = pixels[index] }
      PixelLoops.smooth(
        pixels + start + channels, to: spare + start + channels, count: row - 2 * channels, step: channels, row: row)
    }
    return true
  }

  private mutating func takeSpare(_ amount: Float) {
    if amount < 1 { PixelLoops.blend(pixels, spare, count: count, factor: amount) } else { swapImages() }
  }
}
