/// The meaning of the texts in a column of labels: one rule for every file that has labels as text.
///
/// - The name of a class that a model knows is that class.
/// - An empty text is no label. Blanks around a text do not count here.
/// - A word for a missing value (`LabelTexts.missingWords`) is no label either, and a warning says so.
/// - A text that means "no label" elsewhere (`LabelTexts.isDoubtful`) is refused: it may be a class or a mark, and a
///   wrong guess would train a class of rows without labels. So are two spellings of one label.
/// - Every other text is the name of a class; a warning names those that may be a mark (`LabelTexts.suspects`).
struct LabelTexts {
  /// Where labels are from, for messages.
  enum Origin {
    /// A column of a table; its description, such as `column "kind"`. Places are lines.
    case column(String)
    /// An array of a NumPy file; its name. Places are rows.
    case array(String)
  }

  /// More different labels than these are refused where they come: nobody has so many classes, and each takes memory.
  static let mostClasses = 100_000

  let origin: Origin
  /// Names of a model's classes, which are labels whatever they look like.
  private let knownClasses: Set<String>
  /// The distinct labels in the order in which they come.
  private(set) var names: [String] = []
  /// For each of `names`, how many rows have it and where the first of them is.
  private var rowCounts: [Int] = [], firstPlaces: [Int] = []
  private var numbers: [String: Int] = [:]
  /// For each word that was taken for no label, how many rows have it.
  private var missingCounts: [String: Int] = [:]
  /// The first row without a label.
  private(set) var firstMissing: (text: String, place: Int)?

  /// Words that say that a label is missing. The features of tables have the same.
  static let missingWords = CSVCell.missingWords

  /// Words that are classes more often than marks, in small letters.
  static let suspects: Set<String> = ["none", "nil", "missing", "unknown", "undefined", "-", "--", "."]

  /// Whether a text may mean that there is no label, or may be the name of a class.
  static func isDoubtful(_ text: String) -> Bool {
    let text = trimmed(text), lowercase = text.lowercased()
    return ["None", "<NA>", "NaT", "#N/A"].contains(text) || ["unlabeled", "unlabelled"].contains(lowercase)
      || missingWordsInSmallLetters.contains(lowercase) && !missingWords.contains(text) || number(text) == -1
  }

  private static let missingWordsInSmallLetters = Set(missingWords.map { $0.lowercased() })

  /// A text without blanks around it.
  static func trimmed(_ text: String) -> String {
    // By code points, as Python strips text: the separators of ASCII are blanks, and a blank with an accent keeps it.
    func isBlank(_ scalar: Unicode.Scalar) -> Bool {
      scalar.properties.isWhitespace || (0x1c...0x1f).contains(scalar.value)
    }
    let scalars = text.unicodeScalars, start = scalars.drop(while: isBlank)
    let end = start.lastIndex { !isBlank($0) }.map { start.index(after: $0) } ?? start.startIndex
    return String(String.UnicodeScalarView(start[..<end]))
  }

  /// The value of a text that is a finite number.
  static func number(_ text: String) -> Double? {
    var text = trimmed(text)
    // The minus sign of typesetters.
    if text.hasPrefix("\u{2212}") { text = "-" + text.dropFirst() }
    // Swift reads hexadecimal digits and words such as "infinity" too.
    guard text.utf8.allSatisfy({ "+-.0123456789eE".utf8.contains($0) }), let number = Double(text) else { return nil }
    return number.isFinite ? number : nil
  }

  /// The value of a text that is a finite number, with a decimal point or comma.
  private static func measure(_ text: String) -> Double? {
    guard let comma = text.firstIndex(of: ",") else { return number(text) }
    return number(text[..<comma] + "." + text[text.index(after: comma)...])
  }

  /// - Parameter knownClasses: names of a model's classes, which are labels whatever they look like.
  init(_ origin: Origin, knownClasses: [String] = []) {
    self.origin = origin
    self.knownClasses = Set(knownClasses)
  }

  // MARK: - Collecting

