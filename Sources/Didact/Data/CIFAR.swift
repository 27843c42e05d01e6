/// CIFAR-10 and CIFAR-100 in their binary version (A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images",
/// 2009, https://www.cs.toronto.edu/~kriz/cifar.html): images of 32 × 32 × 3.
enum CIFAR {
  /// What differs between the two.
  struct Version: Sendable {
    let name: String
    /// The folder in the archive, and the archive.
    let folder, archive: String
    let trainingFiles: [String], testFile: String, namesFile: String
    let classes: Int
    /// Of the coarse label that stands before the label; none in CIFAR-10.
    let coarseClasses: Int?

    var files: [String] { trainingFiles + [testFile, namesFile] }
    /// In bytes: one or two labels, then the planes of red, green and blue.
    var recordLength: Int { (coarseClasses == nil ? 1 : 2) + CIFAR.extent.count }
  }

  static let extent = Extent(32, 32, 3)
  static let ten = Version(
    name: "CIFAR-10", folder: "cifar-10-batches-bin", archive: "cifar-10-binary.tar.gz",
    trainingFiles: (1...5).map { "data_batch_\($0).bin" }, testFile: "test_batch.bin", namesFile: "batches.meta.txt",
    classes: 10, coarseClasses: nil)
  static let hundred = Version(
    name: "CIFAR-100", folder: "cifar-100-binary", archive: "cifar-100-binary.tar.gz", trainingFiles: ["train.bin"],
    testFile: "test.bin", namesFile: "fine_label_names.txt", classes: 100, coarseClasses: 20)

  /// The version of a folder or archive from the names in it; nil where it is neither.
  static func version(of names: [String]) -> Version? {
    [ten, hundred].first { names.contains($0.trainingFiles[0]) || names.contains($0.folder) }
  }

  // MARK: - Files

  /// The files of a version by name.
  static func files(_ version: Version, at path: String) throws -> [String: Buffer] {
    let files = try isDirectory(path) ? filesOfDirectory(version, path) : filesOfArchive(version, path)
    let missing = version.files.filter { files[$0] == nil }
    guard missing.isEmpty else {
      throw DidactError(
        .data, "\(missing.joined(separator: ", ")) missing; give \(version.archive) as published, or the folder in it")
    }
    return files
  }

  private static func filesOfDirectory(_ version: Version, _ path: String) throws -> [String: Buffer] {
    let names = try directoryEntries(path).map(\.name)
    if names.contains(version.folder), !names.contains(version.testFile) {
      return try filesOfDirectory(version, "\(path)/\(version.folder)")
    }
    return try Dictionary(
      uniqueKeysWithValues: version.files.filter { names.contains($0) }.map { ($0, try readFile("\(path)/\($0)")) })
  }

  private static func filesOfArchive(_ version: Version, _ path: String) throws -> [String: Buffer] {
    var files: [String: Buffer] = [:]
    try forEachEntry(of: path) { entry, archive in
      guard version.files.contains(entry.baseName) else { return true }
      guard files[entry.baseName] == nil else { throw DidactError(.format, "\(entry.baseName) is in it twice") }
      files[entry.baseName] = try archive.readContent()
      return true
    }
    return files
  }

  /// Calls `body` with the files of a `.tar.gz` archive until it returns false.
  static func forEachEntry(of path: String, _ body: (TarReader.Entry, inout TarReader) throws -> Bool) throws {
    let content = try readFile(path)
    guard content.withBytes({ $0.starts(with: [0x1f, 0x8b]) }) else {
      throw DidactError(.format, "it is not compressed by gzip; give the .tar.gz archive as published")
    }
    var archive = TarReader(try ByteStream(content, 0..<content.byteCount, .gzip))
    while let entry = try archive.next(), try body(entry, &archive) {}
  }

  // MARK: - Content

  /// The names of the classes, one a line.
  static func classNames(_ version: Version, _ content: Buffer) throws -> [String] {
    guard let text = content.withBytes({ String(validating: $0, as: UTF8.self) }) else {
      throw DidactError(.format, "\(version.namesFile): it is not UTF-8")
    }
    let names = text.split(whereSeparator: \.isNewline).map { line in
      String(line.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }.filter { !$0.isEmpty }
    guard names.count == version.classes, Set(names).count == names.count else {
      throw DidactError(
        .format, "\(version.namesFile): \(names.count) names of classes; there are \(version.classes), all different")
    }
    return names
  }

  /// The images [N, 32 · 32 · 3], channels last, and the labels of files one after the other.
  static func images(_ version: Version, _ files: [(name: String, content: Buffer)]) throws -> (Tensor, [Int]) {
    var count = 0
    for (name, content) in files {
      guard content.byteCount > 0, content.byteCount % version.recordLength == 0 else {
        throw DidactError(
          .format,
          "\(name): \(content.byteCount) bytes are no whole number of records of \(version.recordLength); it is cut off "
            + "or of another kind")
      }
      count += content.byteCount / version.recordLength
    }
    let images = try Tensor(Shape(count, extent.count), .uint8)
    var target = images.address.assumingMemoryBound(to: UInt8.self), labels: [Int] = []
    labels.reserveCapacity(count)
    let pixels = extent.pixels
    for (name, content) in files {
      try content.withBytes { bytes in
        for (number, start) in stride(from: 0, to: bytes.count, by: version.recordLength).enumerated() {
          var position = start
          func label(_ kind: String, below count: Int) throws -> Int {
            let label = Int(bytes[position])
            guard label < count else {
              throw DidactError(.data, "\(name), record \(number): \(kind) \(label) is not below \(count)")
            }
            position += 1
            return label
          }
          if let coarse = version.coarseClasses { _ = try label("coarse label", below: coarse) }
          labels.append(try label("label", below: version.classes))
          for pixel in position..<position + pixels {
            for channel in 0..<3 { target[channel] = bytes[pixel + channel * pixels] }
            target += 3
          }
        }
      }
    }
    return (images, labels)
  }
}

extension Dataset {
  /// Reads CIFAR-10 in its binary version: `cifar-10-binary.tar.gz` as published, or the folder in it. The test batch
  /// becomes the test part.
  /// - Throws: `DidactError.file`, `.format` for files that are damaged or of another kind, `.data` for a label out of range
  ///   or a missing file; all name the file.
  public init(cifar10 path: String) throws { try self.init(CIFAR.ten, path) }

  /// Reads CIFAR-100 in its binary version: `cifar-100-binary.tar.gz` as published, or the folder in it. The fine labels are
  /// the classes; the coarse ones are checked and left out.
  /// - Throws: as for CIFAR-10.
  public init(cifar100 path: String) throws { try self.init(CIFAR.hundred, path) }

  private init(_ version: CIFAR.Version, _ path: String) throws {
    do {
      let files = try CIFAR.files(version, at: path)
      func content(_ name: String) throws -> (name: String, content: Buffer) {
        guard let content = files[name] else { throw DidactError(.data, "\(name) is missing") }
        return (name, content)
      }
      let (features, labels) = try CIFAR.images(version, version.trainingFiles.map(content))
      let (testFeatures, testLabels) = try CIFAR.images(version, [content(version.testFile)])
      self.init(
        features: features, labels: labels, testFeatures: testFeatures, testLabels: testLabels,
        classNames: try CIFAR.classNames(version, content(version.namesFile).content), imageExtent: CIFAR.extent)
    } catch let error as DidactError {
      throw error.at(path)
    }
  }
}
