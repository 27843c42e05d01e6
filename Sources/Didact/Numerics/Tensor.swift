#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A shape plus storage. Contiguous, row-major; several tensors may be views of one buffer.
///
/// What the elements are is the kernels' business: layers, objectives and methods pass tensors on and never read one.
public struct Tensor: Sendable {
  /// How elements are kept. Images within a pass may be kept otherwise than everywhere else; only kernels see such.
  enum Form: Sendable {
    /// In the element type, row-major; of images channels last.
    case plain
    /// float32 rounded to bfloat16, in half the memory.
    case bfloat16
    /// float32 in blocks of 16 channels: an example is [channels / 16, pixels, 16].
    case inBlocks
  }

  public let shape: Shape
  public let elementType: ElementType
  package let buffer: Buffer
  /// In elements, from the start of the buffer.
  package let offset: Int
  let form: Form

  /// Zeros.
  public init(_ shape: Shape, _ elementType: ElementType) throws {
    self.shape = shape
    self.elementType = elementType
    self.buffer = try Buffer(byteCount: shape.count * elementType.byteCount)
    self.offset = 0
    form = .plain
  }

  package init(_ shape: Shape, _ elementType: ElementType, buffer: Buffer, offset: Int = 0) {
    self.init(shape, elementType, buffer: buffer, offset: offset, form: .plain)
  }

  private init(_ shape: Shape, _ elementType: ElementType, buffer: Buffer, offset: Int, form: Form) {
    self.shape = shape
    self.elementType = elementType
    self.buffer = buffer
    self.offset = offset
    self.form = form
  }

  public var count: Int { shape.count }
  /// The first dimension.
  public var rows: Int { shape[0] }
  /// The second dimension.
  public var columns: Int { shape[1] }
  private var elementByteCount: Int { form == .bfloat16 ? 2 : elementType.byteCount }
  package var byteCount: Int { count * elementByteCount }
  package var address: UnsafeMutableRawPointer { buffer.address + offset * elementByteCount }

  /// A view of `shape` that starts `offset` elements into this tensor.
  func view(_ shape: Shape, at offset: Int = 0) -> Tensor {
    assert(offset >= 0 && offset + shape.count <= count, "view outside its tensor")
    return Tensor(shape, elementType, buffer: buffer, offset: self.offset + offset, form: form)
  }

  /// The memory from there on, of a plain tensor, as elements in another form: of bfloat16 two in the place of one.
  func view(_ shape: Shape, at offset: Int, form: Form) -> Tensor {
    let inPlace = form == .bfloat16 ? 2 : 1
    assert(self.form == .plain && inPlace * (count - offset) >= shape.count, "view outside its tensor")
    return Tensor(shape, elementType, buffer: buffer, offset: inPlace * (self.offset + offset), form: form)
  }

  /// A view of the rows `range` of a matrix.
  func rows(_ range: Range<Int>) -> Tensor {
    view(Shape(range.count, columns), at: range.lowerBound * columns)
  }
}

// MARK: - Swift arrays

extension Tensor {
  /// A matrix `[rows.count, rows[0].count]` of float64.
  /// - Throws: `DidactError.shape` where rows differ in length.
  public init(rows: [[Double]]) throws {
    let columns = rows.first?.count ?? 0
    if let odd = rows.firstIndex(where: { $0.count != columns }) {
      throw DidactError(.shape, "row \(odd) has \(rows[odd].count) columns, row 0 has \(columns)")
    }
    try self.init(rows.flatMap { $0 }, shape: Shape(rows.count, columns))
  }

  /// - Throws: `DidactError.shape` where the count of `values` is not the shape's.
  public init(_ values: [Double], shape: Shape, elementType: ElementType = .float64) throws {
    guard values.count == shape.count else {
      throw DidactError(.shape, "\(values.count) values for shape \(shape)")
    }
    try self.init(shape, elementType)
    for i in 0..<values.count { self[i] = values[i] }
  }

  /// A vector of int64.
  public init(_ integers: [Int]) throws {
    try self.init(Shape(integers.count), .int64)
    let elements = address.assumingMemoryBound(to: Int64.self)
    for (i, integer) in integers.enumerated() { elements[i] = Int64(integer) }
  }

  /// The elements in row-major order.
  public var values: [Double] { (0..<count).map { self[$0] } }

  /// One element by its row-major index, converted to or from Double. For tests and small arrays: one element a call.
  public internal(set) subscript(index: Int) -> Double {
    get {
      switch elementType {
      case .float32 where form == .bfloat16:
        Double(Float(bitPattern: UInt32(address.assumingMemoryBound(to: UInt16.self)[index]) << 16))
      case .float32: Double(address.assumingMemoryBound(to: Float.self)[index])
      case .float64: address.assumingMemoryBound(to: Double.self)[index]
      case .int64: Double(address.assumingMemoryBound(to: Int64.self)[index])
      case .uint8: Double(address.assumingMemoryBound(to: UInt8.self)[index])
      }
    }
    nonmutating set {
      switch elementType {
      case .float32 where form == .bfloat16:
        // To the nearest, ties to the even one.
        let bits = Float(newValue).bitPattern
        address.assumingMemoryBound(to: UInt16.self)[index] = UInt16((bits + 0x7fff + (bits >> 16 & 1)) >> 16)
      case .float32: address.assumingMemoryBound(to: Float.self)[index] = Float(newValue)
      case .float64: address.assumingMemoryBound(to: Double.self)[index] = newValue
      case .int64: address.assumingMemoryBound(to: Int64.self)[index] = Int64(newValue)
      case .uint8: address.assumingMemoryBound(to: UInt8.self)[index] = UInt8(newValue)
      }
    }
  }

  /// The single element of an int64 tensor.
  var integer: Int64 {
    get { address.assumingMemoryBound(to: Int64.self).pointee }
    nonmutating set { address.assumingMemoryBound(to: Int64.self).pointee = newValue }
  }

  /// One element of an int64 or uint8 tensor by its row-major index, exactly (a Double holds 53 bits).
  func integer(at index: Int) -> Int {
    elementType == .uint8
      ? Int(address.assumingMemoryBound(to: UInt8.self)[index])
      : Int(address.assumingMemoryBound(to: Int64.self)[index])
  }

  /// Takes as many whole numbers of int64 or uint8 into this int64 tensor.
  func takeIntegers(_ array: BorrowedArray) {
    let own = address.assumingMemoryBound(to: Int64.self), isWide = array.elementType == .int64
    array.forEachElement { own[$0] = isWide ? $1.loadUnaligned(as: Int64.self) : Int64($1.load(as: UInt8.self)) }
  }

  /// The bytes, for exact comparison.
  package var bytes: [UInt8] { Array(UnsafeRawBufferPointer(start: address, count: byteCount)) }

  /// Takes the elements of a tensor of the same shape and element type.
  func copyElements(of other: Tensor) { memcpy(address, other.address, byteCount) }

  /// Copies a range of another tensor's elements to this one's from `start` on. Same element type; without a kernel.
  func copyElements(_ range: Range<Int>, of other: Tensor, to start: Int) {
    let size = elementType.byteCount
    memcpy(address + start * size, other.address + range.lowerBound * size, range.count * size)
  }

  /// A copy in memory of its own.
  public func copy() throws -> Tensor {
    let result = try Tensor(shape, elementType)
    memcpy(result.address, address, byteCount)
    return result
  }
}
