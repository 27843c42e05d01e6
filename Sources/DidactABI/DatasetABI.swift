// swift-format-ignore-file: AlwaysUseLowerCamelCase
// MARK: Data sets
import CDidact
import Didact

/// The digits, kept for as long as the process lives.
private let digits: Result<(features: Tensor, labels: Tensor), any Error> = Result {
  let dataset = try Dataset.digits()
  return (dataset.features, try Tensor(dataset.labels))
}

/// Views of the built-in digits: 1,797 images of 8 x 8 pixels (E. Alpaydin and C. Kaynak, Optical Recognition of
/// Handwritten Digits, UCI Machine Learning Repository, 1998). They live as long as the process; do not write to them.
///
/// - Parameters:
///   - x: takes a view of the pixels [1797, 64], uint8 in 0..16.
///   - y: takes a view of the classes [1797], int64 in 0..9.
@_cdecl("didact_dataset_digits")
public func didact_dataset_digits(
  _ x: UnsafeMutablePointer<didact_array>?, _ y: UnsafeMutablePointer<didact_array>?
) -> didact_status {
  call {
    let digits = try digits.get()
    try exportView(digits.features, to: x, "x")
    try exportView(digits.labels, to: y, "y")
  }
}

/// Makes two interleaved half circles, scikit-learn's geometry.
///
/// - Parameters:
///   - x: takes points [2 n, 2], float64, the first n of the outer moon.
///   - y: takes classes [2 n], int64, 0 for the outer moon and 1 for the inner one.
///   - noise: standard deviation of the Gaussian noise.
///   - seed: of the noise.
@_cdecl("didact_dataset_two_moons")
public func didact_dataset_two_moons(
  _ x: UnsafePointer<didact_array>?, _ y: UnsafePointer<didact_array>?, _ noise: Double, _ seed: UInt64
) -> didact_status {
  call {
    let perMoon = try importArray(x, "x").rows / 2
    let moons = try Dataset.twoMoons(perMoon: perMoon, noise: noise, seed: seed)
    try exportArray(moons.features, to: x, "x")
    try exportArray(Tensor(moons.labels), to: y, "y")
  }
}

/// Chooses what each row is used for: a stratified test part, and labels for some of the rest, balanced over classes.
///
/// - Parameters:
///   - parts: takes, for each row [N], int64: 0 labelled, 1 unlabelled, 2 test.
///   - y: a class for each row [N].
///   - labels: how many labels to keep, in all.
///   - test_fraction: in [0, 1); 0 for no test part.
///   - seed: of the choice.
@_cdecl("didact_dataset_split")
public func didact_dataset_split(
  _ parts: UnsafePointer<didact_array>?, _ y: UnsafePointer<didact_array>?, _ labels: Int64, _ test_fraction: Double,
  _ seed: UInt64
) -> didact_status {
  call {
    let classes = try importLabels(y, "y")
    // Rows by class, their orders, and the parts.
    try Buffer.checkRoom(byteCount: 100 * classes.count)
    let chosen = try splitParts(
      classes: classes, labels: Int(labels), testFraction: test_fraction, seed: seed)
    try exportArray(Tensor(chosen.map(\.rawValue)), to: parts, "parts")
  }
}

/// What a handle of image data keeps alive.
private final class ImageData: Sendable {
  let description: JSON
  /// Images as [N, height, width, channels].
  let arrays: [(name: String, tensor: Tensor)]

