/// The lengths of an array's dimensions, outermost first; at most four of them.
///
/// The lengths stand inline, so that making a shape allocates nothing.
public struct Shape: Equatable, Hashable, Sendable, CustomStringConvertible {
  public static let maximumRank = 4
  public private(set) var rank: Int
  private var lengths: (Int, Int, Int, Int) = (1, 1, 1, 1)

  public init() { rank = 0 }
  public init(_ a: Int) { rank = 1; lengths.0 = a }
  public init(_ a: Int, _ b: Int) { rank = 2; lengths = (a, b, 1, 1) }

  /// - Throws: `DidactError.shape` for more than four dimensions, a negative length, or an element count that overflows.
  public init(checking dimensions: [Int]) throws {
    guard dimensions.count <= Shape.maximumRank else {
      throw DidactError(.shape, "\(dimensions.count) dimensions; at most \(Shape.maximumRank) are supported")
    }
    rank = 0
    var count = 1
    for length in dimensions {
      guard length >= 0 else { throw DidactError(.shape, "negative length in shape \(dimensions)") }
      // 16 bytes an element is more than any element type takes, so byte counts cannot overflow either.
      let (product, overflow) = count.multipliedReportingOverflow(by: max(length, 1))
      guard !overflow, product <= Int.max / 16 else { throw DidactError(.shape, "shape \(dimensions) is too large") }
      count = product
      rank += 1
      self[rank - 1] = length
    }
  }

  public subscript(dimension: Int) -> Int {
    get {
      switch dimension {
      case 0: lengths.0
      case 1: lengths.1
      case 2: lengths.2
      default: lengths.3
      }
    }
    set {
      switch dimension {
      case 0: lengths.0 = newValue
      case 1: lengths.1 = newValue
      case 2: lengths.2 = newValue
      default: lengths.3 = newValue
      }
    }
  }

  /// The number of elements; 1 for no dimensions.
  public var count: Int { lengths.0 * lengths.1 * lengths.2 * lengths.3 }
  public var dimensions: [Int] { (0..<rank).map { self[$0] } }
  public var description: String { "[" + dimensions.map(String.init).joined(separator: ", ") + "]" }

  public static func == (a: Shape, b: Shape) -> Bool { a.rank == b.rank && a.lengths == b.lengths }
  public func hash(into hasher: inout Hasher) {
    hasher.combine(rank)
    for i in 0..<4 { hasher.combine(self[i]) }
  }
}
