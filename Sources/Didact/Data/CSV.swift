extension Dataset {
  /// Reads a table with, perhaps, a column of labels (RFC 4180, UTF-8, comma-separated), and learns how its columns
  /// become features: see `encoding`.
  ///
  /// The first line is a header if any cell of it outside the label column is neither a number nor missing. Features
  /// are float64. A missing label is none; the classes are the distinct labels, sorted by value where all are integers,
  /// else by character. Blank lines are skipped, and so are blanks around cells without quotes.
  ///
  /// A column of numbers is numeric. A column with text is categorical, unless half of its values or more are numbers:
  /// then the text is taken for an error. Missing are empty cells and those of `?`, `NA`, `N/A`, `n/a`, `NaN`, `nan`,
  /// `NULL` and `null`; numeric columns then have the mean of the others, over all rows.
  /// - Parameters:
  ///   - path: the file.
  ///   - labelColumn: a name in the header, or an index counted from zero. Nil means the column named `label` if the
  ///     header has one, else that no row has a label.
  ///   - ignored: columns that are no features, by name or index.
  ///   - categorical: columns that are categorical whatever they hold, by name or index.
  /// - Throws: `DidactError.file`; `.invalidArgument` for an unknown column; `.data` with line and column for text
  ///   among numbers, infinity, rows of different lengths and quotes out of place, and for columns without a value, without a
  ///   name, of one name, or with more than `TableEncoding.maximumCategories` categories.
  public init(
    csv path: String, labelColumn: String? = nil, ignoring ignored: [String] = [], categorical: [String] = []
  ) throws {
    self = try Dataset.readTable(path) { bytes in
      let table = try CSVTable(bytes, labelColumn: labelColumn, ignoring: ignored)
      let (encoding, rows) = try table.fittedEncoding(categorical: categorical)
      return try table.dataset(encoding, rows: rows)
    }
  }

  /// Reads a table as a model takes it.
  ///
  /// Columns are found by name where both tables have a header, else by position. Cells of categorical columns that
  /// training did not see are 0 in all features of the column; `unseenCategories` counts them.
  /// - Parameters:
  ///   - encoding: what training learned of the columns.
  ///   - labelColumn: as above; nil means the column that had the labels in training, or one named `label` that is no
  ///     feature.
  ///   - ignored: columns to leave out, beside those of the encoding.
  /// - Throws: as above; `.data` for columns missing from or unknown to the encoding, and with line and column for text
  ///   in a numeric column.
  public init(
    csv path: String, encoding: TableEncoding, labelColumn: String? = nil, ignoring ignored: [String] = []
  ) throws {
    self = try Dataset.readTable(path) { bytes in
      let table = try CSVTable(bytes, labelColumn: labelColumn, ignoring: ignored, encoding: encoding)
      var rows = 0
      try table.forEachRow { _, _ in rows += 1 }
      return try table.dataset(encoding, rows: rows)
    }
  }

  private static func readTable(_ path: String, _ body: (UnsafeRawBufferPointer) throws -> Dataset) throws -> Dataset {
    let content = try readFile(path)
    do {
      return try content.withBytes(body)
    } catch let error as DidactError {
      throw error.at(path)
    }
  }
}

/// What the first line of a file says, and where its features stand.
private struct CSVTable {
  let bytes: UnsafeRawBufferPointer
  /// Nil where the file has no header.
  let header: [String]?
  let columnCount: Int
  let labelColumn: Int?
  /// The columns of features, in the order of the encoding where there is one.
  let featureColumns: [Int]