  init(_ dataset: Dataset) throws {
    // Images of one pixel are rows to the engine; whoever reads images gets images.
    let extent = dataset.imageExtent ?? Extent(1, 1, dataset.columns)
    func images(_ rows: Tensor) throws -> Tensor {
      let shape = try Shape(checking: [rows.rows, extent.height, extent.width, extent.channels])
      return Tensor(shape, rows.elementType, buffer: rows.buffer, offset: rows.offset)
    }
    var arrays = [("X", try images(dataset.features)), ("y", try Tensor(dataset.labels))]
    if let unlabeled = dataset.unlabeled { arrays.append(("X_unlabeled", try images(unlabeled))) }
    if let features = dataset.testFeatures { arrays.append(("X_test", try images(features))) }
    if let labels = dataset.testLabels { arrays.append(("y_test", try Tensor(labels))) }
    self.arrays = arrays
    description = .object([
      "arrays": .array(arrays.map { .string($0.0) }),
      "class_names": .array(dataset.classNames.map { .string($0) }),
      "files": .array(dataset.imageFiles.map { .string($0) }),
      "skipped": .object(JSONObject(dataset.skippedFiles.map { ($0.path, .string($0.reason)) })),
    ])
  }
}

/// Reads image data: CIFAR-10 and CIFAR-100 in their binary version (the `.tar.gz` archive as published, or the folder in
/// it), SVHN's cropped digits (a folder with `train_32x32.mat`, or one such file), or a folder of PNG and JPEG files with a
/// sub-folder a class (docs/images.md).
///
/// - Parameters:
///   - out: takes the handle; free it with `didact_dataset_free`.
///   - path: the file or folder.
///   - json: an object with `format` ("cifar10", "cifar100", "svhn" or "image_folder"; null for what is found), `image_size`
///     ([height, width] to which the images of a folder are resized), `skip_corrupt` and `threads`; null for none of them.
@_cdecl("didact_dataset_open")
public func didact_dataset_open(
  _ out: UnsafeMutablePointer<didact_dataset?>?, _ path: UnsafePointer<CChar>?, _ json: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let out = try required(out, "out")
    let options = try json == nil ? .object([:]) : DidactABI.json(json)
    let dataset = try Dataset(images: text(path, "path"), json: options)
    out.pointee = try makeHandle(ImageData(dataset), .dataset)
  }
}

/// A view of one array of image data, valid while the handle is alive.
///
/// - Parameters:
///   - view: takes the view: images [N, height, width, channels], uint8, or labels [N], int64, -1 for none.
///   - dataset: the data.
///   - name: "X", "y", "X_unlabeled", "X_test" or "y_test"; `DIDACT_EINVALID` for one that is not there.
@_cdecl("didact_dataset_array")
public func didact_dataset_array(
  _ view: UnsafeMutablePointer<didact_array>?, _ dataset: didact_dataset?, _ name: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let data: ImageData = try resolve(dataset, .dataset), name = try text(name, "name")
    guard let array = data.arrays.first(where: { $0.name == name }) else {
      throw DidactError(
        .invalidArgument, "no array \"\(name)\"; there are \(data.arrays.map(\.name).joined(separator: ", "))")
    }
    try exportView(array.tensor, to: view)
  }
}

/// What there is beside the arrays, as a JSON object: `arrays`, their names; `class_names`; `files`, of each row of "X" where
/// the data are a folder of images; and `skipped`, the files that were left out, with the reason.
///
/// - Parameters:
///   - out: takes as much of the text as fits, ended by a zero byte; may be null.
///   - capacity: the size of `out` in bytes.
///   - length: takes the size that all of the text needs, the zero byte included.
///   - dataset: the data.
@_cdecl("didact_dataset_description")
public func didact_dataset_description(
  _ out: UnsafeMutablePointer<CChar>?, _ capacity: Int64, _ length: UnsafeMutablePointer<Int64>?,
  _ dataset: didact_dataset?
) -> didact_status {
  call {
    let data: ImageData = try resolve(dataset, .dataset)
    try copyOut(data.description.serialized(), out, capacity, length)
  }
}

/// Frees the handle. Nothing for null or a handle that is not alive.
///
/// - Parameter dataset: the data.
@_cdecl("didact_dataset_free")
public func didact_dataset_free(_ dataset: didact_dataset?) { freeHandle(dataset, .dataset) }
