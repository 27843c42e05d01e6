import Testing

@testable import Didact

@Suite("NumPy files") struct NumPyFileTests {
  // MARK: npy

  /// Rows as tensors have them stay where they are; others are converted.
  @Test func featuresStayInTheirFile() throws {
    let directory = try TemporaryDirectory(), path = directory.path("rows.npy")
    let rows = try randomTensor(Shape(5, 3), .float32, seed: 1)
    try writeNPY(rows, to: path)
    let dataset = try Dataset(npy: path)
    #expect(dataset.features.values == rows.values && dataset.labels == Array(repeating: -1, count: 5))
    #expect(dataset.features.buffer.byteCount == (try readBytes(path)).count, "the tensor is a part of the file")
    let labels = directory.path("labels.npy")
    try writeNPY(Tensor([7, -1, 3, 7, 3]), to: labels)
    let labeled = try Dataset(npy: path, labels: labels)
    #expect(labeled.labels == [1, -1, 0, 1, 0] && labeled.classNames == ["3", "7"])
    let converted = try Dataset(npy: fixture("little_i2.npy"))
    #expect(converted.features.values == [0, 1, 2, 3, 4, 5] && converted.features.elementType == .int64)
    #expect(try Dataset(npz: fixture("cube.npz")).imageExtent == Extent(3, 4, 1))
    let images = try Dataset(npy: fixture("fortran.npy"))
    #expect(images.features.shape == Shape(2, 12) && images.imageExtent == Extent(3, 4, 1))
    #expect(images.features.values == (0..<24).map(Double.init) && images.featureNames.isEmpty)
    expectError(.shape, containing: "scalar.npy") { _ = try Dataset(npy: fixture("scalar.npy")) }
    expectError(.data, containing: "text.npy") { _ = try Dataset(npy: fixture("text.npy")) }
    expectError(.shape, containing: path, "2 labels") {
      try writeNPY(Tensor([0, 1]), to: labels)
      _ = try Dataset(npy: path, labels: labels)
    }
    expectError(.file, containing: "none.npy") { _ = try Dataset(npy: directory.path("none.npy")) }
    expectError(.format) { _ = try Dataset(npy: directory.write([UInt8](), to: "empty.npy")) }
    expectError(.format, containing: "cut off") {
      _ = try Dataset(npy: directory.write(Array(readBytes(path).dropLast()), to: "short.npy"))
    }
  }

  @Test(arguments: [
    ("little_f4", ElementType.float32), ("little_f8", .float64), ("little_i8", .int64), ("little_i4", .int64),
    ("little_i2", .int64), ("i1", .int64), ("u1", .uint8), ("little_u2", .int64), ("little_u4", .int64),
  ])
  func readsEveryType(name: String, elementType: ElementType) throws {
    let tensor = try readNPY(fixture(name + ".npy"))
    #expect(tensor.elementType == elementType)
    #expect(tensor.shape == Shape(2, 3))
    #expect(tensor.values == [0, 1, 2, 3, 4, 5])
  }

  @Test func readsBooleansNegativesScalarsAndVersion2() throws {
    let booleans = try readNPY(fixture("b1.npy"))
    #expect(booleans.elementType == .uint8 && booleans.values == [0, 0, 0, 1, 1, 1])
    #expect(try readNPY(fixture("negative.npy")).values == [-1, -128, 127])
    let scalar = try readNPY(fixture("scalar.npy"))
    #expect(scalar.shape == Shape() && scalar.values == [2.5])
    #expect(try readNPY(fixture("version2.npy")).values == [0, 1, 2])
  }

  @Test func convertsFortranOrder() throws {
    let tensor = try readNPY(fixture("fortran.npy"))
    #expect(tensor.shape.dimensions == [2, 3, 4])
    #expect(tensor.values == (0..<24).map(Double.init))
  }

