import CDidact
import Didact

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A `didact_array` after its checks.
private struct ArrayDescription {
  let shape: Shape
  let elementType: ElementType
  let data: UnsafeMutableRawPointer?
  /// In bytes.
  var strides = (0, 0, 0, 0)

  init(_ array: didact_array, _ name: String) throws {
    guard let elementType = ElementType(rawValue: array.dtype) else {
      throw DidactError(
        .elementType, "\(name): dtype \(array.dtype); expected DIDACT_FLOAT32, _FLOAT64, _INT64 or _UINT8 (1 to 4)")
    }
    self.elementType = elementType
    let rank = Int(array.ndim)
    guard rank >= 0, rank <= Shape.maximumRank else {
      throw DidactError(.shape, "\(name): ndim is \(rank); expected 0 to \(Shape.maximumRank)")
    }
    var lengths: [Int] = []
    if rank > 0 {
      guard let shape = array.shape else { throw DidactError(.invalidArgument, "\(name): shape is null") }
      lengths = (0..<rank).map { Int(shape[$0]) }
    }
    do {
      shape = try Shape(checking: lengths)
    } catch let error as DidactError {
      throw error.at(name)
    }
    data = array.data
    guard data != nil || shape.count == 0 else { throw DidactError(.invalidArgument, "\(name): data is null") }
    var next = elementType.byteCount
    var all = [0, 0, 0, 0]
    for i in stride(from: rank - 1, through: 0, by: -1) {
      all[i] = array.strides.map { Int($0[i]) } ?? next
      next *= max(1, shape[i])
    }
    strides = (all[0], all[1], all[2], all[3])
  }

  var isContiguous: Bool {
    var expected = elementType.byteCount
    let all = [strides.0, strides.1, strides.2, strides.3]
    for i in stride(from: shape.rank - 1, through: 0, by: -1) {
      if shape[i] > 1 && all[i] != expected { return false }
      expected *= max(1, shape[i])
    }
    return true
  }

  /// Calls `body` with the address of each element, in row-major order.
  func forEachElement(_ body: (Int, UnsafeMutableRawPointer) -> Void) {
    guard let data, shape.count > 0 else { return }
    var index = 0
    // Unused dimensions have length 1 and stride 0.
    for a in 0..<shape[0] {
      for b in 0..<shape[1] {
        for c in 0..<shape[2] {
          for d in 0..<shape[3] {
            let offset = a &* strides.0 &+ b &* strides.1 &+ c &* strides.2 &+ d &* strides.3
            body(index, data + offset)
            index += 1
          }
        }
      }
    }
  }
}

/// A copy of a caller's array.
/// - Throws: `DidactError` naming the argument for null pointers, an unknown dtype or a shape that is none.
func importArray(_ array: UnsafePointer<didact_array>?, _ name: String) throws -> Tensor {
  guard let array else { throw DidactError(.invalidArgument, "\(name) is null") }
  let description = try ArrayDescription(array.pointee, name)
  let tensor = try Tensor(description.shape, description.elementType)
  guard let data = description.data, tensor.count > 0 else { return tensor }
  if description.isContiguous {
    memcpy(tensor.address, data, tensor.byteCount)
  } else {
    let size = tensor.elementType.byteCount
    description.forEachElement { memcpy(tensor.address + $0 * size, $1, size) }
  }
  return tensor
}

/// The same for an argument that may be null.
func importOptional(_ array: UnsafePointer<didact_array>?, _ name: String) throws -> Tensor? {
  try array.map { try importArray($0, name) }
}

/// Whole numbers, one for each row.
func importLabels(_ array: UnsafePointer<didact_array>?, _ name: String) throws -> [Int] {
  let tensor = try importArray(array, name)
  guard tensor.shape.rank == 1 else {
    throw DidactError(.shape, "\(name) has shape \(tensor.shape); expected one dimension")
  }
  switch tensor.elementType {
  case .int64:
    let values = tensor.address.assumingMemoryBound(to: Int64.self)
    return (0..<tensor.count).map { Int(values[$0]) }
  case .uint8:
    return tensor.values.map { Int($0) }
  case .float32, .float64:
    throw DidactError(.elementType, "\(name) is \(tensor.elementType); labels are int64 or uint8")
  }
}

/// Copies a tensor into a caller's array of the same shape; float32 and float64 are converted into each other.
func exportArray(_ tensor: Tensor, to array: UnsafePointer<didact_array>?, _ name: String) throws {
  guard let array else { throw DidactError(.invalidArgument, "\(name) is null") }
  let description = try ArrayDescription(array.pointee, name)
  guard description.shape == tensor.shape else {
    throw DidactError(.shape, "\(name) has shape \(description.shape); expected \(tensor.shape)")
  }
  if description.elementType == tensor.elementType {
    let size = tensor.elementType.byteCount
    description.forEachElement { memcpy($1, tensor.address + $0 * size, size) }
    return
  }
  switch description.elementType {
  case .float32 where tensor.elementType == .float64:
    description.forEachElement { $1.storeBytes(of: Float(tensor[$0]), as: Float.self) }
  case .float64 where tensor.elementType == .float32:
    description.forEachElement { $1.storeBytes(of: tensor[$0], as: Double.self) }
  default:
    throw DidactError(.elementType, "\(name) is \(description.elementType); expected \(tensor.elementType)")
  }
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
