import Testing

@testable import Didact

@Suite("Table encoding") struct TableEncodingTests {
  private static let table = """
    id,colour,size,label
    7,red,1,a
    8,blue,NA,b
    9,?,4,
    10,red,,a

    """

  private func read(
    _ text: String, labelColumn: String? = nil, ignoring ignored: [String] = [], categorical: [String] = []
  ) throws -> Dataset {
    let directory = try TemporaryDirectory()
    return try Dataset(
      csv: directory.write(text, to: "a.csv"), labelColumn: labelColumn, ignoring: ignored, categorical: categorical)
  }

  private func read(
    _ text: String, as encoding: TableEncoding, labelColumn: String? = nil, ignoring ignored: [String] = []
  ) throws -> Dataset {
    let directory = try TemporaryDirectory()
    return try Dataset(
      csv: directory.write(text, to: "b.csv"), encoding: encoding, labelColumn: labelColumn, ignoring: ignored)
  }

  private func fitted() throws -> TableEncoding {
    try #require(try read(Self.table, ignoring: ["id"]).encoding)
  }

  // MARK: Learning

  @Test func textBecomesOneHotAndMissingNumbersTheMean() throws {
    let data = try read(Self.table, ignoring: ["id"])
    #expect(data.featureNames == ["colour=", "colour=blue", "colour=red", "size"])
    #expect(data.features.values == [0, 0, 1, 1, 0, 1, 0, 2.5, 1, 0, 0, 4, 0, 0, 1, 2.5])
    #expect(data.classNames == ["a", "b"] && data.labels == [0, 1, -1, 0])
    #expect(data.unseenCategories == [])
    let encoding = try #require(data.encoding)
    #expect(encoding.columns.map(\.name) == ["colour", "size"])
    #expect(encoding.columns.map(\.kind) == [.categorical(["", "blue", "red"]), .numeric(mean: 2.5)])
    #expect(encoding.hasHeader && encoding.labelColumn == "label" && encoding.ignoredColumns == ["id"])
    #expect(encoding.featureCount == 4 && encoding.featureNames == data.featureNames)
  }

  @Test(arguments: CSVCell.missingWords + ["", "\"\"", " NA ", "\"null\""])
  func spellingsOfMissing(word: String) throws {
    let data = try read("c,x\na,1\n\(word),\(word)\nb,4\n")
    #expect(data.featureNames == ["c=", "c=a", "c=b", "x"])
    #expect(data.features.values == [0, 1, 0, 1, 1, 0, 0, 2.5, 0, 0, 1, 4])
  }

  @Test(arguments: ["None", "na", "Null", "-", "NaN.", "missing"])
  func otherWordsAreCategories(word: String) throws {
    #expect(try read("c\na\n\(word)\n").featureNames == ["a", word].sorted().map { "c=\($0)" })
  }

  @Test func numbersAmongTextAreCategories() throws {
    #expect(try read("c,label\n1,\nfew,\nmany,\n").featureNames == ["c=1", "c=few", "c=many"])
    let mixed = "c,label\n0,\n1,\n2,\n3+,\n"
    expectError(.data, containing: "a.csv", "line 5, column \"c\"", "\"3+\"", "3 of the column's 4", "--categorical c")
    {
      _ = try read(mixed)
    }
    #expect(try read(mixed, categorical: ["c"]).featureNames == ["c=0", "c=1", "c=2", "c=3+"])
    // Missing cells count neither way.
    expectError(.data, containing: "\"x\"") { _ = try read("c\n1\n\"\"\nNA\nx\n?\n") }
  }

  @Test func numbersMayBeCategories() throws {
    let data = try read("10,5\n9,6\n-2,7\n10,8\n", categorical: ["0"])
    #expect(data.featureNames == ["x0=-2", "x0=9", "x0=10", "x1"])
    #expect(data.features.values.prefix(8) == [0, 0, 1, 5, 0, 1, 0, 6])
    #expect(data.encoding?.hasHeader == false && data.encoding?.labelColumn == nil)
    // Categories are texts.
    #expect(try read("a\n1\n01\n1.0\n", categorical: ["a"]).featureNames == ["a=01", "a=1", "a=1.0"])
    // An infinite number is a text like another.
    #expect(try read("a\ninf\n1\n", categorical: ["a"]).featureNames == ["a=1", "a=inf"])
  }

