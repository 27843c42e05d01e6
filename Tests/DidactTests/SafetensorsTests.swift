#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif
import Testing

@testable import Didact

@Suite("Safetensors") struct SafetensorsTests {
  /// A file with this header and so many bytes of data.
  private func file(_ header: String, dataLength: Int, headerLength: UInt64? = nil) -> [UInt8] {
    let length = headerLength ?? UInt64(header.utf8.count)
    return (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + Array(header.utf8)
      + (0..<dataLength).map { UInt8(truncatingIfNeeded: $0) }
  }

  private func read(_ bytes: [UInt8]) throws -> SafetensorsFile {
    try bytes.withUnsafeBytes { try SafetensorsFile(bytes: $0) }
  }

  private func expectRefusal(
    _ header: String, dataLength: Int, _ part: String, sourceLocation: SourceLocation = #_sourceLocation
  ) {
    expectError(.format, containing: part, sourceLocation: sourceLocation) {
      _ = try read(file(header, dataLength: dataLength))
    }
  }

  private func example() throws -> SafetensorsFile {
    SafetensorsFile(
      metadata: [("name", "didact"), ("about", "quotes \" and é")],
      tensors: [
        ("student.dense0.weight", try Tensor([1, -2.5, 3, 4, 5, 6], shape: Shape(2, 3), elementType: .float32)),
        ("mask", try Tensor([1, 2, 255], shape: Shape(3), elementType: .uint8)),
        ("a.double", try Tensor([0.1, .pi], shape: Shape(2))),
        ("step", try Tensor([-7], shape: Shape(), elementType: .int64)),
        ("empty", try Tensor(Shape(0, 4), .float32)),
        ("kernel", try Tensor(try Shape(checking: [2, 1, 3, 3]), .float32)),
      ])
  }

  @Test func survivesARoundTrip() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("model.safetensors")
    let original = try example()
    try original.write(to: path)
    let back = try SafetensorsFile(reading: path)
    #expect(back.metadata.map(\.key) == original.metadata.map(\.key))
    #expect(back.metadata.map(\.value) == original.metadata.map(\.value))
    #expect(back.tensors.map(\.name) == original.tensors.map(\.name))
    for (a, b) in zip(original.tensors, back.tensors) {
      #expect(a.tensor.shape == b.tensor.shape)
      #expect(a.tensor.elementType == b.tensor.elementType)
      #expect(a.tensor.bytes == b.tensor.bytes)
    }
    #expect(back.tensor(named: "mask")?.values == [1, 2, 255])
    #expect(back.tensor(named: "none") == nil)
    #expect(back.metadata(named: "name") == "didact")
    let headerLength = try readBytes(path)[0]
    #expect(headerLength % 8 == 0)
  }

  @Test func readsAViewAsItsOwnRows() throws {
    let directory = try TemporaryDirectory()
    let matrix = try Tensor([0, 1, 2, 3, 4, 5], shape: Shape(3, 2), elementType: .float32)
    try SafetensorsFile(tensors: [("rows", matrix.rows(1..<3))]).write(to: directory.path("a"))
    #expect(try SafetensorsFile(reading: directory.path("a")).tensor(named: "rows")?.values == [2, 3, 4, 5])
  }

  @Test func readsTheOfficialLibrarysFile() throws {
    let file = try SafetensorsFile(reading: fixture("official.safetensors"))
    #expect(file.metadata(named: "name") == "didact")
    #expect(file.tensors.count == 4)
    #expect(file.tensor(named: "weight")?.values == [0, 1, 2, 3, 4, 5])
    #expect(file.tensor(named: "weight")?.shape == Shape(2, 3))
    #expect(file.tensor(named: "count")?.values == [7])
    #expect(file.tensor(named: "count")?.shape == Shape())
    #expect(file.tensor(named: "mask")?.values == [1, 2, 3])
    #expect(file.tensor(named: "empty")?.shape == Shape(0, 4))
  }

  @Test func readsAnEmptyFileAndPadding() throws {
    #expect(try read(file("{}", dataLength: 0)).tensors.isEmpty)
    #expect(try read(file("{}      ", dataLength: 0)).tensors.isEmpty)
  }

