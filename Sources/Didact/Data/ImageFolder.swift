import CImages

/// How files of images are read.
public struct ImageOptions: Sendable {
  /// To which every image is resized, in pixels, whatever its proportions were; nil where all have one size.
  public var size: (height: Int, width: Int)?
  /// Whether files that cannot be read are left out and listed, instead of an error.
  public var skipsCorruptFiles: Bool
  /// Most threads to decode with, at most one a core; 0 for one a core.
  public var threads: Int

  public init(size: (height: Int, width: Int)? = nil, skipsCorruptFiles: Bool = false, threads: Int = 0) {
    self.size = size
    self.skipsCorruptFiles = skipsCorruptFiles
    self.threads = threads
  }

  /// - Throws: `DidactError.invalidArgument` for lengths and threads out of range.
  func check() throws {
    if let size, !(1...65_536).contains(size.height) || !(1...65_536).contains(size.width) {
      throw DidactError(
        .invalidArgument, "image size \(size.height), \(size.width): height and width are from 1 to 65,536 pixels")
    }
    guard (0...1024).contains(threads) else {
      throw DidactError(.invalidArgument, "\(threads) threads; give 0, for one a core, to 1,024")
    }
  }
}

/// A folder of PNG and JPEG files: a sub-folder a class.
private struct ImageFolder {
  /// What the images of a sub-folder are for.
  enum Part { case training, unlabeled, test }

  struct File {
    let part: Part
    /// An index into `classNames`, or −1 for no label.
    let label: Int
    /// From the folder on.
    let path: String
  }

  let path: String
  private(set) var classNames: [String] = []
  private(set) var files: [File] = []

  private static let unlabeledName = "unlabeled", trainingName = "train", testName = "test"

  // MARK: Listing

  init(_ path: String) throws {
    self.path = path
    let entries = try directoryEntries(path), folders = entries.filter(\.isDirectory).map(\.name)
    guard folders.contains(ImageFolder.trainingName) else {
      try ImageFolder.checkPartsAreNamed(folders)
      try addClasses("", entries)
      return
    }
    let known = [ImageFolder.trainingName, ImageFolder.testName, ImageFolder.unlabeledName]
    if let other = folders.first(where: { !known.contains($0) }) {
      throw DidactError(
        .data,
        "a folder \"\(other)\" beside \"train\"; classes are folders in \"train\" and \"test\""
          + (ImageFolder.reservedName(near: other).map { ". Did you mean \"\($0)\"?" } ?? ""))
    }
    let training = try directoryEntries("\(path)/\(ImageFolder.trainingName)")
    try addClasses("\(ImageFolder.trainingName)/", training)
    if folders.contains(ImageFolder.unlabeledName) { try addImages(ImageFolder.unlabeledName, .unlabeled, label: -1) }
    if folders.contains(ImageFolder.testName) { try addTest() }
    try refuseImages("", entries)
  }

  /// The name with a meaning of its own that a folder's name nearly is, in other capitals or another spelling.
  private static func reservedName(near name: String) -> String? {
    guard ![unlabeledName, trainingName, testName].contains(name) else { return nil }
    let plain = String(name.lowercased().filter { $0.isLetter || $0.isNumber })
    if ["nolabel", "nolabels", "notlabeled", "notlabelled", "withoutlabel", "withoutlabels"].contains(plain) {
      return unlabeledName
    }
    // "labeled" is two letters away, and means the contrary.
    let distance = editDistance(plain, unlabeledName)
    if distance <= 1 || distance == 2 && plain.hasPrefix("un") { return unlabeledName }
    return switch plain {
    case "train", "training": trainingName
    case "test", "testing": testName
    default: nil
    }
  }

  /// A folder that nearly has the name of a part would become a class.
  /// - Parameter folders: the names of all folders, of which none is `train`.
  /// - Throws: `DidactError.data` for `test`, and for other spellings of both parts. One of these alone may be a class.
  private static func checkPartsAreNamed(_ folders: [String]) throws {
    let training = folders.first { reservedName(near: $0) == trainingName }
    let test = folders.first { $0 == testName || reservedName(near: $0) == testName }
    if let training, test != nil {
      throw DidactError(.data, "a folder \"\(training)\". Did you mean \"\(trainingName)\"?")
    }
    guard test != testName else {
      throw DidactError(
        .data, "a folder \"test\" without \"train\" beside it; name them so, or the class otherwise")
    }
  }

