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

  /// The part `source` of the image at the size of `target`, where it is put; the rest is filled. Pillow's `resize`: the
  /// filter widens where the image shrinks, first along rows, then along columns.
  func resample(_ source: Box, to target: Box, _ filter: ResamplingFilter, fill: UInt8) {
    // Rows of the source at their final width, then the final rows.
    resampleLines(
      from: pixels + source.rows.lowerBound * rowLength + source.columns.lowerBound * channels,
      to: spare, lines: source.rows.count, sourceLine: rowLength, targetLine: target.columns.count * channels,
      length: source.columns.count, newLength: target.columns.count, sourceStep: channels, targetStep: channels,
      width: channels, filter)
    let targetLength = target.columns.count * channels
    if target.rows.count < height || target.columns.count < width { pixels.update(repeating: fill, count: count) }
    resampleLines(
      from: spare, to: pixels + target.rows.lowerBound * rowLength + target.columns.lowerBound * channels,
      lines: 1, sourceLine: 0, targetLine: 0, length: source.rows.count, newLength: target.rows.count,
      sourceStep: targetLength, targetStep: rowLength, width: targetLength, filter)
  }

  /// Lines of `length` elements, each of them `width` values side by side, become lines of `newLength`.
  private func resampleLines(
    from source: UnsafeMutablePointer<UInt8>, to target: UnsafeMutablePointer<UInt8>, lines: Int, sourceLine: Int,
    targetLine: Int, length: Int, newLength: Int, sourceStep: Int, targetStep: Int, width: Int,
    _ filter: ResamplingFilter
  ) {
    let scale = Double(length) / Double(newLength), stretch = max(1, scale), support = filter.support * stretch
    // Pillow's nearest filter goes on from the last place, which decides between two that are equally near.
    var place = -0.5 * scale
    for position in 0..<newLength {
      place += scale
      let center = filter == .nearest ? place : (Double(position) + 0.5) * scale
      var first = max(0, Int(center - support + 0.5)), last = min(length, Int(center + support + 0.5))
      if filter == .nearest || last <= first {
        first = min(length - 1, Int(center))
        last = first + 1
      }
      var total = 0.0
      for index in first..<last {
        let weight = filter == .nearest ? 1 : filter.weight((Double(index) - center + 0.5) / stretch)
        weights[index - first] = weight
        total += weight
      }
      for index in 0..<last - first {
        let weight = total == 0 ? 0 : weights[index] / total
        fixedWeights[index] = Int32((weight * 4_194_304 + (weight < 0 ? -0.5 : 0.5)))
      }
      for line in 0..<lines {
        for offset in 0..<width {
          var sum: Int32 = 1 << 21
          var value = source + (line * sourceLine + first * sourceStep + offset)
          for index in 0..<last - first {
            sum &+= Int32(value.pointee) &* fixedWeights[index]
            value += sourceStep
          }
          target[line * targetLine + position * targetStep + offset] =
            UInt8(truncatingIfNeeded: min(255, max(0, sum >> 22)))
        }
      }
    }
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

/// Pillow's filters for changes of size.
enum ResamplingFilter: String, CaseIterable {
  case lanczos, bicubic, bilinear, box, hamming, nearest

  /// Distance, in pixels of the larger scale, from which on the weight is 0.
  var support: Double {
    switch self {
    case .lanczos: 3
    case .bicubic: 2
    case .bilinear, .hamming: 1
    case .box: 0.5
    case .nearest: 0
    }
  }

  func weight(_ distance: Double) -> Double {
    let x = abs(distance)
    func sinc(_ x: Double) -> Double { x == 0 ? 1 : sin(.pi * x) / (.pi * x) }
    switch self {
    case .lanczos: return x < 3 ? sinc(x) * sinc(x / 3) : 0
    case .bicubic:
      if x < 1 { return (1.5 * x - 2.5) * x * x + 1 }
      return x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0
    case .bilinear: return max(0, 1 - x)
    case .hamming: return x < 1 ? sinc(x) * (0.54 + 0.46 * cos(.pi * x)) : 0
    case .box: return distance > -0.5 && distance <= 0.5 ? 1 : 0
    case .nearest: return 0
    }
  }
}