  init(
    _ bytes: UnsafeRawBufferPointer, labelColumn: String?, ignoring ignored: [String], encoding: TableEncoding? = nil
  ) throws {
    self.bytes = bytes
    guard bytes.contains(UInt8(ascii: "\n")) || !bytes.contains(UInt8(ascii: "\r")) else {
      throw DidactError(.data, "its lines end in carriage returns alone; convert them to line feeds")
    }
    var reader = CSVReader(bytes), first: [CSVCell] = []
    guard let line = try reader.readRecord(into: &first) else { throw DidactError(.data, "the file is empty") }
    let cells = try first.map { try $0.text(line: line) }
    guard cells.count <= Dataset.maximumColumns else { throw DidactError(.data, "\(cells.count) columns are too many") }
    let usual = [encoding?.labelColumn, "label"].compactMap(\.self).filter { name in
      !ignored.contains(name) && encoding?.columns.contains { $0.name == name } != true
    }
    var second: [CSVCell] = []
    _ = try reader.readRecord(into: &second)
    let (header, label) = try CSVTable.interpret(
      first, cells, above: second, labelColumn, usual: usual, known: encoding)
    self.header = header
    self.labelColumn = label
    columnCount = cells.count

    var others = Set(try ignored.map { try CSVTable.column($0, header, count: cells.count) })
    if let label, others.contains(label) {
      throw DidactError(.invalidArgument, "column \"\(cells[label])\" cannot both be ignored and have the labels")
    }
    if let header, let encoding {
      let known = Set(encoding.ignoredColumns)
      others.formUnion(header.indices.filter { known.contains(header[$0]) })
    }
    let columns = cells.indices.filter { $0 != label && !others.contains($0) }
    guard !columns.isEmpty else { throw DidactError(.data, "there is no feature column") }
    if let encoding {
      featureColumns = try CSVTable.columns(of: encoding, header, among: columns)
    } else {
      featureColumns = columns
    }
  }

  // MARK: Columns

  /// Whether the first line is a header, and which column has the labels.
  /// - Parameters:
  ///   - second: the line below, empty where there is none.
  ///   - usual: names that the label column may have where none is given.
  ///   - known: columns whose names make a header, numbers or not.
  private static func interpret(
    _ first: [CSVCell], _ cells: [String], above second: [CSVCell], _ labelColumn: String?, usual: [String],
    known: TableEncoding?
  ) throws -> (header: [String]?, labelColumn: Int?) {
    let names = known.flatMap { $0.hasHeader ? Set($0.columns.map(\.name)) : nil }
    let isKnown = names?.isSubset(of: cells) ?? false
    func isHeader(ignoring ignored: Int?) -> Bool {
      isKnown || first.indices.contains { $0 != ignored && first[$0].isText }
    }
    // Where no other cell is a text, the first line is a row and a number is a column's, unless a text stands above a
    // number: in `2,3,c` the cell "2" is a value if `1,1,a` follows, and a name if `1,1,7` does.
    if let index = labelColumn.flatMap({ Int($0) }), cells.indices.contains(index), !isHeader(ignoring: index),
      !zip(first, second).contains(where: { $0.isText && $1.isNumber })
    {
      return (nil, index)
    }
    let name = labelColumn ?? usual.first { cells.contains($0) }
    let named = cells.indices.filter { cells[$0] == name }
    guard named.count < 2 else {
      throw DidactError(.invalidArgument, "two columns are called \"\(name ?? "")\"; give an index")
    }
    guard let labelColumn else {
      return isHeader(ignoring: nil) ? (cells, named.first) : (nil, nil)
    }
    // A cell like "2" in a line of numbers is a value, not a name.
    if let column = named.first, Int(labelColumn) == nil || isHeader(ignoring: column) { return (cells, column) }
    let index = try column(labelColumn, named.isEmpty ? cells : nil, count: cells.count)
    return (isHeader(ignoring: index) ? cells : nil, index)
  }

  /// The index of a column that is given by its name or index.
  private static func column(_ text: String, _ header: [String]?, count: Int) throws -> Int {
    let named = header?.indices.filter { header?[$0] == text } ?? []
    if let column = named.first {
      guard named.count == 1 else {
        throw DidactError(.invalidArgument, "two columns are called \"\(text)\"; give an index")
      }
      return column
    }
    guard let index = Int(text) else {
      let known = header.map { suggestion(for: text, among: $0) } ?? " There is no header; give an index."
      throw DidactError(.invalidArgument, "no column is called \"\(text)\".\(known)")
    }
    guard (0..<count).contains(index) else {
      throw DidactError(.invalidArgument, "there is no column \(index): the \(count) columns count from 0")
    }
    return index
  }