  @Test func categoriesMayHoldAnything() throws {
    let data = try read("\u{feff}\"a, b\"\r\n\"x,\"\"y\"\"\"\r\n\"two\r\nlines\"\r\n caf\u{e9} \r\ncafe\u{301}\r\n")
    #expect(data.featureNames == ["a, b=café", "a, b=two\r\nlines", "a, b=x,\"y\""])
    #expect(data.features.values == [0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0])
    let bytes = Array("a\nx\n".utf8) + [0xff, 0x0a]
    let directory = try TemporaryDirectory()
    expectError(.data, containing: "line 3", "UTF-8") { _ = try Dataset(csv: directory.write(bytes, to: "a.csv")) }
  }

  @Test func meansOfLargeNumbersAreFinite() throws {
    let data = try read("x,y\n1.7e308,5\n-1.7e308,5\n1.7e308,5\n,\n")
    guard case .numeric(let mean?) = data.encoding?.columns[0].kind else {
      Issue.record("no mean")
      return
    }
    #expect(abs(mean / 1.7e308 - 1 / 3.0) < 1e-12)
    #expect(data.encoding?.columns[1].kind == .numeric(mean: 5))
  }

  // MARK: Columns that are no features

  @Test func ignoredColumnsByNameOrIndex() throws {
    for column in ["id", "0"] {
      #expect(try read(Self.table, ignoring: [column]).columns == 4)
    }
    #expect(try read("5,1\n6,2\n", ignoring: ["0"]).features.values == [1, 2])
    #expect(try read("5,1\n6,2\n", ignoring: ["0"]).encoding?.ignoredColumns == [])
    // A column of row numbers, as pandas writes it.
    #expect(try read(",a\n0,1\n1,2\n", ignoring: ["0"]).encoding?.ignoredColumns == [""])
    // The usual label column may be ignored too, but not one that is asked for.
    #expect(try read("a,label\n1,2\n", ignoring: ["label"]).labels == [-1])
    expectError(.invalidArgument, containing: "\"label\"", "both") {
      _ = try read("a,label\n1,2\n", labelColumn: "label", ignoring: ["label"])
    }
    expectError(.invalidArgument, containing: "Did you mean \"colour\"?") {
      _ = try read(Self.table, ignoring: ["color"])
    }
    expectError(.invalidArgument, containing: "no column 4") { _ = try read(Self.table, ignoring: ["4"]) }
    expectError(.invalidArgument, containing: "no header") { _ = try read("1,2\n", ignoring: ["a"]) }
    expectError(.data, containing: "no feature") { _ = try read("a,b\n1,2\n", ignoring: ["a", "b"]) }
    expectError(.invalidArgument, containing: "\"label\"") { _ = try read(Self.table, categorical: ["label"]) }
    expectError(.invalidArgument, containing: "Did you mean \"size\"?") {
      _ = try read(Self.table, categorical: ["siz"])
    }
  }

  @Test func columnsWithoutAValueAreNamed() {
    expectError(.data, containing: "\"b\", \"c d\"", "--ignore b,2") { _ = try read("a,b,c d\n1,,NA\n2,?,\n") }
    expectError(.data, containing: "--ignore b") { _ = try read("a,b\n1,\n", categorical: ["b"]) }
  }

  @Test func namesMustTellColumnsApart() {
    expectError(.data, containing: "column 0 has no name", "--ignore 0") { _ = try read(",a\n0,1\n") }
    expectError(.data, containing: "two columns", "\"a\"") { _ = try read("a,a\n1,2\n") }
    expectError(.data, containing: "\"c=x\"") { _ = try read("c,c=x\nx,1\ny,2\n") }
  }

