#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Pillow's `resize`: a filter that widens where the image shrinks, along rows and then along columns, in fixed point.
struct Resampling {
  let filter: ResamplingFilter
  /// Room for the weights of one pixel: as many as there are in the longer line.
  let weights: UnsafeMutablePointer<Double>
  let fixedWeights: UnsafeMutablePointer<Int32>

  /// What becomes longer or shorter: `count` elements, `step` apart.
  struct Lines {
    let start: UnsafeMutablePointer<UInt8>
    let count, step: Int
  }

  /// Changes the number of elements of `lines` lines, each element being `width` values side by side.
  /// - Parameters:
  ///   - sourceLine: from one line of the source to the next; `targetLine` likewise.
  func resize(_ source: Lines, to target: Lines, width: Int, lines: Int, sourceLine: Int, targetLine: Int) {
    let scale = Double(source.count) / Double(target.count), stretch = max(1, scale)
    let support = filter.support * stretch
    // The nearest filter goes on from the last place, which decides between two that are equally near.
    var place = -0.5 * scale
    for position in 0..<target.count {
      place += scale
      let center = filter == .nearest ? place : (Double(position) + 0.5) * scale
      var first = max(0, Int(center - support + 0.5)), last = min(source.count, Int(center + support + 0.5))
      if filter == .nearest || last <= first {
        first = min(source.count - 1, Int(center))
        last = first + 1
      }
      setWeights(first..<last, center, stretch)
      let taps = last - first
      for line in 0..<lines {
        let values = source.start + (line * sourceLine + first * source.step)
        let results = target.start + (line * targetLine + position * target.step)
        for offset in 0..<width {
          var sum: Int32 = 1 << 21
          var value = values + offset
          for tap in 0..<taps {
            sum &+= Int32(value.pointee) &* fixedWeights[tap]
            value += source.step
          }
          results[offset] = UInt8(truncatingIfNeeded: min(255, max(0, sum >> 22)))
        }
      }
    }
  }

  /// With 22 bits behind the point.
  private func setWeights(_ taps: Range<Int>, _ center: Double, _ stretch: Double) {
    guard filter != .nearest else { return fixedWeights[0] = 1 << 22 }
    var total = 0.0
    for tap in taps {
      let weight = filter.weight((Double(tap) - center + 0.5) / stretch)
      weights[tap - taps.lowerBound] = weight
      total += weight
    }
    for index in 0..<taps.count {
      let weight = total == 0 ? 0 : weights[index] / total
      fixedWeights[index] = Int32(weight * 4_194_304 + (weight < 0 ? -0.5 : 0.5))
    }
  }

  /// An image [height, width, channels] at another size.
  /// - Parameter target: as many channels.
  /// - Throws: `DidactError.outOfMemory`.
  static func resize(
    _ source: UnsafeMutablePointer<UInt8>, _ extent: Extent, to target: UnsafeMutablePointer<UInt8>,
    _ targetExtent: Extent, _ filter: ResamplingFilter
  ) throws {
    let channels = extent.channels, longest = max(extent.height, extent.width)
    let sourceLength = extent.width * channels, targetLength = targetExtent.width * channels
    let middle = try Buffer(byteCount: extent.height * targetLength), room = try Buffer(byteCount: 12 * longest)
    let resampling = Resampling(
      filter: filter, weights: room.address.assumingMemoryBound(to: Double.self),
      fixedWeights: (room.address + 8 * longest).assumingMemoryBound(to: Int32.self))
    let rows = middle.address.assumingMemoryBound(to: UInt8.self)
    withExtendedLifetime((middle, room)) {
      resampling.resize(
        Lines(start: source, count: extent.width, step: channels),
        to: Lines(start: rows, count: targetExtent.width, step: channels), width: channels, lines: extent.height,
        sourceLine: sourceLength, targetLine: targetLength)
      resampling.resize(
        Lines(start: rows, count: extent.height, step: targetLength),
        to: Lines(start: target, count: targetExtent.height, step: targetLength), width: targetLength, lines: 1,
        sourceLine: 0, targetLine: 0)
    }
  }
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
