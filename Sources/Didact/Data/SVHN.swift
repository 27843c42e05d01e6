/// The cropped digits of SVHN (Y. Netzer et al., "Reading Digits in Natural Images with Unsupervised Feature Learning",
/// 2011, http://ufldl.stanford.edu/housenumbers): images of 32 × 32 × 3 in MAT-files.
enum SVHN {
  static let extent = Extent(32, 32, 3)
  static let trainingFile = "train_32x32.mat", testFile = "test_32x32.mat", extraFile = "extra_32x32.mat"

  /// The images [N, 32 · 32 · 3], channels last, and their digits.
  static func images(_ path: String) throws -> (features: Tensor, labels: [Int]) {
    do {
      var features: Tensor?, labels: [Int]?
      try MATFile(readFile(path)).forEachVariable { variable in
        switch variable.name {
        case "X": features = try images(variable)
        case "y": labels = try digits(variable)
        default: break
        }
      }
      guard let features, let labels else {
        throw DidactError(.data, "no array \"\(features == nil ? "X" : "y")\"; give one of SVHN's cropped digits")
      }
      guard features.rows == labels.count else {
        throw DidactError(.data, "\(labels.count) labels in \"y\" for \(features.rows) images in \"X\"")
      }
      return (features, labels)
    } catch let error as DidactError {
      throw error.at(path)
    }
  }

  /// X is [32, 32, 3, N] with the first dimension, the rows of an image, running fastest.
  private static func images(_ variable: MATFile.Variable) throws -> Tensor {
    let lengths = variable.dimensions
    // MATLAB drops a last dimension of 1.
    guard lengths.prefix(3) == [32, 32, 3], lengths.count <= 4, variable.isUInt8, variable.storage == .uint8,
      variable.count > 0
    else {
      throw DidactError(
        .format,
        "\"X\" is no array [32, 32, 3, N] of uint8, but \(lengths)\(variable.isUInt8 ? "" : " of another type")")
    }
    let tensor = try Tensor(Shape(variable.count / extent.count, extent.count), .uint8)
    try variable.read(into: UnsafeMutableRawBufferPointer(start: tensor.address, count: tensor.byteCount))
    let source = try Buffer(byteCount: extent.count), bytes = source.address.assumingMemoryBound(to: UInt8.self)
    var target = tensor.address.assumingMemoryBound(to: UInt8.self)
    for _ in 0..<tensor.rows {
      source.address.copyMemory(from: target, byteCount: extent.count)
      for row in 0..<32 {
        for column in 0..<32 {
          for channel in 0..<3 { target[channel] = bytes[row + 32 * (column + 32 * channel)] }
          target += 3
        }
      }
    }
    return tensor
  }

  /// 1 to 10, where 10 is the digit 0.
  private static func digits(_ variable: MATFile.Variable) throws -> [Int] {
    guard variable.dimensions.count == 2, variable.dimensions.contains(1) else {
      throw DidactError(.format, "\"y\" is no column of labels, but \(variable.dimensions)")
    }
    return try variable.readNumbers().enumerated().map { row, value in
      guard let label = Int(exactly: value), (1...10).contains(label) else {
        throw DidactError(.data, "row \(row): label \(value) is not from 1 to 10, where 10 is the digit 0")
      }
      return label % 10
    }
  }
}

extension Dataset {
  /// Reads the cropped digits of SVHN: a folder with `train_32x32.mat`, perhaps `test_32x32.mat`, which becomes the test
  /// part, and `extra_32x32.mat`, which becomes unlabelled; or one such file.
  /// - Throws: `DidactError.file`, `.format` for a malformed or foreign file, `.data` for a label out of range; all name the
  ///   file.
  public init(svhn path: String) throws {
    guard try isDirectory(path) else {
      let (features, labels) = try SVHN.images(path)
      self.init(features: features, labels: labels, classNames: Dataset.numerals, imageExtent: SVHN.extent)
      return
    }
    let names = try directoryEntries(path).map(\.name)
    guard names.contains(SVHN.trainingFile) else {
      throw DidactError(.data, "\(path): no \(SVHN.trainingFile) in it")
    }
    let (features, labels) = try SVHN.images("\(path)/\(SVHN.trainingFile)")
    let test = names.contains(SVHN.testFile) ? try SVHN.images("\(path)/\(SVHN.testFile)") : nil
    let extra = names.contains(SVHN.extraFile) ? try SVHN.images("\(path)/\(SVHN.extraFile)") : nil
    self.init(
      features: features, labels: labels, unlabeled: extra?.features, testFeatures: test?.features,
      testLabels: test?.labels, classNames: Dataset.numerals, imageExtent: SVHN.extent)
  }

  private static var numerals: [String] { (0..<10).map { String($0) } }
}
