/// A look back at a fit that has ended: whether the student can be trusted with the rows that it was made for.
///
/// The review looks at labelled rows and at a sample of all rows, as they are, in no view: at up to 1,000 of each, fewer
/// where rows are long.
struct FitReview {
  /// Below this share of its own labels a student has not learned them: those that do well have nearly all.
  private static let leastOwnAccuracy = 0.75
  /// Shares of classes that differ by more, in total variation, are far from each other.
  private static let farShares = 0.25
  /// Rows that are far from all labels are worth a warning where so many of all rows are.
  private static let farShare = 0.25
  /// Members with and without unlabelled rows that name other classes for more rows than this cannot both be trusted.
  private static let disagreeingShare = 0.2

  private let trainer: Trainer
  private let classes: Int
  /// How many labels each class has.
  private let labelCounts: [Int]
  /// Some of the labelled rows, and some of all: as they are given, and scaled.
  private let labeled, sample: (given: Tensor, scaled: Tensor)
  /// The labels of the rows of `labeled`, one after the other, −1 for none.
  private let labels: [Int]
  /// Whether there are trusted rows beside them.
  private let mayBeWrong: Bool

  init(_ trainer: Trainer, _ data: FitData) throws {
    self.trainer = trainer
    classes = trainer.student.classes
    mayBeWrong = data.trusted != nil
    let memory = TensorPool(),
      mostRows = max(50, min(1000, 16_000_000 / max(trainer.student.inputs, trainer.student.outputs)))
    func rows(_ indices: [Int]) throws -> (given: Tensor, scaled: Tensor) {
      (
        try data.pool.given(indices, in: memory),
        try data.pool.rows(indices, trainer.elementType, trainer.student.kernels, trainer.scaling, in: memory)
      )
    }
    labelCounts = FitReview.counts(of: data.labeledRows.lazy.flatMap { data.labels.ofExample($0) }, classes: classes)
    let kept = FitReview.spread(data.labeledRows.count, atMost: mostRows)
    labels = kept.flatMap { data.labels.ofExample(data.labeledRows[$0]) }
    labeled = try rows(kept.map { data.labeledRows[$0] })
    sample = try rows(FitReview.spread(data.pool.count, atMost: mostRows))
  }

  /// Indices of some of `count` rows, evenly spread.
  private static func spread(_ count: Int, atMost mostRows: Int) -> [Int] {
    let kept = min(count, mostRows)
    return (0..<kept).map { $0 * count / kept }
  }

  func warnings() throws -> [Warning] {
    // By the networks: trees know the labels that they learned from by heart.
    let members = trainer.indexedMembers
    let ownPredictions = try predictions(of: labeled.given, by: members)
    // Labels that may be wrong need not be learned.
    var warnings = [fewLabels(), mayBeWrong ? nil : poorOnLabels(ownPredictions), stepsBeyondSchedule()]
    if trainer.everyMember.contains(where: \.method.needsUnlabeled) {
      let predicted = try predictions(of: sample.given, by: members)
      warnings += [
        classNeverPredicted(predicted + ownPredictions), try classShares(predicted), try rowsFarFromLabels(),
        fewSteps(), try membersDisagree(),
      ]
    }
    return warnings.compactMap { $0 }
  }

  // MARK: - The checks

  private func fewLabels() -> Warning? {
    let single = (0..<classes).filter { labelCounts[$0] == 1 }
    if !single.isEmpty {
      return Warning(
        .fewLabels,
        "\(single.count) of \(classes) classes have a single label to learn from: \(list(single)); one row does not show how far its "
          + "class reaches. Label a second row of each")
    }
    if let validation = trainer.validationRowCount, validation < 10 {
      return Warning(
        .fewLabels,
        "the best network was chosen on \(validation) labelled rows, so that chance decided; label more rows, or set "
          + "validation_fraction to 0")
    }
    return nil
  }

  private func fewSteps() -> Warning? {
    let start = trainer.everyMember.map(\.method.consistencyStart).max() ?? 0
    guard start > 0, trainer.steps <= start else { return nil }
    return Warning(
      .fewSteps,
      "training ended after \(trainer.steps) steps, and the teacher's consistency loss begins after "
        + "\(start), so that it never acted. Train longer, or lower uda_wait_steps")
  }

