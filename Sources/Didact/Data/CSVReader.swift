/// What a cell of a table holds.
enum CSVValue {
  /// Nothing, or a word that says so: see `CSVCell.missingWords`.
  case missing
  /// Also infinity, NaN in an unusual spelling, and numbers too large for a Double.
  case number(Double)
  case text
}

/// A cell as it stands in the file, without its outer quotes or the blanks around it.
struct CSVCell {
  let bytes: UnsafeRawBufferPointer
  /// Quotes inside are doubled.
  let isQuoted: Bool

  /// Spellings of a missing value, beside the empty cell.
  static let missingWords = ["?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null"]
  private static let missingBytes = missingWords.map { Array($0.utf8) }

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

  var value: CSVValue {
    if bytes.isEmpty { return .missing }
    if let number = shortDecimal { return .number(number) }
    if isMissingWord { return .missing }
    return anyNumber.map { .number($0) } ?? .text
  }

  var isMissing: Bool { bytes.isEmpty || isMissingWord }
  var isText: Bool { if case .text = value { true } else { false } }
  var isNumber: Bool { if case .number = value { true } else { false } }

  private var isMissingWord: Bool {
    bytes.count <= 4 && CSVCell.missingBytes.contains { bytes.elementsEqual($0) }
  }

  /// The number, where it is written in at most 15 digits and without exponent: most are, and an integer below 2^53
  /// divided by an exact power of ten is rounded as it must be.
  private var shortDecimal: Double? {
    guard let first = bytes.first else { return nil }
    let isNegative = first == UInt8(ascii: "-")
    var integer = 0, digits = 0, decimals = 0, hasPoint = false
    for byte in bytes[(isNegative || first == UInt8(ascii: "+") ? 1 : 0)...] {
      let digit = byte &- UInt8(ascii: "0")
      if digit < 10 {
        guard digits < 15 else { return nil }
        integer = 10 * integer + Int(digit)
        digits += 1
        if hasPoint { decimals += 1 }
      } else if byte == UInt8(ascii: "."), !hasPoint {
        hasPoint = true
      } else {
        return nil
      }
    }
    guard digits > 0 else { return nil }
    let value = Double(integer) / CSVCell.powersOfTen[decimals]
    return isNegative ? -value : value
  }

  private static let powersOfTen: [Double] = [
    1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
  ]

  private var anyNumber: Double? {
    // Swift reads hexadecimal digits too, which in a table are more likely text.
    guard !bytes.contains(UInt8(ascii: "x")), !bytes.contains(UInt8(ascii: "X")) else { return nil }
    return Double(String(decoding: bytes, as: UTF8.self))
  }
}

/// Reads one record after the other: a line, or several where quotes contain line breaks.
struct CSVReader {
  /// A row of more cells is no table's.
  static let mostColumns = 1_000_000
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

  /// Puts the next record that is not blank into `cells`.
  /// - Returns: the line where it starts, from 1, or nil at the end.
  mutating func readRecord(into cells: inout [CSVCell]) throws -> Int? {
    cells.removeAll(keepingCapacity: true)
    while isAtLineEnd { skipLineEnd() }
    guard next != nil else { return nil }
    let start = line
    cells.append(try readCell())
    while next == UInt8(ascii: ",") {
      guard cells.count < CSVReader.mostColumns else {
        throw DidactError(.data, "line \(start): more than \(CSVReader.mostColumns) columns")
      }
      position += 1
      cells.append(try readCell())
    }
    if next != nil { skipLineEnd() }
    return start
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
    while let byte = next {
      // Letters, digits and most signs come after the comma.
      if byte <= UInt8(ascii: ",") {
        if byte == UInt8(ascii: ",") || isAtLineEnd { break }
        if byte == UInt8(ascii: "\"") {
          throw DidactError(.data, "line \(line): a quote inside a cell that does not start with one")
        }
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
