/// A JSON value (RFC 8259).
///
/// The reader is strict, because model files and configurations may come from anywhere: it refuses duplicate keys,
/// trailing characters, more than 64 levels of nesting, invalid UTF-8, lone surrogates, control characters in strings,
/// NaN and infinity, leading zeros, and numbers too large for a Double.
public enum JSON: Sendable, Equatable {
  case null
  case boolean(Bool)
  /// A number written without fraction or exponent that fits in 64 bits.
  case integer(Int64)
  /// Any other number.
  case number(Double)
  case string(String)
  case array([JSON])
  case object(JSONObject)

  /// Objects and arrays may be nested this deep.
  public static let maximumDepth = 64
}

/// The members of a JSON object, in the order in which they were written.
///
/// Lookup is linear: objects here have tens of members. Two objects are equal where they have the same members in the
/// same order. Keys are compared as Swift strings are: canonically equivalent spellings are one key.
public struct JSONObject: Sendable, Equatable, ExpressibleByDictionaryLiteral {
  public var members: [(key: String, value: JSON)]

  public init(_ members: [(key: String, value: JSON)] = []) { self.members = members }

  /// Where a key is repeated, the last value counts.
  public init(dictionaryLiteral elements: (String, JSON)...) {
    members = []
    for (key, value) in elements { self[key] = value }
  }

  public var keys: [String] { members.map(\.key) }

  /// The value of `key`. A new key is appended; setting nil removes the member.
  public subscript(key: String) -> JSON? {
    get { members.first { $0.key == key }?.value }
    set {
      let index = members.firstIndex { $0.key == key }
      switch (index, newValue) {
      case (let index?, let value?): members[index].value = value
      case (let index?, nil): members.remove(at: index)
      case (nil, let value?): members.append((key, value))
      case (nil, nil): break
      }
    }
  }

  public static func == (a: JSONObject, b: JSONObject) -> Bool {
    a.members.elementsEqual(b.members) { $0.key == $1.key && $0.value == $1.value }
  }
}

// MARK: - Access

extension JSON {
  /// The string, where this is one.
  public var text: String? { if case .string(let value) = self { value } else { nil } }

  /// The number, written as an integer or not.
  public var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// The number, where it is whole and fits: `1000` and `1e3`, but not `1.5`.
  public var int: Int? {
    switch self {
    case .integer(let value): Int(exactly: value)
    case .number(let value): Int(exactly: value)
    default: nil
    }
  }

  public var bool: Bool? { if case .boolean(let value) = self { value } else { nil } }
  public var list: [JSON]? { if case .array(let value) = self { value } else { nil } }
  public var members: JSONObject? { if case .object(let value) = self { value } else { nil } }
}

extension JSON: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(nilLiteral: ()) { self = .null }
  public init(booleanLiteral value: Bool) { self = .boolean(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .number(value) }
  public init(stringLiteral value: String) { self = .string(value) }
  public init(arrayLiteral elements: JSON...) { self = .array(elements) }
  /// Where a key is repeated, the last value counts.
  public init(dictionaryLiteral elements: (String, JSON)...) {
    var object = JSONObject()
    for (key, value) in elements { object[key] = value }
    self = .object(object)
  }
}

// MARK: - Writing

extension JSON {
  /// The value as text that the reader reads back to an equal value.
  ///
  /// JSON has no NaN and no infinity: they are written as `null`.
  /// - Parameter pretty: one member a line, indented by two spaces; otherwise no white space at all.
  public func serialized(pretty: Bool = false) -> String {
    var text = ""
    write(to: &text, indentation: pretty ? 0 : nil)
    return text
  }

  /// - Parameter indentation: the level of indentation, or nil for one line.
  private func write(to text: inout String, indentation: Int?) {
    switch self {
    case .null: text += "null"
    case .boolean(let value): text += value ? "true" : "false"
    case .integer(let value): text += String(value)
    case .number(let value): text += value.isFinite ? value.description : "null"
    case .string(let value): JSON.writeString(value, to: &text)
    case .array(let elements):
      JSON.writeList(elements, between: "[", and: "]", to: &text, indentation: indentation) { element, text, inner in
        element.write(to: &text, indentation: inner)
      }
    case .object(let object):
      JSON.writeList(object.members, between: "{", and: "}", to: &text, indentation: indentation) {
        member, text, inner in
        JSON.writeString(member.key, to: &text)
        text += inner == nil ? ":" : ": "
        member.value.write(to: &text, indentation: inner)
      }
    }
  }

