#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The element types that the reference kernels are compiled for.
protocol ReferenceElement: BinaryFloatingPoint, Sendable {
  static var elementType: ElementType { get }
  static func exponential(_ x: Self) -> Self
  static func hyperbolicTangent(_ x: Self) -> Self
}

extension Float: ReferenceElement {
  static var elementType: ElementType { .float32 }
  @inline(__always) static func exponential(_ x: Float) -> Float { expf(x) }
  @inline(__always) static func hyperbolicTangent(_ x: Float) -> Float { tanhf(x) }
}

extension Double: ReferenceElement {
  static var elementType: ElementType { .float64 }
  @inline(__always) static func exponential(_ x: Double) -> Double { exp(x) }
  @inline(__always) static func hyperbolicTangent(_ x: Double) -> Double { tanh(x) }
}

/// baseⁿ for a step count n.
func power(_ base: Double, _ exponent: Int) -> Double { pow(base, Double(exponent)) }
