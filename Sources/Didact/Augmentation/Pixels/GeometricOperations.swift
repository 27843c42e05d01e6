#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Operations that move pixels. What they find outside the image is `fill`, in every channel.
extension ImageCanvas {
  /// Mirrors left and right.
  func flip() {
    for y in 0..<height {
      let row = pixels + y * rowLength
      var left = row, right = row + (width - 1) * channels
      while left < right {
        for channel in 0..<channels { (left[channel], right[channel]) = (right[channel], left[channel]) }
        left += channels
        right -= channels
      }
    }
  }

  /// The image that begins `down` and `right` pixels further on.
  /// - Parameter fill: nil mirrors the image at its outermost pixels, which must be as many as there are to mirror.
  mutating func crop(down: Int, right: Int, fill: UInt8?) {
    for y in 0..<height {
      let result = spare + y * rowLength
      let source = fill == nil ? reflected(y + down, height) : y + down
      guard (0..<height).contains(source) else {
        result.update(repeating: fill ?? 0, count: rowLength)
        continue
      }
      let row = pixels + source * rowLength
      let first = min(width, max(0, -right)), last = max(first, min(width, width - right))
      if last > first {
        (result + first * channels).update(from: row + (first + right) * channels, count: (last - first) * channels)
      }
      func fillOutside(_ columns: Range<Int>) {
        for x in columns {
          for channel in 0..<channels {
            result[x * channels + channel] = fill ?? row[reflected(x + right, width) * channels + channel]
          }
        }
      }
      fillOutside(0..<first)
      fillOutside(last..<width)
    }
    swapImages()
  }

  private func reflected(_ position: Int, _ length: Int) -> Int {
    guard length > 1 else { return 0 }
    let period = 2 * length - 2, wrapped = (position % period + period) % period
    return wrapped < length ? wrapped : period - wrapped
  }

  /// Fills the square of `size` pixels a side around a pixel, as far as it lies in the image.
  func cutout(row: Int, column: Int, size: Int, fill: UInt8) {
    let left = max(0, column - size / 2), right = min(width, column - size / 2 + size)
    for y in max(0, row - size / 2)..<max(row, min(height, row - size / 2 + size)) where right > left {
      (pixels + y * rowLength + left * channels).update(repeating: fill, count: (right - left) * channels)
    }
  }

  // MARK: Affine transformations

  /// Output pixel (x, y) is the input at `map` of (x, y), coordinates being those of pixel centres.
  mutating func transform(_ map: AffineMap, _ interpolation: Interpolation, fill: UInt8) {
    switch interpolation {
    case .nearest: transformNearest(map, fill)
    case .bilinear: transformBilinear(map, fill)
    }
    swapImages()
  }

  /// In fixed point with 16 bits behind the point, as in Pillow.
  private func transformNearest(_ map: AffineMap, _ fill: UInt8) {
    func fixed(_ value: Double) -> Int { Int((value * 65536 + 0.5).rounded(.down)) }
    let stepX = fixed(map.xx), stepY = fixed(map.yx), rowX = fixed(map.xy), rowY = fixed(map.yy)
    var startX = fixed(map.x + 0.5 * map.xx + 0.5 * map.xy), startY = fixed(map.y + 0.5 * map.yx + 0.5 * map.yy)
    var result = spare
    let channels = self.channels, pixels = self.pixels, rowLength = self.rowLength
    for _ in 0..<height {
      var x = startX, y = startY
      for _ in 0..<width {
        let column = x >> 16, row = y >> 16
        if UInt(bitPattern: column) < UInt(bitPattern: width), UInt(bitPattern: row) < UInt(bitPattern: height) {
          let source = pixels + (row &* rowLength &+ column &* channels)
          if channels == 3 {
            (result[0], result[1], result[2]) = (source[0], source[1], source[2])
          } else {
            for channel in 0..<channels { result[channel] = source[channel] }
          }
        } else {
          for channel in 0..<channels { result[channel] = fill }
        }
        result += channels
        x &+= stepX
        y &+= stepY
      }
      startX &+= rowX
      startY &+= rowY
    }
  }

  /// Between the four nearest pixels, the outermost ones standing for those beyond them.
  private func transformBilinear(_ map: AffineMap, _ fill: UInt8) {
    var result = spare
    for y in 0..<height {
      for x in 0..<width {
        let outX = Double(x) + 0.5, outY = Double(y) + 0.5
        var inX = map.xx * outX + map.xy * outY + map.x, inY = map.yx * outX + map.yy * outY + map.y
        if inX >= 0, inX < Double(width), inY >= 0, inY < Double(height) {
          (inX, inY) = (inX - 0.5, inY - 0.5)
          // Rounded down: nothing is below −0.5.
          let left = Int(inX + 1) - 1, top = Int(inY + 1) - 1
          let right = Float(inX - Double(left)), down = Float(inY - Double(top))
          let x0 = max(0, left) * channels, x1 = min(width - 1, left + 1) * channels
          let row0 = pixels + max(0, top) * rowLength, row1 = pixels + min(height - 1, top + 1) * rowLength
          for channel in 0..<channels {
            let above = Float(row0[x0 + channel]) * (1 - right) + Float(row0[x1 + channel]) * right
            let below = Float(row1[x0 + channel]) * (1 - right) + Float(row1[x1 + channel]) * right
            result[channel] = rounded(above + (below - above) * down)
          }
        } else {
          for channel in 0..<channels { result[channel] = fill }
        }
        result += channels
      }
    }
  }

  // MARK: Other sizes

  /// Pixels `rows` × `columns` of the image, none of them outside.
  struct Box: Equatable {
    var rows, columns: Range<Int>
  }

  /// The part `source` of the image at the size of `target`, where it is put; the rest is filled.
  func resample(_ source: Box, to target: Box, _ filter: ResamplingFilter, fill: UInt8) {
    // Rows of the source at their final width, then the final rows.
    let targetLength = target.columns.count * channels
    let resampling = Resampling(filter: filter, weights: weights, fixedWeights: fixedWeights)
    resampling.resize(
      Resampling.Lines(
        start: pixels + source.rows.lowerBound * rowLength + source.columns.lowerBound * channels,
        count: source.columns.count, step: channels),
      to: Resampling.Lines(start: spare, count: target.columns.count, step: channels),
      width: channels, lines: source.rows.count, sourceLine: rowLength, targetLine: targetLength)
    if target.rows.count < height || target.columns.count < width { pixels.update(repeating: fill, count: count) }
    resampling.resize(
      Resampling.Lines(start: spare, count: source.rows.count, step: targetLength),
      to: Resampling.Lines(
        start: pixels + target.rows.lowerBound * rowLength + target.columns.lowerBound * channels,
        count: target.rows.count, step: rowLength),
      width: targetLength, lines: 1, sourceLine: 0, targetLine: 0)
  }
}

/// An affine map of the plane, x to the right, y down: x ← xx · x + xy · y + x and y ← yx · x + yy · y + y.
struct AffineMap: Equatable {
  var xx = 1.0, xy = 0.0, x = 0.0, yx = 0.0, yy = 1.0, y = 0.0

  /// The same map around another origin.
  func around(x centerX: Double, y centerY: Double) -> AffineMap {
    var map = self
    map.x += centerX - xx * centerX - xy * centerY
    map.y += centerY - yx * centerX - yy * centerY
    return map
  }
}

enum Interpolation: String {
  case nearest, bilinear
}
