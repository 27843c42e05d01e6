import Testing

@testable import Didact

@Suite("CSV") struct CSVTests {
  private func read(_ text: String, labelColumn: String? = nil) throws -> Dataset {
    let directory = try TemporaryDirectory()
    return try Dataset(csv: try directory.write(text, to: "a.csv"), labelColumn: labelColumn)
  }

  private func expectRefusal(
    _ text: String, labelColumn: String? = nil, code: DidactError.Code = .data, _ part: String, _ other: String = "",
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    expectError(code, containing: "a.csv", part, other, sourceLocation: sourceLocation) {
      _ = try read(text, labelColumn: labelColumn)
    }
  }

  @Test func readsAHeaderAndLabels() throws {
    let data = try read("width,label,height\n1,cat,2.5\n-3e2,dog,+.5\n4,,5.\n 7 , cat , 8\n")
    #expect(data.features.shape == Shape(4, 2) && data.features.elementType == .float64)
    #expect(data.features.values == [1, 2.5, -300, 0.5, 4, 5, 7, 8])
    #expect(data.featureNames == ["width", "height"])
    #expect(data.classNames == ["cat", "dog"])
    #expect(data.labels == [0, 1, -1, 0])
  }

  @Test func readsWithoutHeaderOrLabels() throws {
    let data = try read("1,2\n3,4")
    #expect(data.features.values == [1, 2, 3, 4])
    #expect(data.featureNames == ["x0", "x1"])
    #expect(data.labels == [-1, -1] && data.classNames.isEmpty)
  }

  @Test func takesTheLabelColumnByNameOrIndex() throws {
    for column in ["kind", "2"] {
      let data = try read("a,b,kind\n1,2,x\n3,4,y\n", labelColumn: column)
      #expect(data.features.values == [1, 2, 3, 4])
      #expect(data.classNames == ["x", "y"] && data.labels == [0, 1])
      #expect(data.featureNames == ["a", "b"])
    }
    // The label column does not make a header.
    let data = try read("setosa,1\nvirginica,2\n", labelColumn: "0")
    #expect(data.labels == [0, 1] && data.features.values == [1, 2])
    // A number in the first line of a file without header is a value, not a name.
    #expect(try read("1,2,9\n3,4,8\n", labelColumn: "2").classNames == ["8", "9"])
    // A number in a header is a name.
    #expect(try read("a,0\n1,7\n2,6\n", labelColumn: "0").featureNames == ["a"])
    // Texts in the label column alone make no header, also where a value of the first line is the number given.
    let texts = try read("2,3,c\n1,1,a\n4,5,\n", labelColumn: "2")
    #expect(texts.classNames == ["a", "c"] && texts.labels == [1, 0, -1])
    #expect(try read("2,3,c\n1,1,\n4,5,a\n", labelColumn: "2").labels == [1, -1, 0])
    #expect(try read("2,3,c\n1,1,7\n4,5,8\n", labelColumn: "2").featureNames == ["3", "c"])
  }

  @Test func sortsClassesByValueOrCharacters() throws {
    #expect(try read("1,10\n1,9\n1,-2\n1,10\n", labelColumn: "1").classNames == ["-2", "9", "10"])
    #expect(try read("1,10\n1,9\n1,b\n", labelColumn: "1").classNames == ["10", "9", "b"])
    #expect(try read("1,10\n1,9\n1,-2\n1,10\n", labelColumn: "1").labels == [2, 1, 0, 2])
  }

  @Test func readsQuotesLineEndsAndByteOrderMark() throws {
    let text =
      "\u{feff}\"a, b\",\"say \"\"hi\"\"\",\"two\r\nlines\",label\r\n\"1\",2,3,\"x,\"\"y\"\"\"\r\n4,\"5\" ,6,\"\"\r\n"
    let data = try read(text)
    #expect(data.featureNames == ["a, b", "say \"hi\"", "two\r\nlines"])
    #expect(data.features.values == [1, 2, 3, 4, 5, 6])
    #expect(data.classNames == ["x,\"y\""] && data.labels == [0, -1])
  }

