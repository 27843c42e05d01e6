/// The state that a method keeps for each unlabelled row of a fit: [rows, columns], zeros at first. A step changes only the rows of its
/// batch.
final class RowState {
  let name: String
  let columns: Int
  private let elementType: ElementType
  /// nil until the rows are known.
  var values: Tensor?

  init(_ name: String, columns: Int, _ elementType: ElementType) {
    self.name = name
    self.columns = columns
    self.elementType = elementType
  }

  func prepare(rows: Int) throws { values = try Tensor(Shape(checking: [rows, columns]), elementType) }

  /// In a model file.
  var fileName: String { "method.\(name)" }
}