  /// The classes of a folder, and what has no label.
  /// - Parameter prefix: the folder, with a slash behind it.
  private mutating func addClasses(_ prefix: String, _ entries: [DirectoryEntry]) throws {
    let folders = entries.filter(\.isDirectory).map(\.name)
    if let near = folders.first(where: { ImageFolder.reservedName(near: $0) == ImageFolder.unlabeledName }) {
      throw DidactError(
        .data,
        "a folder \"\(prefix)\(near)\". Did you mean \"\(ImageFolder.unlabeledName)\"? If it is a class, rename it")
    }
    classNames = folders.filter { $0 != ImageFolder.unlabeledName }
    for (label, name) in classNames.enumerated() { try addImages(prefix + name, .training, label: label) }
    if folders.contains(ImageFolder.unlabeledName) {
      try addImages(prefix + ImageFolder.unlabeledName, .unlabeled, label: -1)
    }
    if folders.isEmpty {
      // Images alone, to be predicted or learned from without labels.
      files = entries.filter { ImageFolder.isNamedAsImage($0.name) }.map {
        File(part: .unlabeled, label: -1, path: prefix + $0.name)
      }
      guard !files.isEmpty else { throw DidactError(.data, "no image and no folder of images in it") }
    } else {
      try refuseImages(prefix, entries)
    }
  }

  private mutating func addTest() throws {
    let prefix = "\(ImageFolder.testName)/", entries = try directoryEntries("\(path)/\(ImageFolder.testName)")
    for name in entries.filter(\.isDirectory).map(\.name) {
      guard let label = classNames.firstIndex(of: name) else {
        throw DidactError(.data, "class \"\(name)\" is in \"test\" but not in \"train\"")
      }
      try addImages(prefix + name, .test, label: label)
    }
    guard entries.contains(where: \.isDirectory) else {
      throw DidactError(.data, "\"test\" has no folder of a class; put its images into those of their classes")
    }
    try refuseImages(prefix, entries)
  }

  /// All files of a folder.
  private mutating func addImages(_ folder: String, _ part: Part, label: Int) throws {
    let entries = try directoryEntries("\(path)/\(folder)")
    if let inner = entries.first(where: \.isDirectory) {
      throw DidactError(
        .data,
        "\(folder)/\(inner.name) is a folder within that of a class, which has images alone"
          + (ImageFolder.reservedName(near: folder).map { ". Did you mean \"\($0)\"?" } ?? ""))
    }
    guard !entries.isEmpty else {
      throw DidactError(.data, "\(folder) is empty; remove the folder, or put its images there")
    }
    files += entries.map { File(part: part, label: label, path: "\(folder)/\($0.name)") }
  }

  /// Images beside the folders of classes would silently be left out.
  private func refuseImages(_ prefix: String, _ entries: [DirectoryEntry]) throws {
    if let image = entries.first(where: { !$0.isDirectory && ImageFolder.isNamedAsImage($0.name) }) {
      throw DidactError(.data, "\(prefix)\(image.name) is in no folder of a class; move it into one, or \"unlabeled\"")
    }
  }

  private static func isNamedAsImage(_ name: String) -> Bool {
    let name = name.lowercased()
    return [".png", ".jpg", ".jpeg"].contains { name.hasSuffix($0) }
  }

  // MARK: Choosing

  mutating func remove(_ isRemoved: [Bool]) {
    files = zip(files, isRemoved).filter { !$0.1 }.map(\.0)
  }

  /// - Throws: `DidactError.data` for a class of which no image is left.
  func checkClasses() throws {
    let labels = Set(files.filter { $0.part == .training }.map(\.label))
    if let label = classNames.indices.first(where: { !labels.contains($0) }) {
      throw DidactError(.data, "no image of class \"\(classNames[label])\" can be read")
    }
    guard !files.isEmpty else { throw DidactError(.data, "no image in it can be read") }
  }
}

/// Decodes the files of a folder, several at a time.
private struct ImageDecoder {
  let options: ImageOptions

  /// More pixels in one image are refused before anything is allocated for them.
  static let mostPixels = 1 << 26
  /// Longer files are no images of so many pixels.
  static let mostBytes = 1 << 30

