/// The kinds of image data that are read from files.
public enum ImageFormat: String, Sendable, CaseIterable {
  case cifar10, cifar100, svhn
  case folder = "image_folder"

  /// What is at a path, by its content: a `.tar.gz` archive or folder of CIFAR-10 or CIFAR-100, a MAT-file or folder of SVHN,
  /// or any other folder.
  /// - Throws: `DidactError.file`, `.format` for a file that is none of these.
  public init(detecting path: String) throws {
    guard try isDirectory(path) else {
      self = try ImageFormat.ofFile(path)
      return
    }
    let names = try directoryEntries(path).map(\.name)
    if let version = CIFAR.version(of: names) {
      self = version.coarseClasses == nil ? .cifar10 : .cifar100
    } else {
      self = names.contains(SVHN.trainingFile) ? .svhn : .folder
    }
  }

  private static func ofFile(_ path: String) throws -> ImageFormat {
    let isGzip = try readMapped(path) { content in
      try content.withBytes { bytes in
        if MATFile.isOne(bytes) { return false }
        guard bytes.starts(with: [0x1f, 0x8b]) else {
          throw DidactError(.format, "it is no .tar.gz archive of CIFAR-10 or CIFAR-100 and no MAT-file of SVHN")
        }
        return true
      }
    }
    guard isGzip else { return .svhn }
    var version: CIFAR.Version?
    do {
      try CIFAR.forEachEntry(of: path) { entry, _ in
        version = CIFAR.version(of: entry.name.separated(by: "/", omittingEmpty: true))
        return version == nil
      }
    } catch let error as DidactError {
      throw error.at(path)
    }
    guard let version else {
      throw DidactError(
        .format,
        "\(path): no binary version of CIFAR-10 or CIFAR-100 is in it; give cifar-10-binary.tar.gz or "
          + "cifar-100-binary.tar.gz")
    }
    return version.coarseClasses == nil ? .cifar10 : .cifar100
  }
}

extension ImageOptions {
  /// The keys of `Dataset(images:json:)`.
  static let fields = [
    Field("format", .choice(ImageFormat.allCases.map(\.rawValue)), .null, "what the data are; null for what is found"),
    Field(
      "image_size", .integers(.closed(1, 65_536)), .null,
      "height and width to which the images of a folder are resized; null where all have one size"),
    Field("skip_corrupt", .boolean, false, "whether files of a folder that cannot be read are left out and listed"),
    Field(
      "threads", .integer(.closed(0, 1024)), 0, "most threads to decode with, at most one a core; 0 for one a core"),
  ]
}

extension Dataset {
  /// Reads image data as JSON says: an object with `format`, `image_size`, `skip_corrupt` and `threads`, all of which may be
  /// left out.
  /// - Throws: `DidactError.invalidArgument` naming the key that does not fit, and as the readers of the formats do.
  public init(images path: String, json: JSON) throws {
    guard let object = json.members else {
      throw DidactError(.invalidArgument, "options: expected an object such as {\"threads\": 2}")
    }
    let values = try FieldValues(object, fields: ImageOptions.fields, subject: "options")
    var options = ImageOptions(
      skipsCorruptFiles: try values.boolean("skip_corrupt"), threads: try values.integer("threads"))
    if try values.value("image_size") != .null {
      let size = try values.integers("image_size")
      guard size.count == 2 else {
        throw DidactError(.invalidArgument, "options: \"image_size\" is height and width; got \(size)")
      }
      options.size = (size[0], size[1])
    }
    let format = try values.value("format") == .null ? nil : values.choice("format") as ImageFormat
    try self.init(images: path, format: format, options: options)
  }

  /// Reads image data.
  /// - Parameters:
  ///   - format: nil for what `ImageFormat(detecting:)` finds.
  ///   - options: of which only a folder of images takes a size and may skip files.
  /// - Throws: as the readers of the formats do; `DidactError.invalidArgument` for options that do not fit the data.
  public init(images path: String, format: ImageFormat? = nil, options: ImageOptions = ImageOptions()) throws {
    try options.check()
    let format = try format ?? ImageFormat(detecting: path)
    guard format == .folder || options.size == nil && !options.skipsCorruptFiles else {
      throw DidactError(
        .invalidArgument,
        "\(path): an image size, and skipping corrupt files, are for folders of images; this is "
          + format.rawValue)
    }
    switch format {
    case .cifar10: try self.init(cifar10: path)
    case .cifar100: try self.init(cifar100: path)
    case .svhn: try self.init(svhn: path)
    case .folder: try self.init(imageFolder: path, options: options)
    }
  }
}
