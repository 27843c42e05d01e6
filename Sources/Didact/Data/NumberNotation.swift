/// Ways to write numbers, dates and amounts that people and programs use, but that tables here do not have.
///
/// A column of such texts would become a category for each number, which learns nothing: the reader of tables finds them
/// and says what they are.
enum NumberNotation: Int, CaseIterable {
  /// 0,123 or 1.234,5
  case decimalComma
  /// 1,234.5 or 1 234 567
  case thousands
  /// 12 % or 12%
  case percent
  /// $3.50 or 3,50 €
  case currency
  /// 2024-03-01, 01.03.2024, 3/1/2024 or 1 Mar 2024, with or without a time
  case date
  /// 12:30 or 12:30:15.5
  case time
  /// 12 kg or 3.5cm
  case unit
  /// −3, with the sign that typesetters use
  case minusSign

  /// What the texts of a column are, for a message about several of them.
  var description: String {
    switch self {
    case .decimalComma: "numbers with a decimal comma"
    case .thousands: "numbers with separators between thousands"
    case .percent: "numbers with a per cent sign"
    case .currency: "numbers with a currency"
    case .date: "dates"
    case .time: "times"
    case .unit: "numbers with a unit"
    case .minusSign: "numbers with a minus sign that is not the hyphen of a keyboard"
    }
  }

  /// What can be done about a column of such texts.
  fileprivate func advice(plain: String) -> String {
    switch self {
    case .date: "write numbers, such as the year or the days since a day"
    case .time: "write numbers, such as the seconds or hours"
    default: "write \(plain)"
    }
  }

  /// A text, the notation in which it is written, and what to write instead.
  struct Reading: Equatable {
    let notation: NumberNotation
    let advice: String
    /// The unit of a number that has one, else empty.
    var unit = ""

    init(_ notation: NumberNotation, plain: String = "", unit: String = "") {
      self.notation = notation
      advice = notation.advice(plain: plain)
      self.unit = unit
    }
  }

  /// Longer texts, in bytes, are in none of these notations.
  private static let maximumLength = 40

  /// Whether a text, in UTF-8, is short enough and has a digit: most words end here.
  static func mayBe(_ bytes: some Collection<UInt8>) -> Bool {
    bytes.count <= maximumLength && bytes.contains { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
  }

  /// How a text that is no plain number may be read: none for other texts. 1,234 has two readings.
  static func readings(of text: String) -> [Reading] {
    mayBe(text.utf8) ? TextOfNumber(text).readings : []
  }
}

/// The readings of one text, by its characters.
private struct TextOfNumber {
  /// Without blanks around it; every kind of blank is a space.
  private let characters: [Unicode.Scalar]

  init(_ text: String) {
    let blanks: Set<Unicode.Scalar> = ["\u{a0}", "\u{2009}", "\u{202f}", "\t"]
    characters = TextOfNumber.trimmed(text.unicodeScalars.map { blanks.contains($0) ? " " : $0 }[...])
  }

  private static func trimmed(_ characters: ArraySlice<Unicode.Scalar>) -> [Unicode.Scalar] {
    var characters = characters
    while characters.first == " " { characters.removeFirst() }
    while characters.last == " " { characters.removeLast() }
    return Array(characters)
  }

  private static func isDigit(_ character: Unicode.Scalar) -> Bool { ("0"..."9").contains(character) }
  private static func isLetter(_ character: Unicode.Scalar) -> Bool { character.properties.isAlphabetic }

  private static func string(_ characters: some Sequence<Unicode.Scalar>) -> String {
    var text = ""
    text.unicodeScalars.append(contentsOf: characters)
    return text
  }

  // MARK: Readings

  var readings: [NumberNotation.Reading] {
    if isDate { return [.init(.date)] }
    if isTime(characters) { return [.init(.time)] }
    let (sign, rest) = signed(characters)
    if let last = rest.last, ["%", "‰"].contains(last), let plain = plainNumber(rest.dropLast()) {
      return [.init(.percent, plain: sign + plain)]
    }
    if let amount = withoutCurrency(rest), let plain = plainNumber(amount) {
      return [.init(.currency, plain: sign + plain)]
    }
    let grouped = separated(rest)
    if !grouped.isEmpty { return grouped.map { .init($0.notation, plain: sign + $0.plain) } }
    if let (number, unit) = withUnit(rest), let plain = plainNumber(number[...]) {
      return [.init(.unit, plain: sign + plain, unit: unit)]
    }
    if ["\u{2212}", "\u{2013}"].contains(characters.first), isPlain(rest) {
      return [.init(.minusSign, plain: sign + Self.string(rest))]
    }
    return []
  }

