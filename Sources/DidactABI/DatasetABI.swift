// swift-format-ignore-file: AlwaysUseLowerCamelCase
// MARK: Data sets
import CDidact
import Didact
import Synchronization

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

/// What a handle of data keeps: arrays by name, each the caller's or the library's own.
private final class NamedArrays: Sendable {
  /// What is beside the arrays.
  let description: JSONObject
  private let list = Mutex<[NamedArray]>([])

  init(description: JSONObject = [:]) { self.description = description }

  convenience init(_ dataset: Dataset) throws {
    // Images of one pixel are rows to the engine; whoever reads images gets images.
    let extent = dataset.imageExtent ?? Extent(1, 1, dataset.columns)
    func images(_ rows: Tensor) throws -> Tensor {
      let shape = try Shape(checking: [rows.rows, extent.height, extent.width, extent.channels])
      return Tensor(shape, rows.elementType, buffer: rows.buffer, offset: rows.offset)
    }
    self.init(description: [
      "class_names": .array(dataset.classNames.map { .string($0) }),
      "files": .array(dataset.imageFiles.map { .string($0) }),
      "skipped": .object(JSONObject(dataset.skippedFiles.map { ($0.path, .string($0.reason)) })),
    ])
    set(NamedArray("X", try images(dataset.features)))
    set(NamedArray("y", try Tensor(dataset.labels)))
    if let unlabeled = dataset.unlabeled { set(NamedArray("X_unlabeled", try images(unlabeled))) }
    if let features = dataset.testFeatures { set(NamedArray("X_test", try images(features))) }
    if let labels = dataset.testLabels { set(NamedArray("y_test", try Tensor(labels))) }
  }

  var arrays: [NamedArray] { list.withLock { $0 } }

  /// In place of the one of that name, if there is one.
  func set(_ array: NamedArray) {
    list.withLock { list in
      if let index = list.firstIndex(where: { $0.name == array.name }) {
        list[index] = array
      } else {
        list.append(array)
      }
    }
  }
}

/// An array with a name. Its shape and strides are where C can read them for as long as it lives.
private final class NamedArray: @unchecked Sendable {
  let name: String
  let array: BorrowedArray
  /// Keeps the elements alive where they are the library's own.
  private let owner: Tensor?
  private let lengths: UnsafeMutablePointer<Int64>

  /// - Parameter array: the caller's, for as long as this lives.
  init(_ name: String, _ array: BorrowedArray, owner: Tensor? = nil) {
    self.name = name
    self.array = array
    self.owner = owner
    lengths = .allocate(capacity: 2 * Shape.maximumRank)
    let strides = array.strides
    for (dimension, stride) in [strides.0, strides.1, strides.2, strides.3].enumerated() {
      lengths[dimension] = Int64(array.shape[dimension])
      lengths[Shape.maximumRank + dimension] = Int64(stride)
    }
  }

  convenience init(_ name: String, _ tensor: Tensor) { self.init(name, BorrowedArray(tensor), owner: tensor) }

  deinit { lengths.deallocate() }

  var view: didact_array {
    didact_array(
      data: array.address, dtype: array.elementType.rawValue, ndim: Int32(array.shape.rank), shape: lengths,
      strides: array.isContiguous ? nil : lengths + Shape.maximumRank)
  }
}

/// The names of arrays that a fit, and a step, can have.
private let fitNames = [
  "X", "y", "X_unlabeled", "X_trusted", "y_trusted", "sample_weight", "teacher_distributions", "X_validation",
  "y_validation", "X_test", "y_test",
]
private let stepNames = ["x", "y", "u", "u_strong", "x_trusted", "y_trusted", "pseudo_labels"]
private let viewPrefix = "view."

/// The number of a view, such as 2 for "view.2".
private func viewNumber(_ name: String) -> Int? {
  guard name.hasPrefix(viewPrefix), let number = Int(name.dropFirst(viewPrefix.utf8.count)), number >= 0,
    name == viewPrefix + String(number)
  else { return nil }
  return number
}

/// Makes data without arrays, to which `didact_dataset_set_array` adds.
///
/// - Parameter out: takes the handle; free it with `didact_dataset_free`.
@_cdecl("didact_dataset_create")
public func didact_dataset_create(_ out: UnsafeMutablePointer<didact_dataset?>?) -> didact_status {
  call {
    let out = try required(out, "out")
    out.pointee = try makeHandle(NamedArrays(), .dataset)
  }
}

