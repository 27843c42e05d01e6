/// Memory that is used again: a tensor that nobody else refers to any more is handed out anew.
///
/// So a training step allocates nothing once its shapes were seen. For one thread at a time.
final class TensorPool {
  private struct Key: Equatable {
    let shape: Shape
    let elementType: ElementType
  }
  private var buffers = Pool<Key, Buffer>(capacity: 64)

  /// A tensor with arbitrary values.
  func tensor(_ shape: Shape, _ elementType: ElementType) throws -> Tensor {
    let byteCount = shape.count * elementType.byteCount
    let key = Key(shape: shape, elementType: elementType)
    let buffer =
      try buffers.take(key) ?? buffers.add(key, byteCount: byteCount) { try Buffer(byteCount: byteCount) }
    return Tensor(shape, elementType, buffer: buffer)
  }

  /// Lets go of all tensors.
  func clear() { buffers.removeAll() }
}
