#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// For those who import no mathematics.
func logarithm(_ x: Double) -> Double { log(x) }
func exponential(_ x: Double) -> Double { exp(x) }
func power(_ base: Double, _ exponent: Double) -> Double { pow(base, exponent) }
func sine(_ x: Double) -> Double { sin(x) }
func cosine(_ x: Double) -> Double { cos(x) }

/// A named stream of a counter-based generator: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as
/// 1, 2, 3", SC 2011).
///
/// A value is a pure function of (seed, stream name, draw, lane, index): nothing is stored, so a resumed run draws what
/// an uninterrupted one would have, and the order or thread in which values are drawn does not matter.
public struct RandomStream: Sendable, Equatable {
  let key: UInt64

  /// - Parameters:
  ///   - seed: the run's seed.
  ///   - name: the purpose, such as `"initialization/teacher"`.
  public init(seed: UInt64, name: String) {
    // FNV-1a over the name, then a round of splitmix64 to spread the seed over all bits.
    var hash = FowlerNollVoHash()
    for byte in name.utf8 { hash.add(UInt64(byte)) }
    var mixed = seed &+ hash.value &+ 0x9e37_79b9_7f4a_7c15
    mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
    key = mixed ^ (mixed >> 31)
  }

  /// One draw of the stream: an unlimited sequence of values by index.
  /// - Parameters:
  ///   - number: the step, epoch or other count that makes this draw another one than the last.
  ///   - lane: keeps sequences of one draw apart, such as the dropout layers of one pass.
  public func draw(_ number: UInt64, lane: UInt32 = 0) -> RandomDraw {
    RandomDraw(key: key, number: number, lane: lane)
  }
}

/// FNV-1a (Fowler, Noll and Vo), 64 bits: not for secrets.
struct FowlerNollVoHash {
  private(set) var value: UInt64 = 0xcbf2_9ce4_8422_2325

  @inline(__always)
  mutating func add(_ bits: UInt64) { value = (value ^ bits) &* 0x0000_0100_0000_01b3 }
}

/// The values of one draw. Value `i` does not depend on which others are asked for.
public struct RandomDraw: Sendable {
  let key: UInt64
  let number: UInt64
  let lane: UInt32

  /// Four 32-bit values: counter (block, lane, number low, number high), key (low, high).
  @inline(__always)
  func block(_ index: UInt32) -> SIMD4<UInt32> {
    philox4x32(
      counter: SIMD4(index, lane, UInt32(truncatingIfNeeded: number), UInt32(truncatingIfNeeded: number >> 32)),
      key: SIMD2(UInt32(truncatingIfNeeded: key), UInt32(truncatingIfNeeded: key >> 32)))
  }

  /// 64 random bits.
  @inline(__always)
  public func bits(_ index: Int) -> UInt64 {
    let words = block(UInt32(truncatingIfNeeded: index >> 1))
    return index & 1 == 0 ? UInt64(words.y) << 32 | UInt64(words.x) : UInt64(words.w) << 32 | UInt64(words.z)
  }

  /// Uniform on [0, 1), a multiple of 2⁻⁵³.
  @inline(__always)
  public func uniform(_ index: Int) -> Double { Double(bits(index) >> 11) * 0x1p-53 }

  /// Standard normal (Box and Muller, 1958): the cosine branch for even indices, the sine branch for odd ones.
  @inline(__always)
  public func normal(_ index: Int) -> Double {
    let pair = index & ~1
    let radius = (-2 * log(1 - uniform(pair))).squareRoot()
    let angle = 2 * Double.pi * uniform(pair + 1)
    return index & 1 == 0 ? radius * cos(angle) : radius * sin(angle)
  }

  /// Uniform on 0..<bound, without bias worth the name (bound ≪ 2⁶⁴).
  public func integer(_ index: Int, below bound: Int) -> Int {
    Int(bits(index).multipliedFullWidth(by: UInt64(bound)).high)
  }

  /// Beta(a, a): x / (x + y) with x and y of the Gamma distribution.
  public func beta(_ a: Double) -> Double {
    // Beyond it all values are 1/2 to the last digits, and the sums below would be infinite.
    let a = min(a, 1e15)
    var index = 0
    let x = logarithmOfGamma(a, &index), y = logarithmOfGamma(a, &index)
    return 1 / (1 + exp(y - x))
  }

  /// The logarithm of a value of Gamma(a, 1) (Marsaglia and Tsang, 2000), from the values at `index` on. In logarithms,
  /// because small a make values of 0.
  private func logarithmOfGamma(_ a: Double, _ index: inout Int) -> Double {
    let d = (a < 1 ? a + 1 : a) - 1 / 3.0, c = 1 / (9 * d).squareRoot()
    while true {
      let x = normal(index), v = 1 + c * x, u = 1 - uniform(index + 2), boost = 1 - uniform(index + 3)
      index += 4
      guard v > 0, log(u) < x * x / 2 + d - d * v * v * v + 3 * d * log(v) else { continue }
      let value = log(d) + 3 * log(v)
      return a < 1 ? value + log(boost) / a : value
    }
  }

  /// A permutation of 0..<count (Fisher and Yates).
  public func permutation(_ count: Int) -> [Int] {
    var order = Array(0..<count)
    for i in stride(from: count - 1, to: 0, by: -1) { order.swapAt(i, integer(i, below: i + 1)) }
    return order
  }
}

/// The values of a draw one after the other.
struct RandomSequence {
  private let draw: RandomDraw
  private var index = 0

  init(_ draw: RandomDraw) { self.draw = draw }

  /// Uniform on [0, 1).
  mutating func uniform() -> Double {
    defer { index += 1 }
    return draw.uniform(index)
  }

  /// Uniform on [low, high).
  mutating func uniform(_ low: Double, _ high: Double) -> Double { low + (high - low) * uniform() }

  /// Uniform on 0..<bound.
  mutating func integer(below bound: Int) -> Int {
    defer { index += 1 }
    return draw.integer(index, below: bound)
  }

  mutating func integer(in range: ClosedRange<Int>) -> Int {
    range.lowerBound + integer(below: range.count)
  }

  /// True with this probability.
  mutating func happens(_ probability: Double) -> Bool { uniform() < probability }

  /// 1 or −1.
  mutating func sign() -> Double { happens(0.5) ? 1 : -1 }
}

@inline(__always)
func philox4x32(counter: SIMD4<UInt32>, key: SIMD2<UInt32>) -> SIMD4<UInt32> {
  var c = counter, k = key
  for _ in 0..<10 {
    let p0 = UInt64(0xd251_1f53) &* UInt64(c.x), p1 = UInt64(0xcd9e_8d57) &* UInt64(c.z)
    c = SIMD4(
      UInt32(truncatingIfNeeded: p1 >> 32) ^ c.y ^ k.x, UInt32(truncatingIfNeeded: p1),
      UInt32(truncatingIfNeeded: p0 >> 32) ^ c.w ^ k.y, UInt32(truncatingIfNeeded: p0))
    k = k &+ SIMD2(0x9e37_79b9, 0xbb67_ae85)
  }
  return c
}
