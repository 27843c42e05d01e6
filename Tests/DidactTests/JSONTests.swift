import Testing

@testable import Didact

@Suite("JSON") struct JSONTests {
  @Test func readsEveryKindOfValue() throws {
    let text = " {\"a\": [1, -2.5, 1e3, true, false, null], \"b\": {\"c\": \"x\"}, \"d\": [], \"e\": {}}\n"
    let expected: JSON = [
      "a": [1, -2.5, 1000.0, true, false, nil], "b": ["c": "x"], "d": [], "e": [:],
    ]
    #expect(try JSON(parsing: text) == expected)
  }

  @Test func keepsTheOrderOfKeys() throws {
    var object = try #require(try JSON(parsing: #"{"z":1,"a":2,"m":3}"#).members)
    #expect(object.keys == ["z", "a", "m"])
    object["a"] = 5
    object["n"] = 6
    object["z"] = nil
    #expect(object.keys == ["a", "m", "n"])
    #expect(object["a"]?.int == 5)
    #expect(object["z"] == nil)
  }

  @Test func separatesIntegersFromOtherNumbers() throws {
    #expect(try JSON(parsing: "9223372036854775807") == .integer(.max))
    #expect(try JSON(parsing: "-9223372036854775808") == .integer(.min))
    #expect(try JSON(parsing: "9223372036854775808") == .number(9223372036854775808))
    #expect(try JSON(parsing: "1.0") == .number(1))
    #expect(try JSON(parsing: "0") == .integer(0))
    #expect(try JSON(parsing: "1E+2") == .number(100))
  }

  @Test func readsEscapes() throws {
    #expect(try JSON(parsing: #""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\u0000""#).text == "\"\\/\u{8}\u{c}\n\r\té😀\0")
    #expect(try JSON(parsing: "\"é😀\"").text == "é😀")
  }

  @Test func accessorsConvertOnlyWhatFits() {
    #expect(JSON.integer(3).double == 3)
    #expect(JSON.number(1e3).int == 1000)
    #expect(JSON.number(1.5).int == nil)
    #expect(JSON.number(1e300).int == nil)
    #expect(JSON.string("1").int == nil)
    #expect(JSON.boolean(true).bool == true)
    #expect(JSON.null.text == nil)
    #expect(JSON.array([1]).list == [1])
  }

  @Test func doublesSurviveARoundTrip() throws {
    let awkward = [
      0.1, -0.0, 1.0 / 3, 1e16, 1e-7, .leastNonzeroMagnitude, Double.greatestFiniteMagnitude, .leastNormalMagnitude,
      123456789.125,
    ]
    let draw = RandomStream(seed: 1, name: "test").draw(0)
    let random = (0..<1000).map { Double(bitPattern: draw.bits($0)) }.filter(\.isFinite)
    for value in awkward + random {
      let back = try #require(try JSON(parsing: JSON.number(value).serialized()).double)
      #expect(back.bitPattern == value.bitPattern)
    }
  }

  @Test func textsSurviveARoundTrip() throws {
    let value: JSON = ["quote\"": "back\\slash\n\t\r\u{1}é😀\u{7f}\u{2028}", "list": [1, [2, [nil, [:]]]]]
    #expect(try JSON(parsing: value.serialized()) == value)
    #expect(try JSON(parsing: value.serialized(pretty: true)) == value)
  }

