/// Someone else's array, for the length of a call: elements of any type, at any strides. A value, so that taking one
/// allocates nothing.
public struct BorrowedArray {
  public let shape: Shape
  public let elementType: ElementType
  package let address: UnsafeMutableRawPointer
  /// Bytes from one element to the next, by dimension; 0 for the dimensions that the shape has not.
  package let strides: Strides

  package typealias Strides = (Int, Int, Int, Int)

  /// - Parameter strides: in bytes; nil for row-major without gaps.
  package init(_ shape: Shape, _ elementType: ElementType, address: UnsafeMutableRawPointer, strides: Strides? = nil) {
    self.shape = shape
    self.elementType = elementType
    self.address = address
    let size = elementType.byteCount
    let third = size * shape[3], second = third * shape[2], first = second * shape[1]
    self.strides = strides ?? (first, second, third, size)
  }

  /// The caller keeps the tensor alive.
  package init(_ tensor: Tensor) { self.init(tensor.shape, tensor.elementType, address: tensor.address) }

  public var count: Int { shape.count }
  public var rows: Int { shape[0] }
  /// The elements of a row: of all dimensions but the first.
  public var columns: Int { shape[1] * shape[2] * shape[3] }

  /// Whether the elements lie side by side in row-major order, at addresses that fit their type.
  package var isContiguous: Bool {
    var expected = elementType.byteCount
    guard Int(bitPattern: address) % expected == 0 else { return false }
    if shape[3] > 1 && strides.3 != expected { return false }
    expected *= shape[3]
    if shape[2] > 1 && strides.2 != expected { return false }
    expected *= shape[2]
    if shape[1] > 1 && strides.1 != expected { return false }
    expected *= shape[1]
    return shape[0] <= 1 || strides.0 == expected
  }

  /// The rows `range`.
  func rows(_ range: Range<Int>) -> BorrowedArray {
    var part = shape
    part[0] = range.count
    return BorrowedArray(part, elementType, address: address + range.lowerBound * strides.0, strides: strides)
  }

  /// Examples of these lengths: rows [N, length], or images [N, height, width, channels]; images [N, channels, height, width]
  /// are seen as such, and [N, height, width] where there is one channel. Nil for other shapes.
  func examples(of extent: Extent) -> BorrowedArray? {
    let (height, width, channels) = (extent.height, extent.width, extent.channels)
    if shape.rank == 2 { return columns == extent.count ? self : nil }
    guard extent.pixels > 1 else { return nil }
    if shape.rank == 3 { return (shape[1], shape[2], 1) == (height, width, channels) ? self : nil }
    guard shape.rank == 4 else { return nil }
    if (shape[1], shape[2], shape[3]) == (height, width, channels) { return self }
    guard (shape[1], shape[2], shape[3]) == (channels, height, width) else { return nil }
    var lengths = shape
    (lengths[1], lengths[2], lengths[3]) = (height, width, channels)
    return BorrowedArray(
      lengths, elementType, address: address, strides: (strides.0, strides.2, strides.3, strides.1))
  }

  /// Calls `body` with the index and the address of each element, in row-major order.
  package func forEachElement(_ body: (Int, UnsafeMutableRawPointer) -> Void) {
    guard count > 0 else { return }
    var index = 0
    // Unused dimensions have length 1.
    for a in 0..<shape[0] {
      for b in 0..<shape[1] {
        for c in 0..<shape[2] {
          for d in 0..<shape[3] {
            body(index, address + (a &* strides.0 &+ b &* strides.1 &+ c &* strides.2 &+ d &* strides.3))
            index += 1
          }
        }
      }
    }
  }

  /// The elements in a tensor of their type, side by side.
  package func copyElements(to tensor: Tensor) {
    let size = elementType.byteCount
    if isContiguous {
      tensor.address.copyMemory(from: address, byteCount: tensor.byteCount)
    } else {
      forEachElement { (tensor.address + $0 * size).copyMemory(from: $1, byteCount: size) }
    }
  }

  /// Takes the elements of a tensor of the same shape; float32 and float64 are converted into each other.
  /// - Throws: `DidactError.shape` or `.elementType`, naming the array.
  package func take(_ tensor: Tensor, _ name: String) throws {
    try check(tensor.shape, tensor.elementType, name)
    let size = elementType.byteCount, source = tensor.address
    switch (elementType, tensor.elementType) {
    case (.float32, .float64):
      let source = source.assumingMemoryBound(to: Double.self)
      forEachElement { $1.storeBytes(of: Float(source[$0]), as: Float.self) }
    case (.float64, .float32):
      let source = source.assumingMemoryBound(to: Float.self)
      forEachElement { $1.storeBytes(of: Double(source[$0]), as: Double.self) }
    default:
      if isContiguous {
        address.copyMemory(from: source, byteCount: tensor.byteCount)
      } else {
        forEachElement { $1.copyMemory(from: source + $0 * size, byteCount: size) }
      }
    }
  }

  /// Takes the mean of its own elements and those of others of the same shape. Real numbers, all of them.
  func average(with others: [Tensor]) {
    let count = Double(others.count + 1)
    switch elementType {
    case .float32:
      forEachElement { index, address in
        let sum = others.reduce(Double(address.loadUnaligned(as: Float.self))) { $0 + $1[index] }
        address.storeBytes(of: Float(sum / count), as: Float.self)
      }
    default:
      forEachElement { index, address in
        let sum = others.reduce(address.loadUnaligned(as: Double.self)) { $0 + $1[index] }
        address.storeBytes(of: sum / count, as: Double.self)
      }
    }
  }

  /// x ← own · x + factor · values, for real numbers and as many values; of own = 0 whatever x was.
  func mix(_ values: [Double], scaledBy factor: Double, own: Double) {
    let isFloat = elementType == .float32
    forEachElement { index, address in
      let given = factor * values[index]
      let held = isFloat ? Double(address.loadUnaligned(as: Float.self)) : address.loadUnaligned(as: Double.self)
      let result = own == 0 ? given : own * held + given
      if isFloat {
        address.storeBytes(of: Float(result), as: Float.self)
      } else {
        address.storeBytes(of: result, as: Double.self)
      }
    }
  }

  /// - Throws: `DidactError.shape` or `.elementType`, naming the array, where it cannot take values of that shape and type.
  package func check(_ shape: Shape, _ elementType: ElementType, _ name: String) throws {
    guard self.shape == shape else {
      throw DidactError(.shape, "\(name) has shape \(self.shape); expected \(shape)")
    }
    func isReal(_ type: ElementType) -> Bool { type == .float32 || type == .float64 }
    guard self.elementType == elementType || (isReal(self.elementType) && isReal(elementType)) else {
      throw DidactError(.elementType, "\(name) is \(self.elementType); expected \(elementType)")
    }
  }

  /// One element by its row-major index, as a Double.
  subscript(index: Int) -> Double {
    let (row, column) = index.quotientAndRemainder(dividingBy: max(1, columns))
    var element = address + row * strides.0
    if shape.rank <= 2 {
      element += column * strides.1
    } else {
      let (pixel, channel) = column.quotientAndRemainder(dividingBy: shape[3])
      element += pixel / shape[2] * strides.1 + pixel % shape[2] * strides.2 + channel * strides.3
    }
    switch elementType {
    case .float32: return Double(element.loadUnaligned(as: Float.self))
    case .float64: return element.loadUnaligned(as: Double.self)
    case .int64: return Double(element.loadUnaligned(as: Int64.self))
    case .uint8: return Double(element.loadUnaligned(as: UInt8.self))
    }
  }
}