  /// What `body` makes of each index, in order, from several threads.
  func map<Value: Sendable>(
    _ count: Int, _ body: @escaping @Sendable (Int) throws -> Value
  ) -> [Result<Value, any Error>] {
    let results = Locked(Array(repeating: Result<Value, any Error>?.none, count: count))
    // Files differ in size: more parts than threads, unless it matters how many threads there are.
    let parts = options.threads == 0 ? 16 * availableCores : min(options.threads, availableCores)
    parallelLoop(count, parts: min(parts, count, 256)) { _, indices in
      for index in indices {
        let result = Result { try body(index) }
        results.withLock { $0[index] = result }
      }
    }
    return results.withLock { $0.compactMap { $0 } }
  }

  /// - Throws: `DidactError`, without the name of the file where its content is at fault.
  func header(_ path: String) throws -> images_header {
    var header = images_header()
    try call(try readFile(path, most: ImageDecoder.mostBytes)) {
      images_read_header($0.baseAddress, Int64($0.count), &header, $1)
    }
    guard Int(header.height) * Int(header.width) <= ImageDecoder.mostPixels else {
      throw DidactError(
        .format, "\(header.height) × \(header.width) pixels; at most \(ImageDecoder.mostPixels) are read")
    }
    return header
  }

  /// Decodes a file to `extent`, resizing it where it has another size.
  /// - Throws: as `header` does.
  func decode(_ path: String, _ header: images_header, to extent: Extent, _ target: UnsafeMutablePointer<UInt8>) throws
  {
    let content = try readFile(path, most: ImageDecoder.mostBytes), channels = Int32(extent.channels)
    var header = header
    func decode(to pixels: UnsafeMutablePointer<UInt8>) throws {
      try call(content) { images_decode($0.baseAddress, Int64($0.count), &header, channels, pixels, $1) }
    }
    if Int(header.height) == extent.height, Int(header.width) == extent.width { return try decode(to: target) }
    let whole = try Buffer(byteCount: Int(header.height) * Int(header.width) * extent.channels)
    let pixels = whole.address.assumingMemoryBound(to: UInt8.self)
    try decode(to: pixels)
    try Resampling.resize(
      pixels, Extent(Int(header.height), Int(header.width), extent.channels), to: target, extent, .bilinear)
    withExtendedLifetime(whole) {}
  }

  /// Calls C with room for a message, which becomes an error where the call fails.
  private func call(
    _ content: Buffer, _ body: (UnsafeRawBufferPointer, UnsafeMutablePointer<CChar>) -> Bool
  ) throws {
    var message = Array(repeating: CChar(0), count: Int(IMAGES_MESSAGE))
    let isDone = content.withBytes { bytes in
      message.withUnsafeMutableBufferPointer { message in message.baseAddress.map { body(bytes, $0) } ?? false }
    }
    guard isDone else {
      let words = message.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      throw DidactError(.format, String(decoding: words, as: UTF8.self))
    }
  }
}

