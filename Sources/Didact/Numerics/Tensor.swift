#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A shape plus storage. Contiguous, row-major; several tensors may be views of one buffer.
///
/// What the elements are is the kernels' business: layers, objectives and methods pass tensors on and never read one.
public struct Tensor: Sendable {
  public let shape: Shape
  public let elementType: ElementType
  package let buffer: Buffer
  /// In elements, from the start of the buffer.
  package let offset: Int
  /// Whether float32 elements are kept rounded to bfloat16, in half the memory: images within a pass, if the network's
  /// arithmetic asks for it. Only kernels see such tensors.
  let isBFloat16: Bool

  /// Zeros.
  public init(_ shape: Shape, _ elementType: ElementType) throws {
    self.shape = shape
    self.elementType = elementType
    self.buffer = try Buffer(byteCount: shape.count * elementType.byteCount)
    self.offset = 0
    isBFloat16 = false
  }

  package init(_ shape: Shape, _ elementType: ElementType, buffer: Buffer, offset: Int = 0) {
    self.init(shape, elementType, buffer: buffer, offset: offset, isBFloat16: false)
  }

  private init(_ shape: Shape, _ elementType: ElementType, buffer: Buffer, offset: Int, isBFloat16: Bool) {
    self.shape = shape
    self.elementType = elementType
    self.buffer = buffer
    self.offset = offset
    self.isBFloat16 = isBFloat16
  }

  public var count: Int { shape.count }
  /// The first dimension.
  public var rows: Int { shape[0] }
  /// The second dimension.
  public var columns: Int { shape[1] }
  private var elementByteCount: Int { isBFloat16 ? 2 : elementType.byteCount }
  package var byteCount: Int { count * elementByteCount }
  package var address: UnsafeMutableRawPointer { buffer.address + offset * elementByteCount }

  /// A view of `shape` that starts `offset` elements into this tensor.
  func view(_ shape: Shape, at offset: Int = 0) -> Tensor {
    assert(offset >= 0 && offset + shape.count <= count, "view outside its tensor")
    return Tensor(shape, elementType, buffer: buffer, offset: self.offset + offset, isBFloat16: isBFloat16)
  }

  /// The memory from there on as elements kept as bfloat16, two in the place of one.
  func bfloat16View(_ shape: Shape, at offset: Int) -> Tensor {
    assert(elementType == .float32 && !isBFloat16 && 2 * (count - offset) >= shape.count, "view outside its tensor")
    return Tensor(shape, elementType, buffer: buffer, offset: 2 * (self.offset + offset), isBFloat16: true)
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
      case .float32 where isBFloat16:
        Double(Float(bitPattern: UInt32(address.assumingMemoryBound(to: UInt16.self)[index]) << 16))
      case .float32: Double(address.assumingMemoryBound(to: Float.self)[index])
      case .float64: address.assumingMemoryBound(to: Double.self)[index]
      case .int64: Double(address.assumingMemoryBound(to: Int64.self)[index])
      case .uint8: Double(address.assumingMemoryBound(to: UInt8.self)[index])
      }
    }
    nonmutating set {
      switch elementType {
      case .float32 where isBFloat16:
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

  /// Takes labels of int64 or uint8 [N] into this int64 tensor.
  /// - Returns: the first row whose label is not in 0..<classes, and that label, if there is one.
  func takeLabels(_ labels: BorrowedArray, _ name: String, classes: Int) throws -> (row: Int, label: Int64)? {
    guard labels.elementType == .int64 || labels.elementType == .uint8 else {
      throw DidactError(.elementType, "\(name) is \(labels.elementType); labels are int64 or uint8")
    }
    let own = address.assumingMemoryBound(to: Int64.self), isWide = labels.elementType == .int64
    for row in 0..<labels.count {
      let element = labels.address + row * labels.strides.0
      own[row] = isWide ? element.loadUnaligned(as: Int64.self) : Int64(element.load(as: UInt8.self))
      if own[row] < 0 || own[row] >= Int64(classes) { return (row, own[row]) }
    }
    return nil
  }

  /// The bytes, for exact comparison.
  package var bytes: [UInt8] { Array(UnsafeRawBufferPointer(start: address, count: byteCount)) }

  /// Takes the elements of a tensor of the same shape and element type.
  func copyElements(of other: Tensor) { memcpy(address, other.address, byteCount) }

  /// A copy in memory of its own.
  public func copy() throws -> Tensor {
    let result = try Tensor(shape, elementType)
    memcpy(result.address, address, byteCount)
    return result
  }
}