  @Test func writesCompactAndPretty() {
    let value: JSON = ["a": [1, 2.5], "b": [:], "c": [], "d": "x"]
    #expect(value.serialized() == #"{"a":[1,2.5],"b":{},"c":[],"d":"x"}"#)
    #expect(
      value.serialized(pretty: true) == """
        {
          "a": [
            1,
            2.5
          ],
          "b": {},
          "c": [],
          "d": "x"
        }
        """)
  }

  @Test func writesNonFiniteNumbersAsNull() {
    #expect(JSON.array([.number(.nan), .number(.infinity), .number(-.infinity)]).serialized() == "[null,null,null]")
  }

  @Test func errorsTellLineAndColumn() {
    expectError(.format, containing: "line 3, column 8") { _ = try JSON(parsing: "{\n  \"a\": 1,\n  \"é\": ?\n}") }
    expectError(.format, containing: "line 1, column 1", "the text ends") { _ = try JSON(parsing: "") }
  }

  @Test func refusesDuplicateKeys() {
    expectError(.format, containing: "\"a\" appears twice") { _ = try JSON(parsing: #"{"a":1,"b":2,"\u0061":3}"#) }
  }

  @Test func refusesTrailingCharacters() {
    for text in ["{} x", "1 2", "[]]", "null,", "{}\0"] {
      expectError(.format, containing: "after the end of the value") { _ = try JSON(parsing: text) }
    }
  }

  @Test func refusesDeepNesting() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    _ = try JSON(parsing: nested(64))
    expectError(.format, containing: "64 levels") { _ = try JSON(parsing: nested(65)) }
    expectError(.format, containing: "64 levels") {
      _ = try JSON(parsing: String(repeating: "[{\"a\":", count: 100_000))
    }
    // Depth counts open brackets, not all of them.
    _ = try JSON(parsing: "[" + Array(repeating: "[]", count: 1000).joined(separator: ",") + "]")
  }

  @Test func refusesInvalidUTF8() {
    let invalid: [[UInt8]] = [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x82], [0xf4, 0x90, 0x80, 0x80]]
    for bytes in invalid {
      expectError(.format, containing: "UTF-8") { _ = try JSON(parsing: [0x22] + bytes + [0x22]) }
    }
    expectError(.format, containing: "0xef") { _ = try JSON(parsing: [0xef, 0xbb, 0xbf, 0x31]) }
  }

  @Test func refusesLoneSurrogates() {
    for text in [#""\ud800""#, #""\udc00""#, #""\ud800x""#, #""\ud800\n""#, #""\ud800\ud800""#, #""\ud800\u0041""#] {
      expectError(.format, containing: "surrogate") { _ = try JSON(parsing: text) }
    }
  }

  @Test func refusesControlCharactersInStrings() {
    for byte: UInt8 in [0, 9, 10, 13, 0x1f] {
      expectError(.format, containing: "control character") { _ = try JSON(parsing: [0x22, byte, 0x22]) }
    }
  }

  @Test func refusesNaNAndInfinity() {
    for text in ["NaN", "nan", "Infinity", "-Infinity", "inf", "-nan"] {
      expectError(.format, containing: "column") { _ = try JSON(parsing: text) }
    }
  }

  @Test func refusesLeadingZeros() {
    for text in ["01", "-01", "00", "00.5"] {
      expectError(.format, containing: "leading zero") { _ = try JSON(parsing: text) }
    }
  }

  @Test func refusesNumbersThatOverflow() {
    for text in ["1e309", "-1e309", "1" + String(repeating: "0", count: 400), "1e99999999999999999999"] {
      expectError(.format, containing: "too large") { _ = try JSON(parsing: text) }
    }
  }

  @Test func refusesOtherMalformedText() {
    let malformed = [
      "{", "[", "[1", "[1,", "[1,]", "[,1]", "{,}", #"{"a"}"#, #"{"a":}"#, #"{"a":1,}"#, "{a:1}", "{1:2}", "'a'",
      #"""#, #""\x""#, #""\u12g4""#, #""\u12"#, #""\"#, "+1", "1.", ".5", "1e", "1e+", "-", "0x10", "tru", "True",
      "nul",
      "// c\n1", "[1 2]", #"{"a" 1}"#, #"{"a":1 "b":2}"#,
    ]
    for text in malformed {
      expectError(.format, containing: "JSON line") { _ = try JSON(parsing: text) }
    }
  }

  @Test func anyPrefixOfAValueIsRefused() {
    let text = Array(#"{"a":[1,2.5e3,true,null,"x\u00e9\ud83d\ude00"],"é":{}}"#.utf8)
    for length in 0..<text.count {
      #expect(throws: DidactError.self) { try JSON(parsing: Array(text[..<length])) }
    }
  }
}