  @Test func ordersTensorsByTheirBytes() throws {
    let header =
      #"{"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#
    #expect(try read(file(header, dataLength: 3)).tensors.map(\.name) == ["a", "b"])
  }

  // MARK: Rejections

  @Test func refusesFewerThanEightBytes() {
    for count in 0..<8 {
      expectError(.format, containing: "too few") { _ = try read(Array(repeating: 0, count: count)) }
    }
  }

  @Test func refusesAHeaderBeyondTheLimit() {
    for length: UInt64 in [16 << 20 + 1, .max, 1 << 63] {
      expectError(.format, containing: "too long") { _ = try read(file("{}", dataLength: 0, headerLength: length)) }
    }
  }

  @Test func refusesAHeaderThatIsCutOff() {
    expectError(.format, containing: "cut off") { _ = try read(file("{}", dataLength: 0, headerLength: 3)) }
  }

  @Test func refusesAHeaderThatDoesNotStartWithABrace() {
    expectRefusal(" {}", dataLength: 0, "does not start")
    expectRefusal("[]", dataLength: 0, "does not start")
    expectRefusal("", dataLength: 0, "does not start")
  }

  @Test func refusesAHeaderThatIsNoJSON() {
    expectRefusal("{", dataLength: 0, "JSON line 1")
    expectRefusal("{} {}", dataLength: 0, "JSON line 1")
  }

  @Test func refusesDuplicateNames() {
    let entry = #"{"dtype":"U8","shape":[1],"data_offsets":[0,1]}"#
    expectRefusal("{\"a\":\(entry),\"a\":\(entry)}", dataLength: 1, "twice")
  }

