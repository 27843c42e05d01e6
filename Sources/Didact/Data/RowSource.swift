/// The rows of one or several matrices, one after the other, read where they are: nothing but batches is copied, so that
/// the data may be larger than memory.
struct RowSource {
  /// [rows, columns] each, of any element types and strides.
  let parts: [BorrowedArray]

  var count: Int { parts.reduce(0) { $0 + $1.rows } }

  /// The type of all elements; nil where the parts differ.
  var elementType: ElementType? {
    let type = parts[0].elementType
    return parts.allSatisfy { $0.elementType == type } ? type : nil
  }

  /// The rows with these indices, in this order, in memory of the pool's.
  /// - Parameters:
  ///   - scaling: applied to each row.
  ///   - elementType: of the result.
  func rows(
    _ indices: [Int], _ elementType: ElementType, _ kernels: any Kernels, _ scaling: InputScaling?,
    in memory: TensorPool
  ) throws -> Tensor {
    if let type = self.elementType {
      return try RowSource.scaled(raw(indices, type, in: memory), elementType, kernels, scaling, in: memory)
    }
    let result = try memory.tensor(Shape(indices.count, parts[0].columns), elementType)
    for (position, index) in indices.enumerated() {
      let place = result.rows(position..<position + 1)
      _ = kernels.convert(place, row(index), mean: scaling?.mean, scale: scaling?.scale)
    }
    try checkNoneLost()
    return result
  }

  /// The same rows unscaled, in the type that all parts have.
  func raw(_ indices: [Int], _ type: ElementType, in memory: TensorPool) throws -> Tensor {
    let raw = try memory.tensor(Shape(indices.count, parts[0].columns), type)
    for (position, index) in indices.enumerated() {
      row(index).copyElements(to: raw.rows(position..<position + 1))
    }
    try checkNoneLost()
    return raw
  }

  /// The same rows unscaled, in the type that all parts have, or in float64.
  func given(_ indices: [Int], in memory: TensorPool) throws -> Tensor {
    guard let type = elementType else {
      return try rows(indices, .float64, ReferenceKernels<Double>(), nil, in: memory)
    }
    return try raw(indices, type, in: memory)
  }

  /// Unscaled rows as the network takes them.
  static func scaled(
    _ raw: Tensor, _ elementType: ElementType, _ kernels: any Kernels, _ scaling: InputScaling?, in memory: TensorPool
  ) throws -> Tensor {
    let result = try memory.tensor(raw.shape, elementType)
    withExtendedLifetime(raw) {
      _ = kernels.convert(result, BorrowedArray(raw), mean: scaling?.mean, scale: scaling?.scale)
    }
    return result
  }

  /// - Throws: `DidactError.file` where rows are those of a mapped file that has become shorter.
  func checkNoneLost() throws {
    for part in parts { try part.checkNoneLost() }
  }

  private func row(_ index: Int) -> BorrowedArray {
    var index = index
    for part in parts.dropLast() {
      if index < part.rows { return part.rows(index..<index + 1) }
      index -= part.rows
    }
    return parts[parts.count - 1].rows(index..<index + 1)
  }
}
