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
  /// Tensors kept; one more makes room by dropping the one that is free for longest.
  private static let kept = 64

  /// A tensor with arbitrary values.
  func tensor(_ shape: Shape, _ elementType: ElementType) throws -> Tensor {
    for index in tensors.indices
    where tensors[index].shape == shape && tensors[index].elementType == elementType
      && isKnownUniquelyReferenced(&tensors[index].buffer)
    {
      return Tensor(shape, elementType, buffer: tensors[index].buffer)
    }
    let tensor = try Tensor(shape, elementType)
    if tensors.count >= TensorPool.kept,
      let free = tensors.indices.first(where: { isKnownUniquelyReferenced(&tensors[$0].buffer) })
    {
      tensors.remove(at: free)
    }
    if tensors.count < TensorPool.kept {
      tensors.append(Entry(buffer: tensor.buffer, shape: shape, elementType: elementType))
    }
    return tensor
  }
}
