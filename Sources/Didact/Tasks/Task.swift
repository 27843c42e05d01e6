/// What a network says of an example, and what the labels of one are: how many there are and of which values, their targets,
/// and the shapes of arrays of them.
///
/// A network gives a row of logits for each label that an example can have: the logits of N examples are [N · labels, classes],
/// the examples one after the other. Losses, masks and feedback look at rows alone, so that they serve every task.
protocol Task: Sendable {
  static var name: TaskName { get }
  /// Of one label.
  var classes: Int { get }
  /// Labels of one example, and rows of logits for it.
  var labelsPerExample: Int { get }
  /// The shape of the labels of some examples, and of what a network says of them.
  func labelShape(examples: Int) -> Shape
  func logitsShape(examples: Int) -> Shape
  /// Whether a label of an array says that there is none.
  func isNone(_ label: Int) -> Bool
  /// Whether a step may have examples of which some labels, or all, are none.
  static var stepsTakeNone: Bool { get }
  /// How it is written in arrays, for messages.
  static var noneText: String { get }
  /// Where a label of an example is, for messages: "" where it has one.
  func place(of label: Int) -> String
  /// The share of its labelled examples that validation takes is one of each group: the group of an example by its labels, of
  /// which −1 is none.
  func group(_ labels: some Collection<Int>) -> Int
}

/// The tasks, as networks call them.
public enum TaskName: String, CaseIterable, Sendable { case classification, segmentation }

/// One label an example: its class.
struct Classification: Task {
  static let name = TaskName.classification
  let classes: Int

  var labelsPerExample: Int { 1 }
  func labelShape(examples: Int) -> Shape { Shape(examples) }
  func logitsShape(examples: Int) -> Shape { Shape(examples, classes) }
  func isNone(_ label: Int) -> Bool { label == -1 }
  static var stepsTakeNone: Bool { false }
  static var noneText: String { "−1" }
  func place(of label: Int) -> String { "" }
  func group(_ labels: some Collection<Int>) -> Int { labels.first ?? 0 }
}

/// A label a pixel of what the network gives: its class, or `ignored`, as in the masks of PASCAL VOC. A loss is the mean over
/// the pixels that have a label. An image of which no pixel has one is an unlabelled image.
struct Segmentation: Task {
  static let name = TaskName.segmentation
  /// The label of a pixel that does not count.
  static let ignored = 255
  let height, width, classes: Int

  /// - Parameter output: of the last layer: a channel a class.
  /// - Throws: `DidactError.invalidArgument` for more classes than masks have values.
  init(output: Extent) throws {
    guard output.channels <= Segmentation.ignored else {
      throw DidactError(
        .invalidArgument,
        "network: segmentation has at most \(Segmentation.ignored) classes, 0 to \(Segmentation.ignored - 1); the last layer has "
          + "\(output.channels)")
    }
    (height, width, classes) = (output.height, output.width, output.channels)
  }

  var labelsPerExample: Int { height * width }
  func labelShape(examples: Int) -> Shape { Shape(examples, height, width) }
  func logitsShape(examples: Int) -> Shape { Shape(examples, height, width, classes) }
  func isNone(_ label: Int) -> Bool { label == Segmentation.ignored || label == -1 }
  static var stepsTakeNone: Bool { true }
  static var noneText: String { "\(ignored) or −1" }
  func place(of label: Int) -> String { ", y \(label / width), x \(label % width)" }
  func group(_ labels: some Collection<Int>) -> Int { 0 }
}

extension Task {
  /// - Throws: `DidactError.shape` or `.elementType` for an array that cannot be the labels of so many examples.
  func check(_ labels: BorrowedArray, of examples: Int, _ name: String) throws {
    let shape = labelShape(examples: examples)
    guard labels.shape.rank == shape.rank else {
      let expected = shape.rank == 1 ? "one dimension" : "\(shape)"
      throw DidactError(.shape, "\(name) has shape \(labels.shape); expected \(expected)")
    }
    guard labels.shape == shape else {
      throw DidactError(
        .shape,
        shape.rank == 1
          ? "\(name): \(labels.count) labels for \(examples) rows"
          : "\(name) has shape \(labels.shape); expected \(shape)")
    }
    guard labels.elementType == .int64 || labels.elementType == .uint8 else {
      throw DidactError(.elementType, "\(name) is \(labels.elementType); labels are int64 or uint8")
    }
  }

  /// A label of an array: its class, or −1 for none.
  /// - Parameters:
  ///   - index: among the labels of all examples.
  ///   - canBeNone: whether it may be none.
  /// - Throws: `DidactError.data` where it is neither.
  func checked(_ label: Int, at index: Int, _ name: String, canBeNone: Bool) throws -> Int {
    if label >= 0, label < classes { return label }
    if canBeNone, isNone(label) { return -1 }
    let (row, own) = index.quotientAndRemainder(dividingBy: labelsPerExample)
    throw DidactError(
      .data,
      "\(name), row \(row)\(place(of: own)): label \(label) is not \(canBeNone ? "\(Self.noneText) (none) or " : "")in 0..<\(classes)"
    )
  }
}
