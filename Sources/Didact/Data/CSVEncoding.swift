extension CSVTable {
  /// A feature column in numbers: how many of its cells are of each kind.
  private struct Summary {
    var numbers = 0, texts = 0, missing = 0
    /// The mean of the cells that are numbers.
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

/// Turns rows into features.
struct CSVEncoder {
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

  /// Columns with categories that training did not see.
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