  /// Takes the label of one row.
  /// - Returns: the number of the label in `names`, or −1 for no label.
  /// - Throws: `DidactError.data` for one label too many, and for another Unicode form of one before.
  mutating func add(_ text: String, at place: Int) throws -> Int {
    if let number = numbers[text] {
      // Swift takes canonically equivalent texts for one; programs that compare bytes do not.
      guard knownClasses.contains(text) || names[number].utf8.elementsEqual(text.utf8) else {
        throw DidactError(
          .data,
          "\(subject): the labels \"\(names[number])\" \(self.place(number)) and \"\(text)\" \(located(place)) would be "
            + "two classes, but are one text in two Unicode forms; write them alike")
      }
      rowCounts[number] += 1
      return number
    }
    let word = LabelTexts.trimmed(text)
    if word.isEmpty || LabelTexts.missingWords.contains(word), !knownClasses.contains(text) {
      if !word.isEmpty { missingCounts[word, default: 0] += 1 }
      if firstMissing == nil { firstMissing = (text, place) }
      return -1
    }
    try LabelTexts.checkCount(names.count + 1, subject)
    numbers[text] = names.count
    names.append(text)
    rowCounts.append(1)
    firstPlaces.append(place)
    return names.count - 1
  }

  /// - Throws: `DidactError.data` for more different labels than there can be classes.
  static func checkCount(_ distinct: Int, _ subject: String) throws {
    guard distinct <= mostClasses else {
      throw DidactError(
        .data,
        "\(subject): more than \(mostClasses) different labels. These are identifiers or measurements, not classes; sort them "
          + "into classes")
    }
  }

  // MARK: - Judging

  /// Says which words were taken for no label, or for a class though they may mean none, and in how many rows.
  var warnings: [Warning] {
    func listed(_ words: [(String, Int)]) -> String {
      let texts = words.sorted { $0.0 < $1.0 }.map { "\"\($0)\" (\($1) \($1 == 1 ? "row" : "rows"))" }
      return texts.joined(separator: ", ") + (texts.count == 1 ? " is" : " are")
    }
    var found: [Warning] = []
    if !missingCounts.isEmpty {
      found.append(
        Warning(
          .labelText,
          "\(subject): \(listed(missingCounts.map { ($0.key, $0.value) })) taken for no label; \(emptyAdvice) to say so "
            + "yourself, or rename the class if it is one"))
    }
    let suspects = names.indices.filter {
      LabelTexts.suspects.contains(LabelTexts.trimmed(names[$0]).lowercased()) && !knownClasses.contains(names[$0])
    }
    if !suspects.isEmpty {
      found.append(
        Warning(
          .labelText,
          "\(subject): \(listed(suspects.map { (names[$0], rowCounts[$0]) })) taken for a class; if it means that there is no "
            + "label, \(emptyAdvice)"))
    }
    let spellings = Dictionary(grouping: names.filter { !knownClasses.contains($0) }) { $0.lowercased() }
    if let alike = spellings.values.first(where: { $0.count > 1 }) {
      found.append(
        Warning(
          .labelText,
          "\(subject): the labels \"\(alike[0])\" and \"\(alike[1])\" differ in capitals alone and are two classes; write them "
            + "alike if they are one"))
    }
    return found
  }

  /// - Parameter names: all labels of the data, those of other arrays too.
  /// - Throws: `DidactError.data` for a text that may mean "no label", with its place.
  func checkNoneIsDoubtful(among names: some Collection<String>) throws {
    let values = Set(names.map { LabelTexts.number($0) })
    // Two classes may be called -1 and 1, as they are for a support vector machine.
    let areSigns = values == [-1, 1]
    for (number, name) in self.names.enumerated() where LabelTexts.isDoubtful(name) && !knownClasses.contains(name) {
      if areSigns { continue }
      let count = rowCounts[number]
      var advice = emptyAdvice
      if case .array = origin, LabelTexts.number(name) != nil { advice += " or give integers, where -1 is none" }
      throw DidactError(
        .data,
        "\(subject): \"\(name)\" is the label of \(count) \(count == 1 ? "row" : "rows"), first \(place(number)); if it "
          + "means that there is no label, \(advice); if it is a class, rename it")
    }
  }

