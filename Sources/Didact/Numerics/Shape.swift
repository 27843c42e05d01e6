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
  public init(_ a: Int, _ b: Int, _ c: Int) { rank = 3; lengths = (a, b, c, 1) }
  public init(_ a: Int, _ b: Int, _ c: Int, _ d: Int) { rank = 4; lengths = (a, b, c, d) }

  /// - Throws: `DidactError.shape` for more than four dimensions, a negative length, or an element count that overflows.
  public init(checking dimensions: [Int]) throws { try self.init(rank: dimensions.count) { dimensions[$0] } }

  /// The same from lengths by dimension.
  package init(rank: Int, _ length: (Int) -> Int) throws {
    guard rank <= Shape.maximumRank else {
      throw DidactError(.shape, "\(rank) dimensions; at most \(Shape.maximumRank) are supported")
    }
    self.rank = rank
    var count = 1
    for dimension in 0..<rank {
      let length = length(dimension)
      self[dimension] = length
      guard length >= 0 else { throw DidactError(.shape, "negative length in shape \(self)") }
      // 16 bytes an element is more than any element type takes, so byte counts cannot overflow either.
      let (product, overflow) = count.multipliedReportingOverflow(by: max(length, 1))
      guard !overflow, product <= Int.max / 16 else { throw DidactError(.shape, "shape \(self) is too large") }
      count = product
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
