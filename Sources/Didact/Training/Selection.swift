/// Keeps the best of the networks that a fit passes through, by accuracy on labelled rows that it does not learn from, and
/// says when there was no better one for long.
final class Selection: Stage {
  static let fields: [Field] = [
    Field(
      "validation_fraction", .number(.halfOpen(0, 1)), 0,
      "fit: share of each class's labels to choose the best network by; it predicts from then on. 0 for none"),
    Field("validation_steps", .integer(.atLeast(1)), 50, "fit: steps from one validation to the next"),
    Field(
      "patience", .integer(.atLeast(1)), .null,
      "fit: validations without a better one after which the steps end; null for never"),
  ]
  static let metricNames = ["validation/accuracy", "validation/loss"]

  /// How good a network is on labels: accuracy first, then the mean cross-entropy.
  struct Score: Equatable {
    let accuracy, loss: Double

    func isBetter(than other: Score) -> Bool {
      accuracy != other.accuracy ? accuracy > other.accuracy : loss < other.loss
    }
  }

  static let role = "best"
  static let remedy = " yet; set \"validation_fraction\", and fit"

  /// What it knows of the best network so far.
  struct Progress {
    var best: Score?
    /// The steps behind it.
    var bestStep = 0
    /// Validations since then.
    var waited = 0
    /// The steps after which a validation is still to be made.
    var dueStep: Int?
  }

  /// The best so far, once there is one.
  let network: Network
  let fraction: Double
  let every: Int
  var progress = Progress()
  private let patience: Int?
  private let objectives: Objectives
  /// Given before the network changes.
  private let willChange = Notice()

  /// nil where no validation is wanted.
  init?(_ student: Network, _ configuration: FieldValues) throws {
    fraction = try configuration.number("validation_fraction")
    every = try configuration.integer("validation_steps")
    patience = try configuration.value("patience") == .null ? nil : configuration.integer("patience")
    guard fraction > 0 else {
      guard patience == nil else {
        throw DidactError(.invalidArgument, "trainer: \"patience\" needs \"validation_fraction\"")
      }
      return nil
    }
    network = try student.copy()
    objectives = Objectives(network.kernels)
  }

  var best: Score? { progress.best }
  var hasBegun: Bool { best != nil }
  var isOver: Bool { patience.map { progress.waited >= $0 } ?? false }

  var state: [StateEntry] {
    network.state("\(Self.role).", parameters: .afterNotice(willChange), statistics: .afterNotice(willChange))
  }

  /// What a model file keeps beside the best network.
  var description: JSON {
    guard let best else { return .null }
    return .object([
      "accuracy": .number(best.accuracy), "loss": .number(best.loss), "step": .integer(Int64(progress.bestStep)),
      "waited": .integer(Int64(progress.waited)),
    ])
  }

  /// - Throws: `DidactError.format` for what `description` does not write.
  func read(_ description: JSON, steps: Int) throws {
    let members = description.members
    guard let accuracy = members?["accuracy"]?.double, let loss = members?["loss"]?.double,
      let step = members?["step"]?.int, let waited = members?["waited"]?.int,
      (0...1).contains(accuracy), loss >= 0, (0...steps).contains(step), (0...steps).contains(waited)
    else { throw DidactError(.format, "didact.description: \"selection\" is not one") }
    progress = Progress(best: Score(accuracy: accuracy, loss: loss), bestStep: step, waited: waited)
  }

  /// Some of each group's labelled rows, never all of them: a class is a group.
  /// - Parameter groups: of each labelled row.
  /// - Returns: positions in `groups`.
  /// - Throws: `DidactError.data` where no group has enough.
  func validationRows(_ groups: [Int], seed: UInt64) throws -> [Int] {
    let stream = RandomStream(seed: seed, name: "validation")
    var chosen: [Int] = [], rowsByGroup = Array(repeating: [Int](), count: network.classes)
    for (row, group) in groups.enumerated() { rowsByGroup[group].append(row) }
    for (group, rows) in rowsByGroup.enumerated() {
      let count = min(Int((fraction * Double(rows.count)).rounded()), rows.count - 1)
      guard count > 0 else { continue }
      chosen += stream.draw(UInt64(group)).permutation(rows.count).prefix(count).map { rows[$0] }
    }
    guard !chosen.isEmpty else {
      throw DidactError(
        .data,
        "validation_fraction \(fraction) of \(groups.count) labels is not one of any class; give a larger share, "
          + "or more labels")
    }
    return chosen.sorted()
  }

  /// Measures `candidate`, and takes it if there was none better.
  /// - Parameter validation: rows [N, inputs], scaled.
  func validate(_ candidate: Network, on validation: LabeledBatch, step: Int) throws -> Score {
    var correct = 0.0, loss = 0.0, count = 0
    let inputs = validation.inputs, perExample = candidate.labelsPerExample
    // At most 2¹⁶ labels at a time.
    let block = max(1, min(1024, (1 << 16) / perExample))
    for start in stride(from: 0, to: inputs.rows, by: block) {
      let rows = start..<min(inputs.rows, start + block)
      let logits = try candidate.record(inputs.rows(rows), mode: .evaluation.forLogits).logits
      let labels = validation.labels.view(Shape(rows.count * perExample), at: start * perExample)
      let targets = try objectives.targets(of: labels, classes: candidate.classes)
      loss += candidate.kernels.sum(try objectives.crossEntropies(logits: logits, targets: targets.rows), weights: nil)
      correct += candidate.kernels.dot(try objectives.mostProbable(logits), targets.rows)
      count += targets.count
    }
    let score = Score(accuracy: correct / Double(count), loss: loss / Double(count))
    guard score.loss.isFinite else {
      throw DidactError(
        .diverged,
        "step \(step - 1): the validation loss is not finite; the last finite state is kept. Lower the learning rate or set "
          + "clip_norm")
    }
    progress.dueStep = nil
    guard best.map({ score.isBetter(than: $0) }) ?? true else {
      progress.waited += 1
      return score
    }
    progress = Progress(best: score, bestStep: step)
    willChange.give()
    network.setValues(from: candidate)
    return score
  }
}