  @Test func skipsBlankLines() throws {
    #expect(try read("\n\na,b\n\n1,2\r\n\r\n3,4\n\n").features.values == [1, 2, 3, 4])
  }

  @Test func refusesTextAmongNumbers() {
    expectRefusal("a,b\n1,2\n3,four\n", "line 3, column \"b\": \"four\" is not a number", "1 of the column's 2 values")
    expectRefusal("1,2\n3,four\n", "line 2, column 1: \"four\" is not a number", "--categorical 1")
    expectRefusal("a,b\n1,2\n1,0x1f\n", "\"0x1f\" is not a number")
    expectRefusal("a,b\n1,2\n1,1 2\n", "\"1 2\" is not a number")
    for text in ["1,5", "1.2.3", ".", "-", "+", "1e", "--1", "1_000", "١"] {
      expectRefusal("a,b\n1,2\n1,\"\(text)\"\n", "\"\(text)\" is not a number")
    }
    // Lines count as an editor counts them: blank ones and those within quotes too.
    expectRefusal("\"a\nb\",c\n\n1,2\n3,z\n", "line 5, column \"c\"")
  }

  @Test func refusesInfinity() {
    for text in ["inf", "-Infinity", "1e400", "-nan"] {
      expectRefusal("a,b\n1,\(text)\n", "line 2, column \"b\": \"\(text)\" is not a finite number")
      // Without a header too: such a cell does not turn the first row into one.
      expectRefusal("1,\(text)\n2,3\n", "line 1, column 1")
    }
  }

  @Test func missingCellsMakeNoHeader() throws {
    for missing in ["", "?", "NA", "nan"] {
      let data = try read("1,\(missing)\n2,3\n4,5\n")
      #expect(data.features.values == [1, 4, 2, 3, 4, 5] && data.featureNames == ["x0", "x1"])
    }
  }

  @Test func refusesRaggedRows() {
    expectRefusal("a,b\n1,2\n3\n", "line 3: 1 cells, but the first line has 2")
    expectRefusal("1,2\n1,2,3\n", "line 2: 3 cells")
  }

  @Test func refusesMisplacedQuotes() {
    expectRefusal("a,b\n1,\"2\n", "line 2: a quote that is never closed")
    expectRefusal("a,b\n1,2\"\n", "line 2: a quote inside")
    expectRefusal("a,b\n1,\"2\"3\n", "line 2: text after a closing quote")
  }

  @Test func refusesUnknownLabelColumns() {
    expectRefusal("a,kind\n1,2\n", labelColumn: "kinds", code: .invalidArgument, "Did you mean \"kind\"?")
    expectRefusal("a,b\n1,2\n", labelColumn: "2", code: .invalidArgument, "no column 2")
    expectRefusal("a,b\n1,2\n", labelColumn: "-1", code: .invalidArgument, "no column -1")
    expectRefusal("label,label\n1,2\n", code: .invalidArgument, "two columns")
  }

  @Test func refusesFilesWithoutData() throws {
    expectRefusal("", "empty")
    expectRefusal("\n\n", "empty")
    expectRefusal("a,b\n", "no row")
    expectRefusal("label\nx\n", "no feature column")
    let directory = try TemporaryDirectory()
    let path = try directory.write([0x61, 0xff, 0x0a, 0x31, 0x0a], to: "a.csv")
    expectError(.data, containing: "line 1", "UTF-8") { _ = try Dataset(csv: path) }
    expectError(.file, containing: "none.csv") { _ = try Dataset(csv: directory.path("none.csv")) }
  }