  /// Where the columns of an encoding stand.
  private static func columns(of encoding: TableEncoding, _ header: [String]?, among columns: [Int]) throws -> [Int] {
    let names = encoding.columns.map(\.name)
    guard let header, encoding.hasHeader else {
      guard columns.count == names.count else {
        throw DidactError(
          .data,
          "\(columns.count) columns; the model takes \(names.count), beside a label column that --label-column "
            + "names and others that --ignore names")
      }
      return columns
    }
    guard columns.map({ header[$0] }) != names else { return columns }
    let places = Dictionary(grouping: columns) { header[$0] }
    let found = try names.map { name in
      guard let places = places[name] else {
        let known = suggestion(for: name, among: columns.map { header[$0] })
        throw DidactError(.data, "there is no column \"\(name)\" in the header.\(known)")
      }
      guard places.count == 1 else { throw DidactError(.data, "two columns are called \"\(name)\"") }
      return places[0]
    }
    let known = Set(found), extra = columns.filter { !known.contains($0) }.map { "\"\(header[$0])\"" }
    guard extra.isEmpty else {
      throw DidactError(
        .data,
        "the model knows no column \(extra.joined(separator: ", ")): leave it out with --ignore, or name it as the "
          + "label column")
    }
    return found
  }

  /// For messages: the name in quotes, else the index.
  private func name(_ column: Int) -> String { header.map { "\"\($0[column])\"" } ?? "\(column)" }

  /// For an option: the name where it needs no quotes and means this column, else the index.
  private func word(_ column: Int) -> String {
    guard let name = header?[column], !name.isEmpty, name.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" }) else {
      return "\(column)"
    }
    return name
  }

  private func words(_ columns: [Int]) -> String { columns.map(word).joined(separator: ",") }

  // MARK: Rows

  /// Calls `body` with the line and the cells of each row.
  func forEachRow(_ body: (_ line: Int, _ cells: [CSVCell]) throws -> Void) throws {
    var reader = CSVReader(bytes), cells: [CSVCell] = [], isEmpty = true
    if header != nil { _ = try reader.readRecord(into: &cells) }
    while let line = try reader.readRecord(into: &cells) {
      guard cells.count == columnCount else {
        throw DidactError(.data, "line \(line): \(cells.count) cells, but the first line has \(columnCount)")
      }
      isEmpty = false
      try body(line, cells)
    }
    if isEmpty { throw DidactError(.data, "there is a header, but no row") }
  }

  /// The table with its columns as features.
  func dataset(_ encoding: TableEncoding, rows: Int) throws -> Dataset {
    let columns = encoding.featureCount
    let features: Tensor
    do {
      features = try Tensor(Shape(checking: [rows, columns]), .float64)
    } catch let error as DidactError {
      throw error.at("\(rows) rows of \(columns) features")
    }
    var encoder = CSVEncoder(self, encoding)
    // Labels are numbered as they come, and renumbered once all are known.
    var provisional: [String: Int] = [:]
    var labels: [Int] = []
    labels.reserveCapacity(rows)
    var values = features.address.assumingMemoryBound(to: Double.self)
    try forEachRow { line, cells in
      try encoder.encode(cells, line: line, into: values)
      values += columns
      if let cell = labelColumn.map({ cells[$0] }), !cell.isMissing {
        let label = try cell.text(line: line)
        let next = provisional.count
        labels.append(provisional[label, default: next])
        provisional[label] = labels[labels.count - 1]
      } else {
        labels.append(-1)
      }
    }

    let classNames = TableEncoding.sorted(provisional.keys)
    var classIndices = Array(repeating: -1, count: provisional.count)
    for (classIndex, name) in classNames.enumerated() {
      if let number = provisional[name] { classIndices[number] = classIndex }
    }
    var dataset = Dataset(
      features: features, labels: labels.map { $0 < 0 ? -1 : classIndices[$0] }, classNames: classNames,
      featureNames: encoding.featureNames)
    dataset.encoding = encoding
    dataset.unseenCategories = encoder.unseen
    try dataset.validate()
    return dataset
  }

  func cellError(_ cell: CSVCell, _ column: Int, line: Int, _ reason: String) throws -> DidactError {
    let text = try cell.text(line: line)
    let subject = text.isEmpty ? "the empty cell" : "\"\(text.prefix(40))\""
    return DidactError(.data, "line \(line), column \(name(column)): \(subject) \(reason)")
  }
}

// MARK: - Fitting

extension CSVTable {
  /// What the cells of a feature column are.
  private struct Summary {
    var numbers = 0, texts = 0, missing = 0
    /// Of the numbers.
    var mean = 0.0
    /// The first cell that is no number, and the first that is no finite one.
    var firstText, firstInfinite: (line: Int, cell: CSVCell)?