  @Test func refusesOtherTypes() {
    for (name, part) in [
      ("big_f8", "big-endian"), ("complex", "<c16"), ("structured", "structured"), ("object", "Python objects"),
      ("text", "text, not numbers"),
    ] {
      expectError(.format, containing: part, name + ".npy") { _ = try readNPY(fixture(name + ".npy")) }
    }
  }

  @Test func survivesARoundTrip() throws {
    let directory = try TemporaryDirectory()
    for (elementType, dimensions) in [
      (ElementType.float32, [2, 3]), (.float64, [6]), (.int64, [1, 2, 3]), (.uint8, [3, 1, 2, 1]), (.float32, [0, 5]),
    ] {
      let shape = try Shape(checking: dimensions)
      let tensor = try Tensor((0..<shape.count).map(Double.init), shape: shape, elementType: elementType)
      try writeNPY(tensor, to: directory.path("a.npy"))
      let back = try readNPY(directory.path("a.npy"))
      #expect(back.shape == shape && back.elementType == elementType && back.bytes == tensor.bytes)
    }
    try writeNPY(try Tensor([2.5], shape: Shape()), to: directory.path("a.npy"))
    #expect(try readBytes(directory.path("a.npy")).count == 128 + 8)
    #expect(try readNPY(directory.path("a.npy")).values == [2.5])
  }

  /// An .npy file with this header, and zeros for data.
  private func npy(_ header: String, dataLength: Int) -> [UInt8] {
    [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(header.utf8.count & 0xff), UInt8(header.utf8.count >> 8)]
      + Array(header.utf8) + Array(repeating: 0, count: dataLength)
  }