  @Test func refusesMetadataThatIsNotText() {
    expectRefusal(#"{"__metadata__":{"a":1}}"#, dataLength: 0, "\"a\" is not a text")
    expectRefusal(#"{"__metadata__":"a"}"#, dataLength: 0, "__metadata__")
    expectRefusal(#"{"__metadata__":{"a":"b","a":"c"}}"#, dataLength: 0, "twice")
  }

  @Test func refusesUnknownElementTypes() {
    expectRefusal(
      #"{"w":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}"#, dataLength: 2, "\"w\": elements of type BF16")
    expectRefusal(#"{"w":{"dtype":1,"shape":[1],"data_offsets":[0,2]}}"#, dataLength: 2, "no dtype")
    expectRefusal(#"{"w":{"shape":[1],"data_offsets":[0,2]}}"#, dataLength: 2, "no dtype")
  }

  @Test func refusesMoreThanFourDimensions() {
    expectRefusal(#"{"w":{"dtype":"U8","shape":[1,1,1,1,1],"data_offsets":[0,1]}}"#, dataLength: 1, "at most 4")
  }

  @Test func refusesMalformedShapes() {
    for shape in ["[-1]", "[1.0]", "[\"1\"]", "1", "null", "[null]", "[1e0]", "[18446744073709551616]"] {
      expectRefusal(#"{"w":{"dtype":"U8","shape":\#(shape),"data_offsets":[0,1]}}"#, dataLength: 1, "\"w\": its shape")
    }
    expectRefusal(#"{"w":{"dtype":"U8","data_offsets":[0,1]}}"#, dataLength: 1, "its shape")
  }

  @Test func refusesShapesThatOverflow() {
    for shape in ["[4294967296,4294967296]", "[9223372036854775807]", "[9223372036854775807,0]"] {
      expectRefusal(#"{"w":{"dtype":"F64","shape":\#(shape),"data_offsets":[0,0]}}"#, dataLength: 0, "too large")
    }
  }

  @Test func refusesMalformedOffsets() {
    for offsets in ["[0]", "[0,1,2]", "[-1,0]", "[0,1.0]", "\"0\"", "null", "[0,18446744073709551616]"] {
      expectRefusal(
        #"{"w":{"dtype":"U8","shape":[1],"data_offsets":\#(offsets)}}"#, dataLength: 1, "\"w\": its data_offsets")
    }
    expectRefusal(#"{"w":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}"#, dataLength: 1, "ends before it starts")
  }

  @Test func refusesShapesThatDoNotFitTheBytes() {
    expectRefusal(#"{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, dataLength: 4, "takes 8 bytes")
    expectRefusal(#"{"w":{"dtype":"F32","shape":[0],"data_offsets":[0,4]}}"#, dataLength: 4, "takes 0 bytes")
  }

  @Test func refusesUnknownFields() {
    expectRefusal(#"{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1}}"#, dataLength: 1, "unknown field \"x\"")
    expectRefusal(#"{"w":[]}"#, dataLength: 0, "not an object")
  }

  private func two(_ first: String, _ second: String) -> String {
    #"{"a":{"dtype":"U8","shape":[2],"data_offsets":\#(first)},"b":{"dtype":"U8","shape":[2],"data_offsets":\#(second)}}"#
  }

  @Test func refusesOverlaps() {
    expectRefusal(two("[0,2]", "[1,3]"), dataLength: 3, "overlap")
    expectRefusal(two("[0,2]", "[0,2]"), dataLength: 2, "overlap")
  }

  @Test func refusesHoles() {
    expectRefusal(two("[0,2]", "[3,5]"), dataLength: 5, "hole")
    expectRefusal(two("[1,3]", "[3,5]"), dataLength: 5, "hole")
  }

  @Test func refusesBytesThatBelongToNoTensor() {
    expectRefusal(two("[0,2]", "[2,4]"), dataLength: 5, "1 bytes at the end")
    expectRefusal("{}", dataLength: 1, "1 bytes at the end")
  }

  @Test func refusesTensorsThatAreCutOff() {
    expectRefusal(two("[0,2]", "[2,4]"), dataLength: 3, "\"b\" ends at byte 4 of 3")
  }

  @Test func anyPrefixOfAFileIsRefused() throws {
    let directory = try TemporaryDirectory()
    try example().write(to: directory.path("a"))
    let bytes = try readBytes(directory.path("a"))
    for length in 0..<bytes.count {
      #expect(throws: DidactError.self) { try read(Array(bytes[..<length])) }
    }
  }

  @Test func errorsNameTheFile() throws {
    let directory = try TemporaryDirectory()
    let path = try directory.write([1, 2, 3], to: "broken")
    expectError(.format, containing: path) { _ = try SafetensorsFile(reading: path) }
    expectError(.file, containing: "none") { _ = try SafetensorsFile(reading: directory.path("none")) }
  }

  // MARK: Writing

  @Test func refusesToWriteANameTwice() throws {
    let directory = try TemporaryDirectory()
    let tensor = try Tensor(Shape(1), .uint8)
    for file in [
      SafetensorsFile(tensors: [("a", tensor), ("a", tensor)]), SafetensorsFile(tensors: [("__metadata__", tensor)]),
      SafetensorsFile(metadata: [("a", "b"), ("a", "c")]),
    ] {
      expectError(.invalidArgument, containing: directory.path("a")) { try file.write(to: directory.path("a")) }
    }
    #expect(directory.fileNames == [])
  }

  @Test func aFailingWriteLeavesTheOldFile() throws {
    let directory = try TemporaryDirectory()
    let path = directory.path("model")
    try example().write(to: path)
    let before = try readBytes(path)
    var changed = try example()
    changed.tensors.removeLast()
    var step = 0
    var failures = 0
    for failing in 0... {
      step = 0
      var failed = false, isNaming = false
      do {
        try changed.write(to: path) { operation in
          defer { step += 1 }
          // Where there are no files without a name, none is given one.
          guard step == failing, operation != .synchronizeDirectory else { return nil }
          isNaming = operation == .name
          failed = true
          return EIO
        }
      } catch {
        failures += isNaming ? 0 : 1
        #expect(try readBytes(path) == before)
        #expect(directory.fileNames == ["model"])
      }
      if !failed { break }
    }
    // Opening, the header, four tensors that are not empty, fsync, close and rename.
    #expect(failures == 9)
    #expect(try SafetensorsFile(reading: path).tensors.count == 5)
  }
}
