/// The header and the columns of a CSV file, found from its first lines.
struct CSVTable {
  let bytes: UnsafeRawBufferPointer
  /// Nil where the file has no header.
  let header: [String]?
  let columnCount: Int
  let labelColumn: Int?
  /// Says of each row whether its label is right.
  let trustedColumn: Int?
  /// The columns of features, in the order of the encoding where there is one.
  let featureColumns: [Int]

  init(
    _ bytes: UnsafeRawBufferPointer, labelColumn: String?, ignoring ignored: [String], trustedColumn: String? = nil,
    hasHeader: Bool?, encoding: TableEncoding? = nil
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
      first, cells, above: second, labelColumn, usual: usual, others: ignored + [trustedColumn].compactMap(\.self),
      known: encoding, hasHeader: hasHeader)
    self.header = header
    self.labelColumn = label
    columnCount = cells.count

    var others = Set(try ignored.map { try CSVTable.column($0, header, count: cells.count) })
    if let label, others.contains(label) {
      throw DidactError(.invalidArgument, "column \"\(cells[label])\" cannot both be ignored and have the labels")
    }
    self.trustedColumn = try trustedColumn.map { try CSVTable.column($0, header, count: cells.count) }
    if let trusted = self.trustedColumn {
      guard trusted != label else {
        throw DidactError(
          .invalidArgument, "column \"\(cells[trusted])\" cannot both have the labels and say which are right")
      }
      others.insert(trusted)
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

  /// Whether a line of numbers may be a header: numbers of columns from 0 on, as pandas writes, years one after the other,
  /// or any numbers where the columns of training were called by numbers.
  private static func mayBeHeader(_ cells: [String], known: TableEncoding?) -> Bool {
    guard cells.allSatisfy({ LabelTexts.number($0) != nil }) else { return false }
    if let known, known.hasHeader, known.columns.allSatisfy({ LabelTexts.number($0.name) != nil }) { return true }
    let numbers = cells.compactMap { Int($0) }
    guard numbers.count == cells.count, numbers.count > 2, let first = numbers.first else { return false }
    return (first == 0 || (1800..<2200).contains(first))
      && zip(numbers, numbers.dropFirst()).allSatisfy { $1 == $0 + 1 }
  }

  /// Whether the first line is a header, and which column has the labels.
  /// - Parameters:
  ///   - second: the line below, empty where there is none.
  ///   - usual: names that the label column may have where none is given.
  ///   - others: columns that are no features, by name or number; one by number may have texts in a table without a header.
  ///   - known: columns whose names make a header, numbers or not.
  ///   - hasHeader: whether it is one, where that is said.
  private static func interpret(
    _ first: [CSVCell], _ cells: [String], above second: [CSVCell], _ labelColumn: String?, usual: [String],
    others: [String], known: TableEncoding?, hasHeader: Bool?
  ) throws -> (header: [String]?, labelColumn: Int?) {
    if hasHeader == false { return (nil, try labelColumn.map { try column($0, nil, count: cells.count) }) }
    let names = known.flatMap { $0.hasHeader ? Set($0.columns.map(\.name)) : nil }
    let isKnown = hasHeader == true || names?.isSubset(of: cells) ?? false
    if !isKnown, mayBeHeader(cells, known: known) {
      let start = cells.prefix(5).joined(separator: ",") + (cells.count > 5 ? ",…" : "")
      throw DidactError(
        .data,
        "the first line, \(start), may be a header of numbers or a row; say which it is: --header yes or --header no")
    }
    let numbered = Set(others.compactMap { Int($0) })
    func isHeader(ignoring ignored: Int?) -> Bool {
      isKnown || first.indices.contains { $0 != ignored && !numbered.contains($0) && first[$0].isText }
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
  static func column(_ text: String, _ header: [String]?, count: Int) throws -> Int {
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
  func name(_ column: Int) -> String { header.map { "\"\($0[column])\"" } ?? "\(column)" }

  /// For an option: the name where it needs no quotes and means this column, else the index.
  private static func option(_ column: Int, in header: [String]?) -> String {
    guard let name = header?[column], !name.isEmpty, name.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" }) else {
      return "\(column)"
    }
    return name
  }

  func option(_ column: Int) -> String { CSVTable.option(column, in: header) }

  func options(_ columns: [Int]) -> String { columns.map(option).joined(separator: ",") }

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

  /// - Throws: `DidactError.data` for a cell that is neither yes nor no.
  func isTrusted(_ cell: CSVCell, line: Int) throws -> Bool {
    switch cell.value {
    case .missing: return false
    case .number(1): return true
    case .number(0): return false
    case .number, .text: break
    }
    switch try cell.text(line: line).lowercased() {
    case "yes", "true": return true
    case "no", "false": return false
    default:
      throw try cellError(
        cell, trustedColumn ?? 0, line: line,
        "does not say whether the label is right; write yes, true or 1, and no, false, 0 or nothing")
    }
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