  /// A fit that is asked for a number of steps makes them beyond those that were planned too.
  private func stepsBeyondSchedule() -> Warning? {
    let planned = trainer.scheduledSteps
    let still = trainer.indexedMembers.flatMap { index, member in
      member.finetuning == nil && member.steps > planned
        ? member.method.learners.filter { $0.optimizer.scheduleFactor == 0 }
          .map { (index.map { "members[\($0)]." } ?? "") + $0.role } : []
    }
    guard !still.isEmpty else { return nil }
    return Warning(
      .stepsBeyondSchedule,
      "the schedules of learning rates come to 0 after the \(planned) steps of the configuration: the \(trainer.steps - planned) "
        + "steps beyond changed nothing in \(still.joined(separator: ", ")). Train anew with more steps, or with the schedule "
        + "\"constant\"")
  }

  private func poorOnLabels(_ predictions: [Int]) -> Warning? {
    let right = zip(labels, predictions).count { $0 == $1 }, count = labels.count { $0 >= 0 }
    let accuracy = Double(right) / Double(count)
    guard accuracy < FitReview.leastOwnAccuracy else { return nil }
    return Warning(
      .poorOnLabels,
      "the \(trainer.predictorRole) gets \(right) of the \(count) labels right that it was trained with. "
        + (trainer.method.needsUnlabeled
          ? "Compare with the method \"supervised\"; lower strong_noise or the weight of the unlabelled rows, train "
            + "longer, and look for labels that contradict each other"
          : "Train longer, and look for labels that contradict each other"))
  }

  /// - Parameter predicted: for the labelled rows too: a rare class may have no row in the sample.
  private func classNeverPredicted(_ predicted: [Int]) -> Warning? {
    let named = FitReview.counts(of: predicted, classes: classes)
    let missing = (0..<classes).filter { named[$0] == 0 && labelCounts[$0] > 0 }
    guard !missing.isEmpty else { return nil }
    return Warning(
      .classNeverPredicted,
      "no labelled row and none of \(sample.given.rows) others looked at is predicted to be \(list(missing)), of which there are "
        + "labels. Compare with the method \"supervised\", and label more rows of \(missing.count == 1 ? "this class" : "these classes")"
    )
  }

  /// Labels may be balanced on purpose where rows are not, so that predictions that are far from the labels' shares are
  /// suspicious only where what the labels alone say of the rows is far from them too.
  private func classShares(_ predicted: [Int]) throws -> Warning? {
    let shares = shares(of: predicted), given = FitReview.shares(labelCounts)
    // What the nearest labels say is a comparison for whole rows.
    guard trainer.student.labelsPerExample == 1, FitReview.distance(shares, given) > FitReview.farShares else {
      return nil
    }
    let supported = self.shares(of: try nearestLabels())
    guard FitReview.distance(shares, supported) > FitReview.farShares else { return nil }
    let label = (0..<classes).max { shares[$0] - supported[$0] < shares[$1] - supported[$1] } ?? 0
    func percent(_ share: Double) -> String { "\(Int((100 * share).rounded())) %" }
    return Warning(
      .classShares,
      "\(percent(shares[label])) of the rows are predicted to be \(trainer.nameOfClass(label)), which has \(percent(given[label])) of the "
        + "labels and \(percent(supported[label])) of the rows by their nearest label. Compare with the method "
        + "\"supervised\"; lower strong_noise or the weight of the unlabelled rows, or label more rows")
  }

  private func rowsFarFromLabels() throws -> Warning? {
    let apart = try squaredDistances(labeled.scaled, labeled.scaled).map { $0.max() ?? 0 }.max() ?? 0
    let far = try squaredDistances(sample.scaled, labeled.scaled).count { ($0.min() ?? 0) > apart }
    guard Double(far) > FitReview.farShare * Double(sample.given.rows) else { return nil }
    return Warning(
      .rowsFarFromLabels,
      "\(far) of \(sample.given.rows) rows looked at are farther from every labelled row than any two labelled rows are from each "
        + "other: what is predicted for them is a guess. See that all rows have the same columns and units, and label some "
        + "of these rows")
  }

