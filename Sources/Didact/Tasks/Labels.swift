/// The labels of some examples, checked, in memory of their own.
public struct Labels: Sendable {
  let task: any Task
  public let examples: Int
  /// int64 or uint8, as they were given; nil where no example has any.
  private let values: Tensor?

  /// - Parameters:
  ///   - array: int64 or uint8, of the task's shape; nil for examples without labels.
  ///   - name: what errors call it.
  /// - Throws: `DidactError.shape`, `.elementType`, or `.data` naming the first that is no label.
  init(_ array: BorrowedArray?, of examples: Int, _ task: any Task, _ name: String = "y") throws {
    self.task = task
    self.examples = examples
    guard let array else {
      values = nil
      return
    }
    try task.check(array, of: examples, name)
    let own = try Tensor(array.shape, array.elementType)
    array.copyElements(to: own)
    for index in 0..<own.count { _ = try task.checked(own.integer(at: index), at: index, name, canBeNone: true) }
    values = own
  }

  /// As it was given; −1 where there are none.
  private subscript(index: Int) -> Int { values?.integer(at: index) ?? -1 }

  /// The labels of one example, −1 for none.
  func ofExample(_ example: Int) -> LazyMapSequence<Range<Int>, Int> { labels(of: example..<example + 1) }

  func hasAny(_ example: Int) -> Bool { ofExample(example).contains { $0 >= 0 } }

  /// The number of labels of each class.
  func counts(classes count: Int) -> [Int] {
    var counts = Array(repeating: 0, count: count)
    for label in classes where label >= 0 { counts[label] += 1 }
    return counts
  }

  /// For a step: int64 [examples · labels of one], −1 for none.
  func batch(_ examples: some Collection<Int>) throws -> Tensor {
    let batch = try Tensor(Shape(examples.count * task.labelsPerExample), .int64)
    var index = 0
    for example in examples {
      for label in ofExample(example) {
        batch[index] = Double(label)
        index += 1
      }
    }
    return batch
  }

  /// All of them, as they were given.
  var given: LazyMapSequence<Range<Int>, Int> { (0..<examples * task.labelsPerExample).lazy.map { self[$0] } }
  /// All of them, −1 for none.
  var classes: LazyMapSequence<Range<Int>, Int> { labels(of: 0..<examples) }

  private func labels(of examples: Range<Int>) -> LazyMapSequence<Range<Int>, Int> {
    let count = task.labelsPerExample
    return (examples.lowerBound * count..<examples.upperBound * count).lazy.map {
      task.isNone(self[$0]) ? -1 : self[$0]
    }
  }
}