  /// - Parameter names: all labels of the data, those of other arrays too.
  /// - Throws: `DidactError.data` where all labels are numbers, and one of these is not whole.
  func checkAreNoMeasurements(among names: some Collection<String>) throws {
    let fractional = self.names.firstIndex { name in LabelTexts.measure(name).map { $0.rounded() != $0 } ?? false }
    guard let number = fractional, names.allSatisfy({ LabelTexts.measure($0) != nil }) else { return }
    let name = self.names[number]
    throw DidactError(
      .data,
      "\(subject): the label \(name) \(place(number)) is not a whole number, and all labels are numbers: they look like "
        + "measurements, not classes. Round them or sort them into ranges; a class that is called \(name) needs a letter, "
        + "such as c\(name)")
  }

  /// - Throws: `DidactError.data` where two labels are one number, such as 1 and 1.0, or one text but for blanks around it:
  ///   they would be two classes.
  func checkLabelsAreWrittenAlike() throws {
    var places: [String: Int] = [:]
    for (index, name) in names.enumerated() {
      let label = LabelTexts.number(name).map { "number \($0 == 0 ? 0 : $0)" } ?? "text \(LabelTexts.trimmed(name))"
      guard let first = places.updateValue(index, forKey: label) else { continue }
      throw DidactError(
        .data,
        "\(subject): the labels \"\(names[first])\" \(place(first)) and \"\(name)\" \(place(index)) would be two classes, but are "
          + "one \(label.hasPrefix("number") ? "number" : "text with other blanks around it"); write them alike")
    }
  }

  /// - Parameter rows: how many rows there are, those without labels too.
  /// - Returns: a warning where nearly all labels differ, but most rows have none.
  /// - Throws: `DidactError.data` where nearly all labels differ.
  func checkRepeat(rows: Int) throws -> Warning? {
    guard let first = names.first else { return nil }
    return try LabelTexts.checkRepeat(
      distinct: names.count, labeled: rowCounts.reduce(0, +), rows: rows, "\(subject): ",
      first: "\"\(first)\" \(place(0))")
  }

  /// Labels of which nearly all differ are identifiers, measurements or free text.
  ///
  /// Where most rows have no label, there may be one label for each of many classes: that is a warning.
  /// - Parameters:
  ///   - distinct: how many labels differ.
  ///   - labeled: how many rows have a label.
  ///   - rows: how many rows there are.
  ///   - subject: where the labels are, with a colon, for the message.
  ///   - first: the first label, and its place.
  static func checkRepeat(distinct: Int, labeled: Int, rows: Int, _ subject: String, first: String) throws -> Warning? {
    guard labeled >= 20, 2 * distinct > labeled else { return nil }
    let finding = "\(subject)\(distinct) different labels in \(labeled) labelled rows, the first of them \(first)"
    guard 2 * labeled > rows else {
      return Warning(.fewLabels, "\(finding); check that they are classes, and label more rows of each")
    }
    throw DidactError(
      .data,
      "\(finding): an identifier, a measurement or free text is no class. Give the labels that are, or sort these into "
        + "fewer classes")
  }

  /// - Parameters:
  ///   - labels: the distinct ones, sorted.
  ///   - subject: where they are.
  /// - Returns: a warning where −1 seems to have become the largest unsigned number of so many bits, far from all others.
  static func unsignedMinusOne(_ labels: [Int], _ subject: String) -> Warning? {
    guard let last = labels.last, [0xFF, 0xFFFF, 0xFFFF_FFFF].contains(last),
      2 * (labels.dropLast().last ?? 0) < last
    else { return nil }
    return Warning(
      .labelText,
      "\(subject): the label \(last) is what -1 becomes in an array of unsigned numbers; if it means no label, write the array as "
        + "int64, with -1 in its place")
  }

  // MARK: - Words

  private var subject: String {
    switch origin {
    case .column(let description): description
    case .array(let name): name
    }
  }

  /// The place of the first row with a label.
  private func place(_ number: Int) -> String { located(firstPlaces[number]) }

  private func located(_ place: Int) -> String {
    switch origin {
    case .column: "in line \(place)"
    case .array: "in row \(place)"
    }
  }

  private var emptyAdvice: String {
    switch origin {
    case .column: "leave the cell empty"
    case .array: "write \"\""
    }
  }
}