  @Test func readsNumbersExactly() throws {
    let values = [0.1, 1e-300, Double.leastNonzeroMagnitude, 1.7976931348623157e308, 123456.789]
    let text = values.map { "\($0)" }.joined(separator: ",") + "\n"
    #expect(try read(text).features.values == values)
    #expect(try read("1e-999,0\n").features.values == [0, 0])
    // As Swift reads them: short ones are read in another way than long ones.
    let draw = testDraw(7)
    let texts = (0..<2000).map { index in
      let digits = String(Int(draw.uniform(2 * index) * 1e15)), point = Int(draw.uniform(2 * index + 1) * 16)
      let split = min(point, digits.count)
      return (index % 2 == 0 ? "-" : index % 3 == 0 ? "+" : "") + digits.prefix(split) + "." + digits.dropFirst(split)
    }
    let numbers = texts.map { Double($0) ?? .nan }
    #expect(try read(texts.map { "\($0),1\n" }.joined()).features.values == numbers.flatMap { [$0, 1] })
    #expect(try read("-0,1\n").features[0].sign == .minus)
  }

  /// A number of a column is not taken for a name where the first line is a row.
  @Test func labelColumnsByNumberInFilesWithoutHeader() throws {
    let directory = try TemporaryDirectory()
    let years = try Dataset(csv: directory.write("2019,2020,cls\n1,2,p\n2,3,q\n", to: "years.csv"), labelColumn: "cls")
    #expect(years.rows == 2)
    // What a model knows is a header, in whatever order.
    let known = try Dataset(
      csv: directory.write("2020,2019\n2,1\n3,2\n", to: "known.csv"), encoding: try #require(years.encoding))
    #expect(known.features.values == years.features.values)
    let zeros = try Dataset(csv: directory.write("0,0,0\n1,1,1\n", to: "zeros.csv"), labelColumn: "0")
    #expect(zeros.rows == 2 && zeros.classNames == ["0", "1"])
    // In a header a name that is a number is a name.
    let named = try Dataset(csv: directory.write("a,0,c\n1,x,3\n2,y,4\n", to: "named.csv"), labelColumn: "0")
    #expect(named.rows == 2 && named.classNames == ["x", "y"])
  }

  @Test(arguments: ["0,1,2", "2019,2020,2021"])
  func aFirstLineOfNumbersThatMayBeAHeaderHasToBeCalledOne(line: String) throws {
    let directory = try TemporaryDirectory(), text = line + "\n5,6,0\n7,8,1\n"
    let path = try directory.write(text, to: "a.csv"), last = String(line.split(separator: ",")[2])
    for column in [nil, "2", last] {
      expectError(
        .data, containing: "a.csv: the first line, \(line), may be a header of numbers or a row", "--header yes"
      ) {
        _ = try Dataset(csv: path, labelColumn: column)
      }
    }
    let named = try Dataset(csv: path, labelColumn: last, hasHeader: true)
    #expect(
      named.rows == 2 && named.classNames == ["0", "1"]
        && named.featureNames == line.split(separator: ",").prefix(2).map(String.init))
    #expect(try Dataset(csv: path, labelColumn: "2", hasHeader: false).rows == 3)
    // A model without names of columns takes them by position, so that one more row would go unnoticed.
    expectError(.data, containing: "may be a header") {
      _ = try Dataset(csv: path, encoding: TableEncoding(numericColumns: ["x0", "x1", "x2"]))
    }
    #expect(
      try Dataset(csv: path, encoding: TableEncoding(numericColumns: ["x0", "x1", "x2"]), hasHeader: true).rows == 2)
    // Other numbers are rows, and text is a header.
    #expect(try read("0,2,1\n1,1,1\n").rows == 2)
    #expect(try read("0,1,2,label\n1,1,1,a\n").rows == 1)
  }

  @Test func aHeaderOfNumbersIsNoPlaceForOtherNumbers() throws {
    let directory = try TemporaryDirectory(), path = try directory.write("5,6\n1,2\n", to: "b.csv")
    let encoding = try #require(try Dataset(csv: directory.write("0,1\n1,2\n", to: "a.csv"), hasHeader: true).encoding)
    expectError(.data, containing: "b.csv: the first line, 5,6, may be a header") {
      _ = try Dataset(csv: path, encoding: encoding)
    }
    #expect(try Dataset(csv: path, encoding: encoding, hasHeader: false).rows == 2)
    expectError(.data, containing: "no column \"0\"") {
      _ = try Dataset(csv: path, encoding: encoding, hasHeader: true)
    }
  }
}
