extension Dataset {
  /// Reads a table of numbers with, perhaps, a column of labels (RFC 4180, UTF-8, comma-separated).
  ///
  /// The first line is a header if any cell of it outside the label column is not a number. Features become float64. An
  /// empty label is none; the classes are the distinct labels, sorted by value where all are integers, else by character.
  /// Blank lines are skipped, and so are blanks around cells without quotes.
  /// - Parameters:
  ///   - path: the file.
  ///   - labelColumn: a name in the header, or an index counted from zero. Nil means the column named `label` if the
  ///     header has one, else that no row has a label.
  ///   - featureNames: the columns that are features, in this order, where the file has a header; nil for all but the
  ///     label column, in the file's order.
  /// - Throws: `DidactError.file`; `.invalidArgument` for an unknown label column; `.data` with line and column for a
  ///   cell that is no finite number, rows of different lengths, quotes out of place, and columns missing from or not
  ///   among `featureNames`.
  public init(csv path: String, labelColumn: String? = nil, featureNames: [String]? = nil) throws {
    let content = try readFile(path)
    do {
      self = try content.withBytes {
        try CSVTable($0, labelColumn: labelColumn, featureNames: featureNames).dataset()
      }
    } catch let error as DidactError {
      throw error.at(path)
    }
  }
}

/// What the first pass over a file finds: its columns, and how many rows it has.
private struct CSVTable {
  let bytes: UnsafeRawBufferPointer
  /// Nil where the file has no header.
  let header: [String]?
  let columnCount: Int
  let labelColumn: Int?
  let rowCount: Int

  /// The columns of `features`.
  let featureColumns: [Int]

  init(_ bytes: UnsafeRawBufferPointer, labelColumn: String?, featureNames: [String]?) throws {
    self.bytes = bytes
    var reader = CSVReader(bytes)
    guard let first = try reader.readRecord() else { throw DidactError(.data, "the file is empty") }
    (header, self.labelColumn) = try CSVTable.interpret(first, labelColumn)
    columnCount = first.cells.count
    let label = self.labelColumn
    let others = first.cells.indices.filter { $0 != label }
    if let header, let featureNames {
      featureColumns = try CSVTable.columns(called: featureNames, in: header, among: others)
    } else {
      featureColumns = others
    }

    // Counted first, so that the features are allocated once and where that can fail with an error.
    var rowCount = header == nil ? 1 : 0
    while let record = try reader.readRecord() {
      guard record.cells.count == columnCount else {
        throw DidactError(
          .data, "line \(record.line): \(record.cells.count) cells, but the first line has \(columnCount)")
      }
      rowCount += 1
    }
    self.rowCount = rowCount
    guard rowCount > 0 else { throw DidactError(.data, "there is a header, but no row") }
    guard columnCount > (self.labelColumn == nil ? 0 : 1) else {
      throw DidactError(.data, "there is no feature column")
    }
    guard columnCount <= Dataset.maximumColumns else { throw DidactError(.data, "\(columnCount) columns are too many") }
  }

  /// Where the features stand.
  private static func columns(called names: [String], in header: [String], among columns: [Int]) throws -> [Int] {
    guard columns.map({ header[$0] }) != names else { return columns }
    let found = try names.map { name in
      let matches = columns.filter { header[$0] == name }
      guard let column = matches.first else {
        throw DidactError(
          .data, "there is no column \"\(name)\".\(suggestion(for: name, among: columns.map { header[$0] }))")
      }
      guard matches.count == 1 else { throw DidactError(.data, "two columns are called \"\(name)\"") }
      return column
    }
    let extra = columns.filter { !found.contains($0) }.map { "\"\(header[$0])\"" }
    guard extra.isEmpty else {
      throw DidactError(
        .data,
        "no feature is called \(extra.joined(separator: ", ")): remove the column, or name it as the label column")
    }
    return found
  }

