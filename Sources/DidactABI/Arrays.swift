import CDidact
import Didact

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A caller's array, for the length of the call.
/// - Throws: `DidactError` naming the argument for null pointers, an unknown dtype or a shape that is none.
func borrow(_ array: UnsafePointer<didact_array>?, _ name: String) throws -> BorrowedArray {
  guard let array = array?.pointee else { throw DidactError(.invalidArgument, "\(name) is null") }
  guard let elementType = ElementType(rawValue: array.dtype) else {
    throw DidactError(
      .elementType, "\(name): dtype \(array.dtype); expected DIDACT_FLOAT32, _FLOAT64, _INT64 or _UINT8 (1 to 4)")
  }
  let rank = Int(array.ndim)
  guard rank >= 0, rank <= Shape.maximumRank else {
    throw DidactError(.shape, "\(name): ndim is \(rank); expected 0 to \(Shape.maximumRank)")
  }
  guard rank == 0 || array.shape != nil else { throw DidactError(.invalidArgument, "\(name): shape is null") }
  let shape: Shape
  do {
    shape = try Shape(rank: rank) { Int(array.shape[$0]) }
  } catch let error as DidactError {
    throw error.at(name)
  }
  // More than processes can address: nobody has such an array.
  guard shape.count <= (1 << 47) / elementType.byteCount else {
    throw DidactError(.outOfMemory, "\(name): no memory holds an array of shape \(shape)")
  }
  // An array without elements may be nowhere.
  guard let data = array.data ?? (shape.count == 0 ? UnsafeMutableRawPointer(bitPattern: 64) : nil) else {
    throw DidactError(.invalidArgument, "\(name): data is null")
  }
  guard let strides = array.strides else { return BorrowedArray(shape, elementType, address: data) }
  func stride(_ dimension: Int) -> Int { dimension < rank ? Int(strides[dimension]) : 0 }
  return BorrowedArray(
    shape, elementType, address: data, strides: (stride(0), stride(1), stride(2), stride(3)))
}

/// The same for an argument that may be null.
func borrowOptional(_ array: UnsafePointer<didact_array>?, _ name: String) throws -> BorrowedArray? {
  array == nil ? nil : try borrow(array, name)
}

/// A copy of a caller's array.
/// - Throws: `DidactError` naming the argument for null pointers, an unknown dtype or a shape that is none.
func importArray(_ array: UnsafePointer<didact_array>?, _ name: String) throws -> Tensor {
  try imported(borrow(array, name))
}

func imported(_ array: BorrowedArray) throws -> Tensor {
  let tensor = try Tensor(array.shape, array.elementType)
  array.copyElements(to: tensor)
  return tensor
}

/// The same for an argument that may be null.
func importOptional(_ array: UnsafePointer<didact_array>?, _ name: String) throws -> Tensor? {
  try array.map { try importArray($0, name) }
}

/// Whole numbers, one for each row.
/// - Parameter network: whose labels they are, of which an example may have several; nil for one a row.
func importLabels(
  _ array: UnsafePointer<didact_array>?, _ name: String, of network: Network? = nil
) throws -> [Int] {
  try importLabels(borrow(array, name), name, of: network)
}

func importLabels(_ array: BorrowedArray, _ name: String, of network: Network?) throws -> [Int] {
  let tensor = try imported(array), logits = network?.logitsShape(examples: max(1, tensor.rows)) ?? Shape(1, 1)
  let expected = logits.dimensions.dropLast()
  // Of one label a row, the engine checks the number.
  guard tensor.shape.rank == expected.count, expected.count == 1 || tensor.shape.dimensions == Array(expected) else {
    let isOne = expected.count == 1
    throw DidactError(
      .shape, "\(name) has shape \(tensor.shape); expected \(isOne ? "one dimension" : "\(Array(expected))")")
  }
  try Buffer.checkRoom(byteCount: 16 * tensor.count)
  switch tensor.elementType {
  case .int64:
    let values = tensor.address.assumingMemoryBound(to: Int64.self)
    return (0..<tensor.count).map { Int(values[$0]) }
  case .uint8:
    let values = tensor.address.assumingMemoryBound(to: UInt8.self)
    return (0..<tensor.count).map { Int(values[$0]) }
  case .float32, .float64:
    throw DidactError(.elementType, "\(name) is \(tensor.elementType); labels are int64 or uint8")
  }
}

/// Copies a tensor into a caller's array of the same shape; float32 and float64 are converted into each other.
func exportArray(_ tensor: Tensor, to array: UnsafePointer<didact_array>?, _ name: String) throws {
  try borrow(array, name).take(tensor, name)
}

/// Lets a caller read and write a tensor in place, for as long as a handle keeps it alive.
func exportView(_ tensor: Tensor, to view: UnsafeMutablePointer<didact_array>?, _ name: String = "view") throws {
  let view = try required(view, name)
  view.pointee = didact_array(
    data: tensor.address, dtype: tensor.elementType.rawValue, ndim: Int32(tensor.shape.rank),
    shape: internedShape(tensor.shape), strides: nil)
}

/// A caller's array as a flat vector over all parameters of `network`, in the network's element type.
func importFlat(_ array: UnsafePointer<didact_array>?, _ network: Network, _ name: String) throws -> Tensor {
  let tensor = try importArray(array, name)
  guard tensor.shape == network.parameters.shape else {
    throw DidactError(
      .shape, "\(name) has shape \(tensor.shape); expected \(network.parameters.shape), all parameters in public order")
  }
  return try network.converted(tensor)
}