  /// The sign as a keyboard has it, and what follows; parentheses are the minus sign of accountants.
  private func signed(_ characters: [Unicode.Scalar]) -> (sign: String, rest: [Unicode.Scalar]) {
    guard let first = characters.first else { return ("", []) }
    if ["-", "\u{2212}", "\u{2013}"].contains(first) { return ("-", Self.trimmed(characters.dropFirst())) }
    if first == "+" { return ("", Self.trimmed(characters.dropFirst())) }
    if first == "(", characters.last == ")" { return ("-", Self.trimmed(characters.dropFirst().dropLast())) }
    return ("", characters)
  }

  /// A number in any notation of this kind, as this library reads it.
  private func plainNumber(_ characters: ArraySlice<Unicode.Scalar>) -> String? {
    let (sign, rest) = signed(Self.trimmed(characters))
    if isPlain(rest) { return sign + Self.string(rest) }
    return separated(rest).first.map { sign + $0.plain }
  }

  /// Digits with at most one point among them.
  private func isPlain(_ characters: [Unicode.Scalar]) -> Bool {
    characters.contains(where: Self.isDigit) && characters.count { $0 == "." } <= 1
      && characters.allSatisfy { Self.isDigit($0) || $0 == "." }
  }

  /// The readings of digits with separators among them.
  private func separated(_ characters: [Unicode.Scalar]) -> [(notation: NumberNotation, plain: String)] {
    let separators: Set<Unicode.Scalar> = [".", ",", " ", "'", "\u{2019}", "_"]
    guard characters.allSatisfy({ Self.isDigit($0) || separators.contains($0) }), let last = characters.last,
      Self.isDigit(last)
    else { return [] }
    let places = characters.indices.filter { separators.contains(characters[$0]) }
    guard let lastPlace = places.last else { return [] }
    let lastSeparator = characters[lastPlace], fraction = Self.string(characters[(lastPlace + 1)...])
    let whole = characters[..<lastPlace].filter(Self.isDigit)
    let plain = "\(whole.isEmpty ? "0" : Self.string(whole)).\(fraction)"
    let isAlone = places.count { characters[$0] == lastSeparator } == 1
    var readings: [(notation: NumberNotation, plain: String)] = []
    // The separators between thousands are all the same, before the last separator or with it.
    if lastSeparator == ",", isAlone, isGrouped(characters[..<lastPlace]) { readings.append((.decimalComma, plain)) }
    if isGrouped(characters[...]), lastSeparator != "." || places.count > 1 {
      readings.append((.thousands, Self.string(characters.filter(Self.isDigit))))
    } else if lastSeparator == ".", isAlone, places.count > 1, isGrouped(characters[..<lastPlace]) {
      readings.append((.thousands, plain))
    }
    return readings
  }

  /// Whether digits are alone, or one kind of separator cuts them into groups of three.
  private func isGrouped(_ characters: ArraySlice<Unicode.Scalar>) -> Bool {
    guard let separator = characters.first(where: { !Self.isDigit($0) }) else { return true }
    let groups = characters.split(separator: separator, omittingEmptySubsequences: false)
    guard let first = groups.first, (1...3).contains(first.count), first.first != "0" else { return false }
    return groups.dropFirst().allSatisfy { $0.count == 3 } && groups.allSatisfy { $0.allSatisfy(Self.isDigit) }
  }

  /// The amount before or after a sign or a code of a currency.
  private func withoutCurrency(_ characters: [Unicode.Scalar]) -> ArraySlice<Unicode.Scalar>? {
    if let first = characters.first, first.properties.generalCategory == .currencySymbol {
      return characters.dropFirst()
    }
    if let last = characters.last, last.properties.generalCategory == .currencySymbol { return characters.dropLast() }
    let codes = ["EUR", "USD", "GBP", "CHF", "JPY", "CNY", "INR", "CAD", "AUD", "SEK", "NOK", "DKK", "PLN", "BRL"]
    if codes.contains(Self.string(characters.prefix(3))) { return characters.dropFirst(3) }
    if codes.contains(Self.string(characters.suffix(3))) { return characters.dropLast(3) }
    return nil
  }

  /// A number and the short word after it.
  private func withUnit(_ characters: [Unicode.Scalar]) -> (number: [Unicode.Scalar], unit: String)? {
    let isOfUnit = { (character: Unicode.Scalar) in
      Self.isLetter(character) || ["°", "²", "³", "/"].contains(character)
    }
    let unit = Array(characters.reversed().prefix(while: isOfUnit).reversed())
    guard (1...5).contains(unit.count), unit.contains(where: { Self.isLetter($0) || $0 == "°" }) else { return nil }
    return (Self.trimmed(characters.dropLast(unit.count)), Self.string(unit))
  }

  // MARK: Dates

  private static let months: Set<String> = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
  ]