/// Gives the data an array, in place of one of that name. The array is not copied: its elements must stay where they are until
/// the data are freed, or the array is set again. Its shape and strides may go.
///
/// - Parameters:
///   - dataset: the data.
///   - name: for a fit "X" (rows [N, inputs], or images), "y" (a class for each row [N], int64 or uint8, -1 for none; of a network that segments for each pixel [N, height, width], 255 or -1 for none),
///     "X_unlabeled", "X_trusted", "y_trusted", "sample_weight", "teacher_distributions", "X_validation", "y_validation", "X_test" or "y_test"; for a
///     step "x", "y", "u", "u_strong", "x_trusted", "y_trusted", "pseudo_labels", or "view.0", "view.1" and so on.
///   - array: the array.
/// - Returns: `DIDACT_OK`, or `DIDACT_EINVALID` for another name.
@_cdecl("didact_dataset_set_array")
public func didact_dataset_set_array(
  _ dataset: didact_dataset?, _ name: UnsafePointer<CChar>?, _ array: UnsafePointer<didact_array>?
) -> didact_status {
  call {
    let data: NamedArrays = try resolve(dataset, .dataset), name = try text(name, "name")
    guard fitNames.contains(name) || stepNames.contains(name) || viewNumber(name) != nil else {
      let known = fitNames + stepNames + [viewPrefix + "0"]
      throw DidactError(.invalidArgument, "no array can be called \"\(name)\".\(suggestion(for: name, among: known))")
    }
    data.set(NamedArray(name, try borrow(array, name)))
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
    out.pointee = try makeHandle(NamedArrays(dataset), .dataset)
  }
}

/// A view of one array, valid while the handle is alive and the array is not set again.
///
/// - Parameters:
///   - view: takes the view: of image data that were read, images [N, height, width, channels], uint8, and labels [N], int64,
///     -1 for none; else the caller's own array.
///   - dataset: the data.
///   - name: "X", "y", "X_unlabeled", "X_test" and so on; `DIDACT_EINVALID` for one that is not there.
@_cdecl("didact_dataset_array")
public func didact_dataset_array(
  _ view: UnsafeMutablePointer<didact_array>?, _ dataset: didact_dataset?, _ name: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let view = try required(view, "view")
    let data: NamedArrays = try resolve(dataset, .dataset), name = try text(name, "name"), arrays = data.arrays
    guard let array = arrays.first(where: { $0.name == name }) else {
      let known = arrays.map(\.name).joined(separator: ", ")
      throw DidactError(
        .invalidArgument, "no array \"\(name)\"; there \(arrays.isEmpty ? "is none" : "are \(known)")")
    }
    view.pointee = array.view
  }
}

/// What there is, as a JSON object: `arrays`, the names of the arrays; of image data that were read also `class_names`; `files`, of each row of "X" where
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
    let data: NamedArrays = try resolve(dataset, .dataset)
    var description = data.description
    description["arrays"] = .array(data.arrays.map { .string($0.name) })
    try copyOut(JSON.object(description).serialized(), out, capacity, length)
  }
}

/// Frees the handle. Nothing for null or a handle that is not alive.
///
/// - Parameter dataset: the data.
@_cdecl("didact_dataset_free")
public func didact_dataset_free(_ dataset: didact_dataset?) { freeHandle(dataset, .dataset) }

/// Trains on the data's arrays "X", "y", "X_unlabeled": see `didact_trainer_fit`. Methods that learn without labels need no "y".
///
/// "sample_weight" [N] says how much each row of "X" counts where it has a label, at least 0: batches have a row as often as
/// it counts, up to 30 times as often as another; one of 0 is as without its label. "teacher_distributions" says for
/// `reduced_meta_pseudo_labels` what teachers say of every row, those of "X_unlabeled" last: [N + M, classes], or
/// [teachers, N + M, classes]; it is read where it is. "X_trusted" [T, inputs] and "y_trusted" [T] are rows, with a label each, that
/// the feedback is measured on, in place of the labelled rows, whose labels may be wrong; they are not learned from.
///
/// - Parameters:
///   - trainer: the trainer.
///   - dataset: the data; "X_test" and "y_test" are not looked at. `DIDACT_EUNSUPPORTED` for an array that the method has no
///     use for.
///   - json: an object with `steps`, how many to make now; null for what is left of the configured steps.
///   - callback: called after every step; null for none.
///   - payload: handed to the callback.
/// - Returns: `DIDACT_OK`, or `DIDACT_ECANCELLED` where the callback stopped it.
@_cdecl("didact_trainer_fit_dataset")
public func didact_trainer_fit_dataset(
  _ trainer: didact_trainer?, _ dataset: didact_dataset?, _ json: UnsafePointer<CChar>?,
  _ callback: didact_progress_callback?, _ payload: UnsafeMutableRawPointer?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer), data: NamedArrays = try resolve(dataset, .dataset)
    let steps = try json == nil ? nil : Trainer.fitSteps(DidactABI.json(json))
    let arrays = data.arrays
    try withExtendedLifetime(arrays) {
      let named = try arrays.byName(
        of: ["X", "y", "X_unlabeled", "X_trusted", "y_trusted", "sample_weight", "teacher_distributions"],
        ignoring: ["X_test", "y_test"], call: "a fit")
      guard let x = named["X"] else { throw DidactError(.invalidArgument, "a fit needs the array \"X\"") }
      guard named["y"] != nil || !trainer.learnsFromLabels else {
        throw DidactError(.invalidArgument, "method \"\(trainer.methodName)\" needs the array \"y\"")
      }
      try fit(
        trainer,
        FitArrays(
          x, labels: named["y"], unlabeled: named["X_unlabeled"], sampleWeights: named["sample_weight"],
          teacherDistributions: named["teacher_distributions"], trusted: pair("X_trusted", "y_trusted", of: named)),
        steps: steps, callback, payload)
    }
  }
}

