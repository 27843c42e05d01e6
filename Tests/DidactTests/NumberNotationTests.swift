import Testing

@testable import Didact

@Suite("Number notations") struct NumberNotationTests {
  private func notations(_ text: String) -> [NumberNotation] { NumberNotation.readings(of: text).map(\.notation) }

  @Test(arguments: [
    (NumberNotation.decimalComma, ["0,123", "1.234,5", "-3,5", "1 234,56", ",5", "1.234.567,8", "12,3456", "1'234,5"]),
    (.thousands, ["1,234.5", "1,234,567", "1.234.567", "1 234 567", "1\u{a0}234.5", "1'234.50", "(1,234.5)", "1_000"]),
    (.percent, ["12%", "12 %", "3.5%", "3,5 %", "-2%", "+1 %", "7‰"]),
    (.currency, ["$3.50", "3,50 €", "€1.234,50", "-$3", "$-3", "EUR 12", "12 USD", "($5)", "£1,000", "CHF 1'000.50"]),
    (
      .date,
      [
        "2024-03-01", "01.03.2024", "3/1/2024", "3/1/24", "2024/03/01", "31-12-1999", "2024-03-01 12:30",
        "2024-03-01T12:30:15.5Z", "2024-03-01T12:30:15+02:00", "01.03.24", "1 Mar 2024", "Mar 1, 2024", "01-MAR-2024",
        "March 2024", "2024-03",
      ]
    ),
    (.time, ["12:30", "1:02:03", "12:30:15.25", "12:30 PM", "08:00Z", "12:30+02:00"]),
    (.unit, ["12 kg", "3.5cm", "20 °C", "5 m²", "7km/h", "10th"]),
    (.minusSign, ["\u{2212}3", "\u{2013}0.5"]),
  ])
  func aNotationIsRecognised(notation: NumberNotation, texts: [String]) {
    for text in texts { #expect(notations(text) == [notation], "\(text)") }
  }

  @Test func commasBeforeThreeDigitsMayBeEither() {
    for text in ["1,234", "12,345"] { #expect(notations(text) == [.decimalComma, .thousands], "\(text)") }
  }

  @Test(arguments: [
    "", "red", "1.2.3", "1.2.10", "20-29", "12-34-56-78", "10.0.0.1", "v1", "1a2", "2024-13-45", "0x1f", "--1",
    "1,",
    "%", "$", "kg", "12%5", "1,23,4", "a,5", "1;2", "3 of 4", "99/99/2024", "25 kilograms", "Mar", "1 2", "+", "°", ",",
    "'1",
    String(repeating: "1", count: 50) + "%",
  ])
  func otherTextsAreNoNumbers(text: String) { #expect(notations(text) == []) }

  @Test func anyTextIsReadWithoutATrap() {
    let characters = Array("0123456789.,-+ %$€:/TZamp'()\u{2212}\u{a0}é°e_")
    let draw = testDraw(3)
    for round in 0..<20_000 {
      let length = 1 + draw.integer(round * 16, below: 12)
      let text = (0..<length).map { characters[draw.integer(round * 16 + 1 + $0, below: characters.count)] }
      _ = NumberNotation.readings(of: String(text))
    }
  }

  @Test func adviceIsTheSameNumber() {
    for (text, advice) in [
      ("1.234,5", "write 1234.5"), ("-0,5", "write -0.5"), ("(1,234.50)", "write -1234.50"), (",5", "write 0.5"),
      ("3,50 €", "write 3.50"), ("-$3", "write -3"), ("$-3", "write -3"), ("12 %", "write 12"), ("7.5 kg", "write 7.5"),
    ] {
      #expect(NumberNotation.readings(of: text).first?.advice == advice)
    }
  }
}
