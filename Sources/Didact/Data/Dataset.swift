/// Rows of features, some of them labelled.
public struct Dataset: Sendable {
  /// `[rows, columns]`, of any element type.
  public var features: Tensor
  /// One a row: an index into `classNames`, or −1 for no label.
  public var labels: [Int]
  /// More rows without labels, `[rows, columns]`.
  public var unlabeled: Tensor?
  /// Rows to measure on, never to learn from, `[rows, columns]`.
  public var testFeatures: Tensor?
  /// One a row of `testFeatures`: an index into `classNames`.
  public var testLabels: [Int]?
  public var classNames: [String]
  /// One a column; none for images.
  public var featureNames: [String]
  /// Height, width and channels where every row is an image, pixel by pixel with its channels side by side; nil for
  /// vectors.
  public internal(set) var imageExtent: Extent?
  /// The file of each row of `features`, from the folder that was read on; empty for other data.
  public internal(set) var imageFiles: [String] = []
  /// Files that were left out of a folder of images because they could not be read.
  public internal(set) var skippedFiles: [SkippedFile] = []
  /// How the columns of a table became these features; nil for data that were no table.
  public internal(set) var encoding: TableEncoding?
  /// Rows of `features` whose labels are right where those of the others may be wrong, in their order.
  public internal(set) var trustedRows: [Int] = []
  /// Cells of the table's categorical columns that `encoding` does not know, by column.
  public internal(set) var unseenCategories: [UnseenCategories] = []
  /// Findings of the reader that the user should know: labels that were taken for none, and so on.
  public internal(set) var warnings: [Warning] = []

  /// Cells whose category training did not see: their features are 0.
  public struct UnseenCategories: Sendable, Equatable {
    public let column: String
    /// How many there are.
    public internal(set) var cells: Int
    /// The first one's text, empty where it is missing, and its line in the file.
    public let firstCategory: String
    public let firstLine: Int
  }

  /// A file that was left out, and why.
  public struct SkippedFile: Sendable, Equatable {
    /// From the folder that was read on.
    public let path: String
    public let reason: String
  }

  /// - Parameters:
  ///   - featureNames: `x0`, `x1` and so on where nil; none for images.
  ///   - imageExtent: where the rows are images, which are flat with channels last; of one pixel they are vectors.
  public init(
    features: Tensor, labels: [Int], unlabeled: Tensor? = nil, testFeatures: Tensor? = nil, testLabels: [Int]? = nil,
    classNames: [String], featureNames: [String]? = nil, imageExtent: Extent? = nil
  ) {
    self.features = features
    self.labels = labels
    self.unlabeled = unlabeled
    self.testFeatures = testFeatures
    self.testLabels = testLabels
    self.classNames = classNames
    self.imageExtent = imageExtent?.isImage == true ? imageExtent : nil
    let columns = features.shape.rank == 2 && self.imageExtent == nil ? features.columns : 0
    // A hostile file may claim any number of columns; `validate` refuses it.
    self.featureNames = featureNames ?? Dataset.numberedNames(min(columns, Dataset.maximumColumns))
  }

  /// The number of rows of `features`.
  public var rows: Int { features.rows }
  /// The number of columns of every tensor.
  public var columns: Int { features.columns }

  /// More columns are refused: each of them has a name.
  public static let maximumColumns = 1 << 24

  static func numberedNames(_ count: Int) -> [String] { (0..<count).map { "x\($0)" } }
}

// MARK: - Checks

extension Dataset {
  /// Checks everything: shapes, labels, and that all values are finite.
  /// - Throws: `DidactError.shape` where a tensor is no matrix with rows and columns or the columns differ in number;
  ///   `.data` for a label out of range, or NaN or infinity, with its row and column.
  public func validate() throws {
    try checkShapes()
    try checkLabels()
    try Dataset.checkFinite(features, called: "features", featureNames: featureNames)
    if let unlabeled { try Dataset.checkFinite(unlabeled, called: "unlabeled", featureNames: featureNames) }
    if let testFeatures { try Dataset.checkFinite(testFeatures, called: "test features", featureNames: featureNames) }
  }

  func checkShapes() throws {
    let named: [(name: String, tensor: Tensor?)] = [
      ("features", features), ("unlabeled", unlabeled), ("test features", testFeatures),
    ]
    for (name, tensor) in named {
      guard let tensor else { continue }
      guard tensor.shape.rank == 2 else {
        throw DidactError(
          .shape, "\(name): shape \(tensor.shape); give a matrix [rows, columns], flattening each row if need be")
      }
      guard tensor.rows > 0, tensor.columns > 0 else {
        throw DidactError(.shape, "\(name): shape \(tensor.shape) has no rows or no columns")
      }
      guard tensor.columns == features.columns else {
        throw DidactError(.shape, "\(name): \(tensor.columns) columns, but features has \(features.columns)")
      }
    }
    guard features.columns <= Dataset.maximumColumns else {
      throw DidactError(
        .shape, "features: \(features.columns) columns; at most \(Dataset.maximumColumns) are supported")
    }
    if let imageExtent, imageExtent.count != features.columns {
      throw DidactError(.shape, "features: \(features.columns) columns are not images \(imageExtent)")
    }
    guard featureNames.count == features.columns || imageExtent != nil && featureNames.isEmpty else {
      throw DidactError(.shape, "\(featureNames.count) feature names for \(features.columns) columns")
    }
  }

  func checkLabels() throws {
    guard labels.count == features.rows else {
      throw DidactError(.shape, "\(labels.count) labels for \(features.rows) rows")
    }
    if let row = labels.firstIndex(where: { $0 < -1 || $0 >= classNames.count }) {
      throw DidactError(
        .data, "row \(row): label \(labels[row]) is not a class index below \(classNames.count), nor -1 for no label")
    }
    guard let testLabels else { return }
    guard let testFeatures, testLabels.count == testFeatures.rows else {
      throw DidactError(.shape, "\(testLabels.count) test labels for \(testFeatures?.rows ?? 0) test rows")
    }
    if let row = testLabels.firstIndex(where: { !classNames.indices.contains($0) }) {
      throw DidactError(
        .data,
        "test row \(row): label \(testLabels[row]) is not a class index below \(classNames.count); every test row has one"
      )
    }
  }

  /// - Throws: `DidactError.data` for the first NaN or infinity of a matrix, with its row, column and feature name.
  public static func checkFinite(_ matrix: Tensor, called name: String, featureNames: [String]) throws {
    let index =
      switch matrix.elementType {
      case .float32: firstNonFinite(matrix, Float.self)
      case .float64: firstNonFinite(matrix, Double.self)
      case .int64, .uint8: nil as Int?
      }
    guard let index else { return }
    let row = index / matrix.columns, column = index % matrix.columns
    let featureName = column < featureNames.count ? " (\"\(featureNames[column])\")" : ""
    throw DidactError(
      .data,
      "\(name), row \(row), column \(column)\(featureName): \(matrix[index]); replace missing values before training")
  }

  private static func firstNonFinite<Element: BinaryFloatingPoint>(_ tensor: Tensor, _ type: Element.Type) -> Int? {
    withExtendedLifetime(tensor.buffer) {
      UnsafeBufferPointer(start: tensor.address.assumingMemoryBound(to: type), count: tensor.count)
        .firstIndex { !$0.isFinite }
    }
  }
}