  @Test func identifiersAreNoFeatures() throws {
    func rows(_ count: Int) -> String {
      "key,name,x\n" + (0..<count).map { "k\($0),n\($0),\($0)\n" }.joined()
    }
    #expect(try read(rows(1000), categorical: ["key", "name"]).columns == 2001)
    expectError(.data, containing: "more than 1000 categories", "1001 rows", "\"key\", \"name\"", "--ignore key,name") {
      _ = try read(rows(1001))
    }
    let long = String(repeating: "long ", count: 1000)
    expectError(.data, containing: "names of columns and categories", "\"name\"", "1000") {
      _ = try read("name\n" + (0..<1000).map { "\(long)\($0)\n" }.joined(), categorical: ["name"])
    }
  }

  @Test func textsThatNearlyAllDifferAreNoFeatures() throws {
    func rows(_ count: Int, distinct: Int) -> String {
      "key,note,x\n" + (0..<count).map { "k\($0 % distinct),n\($0 % distinct),\($0)\n" }.joined()
    }
    expectError(
      .data, containing: "column \"key\" has 21 different texts in 40 cells", "--ignore key,note", "--categorical"
    ) {
      _ = try read(rows(40, distinct: 21))
    }
    #expect(try read(rows(40, distinct: 21), categorical: ["0", "1"]).columns == 43)
    #expect(try read(rows(40, distinct: 21), ignoring: ["key", "note"]).columns == 1)
    // Few rows may all differ, and half of many.
    #expect(try read(rows(20, distinct: 20)).columns == 41)
    #expect(try read(rows(42, distinct: 21)).columns == 43)
    // Missing cells do not count.
    expectError(.data, containing: "21 different texts in 40 cells") {
      _ = try read(rows(40, distinct: 21) + ",,1\nNA,,2\n?,,3\n")
    }
  }

  // MARK: Numbers in another notation

  static let notations: [(name: String, cell: @Sendable (Int) -> String, advice: String)] = [
    ("decimal comma", { "\"\($0),\($0)5\"" }, "write 0.05"),
    ("separators between thousands", { "\"\($0 + 1),234.5\"" }, "write 1234.5"),
    ("per cent", { "\($0) %" }, "write 0"), ("currency", { "$\($0).50" }, "write 0.50"),
    ("dates", { "2024-03-\($0 + 10)" }, "the days since a day"), ("times", { "12:\($0 + 10)" }, "the seconds or hours"),
    ("unit", { "\($0) kg" }, "write 0"), ("minus sign", { "\u{2212}\($0)" }, "write -0"),
  ]

  @Test(arguments: TableEncodingTests.notations.indices)
  func numbersInAnotherNotationAreRefused(index: Int) throws {
    let (name, cell, advice) = Self.notations[index]
    func rows(_ count: Int, distinct: Int) -> String {
      "a,x\n" + (0..<count).map { "\(cell($0 % distinct)),\($0)\n" }.joined()
    }
    let first = cell(0).filter { $0 != "\"" }
    for text in [rows(12, distinct: 12), rows(100, distinct: 11), rows(4, distinct: 3)] {
      expectError(
        .data, containing: "a.csv: line 2, column \"a\": \"\(first)\"", name, advice, "--ignore a", "--categorical a"
      ) { _ = try read(text) }
      #expect(try read(text, categorical: ["a"]).featureNames.contains("a=\(first)"))
    }
    // Few texts that come often are categories.
    #expect(try read(rows(100, distinct: 10)).columns == 11)
    // Half of the texts may be something else, and no more.
    let words = (0..<12).map { "word\($0),1\n" }.joined()
    expectError(.data, containing: name) { _ = try read(rows(12, distinct: 12) + words) }
    expectError(.data, containing: "25 different texts") { _ = try read(rows(12, distinct: 12) + words + "more,1\n") }
  }

  @Test func aNumberInAnotherNotationAmongNumbersSaysHowToWriteIt() throws {
    expectError(.data, containing: "\"0,5\" is not a number", "decimal comma: write 0.5") {
      _ = try read("a\n1\n2\n\"0,5\"\n")
    }
    let encoding = try #require(try read("a\n1\n2\n").encoding)
    expectError(.data, containing: "line 2", "per cent sign: write 12") { _ = try read("a\n12%\n", as: encoding) }
  }

