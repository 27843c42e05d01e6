import Testing

@testable import Didact

@Suite("Image files") struct ImageFileTests {
  // MARK: Digits

  @Test func digitsAsImages() throws {
    let vectors = try Dataset.digits(), images = try Dataset.digits(asImages: true)
    try images.validate()
    #expect(vectors.imageExtent == nil && images.imageExtent == Extent(8, 8, 1) && images.featureNames.isEmpty)
    #expect(images.labels == vectors.labels)
    #expect(images.features.values == vectors.features.values.map { ($0 * 255 / 16).rounded() })
    let split = try images.stratifiedSplit(seed: 0)
    #expect(split.imageExtent == Extent(8, 8, 1) && split.testLabels?.count == 450)
  }

  @Test func imagesFitTheirColumns() throws {
    let rows = try Tensor(Shape(2, 12), .uint8)
    let data = Dataset(features: rows, labels: [0, 1], classNames: ["a", "b"], imageExtent: Extent(2, 2, 3))
    try data.validate()
    expectError(.shape, containing: "12 columns are not images [2, 2, 4]") {
      try Dataset(features: rows, labels: [0, 1], classNames: ["a", "b"], imageExtent: Extent(2, 2, 4)).validate()
    }
    // An image of one pixel is a vector.
    let vectors = Dataset(features: rows, labels: [0, 1], classNames: ["a", "b"], imageExtent: Extent(1, 1, 12))
    #expect(vectors.imageExtent == nil && vectors.featureNames.count == 12)
  }

  // MARK: CIFAR

  /// A record of `cifar-10.tar.gz`, channels last.
  private func cifarImage(_ number: Int) -> [Double] {
    (0..<1024).flatMap { pixel in (0..<3).map { Double((number + pixel + 1024 * $0) % 251) } }
  }