  @Test func refusesMalformedHeaders() throws {
    let directory = try TemporaryDirectory()
    let headers = [
      "", "{", "{}", "{'descr': '<f8'}", "{'descr': '<f8', 'fortran_order': False, 'shape': (1,)",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (1,)} x",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}",
      "{'descr': '<f8', 'fortran_order': Maybe, 'shape': (1,)}", "{'descr': '<f8', 'fortran_order': False, 'shape': 1}",
      "{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (1,)}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'more': 1}", "{'descr': <f8}", "{descr: '<f8'}",
      "{'descr': '<U0', 'fortran_order': False, 'shape': (1,)}",
      "{'descr': '<U99999999999', 'fortran_order': False, 'shape': (1,)}",
    ]
    for header in headers {
      let path = try directory.write(npy(header, dataLength: 8), to: "a.npy")
      expectError(.format, containing: path) { _ = try readNPY(path) }
    }
    let good = npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", dataLength: 8)
    _ = try readNPY(try directory.write(good, to: "a.npy"))
    for length in 0..<good.count {
      let path = try directory.write(Array(good[..<length]), to: "a.npy")
      #expect(throws: DidactError.self) { try readNPY(path) }
    }
  }

  @Test func refusesShapesThatDoNotFit() throws {
    let directory = try TemporaryDirectory()
    for (shape, code, part) in [
      ("(2,)", DidactError.Code.format, "8 bytes of data for shape [2]"), ("(1, 2, 1, 1, 1)", .shape, "at most 4"),
      ("(4294967296, 4294967296)", .shape, "too large"), ("(4294967296, 0)", .format, "8 bytes of data"),
    ] {
      let header = "{'descr': '<f8', 'fortran_order': True, 'shape': \(shape)}"
      let path = try directory.write(npy(header, dataLength: 8), to: "a.npy")
      expectError(code, containing: part) { _ = try readNPY(path) }
    }
    // Nothing in very many rows: neither memory nor time may go into them.
    let header = "{'descr': '<f8', 'fortran_order': True, 'shape': (400000000000000, 0)}"
    let path = try directory.write(npy(header, dataLength: 0), to: "a.npy")
    #expect(try readNPY(path).count == 0)
    #expect(throws: DidactError.self) { try Dataset(npy: path) }
  }

  // MARK: npz

  @Test(arguments: ["stored.npz", "compressed.npz"])
  func readsADataset(name: String) throws {
    let data = try Dataset(npz: fixture(name))
    #expect(data.features.shape == Shape(4, 3) && data.features.elementType == .float64)
    #expect(data.features.values == (0..<12).map(Double.init))
    #expect(data.classNames == ["3", "7"])
    #expect(data.labels == [1, -1, 0, 1])
    #expect(data.unlabeled?.values == Array(repeating: 0.5, count: 6))
    #expect(data.testFeatures?.values == [0, 1, 2, 3, 4, 5])
    #expect(data.testLabels == [0, 1])
    #expect(data.featureNames == ["x0", "x1", "x2"])
  }

  @Test func readsTextLabels() throws {
    let data = try Dataset(npz: fixture("text_labels.npz"))
    #expect(data.classNames == ["cat", "dog"])
    #expect(data.labels == [1, -1, 0, 1])
  }

  @Test func readsTextBeyondASCII() throws {
    guard case .text(let strings, let shape) = try NumPyArray(try readFile(fixture("text.npy"))) else {
      Issue.record("no text")
      return
    }
    #expect(strings == ["a", "bcd", "", "é😀"] && shape == Shape(2, 2))
  }

  @Test func readsFeaturesAloneAndIgnoresOtherArrays() throws {
    let data = try Dataset(npz: fixture("features_only.npz"))
    #expect(data.features.elementType == .float32)
    #expect(data.labels == [-1, -1, -1, -1] && data.classNames.isEmpty)
    #expect(data.unlabeled == nil && data.testFeatures == nil && data.testLabels == nil)
  }

  @Test func readsLargerCompressedArrays() throws {
    let data = try Dataset(npz: fixture("large.npz"))
    #expect(data.features.shape == Shape(600, 100))
    #expect(data.features[250] == 250 && data.features[251] == 0 && data.features[59_999] == 10)
  }

  @Test func reads64BitSizes() throws {
    #expect(try Dataset(npz: fixture("zip64.npz")).features.values == [0, 1, 2, 3, 4, 5])
  }

  @Test func refusesUnusableArrays() {
    expectError(.data, containing: "row 1, column 1", "x1") { _ = try Dataset(npz: fixture("infinite.npz")) }
    expectError(.data, containing: "X_unlabelled", "Did you mean \"X_unlabeled\"") {
      _ = try Dataset(npz: fixture("misspelt.npz"))
    }
    expectError(.shape, containing: "2 labels for 4 rows") { _ = try Dataset(npz: fixture("few_labels.npz")) }
  }

  // MARK: Damaged archives

  /// A fixture, changed, is refused.
  private func expectRefusal(
    of name: String, _ part: String, sourceLocation: SourceLocation = #_sourceLocation,
    change: (inout [UInt8]) throws -> Void
  ) throws {
    let directory = try TemporaryDirectory()
    var bytes = try readBytes(fixture(name))
    try change(&bytes)
    let path = try directory.write(bytes, to: "a.npz")
    expectError(.format, containing: path, part, sourceLocation: sourceLocation) { _ = try Dataset(npz: path) }
  }

  /// The place of the first record with this signature.
  private func find(_ signature: [UInt8], in bytes: [UInt8]) throws -> Int {
    try #require(bytes.indices.first { bytes[$0...].starts(with: signature) })
  }

  private let directoryRecord: [UInt8] = [0x50, 0x4b, 1, 2]

  private func setLength(_ length: UInt32, at field: Int, of bytes: inout [UInt8]) throws {
    let record = try find(directoryRecord, in: bytes)
    for i in 0..<4 { bytes[record + field + i] = UInt8(truncatingIfNeeded: length >> (8 * UInt32(i))) }
  }

  @Test func refusesWrongChecksums() throws {
    for name in ["stored.npz", "compressed.npz"] {
      try expectRefusal(of: name, "checksum") { bytes in
        let record = try find(directoryRecord, in: bytes)
        bytes[record + 16] ^= 1
      }
    }
    try expectRefusal(of: "stored.npz", "checksum") { bytes in
      // The first array's last byte, before the next local header.
      bytes[try find([0x50, 0x4b, 3, 4, 45, 0, 0, 0, 0, 0, 0, 0, 33, 0], in: Array(bytes[4...])) + 3] ^= 1
    }
  }

  @Test func refusesSizesThatDifferFromTheArrays() throws {
    // X.npy has 128 + 96 bytes.
    for length: UInt32 in [223, 225, 100, 100_000] {
      try expectRefusal(of: "compressed.npz", "X") { try setLength(length, at: 24, of: &$0) }
    }
  }

  @Test func refusesABombBeforeAllocating() throws {
    try expectRefusal(of: "compressed.npz", "cannot have the size") { try setLength(4_000_000_000, at: 24, of: &$0) }
    try expectRefusal(of: "zip64.npz", "malformed") { bytes in
      // The length in the 64-bit extra field.
      let record = try find(directoryRecord, in: bytes)
      bytes[record + 46 + 5 + 4 + 7] = 0x7f
    }
  }

  @Test func refusesDataBeyondTheDeclaredSize() throws {
    // The array's own header is made to fit a shorter entry, so that only the inflated data is longer.
    let directory = try TemporaryDirectory()
    var bytes = try readBytes(fixture("compressed.npz"))
    try setLength(224 - 8, at: 24, of: &bytes)
    let content = try readFile(try directory.write(bytes, to: "a.npz"))
    let archive = try ZipArchive(content)
    expectError(.format, containing: "not the declared one") { _ = try archive.read(archive.entries[0]) }
    try setLength(224 + 8, at: 24, of: &bytes)
    let longer = try ZipArchive(try readFile(try directory.write(bytes, to: "a.npz")))
    expectError(.format, containing: "not the declared one") { _ = try longer.read(longer.entries[0]) }
  }

  @Test func refusesEncryptedAndOtherwiseCompressedEntries() throws {
    try expectRefusal(of: "stored.npz", "encrypted") { bytes in bytes[try find(directoryRecord, in: bytes) + 8] |= 1 }
    try expectRefusal(of: "stored.npz", "method 12") { bytes in bytes[try find(directoryRecord, in: bytes) + 10] = 12 }
  }

  @Test func refusesEntriesOutsideTheFile() throws {
    try expectRefusal(of: "stored.npz", "inside the file") { try setLength(1_000_000, at: 42, of: &$0) }
    try expectRefusal(of: "stored.npz", "inside the file") { try setLength(8, at: 42, of: &$0) }
  }

  @Test func refusesTwoEntriesOfOneName() throws {
    try expectRefusal(of: "stored.npz", "two entries are called X.npy") { bytes in
      let record = try find(directoryRecord, in: bytes)
      // The second record, of "y.npy", follows the 46 bytes and the name "X.npy" of the first.
      bytes[record + 46 + 5 + 46] = UInt8(ascii: "X")
    }
  }

  @Test func anyPrefixOfAnArchiveIsRefused() throws {
    let directory = try TemporaryDirectory()
    let bytes = try readBytes(fixture("zip64.npz"))
    for length in 0..<bytes.count {
      let path = try directory.write(Array(bytes[..<length]), to: "a.npz")
      #expect(throws: DidactError.self) { try Dataset(npz: path) }
    }
  }

  /// Any byte may be anything: an error or a dataset, never a crash.
  @Test func surviveChangedBytes() throws {
    let directory = try TemporaryDirectory()
    let draw = RandomStream(seed: 5, name: "test").draw(0)
    for name in ["stored.npz", "compressed.npz", "zip64.npz"] {
      let original = try readBytes(fixture(name))
      for round in 0..<300 {
        var bytes = original
        for change in 0..<3 {
          bytes[draw.integer(round * 8 + 2 * change, below: bytes.count)] = UInt8(
            draw.integer(round * 8 + 2 * change + 1, below: 256))
        }
        _ = try? Dataset(npz: try directory.write(bytes, to: "a.npz"))
      }
    }
  }
}
