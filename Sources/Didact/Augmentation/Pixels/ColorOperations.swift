/// Operations on values, whose pixels stay where they are.
extension ImageCanvas {
  // MARK: By a table of new values

  /// Moves to 255 − x by `amount`.
  func invert(amount: Float = 1) { lookUp(amount) { 255 - $0 } }

  /// Keeps the `bits` highest bits.
  func posterize(bits: Int) { lookUp { $0 & ~(0xff >> bits) & 0xff } }

  /// x ← 255 − x where x ≥ threshold
  func solarize(threshold: Int) { lookUp { $0 < threshold ? $0 : 255 - $0 } }

  /// x ← x + addition, at most 255, where x < threshold
  func solarizeAdd(_ addition: Int, threshold: Int) { lookUp { $0 < threshold ? min(255, max(0, $0 + addition)) : $0 } }

  /// Moves away from black by `factor`.
  func brightness(_ factor: Float) { lookUp { Int(blended(0, Float($0), factor)) } }

  /// Moves away from the mean of the luma by `factor`.
  func contrast(_ factor: Float) {
    var sum = 0
    if channels == 3 {
      sum = PixelLoops.lumaSum(pixels, pixels: height * width)
    } else {
      forEachPixel { sum &+= Int($0[0]) }
    }
    let mean = Float(Int(Double(sum) / Double(height * width) + 0.5))
    lookUp { Int(blended(mean, Float($0), factor)) }
  }

  /// Stretches each channel to 0...255, and moves to that by `amount`.
  func autoContrast(amount: Float = 1) {
    // Where the tables will be.
    let lows = tables, highs = tables + channels
    findExtremes(lows, highs)
    let ranges = (0..<channels).map { (low: Double(lows[$0]), high: Double(highs[$0])) }
    for (channel, range) in ranges.enumerated() {
      let scale = range.high > range.low ? 255 / (range.high - range.low) : 1
      let offset = range.high > range.low ? -range.low * scale : 0
      setTable(channel, amount) { min(255, max(0, Int(Double($0) * scale + offset))) }
    }
    lookUpTables()
  }

  /// Makes the values of each channel equally frequent, as far as that goes, and moves to that by `amount`.
  func equalize(amount: Float = 1) {
    counts.update(repeating: 0, count: 256 * channels)
    for channel in 0..<channels {
      let counts = self.counts + 256 * channel
      var index = channel
      while index < count {
        counts[Int(pixels[index])] &+= 1
        index &+= channels
      }
      let last = counts[(0..<256).last { counts[$0] != 0 } ?? 0]
      let step = (height * width - Int(last)) / 255
      guard step > 0 else {
        setTable(channel, amount) { $0 }
        continue
      }
      // ⌊below / step⌋, exact because a half of the smallest remainder keeps away from whole numbers.
      let inverse = 1 / Double(step)
      var below = Double(step / 2) + 0.5
      setTable(channel, amount) { value in
        defer { below += Double(counts[value]) }
        return min(255, Int(below * inverse))
      }
    }
    lookUpTables()
  }

  /// The smallest and the largest value of each channel.
  private func findExtremes(_ low: UnsafeMutablePointer<UInt8>, _ high: UnsafeMutablePointer<UInt8>) {
    if channels == 3 { return PixelLoops.extremes(pixels, count: count, low: low, high: high) }
    low.update(repeating: 255, count: channels)
    high.update(repeating: 0, count: channels)
    forEachPixel { pixel in
      for channel in 0..<channels {
        low[channel] = min(low[channel], pixel[channel])
        high[channel] = max(high[channel], pixel[channel])
      }
    }
  }

  /// One table for all channels.
  private func lookUp(_ amount: Float = 1, _ newValue: (Int) -> Int) {
    setTable(0, amount, newValue)
    let table = tables
    for index in 0..<count { pixels[index] = table[Int(pixels[index])] }
  }

  private func setTable(_ channel: Int, _ amount: Float, _ newValue: (Int) -> Int) {
    let table = tables + 256 * channel
    for value in 0..<256 {
      let new = newValue(value)
      table[value] =
        amount == 1 ? UInt8(truncatingIfNeeded: new) : blended(Float(value), Float(new), amount)
    }
  }

  private func lookUpTables() {
    guard channels == 3 else {
      for pixel in 0..<height * width {
        for channel in 0..<channels {
          let index = pixel &* channels &+ channel
          pixels[index] = tables[256 &* channel &+ Int(pixels[index])]
        }
      }
      return
    }
    let red = tables, green = tables + 256, blue = tables + 512
    var pixel = pixels
    for _ in 0..<height * width {
      (pixel[0], pixel[1], pixel[2]) = (red[Int(pixel[0])], green[Int(pixel[1])], blue[Int(pixel[2])])
      pixel += 3
    }
  }

  // MARK: By pixel

  /// Moves away from the gray image by `factor`.
  func color(_ factor: Float) {
    guard channels == 3 else { return }
    PixelLoops.color(pixels, pixels: height * width, factor: factor)
  }

  /// Every channel becomes the luma.
  func grayscale() {
    guard channels == 3 else { return }
    forEachPixel { pixel in
      let gray = luma(pixel)
      for channel in 0..<3 { pixel[channel] = gray }
    }
  }

  /// Turns the colour wheel by `turn` of a whole one, at the same value and saturation.
  func hue(_ turn: Float) {
    guard channels == 3 else { return }
    forEachPixel { pixel in
      let (red, green, blue) = (Float(pixel[0]), Float(pixel[1]), Float(pixel[2]))
      let high = max(red, green, blue), low = min(red, green, blue), range = high - low
      guard range > 0 else { return }
      // The hue as −1..<6: red at 0, green at 2, blue at 4.
      var hue =
        high == red ? (green - blue) / range : high == green ? 2 + (blue - red) / range : 4 + (red - green) / range
      // Into 0..<6 again: there is less than a whole turn to either side.
      hue += 6 * turn
      hue += hue < 0 ? 6 : hue >= 6 ? -6 : 0
      for channel in 0..<3 {
        // How far the channel is from its own hue, around the circle.
        let distance = abs(hue - 2 * Float(channel)), around = min(distance, 6 - distance)
        pixel[channel] = rounded(low + range * min(1, max(0, 2 - around)))
      }
    }
  }

  private func forEachPixel(_ body: (UnsafeMutablePointer<UInt8>) -> Void) {
    var pixel = pixels
    for _ in 0..<height * width {
      body(pixel)
      pixel += channels
    }
  }

  /// Of ITU-R BT.601, in integers as Pillow's conversion to "L".
  @inline(__always)
  private func luma(_ pixel: UnsafeMutablePointer<UInt8>) -> UInt8 {
    let sum = 19595 &* UInt32(pixel[0]) &+ 38470 &* UInt32(pixel[1]) &+ 7471 &* UInt32(pixel[2]) &+ 0x8000
    return UInt8(truncatingIfNeeded: sum >> 16)
  }
}

/// a + factor · (b − a) as Pillow's blend: cut off below, and clipped.
@inline(__always)
func blended(_ a: Float, _ b: Float, _ factor: Float) -> UInt8 {
  let value = a + factor * (b - a)
  return UInt8(truncatingIfNeeded: Int32(min(255, max(0, value))))
}

@inline(__always)
func rounded(_ value: Float) -> UInt8 { UInt8(truncatingIfNeeded: Int32(min(255, max(0, value)) + 0.5)) }