/// One step on the data's arrays: "x" and "y", the labelled rows, and the unlabelled ones, as "u" and "u_strong" or as
/// "view.0", "view.1" and so on, row by row the same examples: see `didact_trainer_step`. The feedback of methods that have one is
/// measured on "x_trusted" and "y_trusted" where they are there, else on the labelled rows.
///
/// - Parameters:
///   - trainer: the trainer.
///   - dataset: the data. `DIDACT_EUNSUPPORTED` for an array that the method has no use for.
@_cdecl("didact_trainer_step_dataset")
public func didact_trainer_step_dataset(_ trainer: didact_trainer?, _ dataset: didact_dataset?) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer), data: NamedArrays = try resolve(dataset, .dataset)
    let arrays = data.arrays
    try withExtendedLifetime(arrays) {
      let numbered = arrays.compactMap { array in viewNumber(array.name).map { (number: $0, array: array) } }
      let views = numbered.sorted { $0.number < $1.number }
      let names = ["x", "y", "u", "u_strong", "x_trusted", "y_trusted"] + views.map(\.array.name)
      let named = try arrays.byName(of: names, ignoring: [], call: "a step")
      guard views.map(\.number) == Array(views.indices), views.isEmpty || named["u"] == nil && named["u_strong"] == nil
      else {
        throw DidactError(
          .invalidArgument, "views are \"u\" and \"u_strong\", or \"view.0\", \"view.1\" and so on without a gap")
      }
      guard named["u_strong"] == nil || named["u"] != nil else {
        throw DidactError(.invalidArgument, "a strong view needs the unlabelled rows \"u\" that it is a view of")
      }
      let unlabeled = ["u", "u_strong"].compactMap { name in named[name].map { (name, $0) } }
      try trainer.step(
        pair("x", "y", of: named), views: unlabeled + views.map { ($0.array.name, $0.array.array) },
        trusted: pair("x_trusted", "y_trusted", of: named))
    }
  }
}

/// The teacher's half of a step on the data's arrays "x" and "y", and on "x_trusted" and "y_trusted" where they are there: see
/// `didact_trainer_teacher_step` and `didact_trainer_step_dataset`.
///
/// - Parameters:
///   - trainer: the trainer.
///   - dataset: the data. `DIDACT_EUNSUPPORTED` for an array that the method has no use for.
@_cdecl("didact_trainer_teacher_step_dataset")
public func didact_trainer_teacher_step_dataset(_ trainer: didact_trainer?, _ dataset: didact_dataset?) -> didact_status
{
  call {
    let trainer: Trainer = try resolve(trainer, .trainer), data: NamedArrays = try resolve(dataset, .dataset)
    let arrays = data.arrays
    try withExtendedLifetime(arrays) {
      let named = try arrays.byName(of: ["x", "y", "x_trusted", "y_trusted"], ignoring: [], call: "a teacher's step")
      guard let labeled = try pair("x", "y", of: named) else {
        throw DidactError(.invalidArgument, "a teacher's step needs the arrays \"x\" and \"y\"")
      }
      try trainer.teacherStep(labeled.inputs, labeled.labels, trusted: pair("x_trusted", "y_trusted", of: named))
    }
  }
}

