/// Memory that is used again: a tensor that nobody else refers to any more is handed out anew.
///
/// So a training step allocates nothing once its shapes were seen. For one thread at a time.
final class TensorPool {
  private var tensors: [Entry] = []
  private struct Entry {
    var buffer: Buffer
    let shape: Shape
    let elementType: ElementType
  }
  /// Tensors kept, and the bytes of those that are free; a new one makes room by dropping the oldest free ones.
  private static let kept = 64, keptByteCount = 1 << 28

  /// A tensor with arbitrary values.
  func tensor(_ shape: Shape, _ elementType: ElementType) throws -> Tensor {
    for index in tensors.indices
    where tensors[index].shape == shape && tensors[index].elementType == elementType
      && isKnownUniquelyReferenced(&tensors[index].buffer)
    {
      return Tensor(shape, elementType, buffer: tensors[index].buffer)
    }
    dropFree(byteCount: shape.count * elementType.byteCount)
    let tensor = try Tensor(shape, elementType)
    if tensors.count < TensorPool.kept {
      tensors.append(Entry(buffer: tensor.buffer, shape: shape, elementType: elementType))
    }
    return tensor
  }
  /// Lets go of all tensors.
  func clear() { tensors = [] }

  /// Makes room for so many bytes more.
  private func dropFree(byteCount: Int) {
    var free = tensors.indices.filter { isKnownUniquelyReferenced(&tensors[$0].buffer) }
    var freeByteCount = free.reduce(0) { $0 + tensors[$1].buffer.byteCount }, dropped: [Int] = []
    while !free.isEmpty,
      tensors.count - dropped.count >= TensorPool.kept || freeByteCount > TensorPool.keptByteCount - byteCount
    {
      freeByteCount -= tensors[free[0]].buffer.byteCount
      dropped.append(free.removeFirst())
    }
    for index in dropped.reversed() { tensors.remove(at: index) }
  }
}
