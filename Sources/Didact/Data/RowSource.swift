/// The rows of one or several matrices, one after the other, read where they are: nothing but batches is copied, so that
/// the data may be larger than memory.
struct RowSource {
  /// [rows, columns] each, of any element types and strides.
  let parts: [BorrowedArray]

  var count: Int { parts.reduce(0) { $0 + $1.rows } }

  /// The rows with these indices, in this order, in memory of the pool's.
  /// - Parameters:
  ///   - scaling: applied to each row.
  ///   - elementType: of the result.
  func rows(
    _ indices: [Int], _ elementType: ElementType, _ kernels: any Kernels, _ scaling: InputScaling?,
    in memory: TensorPool
  ) throws -> Tensor {
    let columns = parts[0].columns, type = parts[0].elementType
    let result = try memory.tensor(Shape(indices.count, columns), elementType)
    func convert(_ rows: BorrowedArray, to result: Tensor) {
      _ = kernels.convert(result, rows, mean: scaling?.mean, scale: scaling?.scale)
    }
    guard parts.allSatisfy({ $0.elementType == type }) else {
      for (position, index) in indices.enumerated() {
        convert(row(index), to: result.rows(position..<position + 1))
      }
      return result
    }
    let raw = try memory.tensor(Shape(indices.count, columns), type)
    for (position, index) in indices.enumerated() {
      row(index).copyElements(to: raw.rows(position..<position + 1))
    }
    withExtendedLifetime(raw) { convert(BorrowedArray(raw), to: result) }
    return result
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