  /// Where classes have no clusters, or other clusters than the rows, unlabelled rows mislead, and neither labels nor shares
  /// show it.
  private func membersDisagree() throws -> Warning? {
    // Of networks that have hardly learned it says nothing.
    guard trainer.isMethodDone, fewSteps() == nil else { return nil }
    let withRows = trainer.indexedMembers.filter(\.trainer.method.needsUnlabeled)
    let alone = trainer.indexedMembers.filter { !$0.trainer.method.needsUnlabeled }
    guard !withRows.isEmpty, !alone.isEmpty else { return nil }
    let pairs = Array(
      zip(try predictions(of: sample.given, by: withRows), try predictions(of: sample.given, by: alone)))
    let apart = pairs.count { $0 != $1 }
    guard Double(apart) > FitReview.disagreeingShare * Double(pairs.count) else { return nil }
    return Warning(
      .membersDisagree,
      "\(apart) of \(pairs.count) rows looked at are of one class to the members that learned from unlabelled rows, and of "
        + "another to those that learned from labels alone, and the labels are too few to tell who is right. Label more rows, or "
        + "set labelled rows aside and compare the methods \"\(withRows[0].trainer.methodName)\" and "
        + "\"\(alone[0].trainer.methodName)\" on them"
    )
  }

  // MARK: - What they look at

  /// By the mean of members' probabilities.
  private func predictions(of rows: Tensor, by members: [(index: Int?, trainer: Trainer)]) throws -> [Int] {
    let probabilities = try Tensor(trainer.student.logitsShape(examples: rows.rows), trainer.elementType)
    do {
      try withExtendedLifetime((rows, probabilities)) {
        try Trainer.predict(BorrowedArray(probabilities), BorrowedArray(rows), byMeanOf: members)
      }
    } catch let error as DidactError where error.code == .data {
      // The rows are finite, or the fit would not have begun.
      throw DidactError(
        .diverged,
        "after step \(trainer.steps - 1): what the \(trainer.predictorRole) says of the training rows is not finite; it cannot predict. Lower "
          + "the learning rate or set clip_norm")
    }
    return try trainer.mostProbable(probabilities)
  }

  /// The label of the nearest labelled row, for each row of the sample.
  private func nearestLabels() throws -> [Int] {
    try squaredDistances(sample.scaled, labeled.scaled).map { distances in
      labels[distances.indices.min { distances[$0] < distances[$1] } ?? 0]
    }
  }

  /// ‖a_i − b_j‖² by row of `a` [M, inputs] and of `b` [N, inputs].
  private func squaredDistances(_ a: Tensor, _ b: Tensor) throws -> [[Double]] {
    let products = try Tensor(Shape(a.rows, b.rows), trainer.elementType), kernels = trainer.student.kernels
    kernels.dense(products, a, weight: b, bias: nil)
    let lengthsOfA = (0..<a.rows).map { kernels.dot(a.rows($0..<$0 + 1), a.rows($0..<$0 + 1)) }
    let lengthsOfB = (0..<b.rows).map { kernels.dot(b.rows($0..<$0 + 1), b.rows($0..<$0 + 1)) }
    let values = products.values
    return lengthsOfA.enumerated().map { row, length in
      lengthsOfB.enumerated().map { max(0, length + $0.element - 2 * values[row * b.rows + $0.offset]) }
    }
  }

  private static func counts(of labels: some Sequence<Int>, classes: Int) -> [Int] {
    var counts = Array(repeating: 0, count: classes)
    for label in labels where label >= 0 { counts[label] += 1 }
    return counts
  }

  private static func shares(_ counts: [Int]) -> [Double] {
    let total = Double(max(1, counts.reduce(0, +)))
    return counts.map { Double($0) / total }
  }

  private func shares(of labels: [Int]) -> [Double] {
    FitReview.shares(FitReview.counts(of: labels, classes: classes))
  }

  /// Total variation, in [0, 1].
  private static func distance(_ a: [Double], _ b: [Double]) -> Double {
    zip(a, b).reduce(0) { $0 + abs($1.0 - $1.1) } / 2
  }

  private func list(_ labels: [Int]) -> String {
    labels.prefix(10).map(trainer.nameOfClass).joined(separator: ", ")
      + (labels.count > 10 ? " and \(labels.count - 10) more" : "")
  }
}

extension Trainer {
  /// For messages.
  func nameOfClass(_ label: Int) -> String { classNames.isEmpty ? "class \(label)" : "\"\(classNames[label])\"" }
}

extension Warning {
  /// As the C interface and the command give it.
  public var json: JSON { ["code": .string(code.rawValue), "message": .string(message)] }
}