    mutating func add(_ cell: CSVCell, line: Int) {
      switch cell.value {
      case .missing: missing += 1
      case .number(let number):
        numbers += 1
        // In this form no intermediate result is too large.
        mean += number / Double(numbers) - mean / Double(numbers)
        if !number.isFinite, firstInfinite == nil { firstInfinite = (line, cell) }
      case .text:
        texts += 1
        if firstText == nil { firstText = (line, cell) }
      }
    }
  }

  /// Learns from all rows how columns become features.
  /// - Parameter categorical: columns that are categorical whatever they hold.
  func fittedEncoding(categorical: [String]) throws -> (TableEncoding, rows: Int) {
    let forced = Set(try categorical.map { try CSVTable.column($0, header, count: columnCount) })
    if let other = forced.first(where: { !featureColumns.contains($0) }) {
      throw DidactError(.invalidArgument, "column \(name(other)) is no feature, so it cannot be categorical")
    }
    try checkNames()
    var summaries = Array(repeating: Summary(), count: featureColumns.count), rows = 0
    try forEachRow { line, cells in
      for (index, column) in featureColumns.enumerated() { summaries[index].add(cells[column], line: line) }
      rows += 1
    }
    let empty = summaries.indices.filter { summaries[$0].missing == rows }.map { featureColumns[$0] }
    guard empty.isEmpty else {
      throw DidactError(
        .data,
        "no row has a value in column \(empty.map(name).joined(separator: ", ")); leave it out: --ignore "
          + words(empty))
    }
    let categoricalColumns = try zip(featureColumns, summaries).filter { column, summary in
      try forced.contains(column) || isCategorical(column, summary)
    }.map(\.0)
    let categories = try categories(of: categoricalColumns, rows: rows)
    let columns = featureColumns.enumerated().map { index, column in
      TableEncoding.Column(
        name: header?[column] ?? "x\(index)",
        kind: categories[column].map { .categorical($0) } ?? .numeric(mean: summaries[index].mean))
    }
    let encoding = TableEncoding(
      columns: columns, hasHeader: header != nil,
      labelColumn: labelColumn.flatMap { header?[$0] }, ignoredColumns: ignoredNames)
    try check(encoding)
    return (encoding, rows)
  }

  /// Each name once.
  private var ignoredNames: [String] {
    guard let header else { return [] }
    let used = Set(featureColumns)
    return Set(header.indices.filter { !used.contains($0) && $0 != labelColumn }.map { header[$0] }).sorted()
  }

  private func checkNames() throws {
    guard let header else { return }
    if let column = featureColumns.first(where: { header[$0].isEmpty }) {
      throw DidactError(
        .data, "column \(column) has no name in the header; name it, or leave it out: --ignore \(column)")
    }
    let used = featureColumns.map { header[$0] } + [labelColumn].compactMap { $0.map { header[$0] } } + ignoredNames
    if let name = used.firstDuplicate { throw DidactError(.data, "two columns are called \"\(name)\"; rename one") }
  }

  /// - Throws: `DidactError.data` where a numeric column holds infinity, or so few texts that they are errors.
  private func isCategorical(_ column: Int, _ summary: Summary) throws -> Bool {
    if let (line, cell) = summary.firstText {
      guard summary.texts <= summary.numbers else { return true }
      throw try cellError(
        cell, column, line: line,
        "is not a number, but \(summary.numbers) of the column's \(summary.numbers + summary.texts) values are; "
          + "correct it, or let each text be a category: --categorical \(word(column))")
    }
    if let (line, cell) = summary.firstInfinite {
      throw try cellError(cell, column, line: line, "is not a finite number; leave the cell empty if it is unknown")
    }
    return false
  }

