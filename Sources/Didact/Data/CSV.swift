extension Dataset {
  /// Reads a table with, perhaps, a column of labels (RFC 4180, UTF-8, comma-separated), and learns how its columns
  /// become features: see `encoding`.
  ///
  /// The first line is a header if any cell of it outside the label column is neither a number nor missing. Features
  /// are float64. Blank lines are skipped, and so are blanks around cells without quotes.
  ///
  /// The classes are the distinct labels, sorted by value where all are integers, else by character. An empty cell is no
  /// label. The words for a missing value below are none either, which `warnings` says. Other texts that may mean "no
  /// label" are an error: `None`, `<NA>`, `NaT`, `unlabeled`, `unlabelled`, and −1 unless the classes are −1 and 1.
  ///
  /// A column of numbers is numeric. A column with text is categorical, unless half of its values or more are numbers:
  /// then the text is taken for an error. So are numbers in another notation, such as a decimal comma, and texts that
  /// nearly all differ. Missing are empty cells and those of `?`, `NA`, `N/A`, `n/a`, `NaN`, `nan`, `NULL` and `null`;
  /// numeric columns then have the mean of the others, over all rows.
  /// - Parameters:
  ///   - path: the file.
  ///   - labelColumn: a name in the header, or an index counted from zero. Nil means the column named `label` if the
  ///     header has one, else that no row has a label.
  ///   - ignored: columns that are no features, by name or index.
  ///   - categorical: columns that are categorical whatever they hold, by name or index.
  /// - Throws: `DidactError.file`; `.invalidArgument` for an unknown column; `.data` with line and column for text
  ///   among numbers, numbers in another notation, infinity, rows of different lengths and quotes out of place; for
  ///   columns without a value, without a name, of one name, of texts that nearly all differ, or with more than
  ///   `TableEncoding.maximumCategories` categories; for labels that may mean "no label", that are numbers but not whole,
  ///   or that nearly all differ; for a column called nearly `label`; and for a table without commas.
  public init(
    csv path: String, labelColumn: String? = nil, ignoring ignored: [String] = [], categorical: [String] = []
  ) throws {
    self = try Dataset.readTable(path) { bytes in
      let table = try CSVTable(bytes, labelColumn: labelColumn, ignoring: ignored)
      try table.checkLabelColumnIsThere(ignoring: ignored)
      let (encoding, rows) = try table.fittedEncoding(categorical: categorical)
      return try table.dataset(encoding, rows: rows, .classes)
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
  ///   - knownClasses: names of the model's classes, which are labels whatever they look like.
  ///   - readsLabels: whether labels are read; if not, no row has one, and the label column may hold anything.
  /// - Throws: as above; `.data` for columns missing from or unknown to the encoding, and with line and column for text
  ///   in a numeric column. Labels that are no classes are not refused: the model knows its classes.
  public init(
    csv path: String, encoding: TableEncoding, labelColumn: String? = nil, ignoring ignored: [String] = [],
    knownClasses: [String] = [], readsLabels: Bool = true
  ) throws {
    self = try Dataset.readTable(path) { bytes in
      let table = try CSVTable(bytes, labelColumn: labelColumn, ignoring: ignored, encoding: encoding)
      var rows = 0
      try table.forEachRow { _, _ in rows += 1 }
      return try table.dataset(encoding, rows: rows, readsLabels ? .labels(knownClasses: knownClasses) : .none)
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

/// The use that is made of the cells of a label column.
private enum LabelUse {
  /// No row gets a label.
  case none
  /// Training learns these classes.
  case classes
  /// A model, with classes of these names, is measured on the labels or goes on learning from them.
  case labels(knownClasses: [String])
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
    try CSVTable.checkSeparator(bytes)
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
      featureColumns = try CSVTable.columns(of: encoding, header, among: columns, labelColumn: label)
    } else {
      featureColumns = columns
    }
  }

  /// - Throws: `DidactError.data` where the first lines have cells, but other separators than commas between them.
  private static func checkSeparator(_ bytes: UnsafeRawBufferPointer) throws {
    let start = bytes.prefix(1 << 16)
    let lines = start.split(separator: UInt8(ascii: "\n"), maxSplits: 2)
      .prefix(2).map { String(decoding: $0.filter { $0 != UInt8(ascii: "\r") }, as: UTF8.self) }
    guard lines.count == 2, !lines[0].contains("\"") else { return }
    let separators: [(character: Character, name: String)] = [
      (";", "semicolons"), ("\t", "tabs"), ("|", "vertical bars"), (" ", "blanks"),
    ]
    for (separator, name) in separators {
      let rows = lines.map { $0.split(separator: separator, omittingEmptySubsequences: separator != " ") }
      guard rows[0].count > 1, rows[0].count == rows[1].count else { continue }
      let hasComma = lines[0].contains(",")
      // A comma in the first line may be that of a decimal number.
      let hasDecimals = rows.allSatisfy { cells in
        cells.contains { NumberNotation.readings(of: String($0)).first?.notation == .decimalComma }
      }
      // Words with blanks between may be one text.
      let hasNumbers = separator != " " || rows[1].count { LabelTexts.number(String($0)) != nil } > 1
      guard hasNumbers, !hasComma || hasDecimals && separator != " " else { continue }
      throw DidactError(
        .data,
        "its \(rows[0].count) cells a line have \(name) between them, not commas; write it with commas between cells and "
          + "points in numbers")
    }
  }

  // MARK: Columns

  /// A column called nearly `label`, where none is called so, would become a feature.
  /// - Throws: `DidactError.data` for such a column.
  func checkLabelColumnIsThere(ignoring ignored: [String]) throws {
    guard labelColumn == nil, let header, !ignored.contains("label") else { return }
    guard let column = featureColumns.first(where: { CSVTable.isNear(header[$0], "label") }) else { return }
    throw DidactError(
      .data,
      "no column is called \"label\", but one is called \(name(column)). If it has the labels: --label-column "
        + "\(option(column)). If not, rename it or leave it out: --ignore \(option(column))")
  }

  /// Whether a name is another but for capitals, blanks and a slip or a plural.
  private static func isNear(_ name: String, _ other: String) -> Bool {
    func plain(_ name: String) -> String { String(name.lowercased().filter { $0.isLetter || $0.isNumber }) }
    let name = plain(name), other = plain(other)
    if name == other { return true }
    // One letter makes another word of a short name.
    guard other.count > 3 else { return false }
    let isSwapped = name.count == other.count && name.sorted() == other.sorted() && editDistance(name, other) == 2
    return isSwapped || editDistance(name, other) <= 1
  }

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
  private static func columns(
    of encoding: TableEncoding, _ header: [String]?, among columns: [Int], labelColumn: Int?
  ) throws -> [Int] {
    let names = encoding.columns.map(\.name)
    /// Says which of these columns may have the labels.
    func labelHint(_ columns: [Int]) -> String {
      guard labelColumn == nil, let header else { return "" }
      let column = columns.first { column in
        isNear(header[column], "label") || encoding.labelColumn.map { isNear(header[column], $0) } ?? false
      }
      return column.map { ". Did you mean --label-column \(option($0, in: header))?" } ?? ""
    }
    guard let header, encoding.hasHeader else {
      guard columns.count == names.count else {
        throw DidactError(
          .data,
          "\(columns.count) columns; the model takes \(names.count), beside a label column that --label-column "
            + "names and others that --ignore names\(labelHint(columns))")
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
    let known = Set(found), extra = columns.filter { !known.contains($0) }
    guard extra.isEmpty else {
      throw DidactError(
        .data,
        "the model knows no column \(extra.map { "\"\(header[$0])\"" }.joined(separator: ", ")): leave it out with "
          + "--ignore, or name it as the label column\(labelHint(extra))")
    }
    return found
  }

  /// For messages: the name in quotes, else the index.
  private func name(_ column: Int) -> String { header.map { "\"\($0[column])\"" } ?? "\(column)" }

  /// For an option: the name where it needs no quotes and means this column, else the index.
  private static func option(_ column: Int, in header: [String]?) -> String {
    guard let name = header?[column], !name.isEmpty, name.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" }) else {
      return "\(column)"
    }
    return name
  }

  private func option(_ column: Int) -> String { CSVTable.option(column, in: header) }

  private func options(_ columns: [Int]) -> String { columns.map(option).joined(separator: ",") }

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
  func dataset(_ encoding: TableEncoding, rows: Int, _ use: LabelUse) throws -> Dataset {
    let columns = encoding.featureCount
    let features: Tensor
    do {
      features = try Tensor(Shape(checking: [rows, columns]), .float64)
    } catch let error as DidactError {
      throw error.at("\(rows) rows of \(columns) features")
    }
    var encoder = CSVEncoder(self, encoding)
    // Labels are numbered as they come, and renumbered once all are known.
    var texts = LabelTexts(.column(labelColumn.map { "column \(name($0))" } ?? ""))
    var labels: [Int] = []
    labels.reserveCapacity(rows)
    let readColumn = if case .none = use { nil as Int? } else { labelColumn }
    var values = features.address.assumingMemoryBound(to: Double.self)
    try forEachRow { line, cells in
      try encoder.encode(cells, line: line, into: values)
      values += columns
      labels.append(try readColumn.map { texts.add(try cells[$0].text(line: line), at: line) } ?? -1)
    }
    var warnings = texts.warnings
    switch use {
    case .none: break
    case .classes:
      try texts.checkNoneIsDoubtful(among: texts.names, knownClasses: [])
      try texts.checkAreNoMeasurements(among: texts.names)
      if let warning = try texts.checkRepeat(rows: rows) { warnings.append(warning) }
    case .labels(let knownClasses): try texts.checkNoneIsDoubtful(among: texts.names, knownClasses: knownClasses)
    }

    let classNames = TableEncoding.sorted(texts.names)
    let indices = Dictionary(uniqueKeysWithValues: zip(classNames, classNames.indices))
    let classIndices = texts.names.map { indices[$0] ?? -1 }
    var dataset = Dataset(
      features: features, labels: labels.map { $0 < 0 ? -1 : classIndices[$0] }, classNames: classNames,
      featureNames: encoding.featureNames)
    dataset.encoding = encoding
    dataset.unseenCategories = encoder.unseen
    dataset.warnings = warnings
    try dataset.validate()
    return dataset
  }

  func cellError(_ cell: CSVCell, _ column: Int, line: Int, _ reason: String) throws -> DidactError {
    let text = try cell.text(line: line), subject = text.isEmpty ? "the empty cell" : "\"\(text.prefix(40))\""
    let readings = cell.isText ? NumberNotation.readings(of: text) : []
    // 1,105 may be either of two numbers.
    let ways = readings.map { "one of the \($0.notation.description): \($0.advice)" }
    let hint = ways.isEmpty ? "" : ". It is \(ways.joined(separator: "; or it is "))"
    return DidactError(.data, "line \(line), column \(name(column)): \(subject) \(reason)\(hint)")
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
    var notations = NotationCounts()

    mutating func add(_ cell: CSVCell, line: Int) throws {
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
        if NumberNotation.mayBe(cell.bytes) { notations.add(try cell.text(line: line), line: line) }
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
      for (index, column) in featureColumns.enumerated() { try summaries[index].add(cells[column], line: line) }
      rows += 1
    }
    let empty = summaries.indices.filter { summaries[$0].missing == rows }.map { featureColumns[$0] }
    guard empty.isEmpty else {
      throw DidactError(
        .data,
        "no row has a value in column \(empty.map(name).joined(separator: ", ")); leave it out: --ignore "
          + options(empty))
    }
    let categoricalColumns = try zip(featureColumns, summaries).compactMap { column, summary in
      try forced.contains(column) || isCategorical(column, summary)
        ? TextColumn(column: column, summary: summary, isForced: forced.contains(column)) : nil
    }
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
          + "correct it, or let each text be a category: --categorical \(option(column))")
    }
    if let (line, cell) = summary.firstInfinite {
      throw try cellError(cell, column, line: line, "is not a finite number; leave the cell empty if it is unknown")
    }
    return false
  }

  /// A column that becomes categorical.
  private struct TextColumn {
    let column: Int
    let summary: Summary
    /// Whether the caller asked for it.
    let isForced: Bool
    /// Its distinct texts, empty for a missing value; not all where they are more than may be.
    var categories = Set<String>()

    var isWide: Bool { categories.count > TableEncoding.maximumCategories }
    /// Missing cells aside.
    var cells: Int { summary.texts + summary.numbers }
    var distinct: Int { categories.count - (categories.contains("") ? 1 : 0) }

    /// Its notation, where it holds so many different numbers in another notation that they are no categories.
    var notation: (line: Int, text: String, reading: NumberNotation.Reading)? {
      guard !isForced, distinct > 10 || distinct > 2 && 2 * distinct > cells else { return nil }
      return summary.notations.notation(ofTexts: summary.texts)
    }

    /// Whether its texts are so different that they are identifiers or free text.
    var nearlyAllDiffer: Bool { !isForced && distinct > 20 && 2 * distinct > cells }
  }

  /// The categories of each of these columns, sorted.
  private func categories(of columns: [TextColumn], rows: Int) throws -> [Int: [String]] {
    guard !columns.isEmpty else { return [:] }
    var columns = columns
    try forEachRow { line, cells in
      for index in columns.indices where !columns[index].isWide {
        let cell = cells[columns[index].column]
        columns[index].categories.insert(cell.isMissing ? "" : try cell.text(line: line))
      }
    }
    try checkAreNoNumbers(columns)
    let wide = columns.filter(\.isWide).map(\.column)
    guard wide.isEmpty else {
      throw DidactError(
        .data,
        "more than \(TableEncoding.maximumCategories) categories in the \(rows) rows of column "
          + "\(wide.map(name).joined(separator: ", ")); an identifier or free text is no feature, leave it out: "
          + "--ignore " + options(wide))
    }
    let different = columns.filter(\.nearlyAllDiffer)
    guard different.isEmpty else {
      let findings = different.map {
        "column \(name($0.column)) has \($0.distinct) different texts in \($0.cells) cells"
      }
      throw DidactError(
        .data,
        "\(findings.joined(separator: ", ")); an identifier or free text is no feature, leave it out: --ignore "
          + "\(options(different.map(\.column))), or, if the texts are categories: --categorical "
          + options(different.map(\.column)))
    }
    return Dictionary(uniqueKeysWithValues: columns.map { ($0.column, TableEncoding.sorted($0.categories)) })
  }

  /// - Throws: `DidactError.data` for a column of numbers in another notation, with its first cell and what to do.
  private func checkAreNoNumbers(_ columns: [TextColumn]) throws {
    let found = columns.filter { $0.notation != nil }
    guard let column = found.first, let (line, text, reading) = column.notation else { return }
    let others = found.dropFirst().map { name($0.column) }
    throw DidactError(
      .data,
      "line \(line), column \(name(column.column)): \"\(text)\" is no number to Didact, and the column holds "
        + "\(reading.notation.description): \(reading.advice), leave the column out by --ignore "
        + "\(option(column.column)), or let each text be a category: --categorical \(option(column.column))"
        + (others.isEmpty ? "" : ". The same goes for column \(others.joined(separator: ", "))"))
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