  @Test func allColumnsInAnotherNotationAreNamed() throws {
    let rows = (0..<12).map { "\($0)%,1,\($0) cm\n" }.joined()
    expectError(.data, containing: "column \"a\"", "The same goes for column \"c\"") { _ = try read("a,b,c\n" + rows) }
  }

  @Test func bandsAndCodesAreCategories() throws {
    for cell: (Int) -> String in [{ "\($0)0-\($0)9" }, { "v1.\($0).0" }, { "\($0)\(["A", "B", "C", "D"][$0 % 4])" }] {
      let rows = (0..<60).map { "\(cell($0 % 15)),\($0)\n" }.joined()
      #expect(try read("a,x\n" + rows).columns == 16)
    }
  }

  // MARK: Applying

  @Test func aTableNeedsItsRowsAlone() throws {
    let encoding = try fitted()
    let data = try read("size,remark,id,colour\n2,x,1,blue\n,y,2,red\n3,z,3,NA\n", as: encoding, ignoring: ["remark"])
    #expect(data.features.values == [0, 1, 0, 2, 0, 0, 1, 2.5, 1, 0, 0, 3])
    #expect(data.featureNames == encoding.featureNames && data.unseenCategories == [])
    // The label column is known by its name; the order of columns and classes is free.
    let labeled = try read("label,size,colour\nb,1,red\n,2,red\na,3,red\n", as: encoding)
    #expect(labeled.labels == [1, -1, 0] && labeled.classNames == ["a", "b"])
    // Without a header, columns stand in the order of training.
    let sizes = try read("1\n2\n", as: try #require(try read("size\n4\n5\n").encoding))
    #expect(sizes.features.values == [1, 2])
  }

  @Test func theModelsLabelColumnGoesBeforeTheUsualOne() throws {
    let encoding = try #require(try read("kind,label\nx,1\ny,2\n", labelColumn: "kind").encoding)
    #expect(encoding.labelColumn == "kind" && encoding.featureNames == ["label"])
    let data = try read("label,kind\n3,x\n", as: encoding)
    #expect(data.features.values == [3] && data.classNames == ["x"])
    #expect(try read("label\n3\n", as: encoding).labels == [-1])
    // A model without one takes the usual name, if that is no feature.
    let plain = try #require(try read("a\n1\n").encoding)
    #expect(try read("a,label\n1,x\n", as: plain).classNames == ["x"])
  }

  @Test func unseenCategoriesAreNoneAndCounted() throws {
    let encoding = try #require(try read("c,d,x\na,1,1\nb,1,2\n", categorical: ["d"]).encoding)
    let data = try read("c,d,x\na,1,1\n\"\",2,2\nz,1,3\n\n,1,4\n", as: encoding)
    #expect(data.features.values == [1, 0, 1, 1, 0, 0, 0, 2, 0, 0, 1, 3, 0, 0, 1, 4])
    #expect(
      data.unseenCategories == [
        .init(column: "c", cells: 3, firstCategory: "", firstLine: 3),
        .init(column: "d", cells: 1, firstCategory: "2", firstLine: 3),
      ])
  }

