import Testing

@testable import Didact

@Suite("Label texts") struct LabelTextTests {
  private func read(_ labels: [String]) throws -> Dataset {
    let directory = try TemporaryDirectory()
    let rows = labels.enumerated().map { "\($0.offset % 7),\($0.element)\n" }
    return try Dataset(csv: try directory.write("x,kind\n" + rows.joined(), to: "a.csv"), labelColumn: "kind")
  }

  /// An array of texts as NumPy saves it.
  private func array(_ texts: [String]) -> [UInt8] {
    let length = texts.map { $0.unicodeScalars.count }.max() ?? 1
    let header = "{'descr': '<U\(length)', 'fortran_order': False, 'shape': (\(texts.count),), }"
    var bytes: [UInt8] = [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.utf8.count), 0] + Array(header.utf8)
    for text in texts {
      let scalars = text.unicodeScalars.map(\.value)
      for value in scalars + Array(repeating: 0, count: length - scalars.count) {
        withUnsafeBytes(of: value.littleEndian) { bytes += $0 }
      }
    }
    return bytes
  }

  private func readArrays(_ labels: [String], knownClasses: [String]? = nil) throws -> Dataset {
    let directory = try TemporaryDirectory(), path = directory.path("X.npy")
    try writeNPY(randomTensor(Shape(labels.count, 2), seed: 1), to: path)
    return try Dataset(npy: path, labels: directory.write(array(labels), to: "y.npy"), knownClasses: knownClasses)
  }

  @Test(arguments: [["1", "2", "1.0"], ["a", "07", "7"], ["\u{2212}3", "5", "-3"], ["0", "4", "-0"]])
  func oneNumberInTwoSpellingsIsRefused(labels: [String]) throws {
    let number = labels[0] == "a" ? labels[1] : labels[0]
    expectError(
      .data, containing: "column \"kind\"", "\"\(number)\" in line", "\"\(labels[2])\" in line 4", "write them alike"
    ) {
      _ = try read(labels)
    }
    expectError(.data, containing: "y.npy", "\"\(labels[2])\" in row 2", "write them alike") {
      _ = try readArrays(labels)
    }
    // A model knows its classes.
    #expect(try readArrays(labels, knownClasses: labels).classNames.count == 3)
  }

  @Test func oneTextInTwoUnicodeFormsIsRefused() throws {
    let labels = ["caf\u{E9}", "tea", "cafe\u{301}"]
    for (place, read) in [("line 2", read), ("row 0", { try self.readArrays($0) })]
      as [(String, ([String]) throws -> Dataset)]
    {
      expectError(.data, containing: place, "one text in two Unicode forms", "write them alike") {
        _ = try read(labels)
      }
    }
    #expect(try readArrays(labels, knownClasses: ["caf\u{E9}", "tea"]).labels == [0, 1, 0])
  }

  // MARK: Words for no label

  @Test func anEmptyLabelIsNoneSilently() throws {
    for data in [try read(["a", "", "b"]), try readArrays(["a", "", "b"])] {
      #expect(data.labels == [0, -1, 1] && data.classNames == ["a", "b"] && data.warnings.isEmpty)
    }
  }

  @Test(arguments: ["?", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null"])
  func wordsForAMissingValueAreNoLabelAndSaySo(word: String) throws {
    for data in [try read(["a", word, "b", word]), try readArrays(["a", word, "b", word])] {
      #expect(data.labels == [0, -1, 1, -1] && data.classNames == ["a", "b"])
      #expect(data.warnings.map(\.code) == [.labelText])
      #expect(data.warnings.first?.message.contains("\"\(word)\" (2 rows) is taken for no label") == true)
    }
    #expect(try read(["a", "?", "b", "NA"]).warnings[0].message.contains("\"?\" (1 row), \"NA\" (1 row) are taken"))
  }

  @Test(arguments: [
    "None", "<NA>", "NaT", "unlabeled", "Unlabelled", "UNLABELED", "-1", "-1.0", "\u{2212}1", "#N/A", "na", "Null",
    "NAN",
    "N/a",
  ])
  func textsThatMayMeanNoLabelAreRefused(text: String) throws {
    let labels = ["a", "b", text, text, "2"]
    expectError(
      .data, containing: "a.csv: column \"kind\": \"\(text)\"", "of 2 rows, first in line 4", "leave the cell empty"
    ) {
      _ = try read(labels)
    }
    expectError(.data, containing: "y.npy", "\"\(text)\" is the label of 2 rows, first in row 2", "write \"\"") {
      _ = try readArrays(labels)
    }
    // A model that has learned such a class knows it.
    #expect(try readArrays(labels, knownClasses: ["a", text]).labels.filter { $0 < 0 }.isEmpty)
  }

  @Test(arguments: ["none", "Missing", "unknown", "-", "."])
  func aClassThatMayBeAMarkIsWarnedOf(text: String) throws {
    for data in [try read(["a", text, "b"]), try readArrays(["a", text, "b"])] {
      #expect(data.labels.allSatisfy { $0 >= 0 } && data.classNames.contains(text))
      #expect(data.warnings.map(\.code) == [.labelText])
      #expect(data.warnings.first?.message.contains("\"\(text)\" (1 row) is taken for a class") == true)
    }
    #expect(try readArrays(["a", text, "b"], knownClasses: ["a", "b", text]).warnings.isEmpty)
  }

  @Test func labelsThatDifferInCapitalsAreWarnedOf() throws {
    for data in [try read(["True", "False", "true"]), try readArrays(["True", "False", "true"])] {
      #expect(data.classNames == ["False", "True", "true"])
      #expect(data.warnings.first?.message.contains("\"True\" and \"true\" differ in capitals alone") == true)
    }
  }

  @Test func blanksAroundALabelMeanNothing() throws {
    let data = try readArrays(["a", " ? ", "b", "  "])
    #expect(data.labels == [0, -1, 1, -1] && data.warnings.count == 1)
    expectError(.data, containing: "\"a \" in row 2", "other blanks around it") {
      _ = try readArrays(["a", "b", "a "])
    }
    expectError(.data, containing: "\" None\"") { _ = try readArrays(["a", "b", " None"]) }
  }

  @Test func aClassThatTheModelKnowsIsOneWhateverItLooksLike() throws {
    let known = ["EU", "NA", "?"]
    #expect(try readArrays(["EU", "NA", "?", ""], knownClasses: known).labels == [1, 2, 0, -1])
    let directory = try TemporaryDirectory()
    let path = try directory.write("x,kind\n1,EU\n2,NA\n3,\n", to: "b.csv")
    let encoding = try #require(try read(["a", "b"]).encoding)
    let data = try Dataset(csv: path, encoding: encoding, knownClasses: known)
    #expect(data.classNames == ["EU", "NA"] && data.labels == [0, 1, -1] && data.warnings.isEmpty)
  }

  @Test(arguments: ["nat", "Unlabeled cat", "-2", "-11", "unknown thing"])
  func otherTextsAreClasses(text: String) throws {
    for data in [try read(["a", text, "b"]), try readArrays(["a", text, "b"])] {
      #expect(data.labels.allSatisfy { $0 >= 0 } && data.classNames.contains(text) && data.warnings.isEmpty)
    }
  }

  @Test func minusOneIsAClassBesideOneAlone() throws {
    for data in [try read(["-1", "1", "", "1"]), try readArrays(["-1", "1", "", "1"])] {
      #expect(data.classNames == ["-1", "1"] && data.labels == [0, 1, -1, 1])
    }
    for others in [["0"], ["0", "1"], ["1", "2"], [], ["a"]] {
      expectError(.data, containing: "\"-1\"") { _ = try read(["-1"] + others) }
    }
    expectError(.data, containing: "integers, where -1 is none") { _ = try readArrays(["-1", "0", "1"]) }
  }

  /// Labels as numbers: −1 and 1 alone are two classes, else −1 is none, and so is NaN.
  @Test func numbersThatAreNoLabel() throws {
    let directory = try TemporaryDirectory(), path = directory.path("X.npy"), labels = directory.path("y.npy")
    func read(_ values: Tensor, knownClasses: [String]? = nil) throws -> Dataset {
      try writeNPY(randomTensor(Shape(values.count, 2), seed: 1), to: path)
      try writeNPY(values, to: labels)
      return try Dataset(npy: path, labels: labels, knownClasses: knownClasses)
    }
    func integers(_ values: [Int]) throws -> Tensor { try Tensor(values) }
    #expect(try read(integers([-1, 1, 1])).classNames == ["-1", "1"])
    #expect(try read(integers([-1, 1, 0])).labels == [-1, 1, 0])
    #expect(try read(integers([-1, 1, 1]), knownClasses: ["0", "1"]).labels == [-1, 0, 0])
    #expect(try read(integers([-1, 0]), knownClasses: ["-1", "0"]).labels == [0, 1])
    let floats = try Tensor([0, 1, .nan, -1], shape: Shape(4))
    #expect(try read(floats).labels == [0, 1, -1, -1])
    #expect(try read(floats).classNames == ["0", "1"])
    expectError(.data, containing: "row 1: 0.5 is not a whole number") {
      _ = try read(Tensor([0, 0.5], shape: Shape(2)))
    }
  }

  @Test func labelsOfNoUseAreNotJudged() throws {
    let directory = try TemporaryDirectory()
    let encoding = try #require(try read(["a", "b"]).encoding)
    let path = try directory.write("x,kind\n1,None\n2,0.5\n3,NA\n", to: "b.csv")
    let data = try Dataset(csv: path, encoding: encoding, readsLabels: false)
    #expect(data.labels == [-1, -1, -1] && data.classNames.isEmpty && data.warnings.isEmpty)
    expectError(.data, containing: "\"None\"", "line 2") { _ = try Dataset(csv: path, encoding: encoding) }
    #expect(try Dataset(csv: path, encoding: encoding, knownClasses: ["None"]).classNames == ["0.5", "None"])
  }

  // MARK: Labels that are no classes

  @Test func measurementsAreNoLabels() throws {
    for labels in [["0.123", "0.456", "0.789"], ["1", "2.5", ""], ["1e-3", "4"]] {
      let first = labels.first { $0 != "1" } ?? ""
      let line = labels[0] == first ? 2 : 3
      expectError(.data, containing: "the label \(first) in line \(line) is not a whole number", "Round") {
        _ = try read(labels)
      }
      expectError(.data, containing: "the label \(first) in row \(line - 2) is not a whole number") {
        _ = try readArrays(labels)
      }
    }
    for labels in [["0,5", "1"], ["1", "-0,5", "3.5"]] {
      expectError(.data, containing: "is not a whole number", "measurements") { _ = try readArrays(labels) }
    }
    #expect(try readArrays(["0,5", "1,5", "a"]).classNames == ["0,5", "1,5", "a"])
    #expect(try read(["1.0", "2.0", "1e1", ""]).classNames.count == 3)
    #expect(try read(["0.5", "1.5", "half"]).classNames == ["0.5", "1.5", "half"])
    // The names of a model's classes are no measurements.
    #expect(try readArrays(["0.5", "1.5"], knownClasses: ["0.5", "1.5"]).classNames == ["0.5", "1.5"])
  }

  @Test func minusOneAsAnUnsignedNumberIsWarnedOf() throws {
    for labels in [[0, 1, 0xFF], [0xFFFF], [0, 3, 0xFFFF_FFFF]] {
      #expect(LabelTexts.unsignedMinusOne(labels, "y")?.code == .labelText)
    }
    for labels in [[], [0, 1], [0, 200, 0xFF], [0, 1, 256]] {
      #expect(LabelTexts.unsignedMinusOne(labels, "y") == nil)
    }
    let directory = try TemporaryDirectory(), rows = directory.path("rows.npy"), labels = directory.path("labels.npy")
    try writeNPY(randomTensor(Shape(4, 2), seed: 1), to: rows)
    let values = try Tensor(Shape(4), .uint8)
    values.set([0, 1, 255, 255])
    try writeNPY(values, to: labels)
    #expect(try Dataset(npy: rows, labels: labels).warnings.map(\.code) == [.labelText])
  }

  @Test func labelsThatNearlyAllDifferAreNoClasses() throws {
    let numbers = (0..<30).map { "\(7 * $0)" }, names = numbers.map { "n\($0)" }
    for labels in [numbers, names] {
      expectError(.data, containing: "30 different labels in 30 labelled rows", "\"\(labels[0])\" in line 2") {
        _ = try read(labels)
      }
      expectError(.data, containing: "30 different labels in 30 labelled rows") { _ = try readArrays(labels) }
      // Each of few labels, and many of which each comes twice.
      #expect(try read(Array(labels.prefix(19))).classNames.count == 19)
      #expect(try read(labels + labels).classNames.count == 30)
      // One label for each of many classes, among rows without labels.
      let sparse = try read(labels + Array(repeating: "", count: 40))
      #expect(sparse.classNames.count == 30 && sparse.warnings.map(\.code) == [.fewLabels])
    }
    let directory = try TemporaryDirectory(), path = directory.path("X.npy"), labelPath = directory.path("y.npy")
    try writeNPY(randomTensor(Shape(30, 2), seed: 1), to: path)
    try writeNPY(Tensor((0..<30).map { 7 * $0 }), to: labelPath)
    expectError(.data, containing: "y.npy", "30 different labels", "0 in row 0") {
      _ = try Dataset(npy: path, labels: labelPath)
    }
  }
}
