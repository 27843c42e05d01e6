/// How the columns of a table become features: what training learned of each column, kept with the model.
///
/// A numeric column is one feature; a missing value becomes the mean of the training rows. A categorical column is one
/// feature a category (one-hot), called `colour=red`: 1 where the cell is that category, else 0. The empty text stands
/// for a missing value and is a category (`colour=`) where training had one. What training never saw is 0 in all of
/// them.
public struct TableEncoding: Sendable, Equatable {
  public struct Column: Sendable, Equatable {
    public enum Kind: Sendable, Equatable {
      /// The mean replaces missing values; nil where it is not known, and missing values are refused.
      case numeric(mean: Double?)
      /// Distinct, in the order of the features; the empty text for a missing value.
      case categorical([String])
    }

    public let name: String
    public let kind: Kind

    var featureNames: [String] {
      switch kind {
      case .numeric: [name]
      case .categorical(let categories): categories.map { "\(name)=\($0)" }
      }
    }

    var featureCount: Int {
      switch kind {
      case .numeric: 1
      case .categorical(let categories): categories.count
      }
    }
  }

  /// In the order of the features.
  public let columns: [Column]
  /// Whether the training table had a header: columns are then found by name, else by position.
  public let hasHeader: Bool
  /// The column that had the labels, where it had a name.
  public let labelColumn: String?
  /// Columns that are no features; empty without a header.
  public let ignoredColumns: [String]

  /// More categories in a column are refused: it is an identifier or free text.
  public static let maximumCategories = 1000

  /// The number of features of all columns.
  public var featureCount: Int { columns.reduce(0) { $0 + $1.featureCount } }
  /// One a feature.
  public var featureNames: [String] { columns.flatMap(\.featureNames) }

  init(columns: [Column], hasHeader: Bool, labelColumn: String?, ignoredColumns: [String]) {
    self.columns = columns
    self.hasHeader = hasHeader
    self.labelColumn = labelColumn
    self.ignoredColumns = ignoredColumns
  }

  /// Numbers alone, without missing values: what a model takes that was not trained on a table.
  /// - Parameter names: of the columns; those of `Dataset.numberedNames` name nothing.
  public init(numericColumns names: [String]) {
    self.init(
      columns: names.map { Column(name: $0, kind: .numeric(mean: nil)) },
      hasHeader: names != Dataset.numberedNames(names.count), labelColumn: nil, ignoredColumns: [])
  }

  /// Categories in the order of their features: by value where all are integers, else by character.
  static func sorted(_ categories: some Collection<String>) -> [String] {
    let named = categories.filter { !$0.isEmpty }, numbers = named.compactMap { Int($0) }
    let missing = categories.count > named.count ? [""] : []
    guard numbers.count == named.count else { return missing + named.sorted() }
    // "1" and "01" are two names of one value.
    return missing + zip(numbers, named).sorted { $0 < $1 }.map(\.1)
  }
}

// MARK: - Model files

extension TableEncoding {
  /// The value of `table` in a model file.
  public var json: JSON {
    [
      "header": .boolean(hasHeader), "label": labelColumn.map { .string($0) } ?? .null,
      "ignored": .array(ignoredColumns.map { .string($0) }), "columns": .array(columns.map(\.json)),
    ]
  }

  /// Reads what `json` wrote, which may come from anyone.
  /// - Throws: `DidactError.format` for keys, columns, categories or names that no encoding has.
  public init(_ json: JSON) throws {
    func fail(_ message: String) -> DidactError { DidactError(.format, "table: \(message)") }
    guard let object = json.members, Set(object.keys) == ["header", "label", "ignored", "columns"],
      let hasHeader = object["header"]?.bool, let label = object["label"], label == .null || label.text != nil,
      let ignored = object["ignored"]?.list, let list = object["columns"]?.list
    else { throw fail("expected header, label, ignored and columns") }
    let ignoredColumns = ignored.compactMap(\.text)
    guard ignoredColumns.count == ignored.count else { throw fail("\"ignored\" must be names of columns") }
    guard hasHeader || label == .null && ignored.isEmpty else { throw fail("names of columns without a header") }
    guard !list.isEmpty else { throw fail("no column") }
    let columns = try list.enumerated().map { index, column in
      guard let column = Column(column) else {
        throw fail(
          "column \(index) must be a name with a finite mean, or with 1 to \(Self.maximumCategories) categories")
      }
      return column
    }
    self.init(columns: columns, hasHeader: hasHeader, labelColumn: label.text, ignoredColumns: ignoredColumns)

    guard hasHeader || columns.map(\.name) == Dataset.numberedNames(columns.count) else {
      throw fail("names of columns without a header")
    }
    let names = columns.map(\.name) + [labelColumn].compactMap(\.self) + ignoredColumns
    if let name = names.firstDuplicate { throw fail("two columns are called \"\(name)\"") }
    guard featureCount <= Dataset.maximumColumns else {
      throw fail("\(featureCount) features; at most \(Dataset.maximumColumns) are supported")
    }
    if let name = featureNames.firstDuplicate { throw fail("two features are called \"\(name)\"") }
  }
}

extension TableEncoding.Column {
  fileprivate var json: JSON {
    switch kind {
    case .numeric(let mean): ["name": .string(name), "mean": mean.map { .number($0) } ?? .null]
    case .categorical(let categories):
      ["name": .string(name), "categories": .array(categories.map { .string($0) })]
    }
  }

  /// Nil where it is no column.
  fileprivate init?(_ json: JSON) {
    guard let object = json.members, let name = object["name"]?.text, !name.isEmpty else { return nil }
    self.name = name
    switch Set(object.keys) {
    case ["name", "mean"]:
      guard let mean = object["mean"]?.double, mean.isFinite else { return nil }
      kind = .numeric(mean: mean)
    case ["name", "categories"]:
      guard let list = object["categories"]?.list, (1...TableEncoding.maximumCategories).contains(list.count),
        case let categories = list.compactMap(\.text), Set(categories).count == list.count
      else { return nil }
      kind = .categorical(categories)
    default: return nil
    }
  }
}

extension [String] {
  /// The first that was there before.
  var firstDuplicate: String? {
    var seen = Set<String>()
    return first { !seen.insert($0).inserted }
  }
}