  @Test func refusesWhatDoesNotFitTheModel() throws {
    let encoding = try fitted()
    for (text, parts) in [
      ("colour,size\nred,1\nred,tall\n", ["b.csv", "line 3, column \"size\": \"tall\"", "not a number"]),
      ("colour,size\nred,inf\n", ["line 2, column \"size\": \"inf\"", "finite"]),
      ("colour\nred\n", ["no column \"size\""]),
      ("colour,sise\nred,1\n", ["no column \"size\"", "Did you mean \"sise\"?"]),
      ("colour,size,depth,x\nred,1,2,3\n", ["\"depth\", \"x\"", "--ignore"]),
      ("colour,size,size\nred,1,2\n", ["two columns", "\"size\""]),
      ("colour,size\nred,1\nred\n", ["line 3: 1 cells"]),
      ("colour,size\n", ["no row"]),
      ("1,2,3\n", ["3 columns", "takes 2"]),
    ] {
      let error = Training.error { _ = try read(text, as: encoding) }
      #expect(error.code == .data)
      for part in parts { #expect(error.message.contains(part), "\(error.message)") }
    }
    let numbers = TableEncoding(numericColumns: ["a"])
    expectError(.data, containing: "line 2", "empty cell", "no mean") { _ = try read("a,label\n,\n", as: numbers) }
  }

  @Test func aColumnCalledNearlyAsTheLabelsIsNamed() throws {
    for name in ["Label", "labels", "LABEL", "lable", "labl", "\" label\"", "Labels"] {
      expectError(.data, containing: "no column is called \"label\"", "--label-column", "--ignore") {
        _ = try read("a,\(name)\n1,x\n2,y\n")
      }
    }
    #expect(try read("a,Label\n1,x\n2,y\n", labelColumn: "Label").classNames == ["x", "y"])
    #expect(try read("a,Label\n1,x\n2,y\n", ignoring: ["Label"]).columns == 1)
    #expect(try read("a,Label,label\n1,3,x\n2,4,y\n").classNames == ["x", "y"])
    #expect(try read("a,lapel,labour\n1,3,4\n2,4,4\n", labelColumn: "a").columns == 2)
    // With a model, the name that its labels had.
    let encoding = try #require(try read("a,kind\n1,x\n2,y\n", labelColumn: "kind").encoding)
    for name in ["Kind", "kinds", "knid", "Label"] {
      expectError(.data, containing: "no column \"\(name)\"", "Did you mean --label-column \(name)?") {
        _ = try read("a,\(name)\n1,x\n", as: encoding)
      }
    }
    expectError(.data, containing: "Did you mean --label-column Label?") {
      _ = try read("x0,Label\n1,x\n", as: TableEncoding(numericColumns: ["x0"]))
    }
  }

  @Test func otherSeparatorsThanCommasAreNamed() throws {
    for (text, name) in [
      ("a;b;label\n1;2;x\n", "semicolons"), ("a\tb\tlabel\r\n1\t2\tx\r\n", "tabs"), ("a|b\n1|2\n", "vertical bars"),
      ("1 2 3\n4 5 6\n", "blanks"), ("a;b;label\n1,5;2,5;x\n", "semicolons"), ("1,5;2,5\n3,5;4,5\n", "semicolons"),
    ] {
      expectError(.data, containing: "cells a line have \(name) between them, not commas") { _ = try read(text) }
    }
    // Texts of one column, or within cells.
    #expect(try read("tags\na;b\nc;d\na;b\n").columns == 2)
    #expect(try read("full name\na b\nc d\n").columns == 2)
    #expect(try read("a;b,c\nx;y,1\nx;z,2\n").columns == 3)
  }

  // MARK: JSON

  @Test func survivesARoundTrip() throws {
    let odd = "\"a, \"\"b\"\"\",c\n\"\\\n\u{1}\u{1f600}\",0.1\nx,0.2\n\"\",0.2\n"
    for encoding in [
      try fitted(), try #require(try read(odd).encoding), try #require(try read("1,2\n,4\n").encoding),
    ] {
      #expect(try TableEncoding(JSON(parsing: encoding.json.serialized())) == encoding)
    }
  }

  @Test func refusesHostileJSON() throws {
    let good = try fitted().json
    #expect(try TableEncoding(good) == fitted())
    let categories = JSON.array((0..<1001).map { .string("\($0)") })
    let changes: [(String, JSON?)] = [
      ("header", nil), ("header", 1), ("header", false), ("label", 3), ("label", nil), ("ignored", "id"),
      ("ignored", [1]), ("ignored", ["id", "id"]), ("ignored", ["size"]), ("label", "size"), ("more", 1),
      ("columns", []), ("columns", [:]), ("columns", ["size"]), ("columns", [[:]]),
    ]
    for (key, value) in changes {
      var object = try #require(good.members)
      object[key] = value
      expectError(.format, containing: "table") { _ = try TableEncoding(.object(object)) }
    }
    let columns: [[JSON]] = [
      [["name": "a"]], [["mean": 1]], [["name": "a", "mean": "1"]], [["name": "a", "mean": nil]],
      [["name": 1, "mean": 1]], [["name": "", "mean": 1]], [["name": "a", "mean": .number(.infinity)]],
      [["name": "a", "mean": .number(.nan)]], [["name": "a", "mean": 1, "categories": ["x"]]],
      [["name": "a", "categories": []]], [["name": "a", "categories": ["x", "x"]]],
      [["name": "a", "categories": [1]]], [["name": "a", "categories": "x"]],
      [["name": "a", "categories": categories]], [["name": "a", "mean": 1, "more": 1]],
      [["name": "a", "mean": 1], ["name": "a", "mean": 1]],
      [["name": "a=x", "mean": 1], ["name": "a", "categories": ["x"]]],
    ]
    for list in columns {
      var object = try #require(good.members)
      object["columns"] = .array(list)
      expectError(.format, containing: "table") { _ = try TableEncoding(.object(object)) }
    }
    for json: JSON in [nil, 1, [], "table", [:]] {
      expectError(.format, containing: "table") { _ = try TableEncoding(json) }
    }
    // Columns without a header are called x0, x1 and so on, and nothing else has a name.
    for name in ["x1", "a"] {
      expectError(.format, containing: "without a header") {
        _ = try TableEncoding([
          "header": false, "label": nil, "ignored": [], "columns": [["name": .string(name), "mean": 1]],
        ])
      }
    }
  }

  @Test func tooManyFeaturesAreRefused() throws {
    let categories = JSON.array((0..<1000).map { .string("\($0)") })
    let columns = (0..<16_778).map { JSON.object(["name": .string("c\($0)"), "categories": categories]) }
    expectError(.format, containing: "16778000 features") {
      _ = try TableEncoding(["header": true, "label": nil, "ignored": [], "columns": .array(columns)])
    }
  }

  // MARK: Model files

  private func trainer(inputs: Int) throws -> Trainer {
    try Trainer([
      "method": "supervised", "steps": 3,
      "network": ["type": "mlp", "inputs": JSON(integerLiteral: Int64(inputs)), "hidden": [3], "classes": 2],
    ])
  }

  @Test func modelFilesKeepIt() throws {
    let directory = try TemporaryDirectory(), path = directory.path("model.safetensors")
    let data = try read(Self.table, ignoring: ["id"]), encoding = try #require(data.encoding)
    let trained = try trainer(inputs: 4)
    try trained.setTable(encoding)
    #expect(trained.featureNames == encoding.featureNames)
    try trained.fit(data.features, data.labels)
    try trained.save(to: path)
    for copy in [try Trainer(loading: path), try trained.copy()] {
      #expect(copy.table == encoding)
      let again = try read(Self.table, as: try #require(copy.table))
      #expect(again.features.bytes == data.features.bytes)
      #expect(
        try copy.predictProbabilities(again.features).bytes == trained.predictProbabilities(data.features).bytes)
    }
    // A trainer without a table has no such key.
    try trainer(inputs: 4).save(to: path)
    #expect(try Trainer(loading: path).table == nil)
    #expect(try SafetensorsFile(reading: path).metadata(named: "didact.description")?.contains("\"table\"") == false)
  }

  @Test func namesAndInputsMustAgreeWithIt() throws {
    let directory = try TemporaryDirectory(), path = directory.path("model.safetensors"), encoding = try fitted()
    expectError(.shape, containing: "4 features", "take 5") { try trainer(inputs: 5).setTable(encoding) }
    let renamed = try trainer(inputs: 4)
    try renamed.setTable(encoding)
    renamed.featureNames = []
    expectError(.state, containing: "colour=blue") { try renamed.save(to: path) }
    expectError(.state) { _ = try renamed.copy() }
    renamed.featureNames = encoding.featureNames
    var narrow = try #require(encoding.json.members)
    narrow["columns"] = .array(try #require(narrow["columns"]?.list).dropLast())
    for (key, value) in [
      ("table", JSON.object(narrow)), ("table", nil), ("table", 1), ("feature_names", []),
      ("feature_names", ["a", "b", "c", "d"]),
    ] as [(String, JSON)] {
      try renamed.save(to: path)
      try changeDescription(of: path) { $0[key] = value }
      expectError(.format, containing: path, "table") { _ = try Trainer(loading: path) }
    }
  }
}