  private static func writeList<Element>(
    _ elements: [Element], between opening: String, and closing: String, to text: inout String, indentation: Int?,
    writeElement: (Element, inout String, Int?) -> Void
  ) {
    let inner = indentation.map { $0 + 1 }
    text += opening
    for (index, element) in elements.enumerated() {
      if index > 0 { text += "," }
      writeLineBreak(to: &text, indentation: inner)
      writeElement(element, &text, inner)
    }
    if !elements.isEmpty { writeLineBreak(to: &text, indentation: indentation) }
    text += closing
  }

  private static func writeLineBreak(to text: inout String, indentation: Int?) {
    if let indentation { text += "\n" + String(repeating: "  ", count: indentation) }
  }

  private static func writeString(_ string: String, to text: inout String) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}

// MARK: - Reading

extension JSON {
  /// - Throws: `DidactError.format`, with line and column (both from 1), for anything but one well-formed value.
  public init(parsing text: String) throws {
    try self.init(parsing: Array(text.utf8))
  }

  /// - Throws: `DidactError.format`, with line and column (both from 1), for anything but one well-formed value.
  public init(parsing bytes: [UInt8]) throws {
    self = try bytes.withUnsafeBytes { try JSON(parsing: $0) }
  }

  /// - Throws: `DidactError.format`, with line and column (both from 1), for anything but one well-formed value.
  public init(parsing bytes: UnsafeRawBufferPointer) throws {
    // [[],[],… takes so much more than its text.
    try Buffer.checkRoom(byteCount: 40 * bytes.count)
    var reader = JSONReader(bytes: bytes)
    self = try reader.readDocument()
  }
}

/// A recursive-descent reader; `position` is the next byte.
private struct JSONReader {
  let bytes: UnsafeRawBufferPointer
  var position = 0
  var depth = 0

  init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

  var next: UInt8? { position < bytes.count ? bytes[position] : nil }

  mutating func readDocument() throws -> JSON {
    skipWhitespace()
    let value = try readValue()
    skipWhitespace()
    guard position == bytes.count else { throw failure("\(describeNext()) after the end of the value") }
    return value
  }

  mutating func readValue() throws -> JSON {
    switch next {
    case UInt8(ascii: "{"): return .object(try readObject())
    case UInt8(ascii: "["): return .array(try readArray())
    case UInt8(ascii: "\""): return .string(try readString())
    case UInt8(ascii: "t"): return try readWord("true", meaning: .boolean(true))
    case UInt8(ascii: "f"): return try readWord("false", meaning: .boolean(false))
    case UInt8(ascii: "n"): return try readWord("null", meaning: .null)
    case UInt8(ascii: "-"): return try readNumber()
    case let byte where isDigit(byte): return try readNumber()
    default: throw failure("\(describeNext()) where a value should stand")
    }
  }

  mutating func readObject() throws -> JSONObject {
    try enter()
    var object = JSONObject()
    var seen = Set<String>()
    skipWhitespace()
    if skip("}") { return leave(with: object) }
    while true {
      let start = position
      guard next == UInt8(ascii: "\"") else { throw failure("\(describeNext()) where a key in quotes should stand") }
      let key = try readString()
      guard seen.insert(key).inserted else { throw failure("the key \"\(key)\" appears twice", at: start) }
      skipWhitespace()
      guard skip(":") else { throw failure("\(describeNext()) where \":\" should stand") }
      skipWhitespace()
      object.members.append((key, try readValue()))
      skipWhitespace()
      if skip("}") { return leave(with: object) }
      guard skip(",") else { throw failure("\(describeNext()) where \",\" or \"}\" should stand") }
      skipWhitespace()
    }
  }

  mutating func readArray() throws -> [JSON] {
    try enter()
    var elements: [JSON] = []
    skipWhitespace()
    if skip("]") { return leave(with: elements) }
    while true {
      elements.append(try readValue())
      skipWhitespace()
      if skip("]") { return leave(with: elements) }
      guard skip(",") else { throw failure("\(describeNext()) where \",\" or \"]\" should stand") }
      skipWhitespace()
    }
  }

  /// Reads the opening bracket.
  mutating func enter() throws {
    guard depth < JSON.maximumDepth else { throw failure("more than \(JSON.maximumDepth) levels of nesting") }
    depth += 1
    position += 1
  }