  /// Whether the first line is a header, and which column has the labels.
  private static func interpret(
    _ first: CSVRecord, _ labelColumn: String?
  ) throws -> (header: [String]?, labelColumn: Int?) {
    let cells = try first.cells.map { try $0.text(line: first.line) }
    func isHeader(ignoring ignored: Int?) -> Bool {
      first.cells.indices.contains { $0 != ignored && !first.cells[$0].looksLikeNumber }
    }
    let named = cells.indices.filter { cells[$0] == labelColumn ?? "label" }
    guard named.count < 2 else {
      throw DidactError(.invalidArgument, "two columns are called \"\(labelColumn ?? "label")\"; give an index")
    }
    guard let labelColumn else {
      return isHeader(ignoring: nil) ? (cells, named.first) : (nil, nil)
    }
    let index = Int(labelColumn)
    if let column = named.first {
      // A cell like "2" in a line of numbers is a value, not a name.
      if index == nil || isHeader(ignoring: column) { return (cells, column) }
    }
    guard let index else {
      throw DidactError(
        .invalidArgument, "no column is called \"\(labelColumn)\".\(suggestion(for: labelColumn, among: cells))")
    }
    guard cells.indices.contains(index) else {
      throw DidactError(.invalidArgument, "there is no column \(index): the \(cells.count) columns count from 0")
    }
    return (isHeader(ignoring: index) ? cells : nil, index)
  }

  /// The second pass.
  func dataset() throws -> Dataset {
    let features = try Tensor(Shape(checking: [rowCount, featureColumns.count]), .float64)
    let values = features.address.assumingMemoryBound(to: Double.self)
    // Labels are numbered as they come, and renumbered once all are known.
    var provisional: [String: Int] = [:]
    var labels: [Int] = []
    labels.reserveCapacity(rowCount)

    var reader = CSVReader(bytes)
    if header != nil { _ = try reader.readRecord() }
    var index = 0
    while let record = try reader.readRecord() {
      for column in featureColumns {
        values[index] = try number(record, column)
        index += 1
      }
      let label = try labelColumn.map { try record.cells[$0].text(line: record.line) } ?? ""
      if label.isEmpty {
        labels.append(-1)
      } else {
        let next = provisional.count
        labels.append(provisional[label, default: next])
        provisional[label] = labels[labels.count - 1]
      }
    }

    let classNames = CSVTable.sortedClassNames(Array(provisional.keys))
    var classIndices = Array(repeating: -1, count: provisional.count)
    for (classIndex, name) in classNames.enumerated() {
      if let number = provisional[name] { classIndices[number] = classIndex }
    }
    let dataset = Dataset(
      features: features, labels: labels.map { $0 < 0 ? -1 : classIndices[$0] }, classNames: classNames,
      featureNames: header.map { header in featureColumns.map { header[$0] } })
    try dataset.validate()
    return dataset
  }

  private func number(_ record: CSVRecord, _ column: Int) throws -> Double {
    let cell = record.cells[column]
    if let value = cell.number { return value }
    let name = header.map { " \"\($0[column])\"" } ?? " \(column)"
    let text = try cell.text(line: record.line)
    let reason =
      if text.isEmpty {
        "the cell is empty; fill in missing values first"
      } else if cell.looksLikeNumber {
        "\"\(text)\" is not a finite number; replace missing values first"
      } else {
        "\"\(text.prefix(40))\" is not a number"
      }
    throw DidactError(.data, "line \(record.line), column\(name): \(reason)")
  }

  /// By value where all names are integers, else by character.
  private static func sortedClassNames(_ names: [String]) -> [String] {
    let numbers = names.compactMap { Int($0) }
    guard numbers.count == names.count else { return names.sorted() }
    // "1" and "01" are two names of one value.
    return zip(numbers, names).sorted { $0 < $1 }.map(\.1)
  }
}

/// One line, or several where quotes contain line breaks.
private struct CSVRecord {
  /// Of its start, from 1.
  let line: Int
  let cells: [CSVCell]
}

/// A cell as it stands in the file, without its outer quotes or the blanks around it.
private struct CSVCell {
  let bytes: UnsafeRawBufferPointer
  /// Quotes inside are doubled.
  let isQuoted: Bool

