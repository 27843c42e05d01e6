/// The shares of the classes that a fit aims at, where those of the labels are others than those of the rows: labels are
/// often drawn evenly from rows that are not even.
///
/// Labelled rows are repeated until their classes are as frequent as the shares ask for, so that a method learns with the
/// prior that the shares are, whichever method it is: see `RowRepetition`.
///
/// The shares of rows without labels are estimated by expectation maximisation (Saerens, Latinne and Decaestecker, Neural
/// Computation 2002): p_i is what a network says of row i that has learned from the labels alone, r the labels' shares,
///
///     π ← r, then until it stays:  q_ic ∝ p_ic π_c / r_c,  π_c ← (1 − λ) mean_i q_ic + λ r_c
///
/// with λ = `shrinkage`. Few labels estimate badly: shares that are near the labels' are taken to be those. Others are met
/// half way, by √(π_c r_c): the full estimate would take more from rare classes than it gives to accuracy.
enum ClassPrior: Equatable {
  /// Every labelled row counts once.
  case labels
  case estimate
  /// One for each class; they need not sum to 1.
  case shares([Double])

  static let field = Field(
    "class_prior", .choiceOrNumbers(["none", "labels", "estimate"], .atLeast(0)), "none",
    "fit: the shares of the classes to learn for, by repeating labelled rows: a number for each class; estimate finds them on "
      + "the rows without labels, goes half way, and keeps the labels' where they are near; none and labels leave the labels as they are",
    source: "estimate: Saerens et al. 2002")

  /// The estimate is drawn so far to the shares of the labels.
  static let shrinkage = 0.1
  /// |π_c − r_c| of a class from which on an estimate is believed.
  static let leastDifference = 0.3

  init(_ configuration: FieldValues, _ student: Network) throws {
    switch try configuration.value("class_prior") {
    case .string("estimate"): self = .estimate
    case .array(let list): self = .shares(list.compactMap(\.double))
    default: self = .labels
    }
    if case .shares(let shares) = self {
      guard shares.count == student.classes, shares.contains(where: { $0 > 0 }) else {
        throw DidactError(
          .invalidArgument,
          "trainer: \"class_prior\" has \(shares.count) shares for \(student.classes) classes; give one number for each, not all 0"
        )
      }
    }
    guard self == .labels || student.labelsPerExample == 1 else {
      throw DidactError(.unsupported, "trainer: \"class_prior\" repeats rows, which have one label each; pixels do not")
    }
  }

  /// π of rows with class probabilities [N, C] (float64), whose network learned from labels of the shares r.
  static func estimated(_ probabilities: Tensor, labels r: [Double]) -> [Double] {
    let rows = probabilities.rows, classes = r.count, values = probabilities.values
    var shares = r, posterior = Array(repeating: 0.0, count: classes)
    for _ in 0..<200 {
      var sums = Array(repeating: 0.0, count: classes)
      for row in 0..<rows {
        var total = 0.0
        for label in 0..<classes {
          // A class that is never predicted with any certainty must not vanish for good.
          let p = max(values[row * classes + label], 1e-6)
          posterior[label] = r[label] > 0 ? p * shares[label] / r[label] : 0
          total += posterior[label]
        }
        for label in 0..<classes { sums[label] += posterior[label] / total }
      }
      let next = (0..<classes).map { (1 - shrinkage) * sums[$0] / Double(rows) + shrinkage * r[$0] }
      let moved = zip(next, shares).reduce(0) { max($0, abs($1.0 - $1.1)) }
      shares = next
      if moved < 1e-6 { break }
    }
    return shares
  }
}

extension Trainer {
  /// The shares that a fit on these rows aims at; nil for those of the labels.
  func classShares(_ arrays: FitArrays, _ labels: Labels, _ weights: [Double]?) throws -> [Double]? {
    switch classPrior {
    case .labels: return nil
    case .shares(let shares): return shares
    case .estimate:
      // A fit that goes on does so with the shares that it began with.
      if steps > 0 { return estimatedShares }
      var own = Array(repeating: 0.0, count: student.classes)
      for (row, label) in labels.classes.enumerated() where label >= 0 { own[label] += weights?[row] ?? 1 }
      let total = own.reduce(0, +)
      if total > 0, total.isFinite { own = own.map { $0 / total } }
      let shares: [Double]
      do {
        shares = try estimatedShares(arrays, labels, weights, own)
      } catch let error as DidactError where error.code == .diverged {
        throw error.at("class_prior \"estimate\", a network of the labels alone")
      }
      let isFar = zip(shares, own).contains { abs($0 - $1) >= ClassPrior.leastDifference }
      return isFar ? zip(shares, own).map { ($0 * $1).squareRoot() } : nil
    }
  }

  /// A network like the student, which learns from the labels alone, estimates them.
  private func estimatedShares(
    _ arrays: FitArrays, _ labels: Labels, _ weights: [Double]?, _ own: [Double]
  ) throws -> [Double] {
    let keys = try Self.fields(method: "supervised").map(\.key)
    var object = JSONObject(configuration.object.members.filter { keys.contains($0.key) })
    (object["method"], object["members"], object["class_prior"]) = ("supervised", [], "none")
    object["forest_trees"] = 0
    // Nobody can stop it, and a thousand steps on the labels are enough.
    object["steps"] = .integer(Int64(min(scheduledSteps, 1000)))
    let learner = try Trainer(configuration: object)
    // It is the first to look at the data, and its errors name classes.
    try learner.writing { learner.keep(classNames, of: .classes) }
    let data = try FitData(learner, arrays, labels, weights: weights)
    let run = try FitRun(learner, data, rowsDigest: 0, dataDigest: 0, end: nil)
    let timeLimit = try configuration.optionalNumber("time_limit") ?? .infinity, start = secondsOfClock()
    while secondsOfClock() - start < timeLimit / 4, try run.step() {}
    let pool = data.pool
    // Some thousands of rows say what all of them do.
    let rows = stride(from: 0, to: pool.count, by: max(1, pool.count / 2048)).map { $0 }
    let inputs = try pool.rows(rows, elementType, student.kernels, learner.scaling, in: TensorPool())
    let probabilities = try Tensor(Shape(rows.count, student.classes), .float64)
    try withExtendedLifetime((inputs, probabilities)) {
      try learner.predictor.predict(BorrowedArray(probabilities), BorrowedArray(inputs), scaling: nil) { _ in }
    }
    return ClassPrior.estimated(probabilities, labels: own)
  }
}