  mutating func leave<Value>(with value: Value) -> Value {
    depth -= 1
    return value
  }

  mutating func readWord(_ word: StaticString, meaning: JSON) throws -> JSON {
    let start = position
    let expected = UnsafeRawBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
    guard bytes[position...].starts(with: expected) else {
      throw failure("an unknown word; did you mean \(word)?", at: start)
    }
    position += expected.count
    return meaning
  }

  mutating func readNumber() throws -> JSON {
    let start = position
    var isInteger = true
    _ = skip("-")
    if skip("0") {
      if isDigit(next) { throw failure("a number with a leading zero", at: start) }
    } else {
      try readDigits()
    }
    if skip(".") {
      isInteger = false
      try readDigits()
    }
    if skip("e") || skip("E") {
      isInteger = false
      if !skip("+") { _ = skip("-") }
      try readDigits()
    }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isInteger, let value = Int64(text) { return .integer(value) }
    guard let value = Double(text), value.isFinite else {
      throw failure("a number too large for double precision", at: start)
    }
    return .number(value)
  }

  mutating func readDigits() throws {
    guard isDigit(next) else { throw failure("\(describeNext()) where a digit should stand") }
    while isDigit(next) { position += 1 }
  }

  func isDigit(_ byte: UInt8?) -> Bool {
    guard let byte else { return false }
    return (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
  }

  mutating func readString() throws -> String {
    let start = position
    position += 1
    var content: [UInt8] = []
    while let byte = next {
      switch byte {
      case UInt8(ascii: "\""):
        position += 1
        guard let string = String(validating: content, as: UTF8.self) else {
          throw failure("a string that is not valid UTF-8", at: start)
        }
        return string
      case UInt8(ascii: "\\"):
        content.append(contentsOf: String(try readEscape()).utf8)
      case 0..<0x20:
        throw failure("a control character in a string; write it as an escape such as \\n")
      default:
        content.append(byte)
        position += 1
      }
    }
    throw failure("a string without its closing quote", at: start)
  }

  /// Reads a backslash and what follows it.
  mutating func readEscape() throws -> Unicode.Scalar {
    let start = position
    position += 1
    let letter = next
    if letter != nil { position += 1 }
    switch letter {
    case UInt8(ascii: "\""): return "\""
    case UInt8(ascii: "\\"): return "\\"
    case UInt8(ascii: "/"): return "/"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{c}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): break
    default: throw failure("an unknown escape in a string", at: start)
    }
    var code = try readFourHexDigits(escapeStart: start)
    if (0xd800..<0xdc00).contains(code), skip("\\"), skip("u") {
      // Beyond U+FFFF, JSON writes UTF-16: a high and a low surrogate.
      let low = try readFourHexDigits(escapeStart: start)
      guard (0xdc00..<0xe000).contains(low) else { throw failure("a lone surrogate in a string", at: start) }
      code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
    }
    // Unicode.Scalar refuses exactly the surrogates here.
    guard let scalar = Unicode.Scalar(code) else { throw failure("a lone surrogate in a string", at: start) }
    return scalar
  }

  mutating func readFourHexDigits(escapeStart: Int) throws -> UInt32 {
    var code: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw failure("\\u without four hexadecimal digits", at: escapeStart)
      }
      code = code << 4 | UInt32(digit)
      position += 1
    }
    return code
  }

  mutating func skipWhitespace() {
    while let byte = next, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
  }

  mutating func skip(_ character: Unicode.Scalar) -> Bool {
    guard next == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  func describeNext() -> String {
    guard let byte = next else { return "the text ends" }
    if (0x21..<0x7f).contains(byte) { return "unexpected \"\(Character(Unicode.Scalar(byte)))\"" }
    return "unexpected byte 0x" + String(byte, radix: 16)
  }

  /// An error at `offset`, or at the next byte.
  func failure(_ message: String, at offset: Int? = nil) -> DidactError {
    let before = bytes[..<(offset ?? position)]
    let line = before.reduce(1) { $0 + ($1 == 0x0a ? 1 : 0) }
    let lineStart = before.lastIndex(of: 0x0a).map { $0 + 1 } ?? 0
    // A character of UTF-8 is one byte that is no continuation byte.
    let column = before[lineStart...].reduce(1) { $0 + ($1 & 0xc0 == 0x80 ? 0 : 1) }
    return DidactError(.format, "JSON line \(line), column \(column): \(message)")
  }
}