  /// The categories of each of these columns, sorted.
  private func categories(of columns: [Int], rows: Int) throws -> [Int: [String]] {
    guard !columns.isEmpty else { return [:] }
    var found = Array(repeating: Set<String>(), count: columns.count)
    try forEachRow { line, cells in
      for (index, column) in columns.enumerated() where found[index].count <= TableEncoding.maximumCategories {
        found[index].insert(cells[column].isMissing ? "" : try cells[column].text(line: line))
      }
    }
    let wide = columns.indices.filter { found[$0].count > TableEncoding.maximumCategories }.map { columns[$0] }
    guard wide.isEmpty else {
      throw DidactError(
        .data,
        "more than \(TableEncoding.maximumCategories) categories in the \(rows) rows of column "
          + "\(wide.map(name).joined(separator: ", ")); an identifier or free text is no feature, leave it out: "
          + "--ignore " + words(wide))
    }
    return Dictionary(uniqueKeysWithValues: zip(columns, found.map { TableEncoding.sorted($0) }))
  }

  /// - Throws: `DidactError.data` for features that are too many, of one name, or whose names no model file could hold.
  private func check(_ encoding: TableEncoding) throws {
    let widest = encoding.columns.max { $0.featureCount < $1.featureCount }
    let hint = "; column \"\(widest?.name ?? "")\" has the most categories, \(widest?.featureCount ?? 0)"
    guard encoding.featureCount <= Dataset.maximumColumns else {
      throw DidactError(
        .data, "\(encoding.featureCount) features; at most \(Dataset.maximumColumns) are supported\(hint)")
    }
    if let name = encoding.featureNames.firstDuplicate {
      throw DidactError(.data, "two features would be called \"\(name)\"; rename a column")
    }
    // As a text within the header's JSON, where quotes and backslashes are escaped once more.
    let names = JSON.array(encoding.featureNames.map { .string($0) })
    let length = JSON.string(JSON.array([names, encoding.json]).serialized()).serialized().utf8.count
    guard length <= SafetensorsFile.maximumHeaderLength / 2 else {
      throw DidactError(
        .data,
        "the names of columns and categories take \(length) bytes, more than a model file has room for "
          + "(\(SafetensorsFile.maximumHeaderLength / 2))\(hint)")
    }
  }
}

// MARK: - Encoding

/// Turns rows into features.
private struct CSVEncoder {
  private enum Kind {
    case numeric(mean: Double?)
    case categorical([String: Int])
  }

  private let table: CSVTable
  private let columns: [(index: Int, name: String, kind: Kind, width: Int)]
  /// By the order of `columns`.
  private var unseenByColumn: [Dataset.UnseenCategories?]

  init(_ table: CSVTable, _ encoding: TableEncoding) {
    self.table = table
    columns = zip(table.featureColumns, encoding.columns).map { index, column in
      switch column.kind {
      case .numeric(let mean): (index, column.name, .numeric(mean: mean), 1)
      case .categorical(let categories):
        (
          index, column.name, .categorical(Dictionary(uniqueKeysWithValues: zip(categories, categories.indices))),
          categories.count
        )
      }
    }
    unseenByColumn = Array(repeating: nil, count: columns.count)
  }

  /// What training did not see, by column.
  var unseen: [Dataset.UnseenCategories] { unseenByColumn.compactMap(\.self) }

  /// - Parameter features: zeros.
  mutating func encode(_ cells: [CSVCell], line: Int, into features: UnsafeMutablePointer<Double>) throws {
    var features = features
    for (position, column) in columns.enumerated() {
      let cell = cells[column.index]
      switch column.kind {
      case .numeric(let mean): features.pointee = try number(cell, column.index, line: line, mean: mean)
      case .categorical(let places):
        let category = cell.isMissing ? "" : try cell.text(line: line)
        if let place = places[category] {
          features[place] = 1
        } else if unseenByColumn[position] == nil {
          unseenByColumn[position] = Dataset.UnseenCategories(
            column: column.name, cells: 1, firstCategory: category, firstLine: line)
        } else {
          unseenByColumn[position]?.cells += 1
        }
      }
      features += column.width
    }
  }

  private func number(_ cell: CSVCell, _ column: Int, line: Int, mean: Double?) throws -> Double {
    switch cell.value {
    case .number(let number) where number.isFinite: return number
    case .missing:
      if let mean { return mean }
      throw try table.cellError(
        cell, column, line: line, "is a missing value, for which this model has no mean; fill it in")
    case .number:
      throw try table.cellError(
        cell, column, line: line, "is not a finite number; leave the cell empty if it is unknown")
    case .text:
      throw try table.cellError(
        cell, column, line: line, "is not a number; the model learned this column from numbers")
    }
  }
}