  @Test func readsCIFAR() throws {
    let path = fixture("cifar-10.tar.gz")
    #expect(try ImageFormat(detecting: path) == .cifar10)
    let data = try Dataset(images: path)
    try data.validate()
    #expect(data.features.shape == Shape(10, 3072) && data.imageExtent == Extent(32, 32, 3))
    #expect(data.labels == Array(0..<10) && data.classNames == (0..<10).map { "class \($0)" })
    for row in 0..<10 { #expect(data.features.rows(row..<row + 1).values == cifarImage(row)) }
    #expect(data.testFeatures?.values == cifarImage(7) && data.testLabels == [7])
    expectError(.data, containing: path, "train.bin, test.bin, fine_label_names.txt missing") {
      _ = try Dataset(cifar100: path)
    }
    expectError(.invalidArgument, containing: "for folders of images; this is cifar10") {
      _ = try Dataset(images: path, options: ImageOptions(size: (8, 8)))
    }
  }

  @Test func readsCIFAR100() throws {
    let directory = try TemporaryDirectory()
    for (name, labels) in [("train.bin", [(0, 99), (19, 0)]), ("test.bin", [(3, 50)])] {
      let records = labels.flatMap { coarse, fine in
        [UInt8(coarse), UInt8(fine)] + (0..<3072).map { UInt8(truncatingIfNeeded: $0 / 1024 + fine) }
      }
      try directory.write(records, to: name)
    }
    _ = try directory.write((0..<100).map { "fine_\($0)\n" }.joined(), to: "fine_label_names.txt")
    #expect(try ImageFormat(detecting: directory.path) == .cifar100)
    let data = try Dataset(cifar100: directory.path)
    #expect(data.labels == [99, 0] && data.testLabels == [50] && data.classNames[99] == "fine_99")
    #expect(Array(data.features.values.prefix(4)) == [99, 100, 101, 99])
    for (position, value, part) in [(1, 100, "record 0: label 100"), (3074, 20, "record 1: coarse label 20")] {
      var records = try readBytes(directory.path("train.bin"))
      records[position] = UInt8(value)
      let folder = try TemporaryDirectory()
      try folder.write(records, to: "train.bin")
      for name in ["test.bin", "fine_label_names.txt"] {
        try folder.write(readBytes(directory.path(name)), to: name)
      }
      expectError(.data, containing: folder.path, "train.bin, \(part)") { _ = try Dataset(cifar100: folder.path) }
    }
  }

  // MARK: Archives

  private func tarHeader(_ name: String, length: Int, type: Character = "0") -> [UInt8] {
    var header = Array(repeating: UInt8(0), count: 512)
    header.replaceSubrange(0..<name.utf8.count, with: name.utf8)
    let digits = String(length, radix: 8)
    header.replaceSubrange(124..<124 + digits.utf8.count, with: digits.utf8)
    header[156] = type.asciiValue ?? 0
    let sum = header.reduce(0) { $0 + Int($1) } + 8 * 32
    header.replaceSubrange(148..<156, with: Array((String(sum, radix: 8) + "\0      ").utf8.prefix(8)))
    return header
  }

  private func entries(_ bytes: [UInt8]) throws -> [String] {
    let buffer = try Buffer(byteCount: bytes.count)
    buffer.address.copyMemory(from: bytes, byteCount: bytes.count)
    var reader = TarReader(try ByteStream(buffer, 0..<bytes.count, .none)), found: [String] = []
    while let entry = try reader.next() {
      let content = try reader.readContent().withBytes { String(decoding: $0, as: UTF8.self) }
      found.append("\(entry.name)=\(content)")
    }
    return found
  }

  @Test func readsArchives() throws {
    func block(_ text: String) -> [UInt8] { Array(text.utf8) + Array(repeating: 0, count: 512 - text.utf8.count) }
    let end = Array(repeating: UInt8(0), count: 1024)
    let archive =
      tarHeader("folder/", length: 0, type: "5") + tarHeader("pax", length: 3, type: "x") + block("pax")
      + tarHeader("folder/a b", length: 5) + block("hello") + tarHeader("empty", length: 0)
    #expect(try entries(archive + end) == ["folder/a b=hello", "empty="])
    expectError(.format, containing: "cut off") { _ = try entries(archive) }
    expectError(.format, containing: "cut off") { _ = try entries(tarHeader("a", length: 8_000_000_000) + end) }
    for position in [0, 100, 124, 148, 156] {
      var damaged = archive + end
      damaged[position] ^= 1
      expectError(.format, containing: "checksum") { _ = try entries(damaged) }
    }
  }

  // MARK: SVHN

  private func element(_ type: UInt32, _ bytes: [UInt8]) -> [UInt8] {
    words(type, UInt32(bytes.count)) + bytes + Array(repeating: 0, count: (8 - bytes.count % 8) % 8)
  }

  private func words(_ values: UInt32...) -> [UInt8] {
    values.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
  }

  /// An uncompressed matrix.
  private func matrix(_ name: String, _ lengths: [UInt32], _ kind: UInt32, _ storage: UInt32, _ data: [UInt8])
    -> [UInt8]
  {
    element(
      14,
      element(6, words(kind, 0)) + element(5, lengths.flatMap { words($0) }) + element(1, Array(name.utf8))
        + element(storage, data))
  }

  private func matFile(_ elements: [UInt8]...) -> [UInt8] {
    let text = "MATLAB 5.0 MAT-file"
    return Array(text.utf8) + Array(repeating: 32, count: 124 - text.utf8.count) + [0, 1, 0x49, 0x4d]
      + elements.flatMap { $0 }
  }

  @Test func readsSVHN() throws {
    let directory = try TemporaryDirectory()
    let pixels = (0..<2 * 3072).map { UInt8($0 % 253) }
    let y = matrix("y", [2, 1], 6, 2, [10, 3])
    try directory.write(matFile(matrix("X", [32, 32, 3, 2], 9, 2, pixels), y), to: "train_32x32.mat")
    #expect(try ImageFormat(detecting: directory.path) == .svhn)
    #expect(try ImageFormat(detecting: directory.path("train_32x32.mat")) == .svhn)
    let data = try Dataset(images: directory.path)
    try data.validate()
    #expect(data.labels == [0, 3] && data.classNames == (0..<10).map { String($0) } && data.testFeatures == nil)
    let expected = (0..<2).flatMap { image in
      (0..<32).flatMap { row in
        (0..<32).flatMap { column in
          (0..<3).map { Double(pixels[row + 32 * (column + 32 * ($0 + 3 * image))]) }
        }
      }
    }
    #expect(data.features.values == expected)
    try directory.write(matFile(matrix("X", [32, 32, 3, 200], 9, 2, pixels), y), to: "train_32x32.mat")
    expectError(.format, containing: directory.path("train_32x32.mat"), "damaged") {
      _ = try Dataset(images: directory.path)
    }
  }

  // MARK: Folders

  private func copy(_ fixtureName: String, to path: String) throws {
    let bytes = try readBytes(fixture(fixtureName))
    try writeFileAtomically(to: path) { writer in try bytes.withUnsafeBytes { try writer.write($0) } }
  }

  @Test func readsFolders() throws {
    let directory = try TemporaryDirectory()
    let color = (10..<28).map(Double.init), gray = (0..<6).map { Double(10 + 3 * $0) }
    for name in ["b", "ä b", "unlabeled"] { _ = try directory.folder(name) }
    try copy("gray.png", to: directory.path("b/1.png"))
    try copy("gray.png", to: directory.path("ä b/0.png"))
    try copy("gray.jpg", to: directory.path("unlabeled/2.jpg"))
    #expect(try ImageFormat(detecting: directory.path) == .folder)
    let shades = try Dataset(imageFolder: directory.path)
    try shades.validate()
    #expect(shades.imageExtent == Extent(2, 3, 1) && shades.features.values == gray + gray)
    #expect(shades.classNames == ["b", "ä b"] && shades.labels == [0, 1])
    #expect(shades.unlabeled?.values == Array(repeating: 90, count: 6))
    #expect(shades.imageFiles == ["b/1.png", "ä b/0.png"] && shades.skippedFiles.isEmpty)

    try copy("color.png", to: directory.path("b/2.png"))
    try directory.write(Array("text".utf8), to: "b/3.png")
    expectError(.format, containing: directory.path("b/3.png"), "neither a PNG nor a JPEG") {
      _ = try Dataset(imageFolder: directory.path)
    }
    for threads in 0...3 {
      let data = try Dataset(
        images: directory.path, options: ImageOptions(skipsCorruptFiles: true, threads: threads))
      #expect(data.imageExtent == Extent(2, 3, 3))
      #expect(data.features.values == gray.flatMap { [$0, $0, $0] } + color + gray.flatMap { [$0, $0, $0] })
      #expect(data.skippedFiles.map(\.path) == ["b/3.png"] && data.imageFiles.count == 3)
    }
    let resized = try Dataset(
      imageFolder: directory.path, options: ImageOptions(size: (1, 1), skipsCorruptFiles: true))
    #expect(resized.features.shape == Shape(3, 3) && resized.features.values.prefix(3).allSatisfy { $0 == 18 })
    try copy("transparent.png", to: directory.path("b/3.png"))
    expectError(.format, containing: "b/3.png: it has transparent pixels") {
      _ = try Dataset(imageFolder: directory.path)
    }
  }

  @Test(arguments: [
    "Unlabeled", "unlabelled", "un-labeled", "unlabled", "UNLABELED", "unlabeld", "no_label", "not labelled",
  ])
  func foldersCalledNearlyUnlabeledAreNoClasses(name: String) throws {
    let directory = try TemporaryDirectory()
    for folder in ["cat", "dog", name] {
      _ = try directory.folder(folder)
      try copy("gray.png", to: directory.path("\(folder)/1.png"))
    }
    expectError(.data, containing: directory.path, "\"\(name)\"", "Did you mean \"unlabeled\"?") {
      _ = try Dataset(imageFolder: directory.path)
    }
  }

  @Test func foldersCalledNearlyAsAPartAreNamed() throws {
    func read(_ folders: [String]) throws -> Dataset {
      let directory = try TemporaryDirectory()
      var outer = Set<Substring>()
      for folder in folders {
        let name = folder.prefix { $0 != "/" }
        if name != folder, outer.insert(name).inserted { _ = try directory.folder(String(name)) }
        _ = try directory.folder(folder)
        try copy("gray.png", to: directory.path("\(folder)/1.png"))
      }
      return try Dataset(imageFolder: directory.path)
    }
    for (folders, name) in [
      (["Train/a", "Train/b", "Test/a"], "train"), (["TRAIN/a", "test/a"], "train"),
      (["training/a", "training/b"], "train"),
      (["train/a", "train/b", "Test/a"], "test"), (["train/a", "train/b", "Unlabelled"], "unlabeled"),
      (["train/a", "train/b", "train/Unlabeled"], "unlabeled"),
    ] {
      expectError(.data, containing: "Did you mean \"\(name)\"?") { _ = try read(folders) }
    }
    // A railway among cars, and what is no slip.
    #expect(try read(["Train", "car"]).classNames == ["Train", "car"])
    #expect(try read(["labeled", "enabled", "tests", "trains"]).classNames.count == 4)
  }

  @Test func refusesOptionsOutOfRange() {
    for options in [
      ImageOptions(size: (0, 1)), ImageOptions(size: (1, 70_000)), ImageOptions(threads: -1),
      ImageOptions(threads: 2000),
    ] {
      expectError(.invalidArgument) { _ = try Dataset(imageFolder: "/nowhere", options: options) }
    }
    expectError(.file, containing: "/nowhere") { _ = try Dataset(imageFolder: "/nowhere") }
    expectError(.file, containing: "/nowhere") { _ = try ImageFormat(detecting: "/nowhere") }
    expectError(.invalidArgument, containing: "Did you mean \"image_size\"") {
      _ = try Dataset(images: "/nowhere", json: ["image_sise": [1, 2]])
    }
    expectError(.invalidArgument, containing: "height and width") {
      _ = try Dataset(images: "/nowhere", json: ["image_size": [1, 2, 3]])
    }
  }

  @Test func archiveWithoutCompression() throws {
    let directory = try TemporaryDirectory()
    try directory.write(Array(repeating: 0, count: 1024), to: "a.tar")
    expectError(.format, containing: directory.path("a.tar"), "not compressed by gzip") {
      _ = try Dataset(cifar10: directory.path("a.tar"))
    }
  }

  // MARK: Damage

  /// Damage is an error or goes unnoticed; a trap would end the tests.
  @Test func survivesDamage() throws {
    let directory = try TemporaryDirectory(), images = try directory.folder("images")
    let mat = matFile(
      matrix("X", [32, 32, 3, 1], 9, 2, Array(repeating: 7, count: 3072)), matrix("y", [1, 1], 6, 2, [4]))
    let files: [(name: String, bytes: [UInt8], read: (String) throws -> Dataset)] = [
      ("a.tar.gz", try readBytes(fixture("cifar-10.tar.gz")), { try Dataset(cifar10: $0) }),
      ("a.mat", mat, { try Dataset(svhn: $0) }),
      ("images/a.png", try readBytes(fixture("color.png")), { _ in try Dataset(imageFolder: images) }),
      ("images/a.jpg", try readBytes(fixture("gray.jpg")), { _ in try Dataset(imageFolder: images) }),
    ]
    let draw = RandomStream(seed: 1, name: "damage").draw(0)
    var index = 0, refused = 0
    func random(below bound: Int) -> Int {
      index += 1
      return min(bound - 1, Int(Double(bound) * draw.uniform(index)))
    }
    for file in files {
      for _ in 0..<200 {
        var bytes = file.bytes
        for _ in 0...random(below: 3) {
          bytes[random(below: random(below: 2) == 0 ? bytes.count : min(200, bytes.count))] = UInt8(random(below: 256))
        }
        if random(below: 4) == 0 { bytes.removeLast(random(below: bytes.count)) }
        try directory.write(bytes, to: file.name)
        do {
          try file.read(directory.path(file.name)).validate()
        } catch let error as DidactError {
          #expect(error.code != .internalError && error.message.contains(directory.path))
          refused += 1
        }
      }
      if file.name == "images/a.png" { try directory.write(readBytes(fixture("gray.png")), to: file.name) }
    }
    #expect(refused > 300)
  }
}