/// `didact_trainer_meta_gradient` on the data's arrays "x", "y", "u", and where they are there "u_strong" and "pseudo_labels", with
/// the student's loss on "x_trusted" and "y_trusted" where they are there.
///
/// - Parameters:
///   - out: takes a vector over all parameters of the teacher in public order.
///   - trainer: the trainer.
///   - dataset: the data.
///   - draw: which dropout masks and samples.
@_cdecl("didact_trainer_meta_gradient_dataset")
public func didact_trainer_meta_gradient_dataset(
  _ out: UnsafeMutablePointer<didact_array>?, _ trainer: didact_trainer?, _ dataset: didact_dataset?, _ draw: UInt64
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    let rows = try MetaRows(resolve(dataset, .dataset), of: trainer)
    let gradient = try trainer.metaGradient(
      rows.inputs, rows.labels, unlabeled: rows.unlabeled, strong: rows.strong, trusted: rows.trusted,
      pseudoLabels: rows.pseudoLabels, draw: draw)
    try exportArray(gradient, to: UnsafePointer(out), "out")
  }
}

/// The student's labelled loss after its step, of which `didact_trainer_meta_gradient_dataset` is the gradient. Changes nothing.
///
/// - Parameters:
///   - out: takes the loss.
///   - trainer: the trainer.
///   - dataset: the data.
///   - draw: which dropout masks and samples.
@_cdecl("didact_trainer_meta_objective_dataset")
public func didact_trainer_meta_objective_dataset(
  _ out: UnsafeMutablePointer<Double>?, _ trainer: didact_trainer?, _ dataset: didact_dataset?, _ draw: UInt64
) -> didact_status {
  call {
    let out = try required(out, "out")
    let trainer: Trainer = try resolve(trainer, .trainer)
    let rows = try MetaRows(resolve(dataset, .dataset), of: trainer)
    out.pointee = try trainer.metaObjective(
      rows.inputs, rows.labels, unlabeled: rows.unlabeled, strong: rows.strong, trusted: rows.trusted,
      pseudoLabels: rows.pseudoLabels, draw: draw)
  }
}

/// The rows and labels of a meta-gradient, copied from named arrays.
private struct MetaRows {
  let inputs, unlabeled: Tensor
  let labels: [Int]
  let strong: Tensor?
  let trusted: (inputs: Tensor, labels: [Int])?
  let pseudoLabels: [Int]?

  init(_ data: NamedArrays, of trainer: Trainer) throws {
    let arrays = data.arrays
    defer { withExtendedLifetime(arrays) {} }
    let named = try arrays.byName(
      of: ["x", "y", "u", "u_strong", "x_trusted", "y_trusted", "pseudo_labels"], ignoring: [],
      call: "the meta-gradient")
    guard let labeled = try pair("x", "y", of: named), let unlabeled = named["u"] else {
      throw DidactError(.invalidArgument, "the meta-gradient needs the arrays \"x\", \"y\" and \"u\"")
    }
    inputs = try imported(labeled.inputs)
    labels = try importLabels(labeled.labels, "y", of: trainer.student)
    self.unlabeled = try imported(unlabeled)
    strong = try named["u_strong"].map { try imported($0) }
    trusted = try pair("x_trusted", "y_trusted", of: named).map {
      (try imported($0.inputs), try importLabels($0.labels, "y_trusted", of: trainer.student))
    }
    pseudoLabels = try named["pseudo_labels"].map { try importLabels($0, "pseudo_labels", of: trainer.student) }
  }
}

/// Rows and their labels.
/// - Throws: `DidactError.invalidArgument` where one of both is missing.
private func pair(_ rows: String, _ labels: String, of named: [String: BorrowedArray]) throws -> LabeledArrays? {
  guard (named[rows] == nil) == (named[labels] == nil) else {
    throw DidactError(.invalidArgument, "\"\(rows)\" and \"\(labels)\" are rows and their labels; give both or none")
  }
  return named[rows].flatMap { rows in named[labels].map { (inputs: rows, labels: $0) } }
}

extension [NamedArray] {
  /// - Throws: `DidactError.unsupported` for one that is neither in `names` nor ignored.
  fileprivate func byName(of names: [String], ignoring: [String], call: String) throws -> [String: BorrowedArray] {
    if let other = first(where: { !names.contains($0.name) && !ignoring.contains($0.name) }) {
      throw DidactError(
        .unsupported,
        "\(call) by this method has no use for \"\(other.name)\"; it takes \(names.joined(separator: ", "))")
    }
    return Dictionary(uniqueKeysWithValues: map { ($0.name, $0.array) })
  }
}
