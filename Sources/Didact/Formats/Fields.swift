/// One key of a configuration or specification: the single place that knows its type, default, range and meaning.
///
/// Readers, error messages, keyword arguments and documentation all come from tables of these.
public struct Field: Sendable {
  public enum Kind: Sendable {
    /// A finite number within bounds.
    case number(Bounds)
    /// A whole number within bounds.
    case integer(Bounds)
    case boolean
    /// One of these words.
    case choice([String])
    case text
    /// A list of strings.
    case texts
    /// A string, or a list of strings.
    case textOrTexts
    /// A list of whole numbers, each within bounds.
    case integers(Bounds)
    /// One of these words, or a list of numbers, each within bounds.
    case choiceOrNumbers([String], Bounds)
    /// The lengths of an example: a whole number, or a list of height, width and channels.
    case extent(Bounds)
    /// A nested specification, read by whoever asks for it.
    case object
    /// A list of nested specifications.
    case objects
    /// How images are changed: see `AugmentationPolicy`.
    case augmentation
  }

  /// An interval, written as in mathematics: `[0, 1)` holds 0 and not 1.
  public struct Bounds: Sendable, CustomStringConvertible {
    let low, high: Double
    let lowIncluded, highIncluded: Bool

    static func atLeast(_ low: Double) -> Bounds {
      Bounds(low: low, high: .infinity, lowIncluded: true, highIncluded: false)
    }
    static func above(_ low: Double) -> Bounds {
      Bounds(low: low, high: .infinity, lowIncluded: false, highIncluded: false)
    }
    static func closed(_ low: Double, _ high: Double) -> Bounds {
      Bounds(low: low, high: high, lowIncluded: true, highIncluded: true)
    }
    static func halfOpen(_ low: Double, _ high: Double) -> Bounds {
      Bounds(low: low, high: high, lowIncluded: true, highIncluded: false)
    }
    static let any = Bounds(low: -.infinity, high: .infinity, lowIncluded: false, highIncluded: false)

    func contains(_ x: Double) -> Bool {
      (x > low || lowIncluded && x == low) && (x < high || highIncluded && x == high)
    }
    public var description: String {
      func text(_ x: Double) -> String {
        x.isInfinite ? (x < 0 ? "−∞" : "∞") : x == x.rounded() && abs(x) < 1e15 ? "\(Int(x))" : "\(x)"
      }
      return "\(lowIncluded ? "[" : "(")\(text(low)), \(text(high))\(highIncluded ? "]" : ")")"
    }
  }

  public let key: String
  public let kind: Kind
  /// nil where the key must be given; `.null` where its absence means "off".
  public let defaultValue: JSON?
  public let meaning: String
  /// The paper or convention that the key and its default come from; empty for our own.
  public let source: String
  /// The value in files that were written before there was the key; nil for the default.
  let absentInFile: JSON?

  init(
    _ key: String, _ kind: Kind, _ defaultValue: JSON?, _ meaning: String, source: String = "",
    absentInFile: JSON? = nil
  ) {
    self.absentInFile = absentInFile
    self.key = key
    self.kind = kind
    self.defaultValue = defaultValue
    self.meaning = meaning
    self.source = source
  }

  /// The same field under a longer key.
  func prefixed(_ prefix: String, default newDefault: JSON? = nil) -> Field {
    Field(prefix + key, kind, newDefault ?? defaultValue, meaning, source: source, absentInFile: absentInFile)
  }

  /// What values the key takes, in words.
  public var accepts: String {
    let values =
      switch kind {
      case .number(let bounds): "a number in \(bounds)"
      case .integer(let bounds): "an integer in \(bounds)"
      case .boolean: "true or false"
      case .choice(let words): words.map { "\"\($0)\"" }.joined(separator: ", ")
      case .text: "a string"
      case .texts: "a list of strings"
      case .textOrTexts: "a string, or a list of strings"
      case .integers(let bounds): "a list of integers in \(bounds)"
      case .choiceOrNumbers(let words, let bounds):
        words.map { "\"\($0)\"" }.joined(separator: ", ") + ", or a list of numbers in \(bounds)"
      case .extent(let bounds): "an integer in \(bounds), or three: [height, width, channels]"
      case .object: "an object"
      case .objects: "a list of objects"
      case .augmentation:
        "the name of a policy or operation, an operation with values (an object), or a list of them"
      }
    return defaultValue == .null ? values + ", or null" : values
  }

  /// The row of a table, for documentation and bindings.
  public var json: JSON {
    .object([
      "key": .string(key), "accepts": .string(accepts), "default": defaultValue ?? .string("required"),
      "meaning": .string(meaning), "source": .string(source),
    ])
  }

  /// - Throws: `DidactError.invalidArgument` naming key, value and what the key takes.
  func check(_ value: JSON, in subject: String) throws {
    let fits =
      switch (kind, value) {
      case (_, .null): defaultValue == .null
      case (.number(let bounds), _): value.double.map { $0.isFinite && bounds.contains($0) } ?? false
      case (.integer(let bounds), .integer(let n)): bounds.contains(Double(n))
      case (.boolean, .boolean), (.text, .string), (.textOrTexts, .string), (.object, .object), (.objects, .array): true
      case (.augmentation, .string), (.augmentation, .object), (.augmentation, .array): true
      case (.choice(let words), .string(let word)), (.choiceOrNumbers(let words, _), .string(let word)):
        words.contains(word)
      case (.choiceOrNumbers(_, let bounds), .array(let list)):
        list.allSatisfy { $0.double.map { $0.isFinite && bounds.contains($0) } ?? false }
      case (.extent(let bounds), .integer(let n)): bounds.contains(Double(n))
      case (.extent(let bounds), .array(let list)):
        list.count == 3
          && list.allSatisfy { if case .integer(let n) = $0 { bounds.contains(Double(n)) } else { false } }
      case (.texts, .array(let list)), (.textOrTexts, .array(let list)): list.allSatisfy { $0.text != nil }
      case (.integers(let bounds), .array(let list)):
        list.allSatisfy { if case .integer(let n) = $0 { bounds.contains(Double(n)) } else { false } }
      default: false
      }
    guard fits else {
      let shown = String(value.serialized().prefix(80))
      throw DidactError(.invalidArgument, "\(subject): \"\(key)\" must be \(accepts); got \(shown)")
    }
  }
}