  func text(line: Int) throws -> String {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw DidactError(.data, "line \(line): a cell is not valid UTF-8")
    }
    guard isQuoted, text.utf8.contains(UInt8(ascii: "\"")) else { return text }
    // The reader has checked that quotes come in pairs.
    var result = ""
    var skipsQuote = false
    for scalar in text.unicodeScalars {
      if scalar == "\"" {
        skipsQuote.toggle()
        if !skipsQuote { continue }
      }
      result.unicodeScalars.append(scalar)
    }
    return result
  }

  /// The finite number that the cell holds, or nil.
  var number: Double? {
    guard let value = anyNumber, value.isFinite else { return nil }
    return value
  }

  /// Also for NaN, infinity and numbers too large, which are refused as data but make no header.
  var looksLikeNumber: Bool { anyNumber != nil }

  private var anyNumber: Double? {
    // Swift reads hexadecimal digits too, which in a table are more likely text.
    guard !bytes.contains(UInt8(ascii: "x")), !bytes.contains(UInt8(ascii: "X")) else { return nil }
    return Double(String(decoding: bytes, as: UTF8.self))
  }
}

/// Reads one record after the other.
private struct CSVReader {
  private let bytes: UnsafeRawBufferPointer
  private var position: Int
  private var line = 1

  init(_ bytes: UnsafeRawBufferPointer) {
    self.bytes = bytes
    let byteOrderMark: [UInt8] = [0xef, 0xbb, 0xbf]
    position = bytes.starts(with: byteOrderMark) ? 3 : 0
  }

  private var next: UInt8? { position < bytes.count ? bytes[position] : nil }
  private var isAtLineEnd: Bool {
    next == UInt8(ascii: "\n") || (next == UInt8(ascii: "\r") && isLineFeed(position + 1))
  }

  private func isLineFeed(_ index: Int) -> Bool { index < bytes.count && bytes[index] == UInt8(ascii: "\n") }

  /// The next record that is not blank, or nil at the end.
  mutating func readRecord() throws -> CSVRecord? {
    while isAtLineEnd { skipLineEnd() }
    guard next != nil else { return nil }
    let start = line
    var cells = [try readCell()]
    while next == UInt8(ascii: ",") {
      position += 1
      cells.append(try readCell())
    }
    if next != nil { skipLineEnd() }
    return CSVRecord(line: start, cells: cells)
  }

  private mutating func skipLineEnd() {
    position += next == UInt8(ascii: "\r") ? 2 : 1
    line += 1
  }

  /// Stops at a comma, a line's end or the file's.
  private mutating func readCell() throws -> CSVCell {
    skipBlanks()
    if next == UInt8(ascii: "\"") { return try readQuotedCell() }
    let start = position
    while let byte = next, byte != UInt8(ascii: ","), !isAtLineEnd {
      if byte == UInt8(ascii: "\"") {
        throw DidactError(.data, "line \(line): a quote inside a cell that does not start with one")
      }
      position += 1
    }
    var end = position
    while end > start, isBlank(bytes[end - 1]) { end -= 1 }
    return CSVCell(bytes: UnsafeRawBufferPointer(rebasing: bytes[start..<end]), isQuoted: false)
  }

  private mutating func readQuotedCell() throws -> CSVCell {
    let firstLine = line
    position += 1
    let start = position
    while true {
      guard let byte = next else { throw DidactError(.data, "line \(firstLine): a quote that is never closed") }
      position += 1
      if byte == UInt8(ascii: "\n") { line += 1 }
      if byte == UInt8(ascii: "\"") {
        guard next == UInt8(ascii: "\"") else { break }
        position += 1
      }
    }
    let end = position - 1
    skipBlanks()
    guard next == nil || next == UInt8(ascii: ",") || isAtLineEnd else {
      throw DidactError(.data, "line \(line): text after a closing quote; write a quote inside a cell twice")
    }
    return CSVCell(bytes: UnsafeRawBufferPointer(rebasing: bytes[start..<end]), isQuoted: true)
  }

  private func isBlank(_ byte: UInt8) -> Bool { byte == UInt8(ascii: " ") || byte == UInt8(ascii: "\t") }

  private mutating func skipBlanks() {
    while let byte = next, isBlank(byte) { position += 1 }
  }
}