extension Dataset {
  /// Reads a folder of PNG and JPEG files: a sub-folder a class, named after it, and perhaps `unlabeled`; or `train` and
  /// `test`, each such a folder, and perhaps `unlabeled`; or images alone, which have no labels. Classes and files are
  /// sorted by the bytes of their names; hidden files are left out.
  ///
  /// All images become grey where all files are, else colours of three channels, of 8 bits. Transparency must be opaque
  /// everywhere, and is dropped. All have one size, or are resized to that of the options: by linear interpolation where
  /// they grow, by weighted means over areas where they shrink.
  /// - Throws: `DidactError.file`; `.format` for a file that is no such image, damaged, cut off, not opaque, or of more than
  ///   2²⁶ pixels; `.shape` for images of several sizes; `.data` for an empty folder or one at the wrong place;
  ///   `.outOfMemory`. All name the folder or file.
  public init(imageFolder path: String, options: ImageOptions = ImageOptions()) throws {
    try options.check()
    let path =
      path.utf8.count > 1 && path.utf8.last == UInt8(ascii: "/") ? String(path.unicodeScalars.dropLast()) : path
    var folder: ImageFolder
    do {
      folder = try ImageFolder(path)
    } catch let error as DidactError {
      throw error.code == .file ? error : error.at(path)
    }
    let decoder = ImageDecoder(options: options)
    var skipped: [SkippedFile] = []
    /// What could be read; the files of the others are left out, or an error.
    func kept<Value>(_ results: [Result<Value, any Error>]) throws -> [Value] {
      var values: [Value] = [], isRemoved = Array(repeating: false, count: results.count)
      for (index, result) in results.enumerated() {
        do {
          values.append(try result.get())
        } catch let error as DidactError {
          let file = folder.files[index].path
          guard options.skipsCorruptFiles, error.code == .format || error.code == .file else {
            throw error.code == .file ? error : error.at("\(path)/\(file)")
          }
          isRemoved[index] = true
          skipped.append(SkippedFile(path: file, reason: error.message))
        }
      }
      if values.count < results.count {
        folder.remove(isRemoved)
        do { try folder.checkClasses() } catch let error as DidactError { throw error.at(path) }
      }
      return values
    }

    let listed = folder.files.map { "\(path)/\($0.path)" }
    let headers = try kept(decoder.map(listed.count) { try decoder.header(listed[$0]) })
    let extent = try Dataset.extent(of: headers, folder.files.map(\.path), options, path)
    let images = try Dataset.memory(headers.count, extent, path)
    let chosen = folder.files.map { "\(path)/\($0.path)" }, target = ImageTarget(images)
    let results = decoder.map(chosen.count) { try decoder.decode(chosen[$0], headers[$0], to: extent, target.row($0)) }
    // The rows of files that could not be decoded are closed up.
    var rows = 0
    for (index, result) in results.enumerated() {
      guard case .success = result else { continue }
      if rows < index { target.row(rows).update(from: target.row(index), count: extent.count) }
      rows += 1
    }
    _ = try kept(results)

    func part(_ part: ImageFolder.Part) -> Range<Int>? {
      guard let first = folder.files.firstIndex(where: { $0.part == part }),
        let last = folder.files.lastIndex(where: { $0.part == part })
      else { return nil }
      return first..<last + 1
    }
    let unlabeled = part(.unlabeled), test = part(.test)
    // Without classes, what has no label is what there is to learn from.
    guard let features = part(.training) ?? unlabeled else {
      throw DidactError(.data, "\(path): no image to learn from")
    }
    self.init(
      features: images.rows(features), labels: folder.files[features].map(\.label),
      unlabeled: folder.classNames.isEmpty ? nil : unlabeled.map { images.rows($0) },
      testFeatures: test.map { images.rows($0) }, testLabels: test.map { folder.files[$0].map(\.label) },
      classNames: folder.classNames, imageExtent: extent)
    imageFiles = folder.files[features].map(\.path)
    skippedFiles = skipped
    do { try validate() } catch let error as DidactError { throw error.at(path) }
  }

  /// The lengths that all images get.
  private static func extent(
    of headers: [images_header], _ files: [String], _ options: ImageOptions, _ path: String
  ) throws -> Extent {
    let channels = headers.contains { $0.channels == 3 } ? 3 : 1
    if let size = options.size {
      guard let extent = try? Extent(checking: size.height, size.width, channels, of: "images") else {
        throw DidactError(
          .shape, "\(path): images of \(size.height) × \(size.width) pixels are too large; give a smaller image size")
      }
      return extent
    }
    guard let first = headers.first else { throw DidactError(.data, "\(path): no image in it") }
    if let other = headers.firstIndex(where: { $0.height != first.height || $0.width != first.width }) {
      throw DidactError(
        .shape,
        "\(path): images of several sizes: \(files[0]) has \(first.height) × \(first.width) pixels, \(files[other]) "
          + "\(headers[other].height) × \(headers[other].width); give an image size to resize all of them to")
    }
    return Extent(Int(first.height), Int(first.width), channels)
  }

  private static func memory(_ count: Int, _ extent: Extent, _ path: String) throws -> Tensor {
    guard extent.count <= maximumColumns else {
      throw DidactError(
        .shape, "\(path): images \(extent) have more than \(maximumColumns) values; give a smaller image size")
    }
    do {
      return try Tensor(Shape(count, extent.count), .uint8)
    } catch let error as DidactError where error.code == .outOfMemory {
      throw DidactError(
        .outOfMemory,
        "\(path): \(count) images \(extent) take \(count * extent.count) bytes, more than the machine has; give a smaller "
          + "image size, or fewer images")
    }
  }
}

/// The rows of a tensor of uint8, each of which one thread writes.
private struct ImageTarget: @unchecked Sendable {
  private let tensor: Tensor

  init(_ tensor: Tensor) { self.tensor = tensor }

  func row(_ index: Int) -> UnsafeMutablePointer<UInt8> {
    tensor.address.assumingMemoryBound(to: UInt8.self) + index * tensor.columns
  }
}