  /// A date alone, or with a time after a blank or a T.
  private var isDate: Bool {
    if isDay(characters) { return true }
    return characters.indices.contains { index in
      [" ", "T"].contains(characters[index]) && isDay(Array(characters[..<index]))
        && isTime(Array(characters[(index + 1)...]))
    }
  }

  /// A year, a month and a day in any order, or a year and a month.
  private func isDay(_ characters: [Unicode.Scalar]) -> Bool {
    for separator: Unicode.Scalar in ["-", "/", "."] {
      let parts = characters.split(separator: separator, omittingEmptySubsequences: false)
      guard (2...3).contains(parts.count), parts.allSatisfy({ !$0.isEmpty && $0.allSatisfy(Self.isDigit) }) else {
        continue
      }
      let numbers = parts.compactMap { Int(Self.string($0)) }, lengths = parts.map(\.count)
      guard numbers.count == parts.count else { continue }
      if parts.count == 2 {
        if separator != ".", lengths == [4, 2], (1800...2199).contains(numbers[0]), (1...12).contains(numbers[1]) {
          return true
        }
        continue
      }
      let isYearFirst = lengths[0] == 4, days = isYearFirst ? numbers[1...2] : numbers[0...1]
      let areDays = days.allSatisfy { (1...31).contains($0) } && days.contains { $0 <= 12 }
      // 1.2.10 is a version.
      let hasYear = isYearFirst || lengths[2] == 4 || separator == "/" && lengths[2] == 2 || lengths == [2, 2, 2]
      if areDays, hasYear, lengths.allSatisfy({ $0 <= 2 || $0 == 4 }) { return true }
    }
    return isDayWithNameOfMonth(characters)
  }

  private func isDayWithNameOfMonth(_ characters: [Unicode.Scalar]) -> Bool {
    let parts = characters.split { [" ", "-", "/", ".", ","].contains($0) }.map { Self.string($0) }
    let words = parts.filter { Int($0) == nil }
    guard (2...3).contains(parts.count), words.count == 1 else { return false }
    return Self.months.contains(String(words[0].lowercased().prefix(3)))
      && words[0].unicodeScalars.allSatisfy(Self.isLetter)
  }

  /// Hours, minutes and perhaps seconds, with what may follow them.
  private func isTime(_ characters: [Unicode.Scalar]) -> Bool {
    var parts = characters.split(separator: ":", omittingEmptySubsequences: false).map { Array($0) }
    guard (2...4).contains(parts.count), let last = parts.last else { return false }
    // What follows the last digit of the time: Z, AM, or the offset of a time zone with a colon of its own.
    var rest = Array(last.drop { Self.isDigit($0) || $0 == "." })
    if rest.isEmpty, parts.count > 2, let sign = parts[parts.count - 2].firstIndex(where: { ["+", "-"].contains($0) }) {
      parts.removeLast()
      rest = Array(parts[parts.count - 1][sign...])
      parts[parts.count - 1].removeSubrange(sign...)
    } else {
      parts[parts.count - 1].removeLast(rest.count)
    }
    let ending = Self.string(Self.trimmed(rest[...])).lowercased()
    guard ["", "z", "am", "pm", "utc"].contains(ending) || ["+", "-"].contains(ending.first) else { return false }
    return (2...3).contains(parts.count) && (1...2).contains(parts[0].count) && parts[0].allSatisfy(Self.isDigit)
      && parts.dropFirst().allSatisfy { $0.count >= 2 && $0.prefix(2).allSatisfy(Self.isDigit) }
  }
}

// MARK: - Columns

/// How many texts of a column are written in each notation.
struct NotationCounts {
  private var counts = Array(repeating: 0, count: NumberNotation.allCases.count)
  /// The first text of each notation.
  private var examples: [NumberNotation: (line: Int, text: String, reading: NumberNotation.Reading)] = [:]

  mutating func add(_ text: String, line: Int) {
    for reading in NumberNotation.readings(of: text) {
      // Codes such as 12A and 13B are no numbers of one unit.
      if let first = examples[reading.notation], first.reading.unit != reading.unit { continue }
      counts[reading.notation.rawValue] += 1
      if examples[reading.notation] == nil { examples[reading.notation] = (line, text, reading) }
    }
  }

  /// The notation of at least half of `texts` texts: the most frequent, and of two that are equally frequent that with
  /// separators between thousands, because 1,234 alone means more than a thousand.
  func notation(ofTexts texts: Int) -> (line: Int, text: String, reading: NumberNotation.Reading)? {
    let order: [NumberNotation] = [.thousands] + NumberNotation.allCases.filter { $0 != .thousands }
    let best = order.max { counts[$0.rawValue] < counts[$1.rawValue] }
    guard let best, 2 * counts[best.rawValue] >= texts else { return nil }
    return examples[best]
  }
}