/// Values for a table of fields: checked, with defaults filled in.
public struct FieldValues: Sendable, Equatable {
  /// In the order of the table.
  public let members: [(key: String, value: JSON)]
  private let subject: String

  /// - Parameters:
  ///   - object: keys with dots and nested objects mean the same: `{"a": {"b": 1}}` is `{"a.b": 1}`.
  ///   - subject: what the values are for; opens every error message.
  /// - Throws: `DidactError.invalidArgument` for an unknown key (with the nearest known one), a key given twice, a missing
  ///   required key or a value that does not fit.
  init(_ object: JSONObject, fields: [Field], subject: String) throws {
    var given: [String: JSON] = [:]
    func collect(_ object: JSONObject, prefix: String) throws {
      for (key, value) in object.members {
        let path = prefix + key
        if let field = fields.first(where: { $0.key == path }) {
          guard given[path] == nil else {
            throw DidactError(.invalidArgument, "\(subject): \"\(path)\" is given twice")
          }
          try field.check(value, in: subject)
          given[path] = value
        } else if case .object(let nested) = value, fields.contains(where: { $0.key.hasPrefix(path + ".") }) {
          try collect(nested, prefix: path + ".")
        } else if let inner = fields.first(where: { $0.key.hasPrefix(path + ".") }) {
          throw DidactError(
            .invalidArgument,
            "\(subject): \"\(path)\" must be an object such as {\"\(inner.key.dropFirst(path.utf8.count + 1))\": "
              + "\((inner.defaultValue ?? .null).serialized())}; got \(value.serialized().prefix(80))")
        } else {
          throw DidactError(
            .invalidArgument,
            "\(subject): unknown key \"\(path)\".\(suggestion(for: path, among: fields.map(\.key)))")
        }
      }
    }
    try collect(object, prefix: "")
    self.subject = subject
    members = try fields.map { field in
      guard let value = given[field.key] ?? field.defaultValue else {
        throw DidactError(.invalidArgument, "\(subject): \"\(field.key)\" is missing; it must be \(field.accepts)")
      }
      return (field.key, value)
    }
  }

  public static func == (a: FieldValues, b: FieldValues) -> Bool {
    a.members.elementsEqual(b.members) { $0.key == $1.key && $0.value == $1.value }
  }

  /// All values by dotted key.
  public var object: JSONObject {
    var object = JSONObject()
    for (key, value) in members { object[key] = value }
    return object
  }

  func value(_ key: String) throws -> JSON {
    guard let member = members.first(where: { $0.key == key }) else {
      throw DidactError(.internalError, "\(subject): no field \"\(key)\" in the table")
    }
    return member.value
  }

  private func typed<T>(_ key: String, _ convert: (JSON) -> T?) throws -> T {
    let value = try value(key)
    guard let result = convert(value) else {
      throw DidactError(.internalError, "\(subject): \"\(key)\" is read as another type than its table says")
    }
    return result
  }

  func has(_ key: String) -> Bool { members.contains { $0.key == key } }
  func number(_ key: String) throws -> Double { try typed(key, \.double) }
  func integer(_ key: String) throws -> Int { try typed(key, \.int) }
  func boolean(_ key: String) throws -> Bool { try typed(key, \.bool) }
  func text(_ key: String) throws -> String { try typed(key, \.text) }
  func integers(_ key: String) throws -> [Int] { try typed(key) { $0.list?.compactMap(\.int) } }
  func optionalNumber(_ key: String) throws -> Double? { try value(key) == .null ? nil : number(key) }
  func optionalInteger(_ key: String) throws -> Int? { try value(key) == .null ? nil : integer(key) }
  func extent(_ key: String) throws -> Extent {
    let lengths: [Int] = try typed(key) { value in
      if let length = value.int { return [1, 1, length] }
      let lengths = value.list?.compactMap(\.int) ?? []
      return lengths.count == 3 ? lengths : nil
    }
    return try Extent(checking: lengths[0], lengths[1], lengths[2], of: "\(subject): \"\(key)\"")
  }
  func optionalTexts(_ key: String) throws -> [String]? {
    try value(key) == .null ? nil : typed(key) { $0.list?.compactMap(\.text) }
  }
  func optionalText(_ key: String) throws -> String? { try value(key) == .null ? nil : text(key) }
  func choice<Choice: RawRepresentable>(_ key: String) throws -> Choice where Choice.RawValue == String {
    try typed(key) { $0.text.flatMap(Choice.init(rawValue:)) }
  }
  /// The values whose keys begin with `prefix`, without it.
  func nested(_ prefix: String) -> JSONObject {
    var object = JSONObject()
    for (key, value) in members where key.hasPrefix(prefix) { object[String(key.dropFirst(prefix.count))] = value }
    return object
  }
}
