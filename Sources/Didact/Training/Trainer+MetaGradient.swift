/// What a test of the gradient asks for: the feedback alone, with nothing changed.
extension Trainer {
  /// The gradient of the student's labelled loss after its step, L_l(θ′(φ)), with respect to the teacher's parameters:
  /// the feedback alone, without weight or baseline. Changes nothing.
  /// - Parameters:
  ///   - labels: a class for each row, in segmentation for each pixel, 255 or −1 for none.
  ///   - trusted: rows and labels of that loss; nil for the labelled rows.
  ///   - pseudoLabels: a class for each unlabelled row, or its pixels, in place of sampled ones; not for `exact` feedback.
  ///   - draw: which dropout masks and samples; `steps` for those of the next step.
  /// - Returns: flat in the teacher's public order.
  public func metaGradient(
    _ inputs: Tensor, _ labels: [Int], unlabeled: Tensor, strong: Tensor? = nil,
    trusted: (inputs: Tensor, labels: [Int])? = nil, pseudoLabels: [Int]? = nil, draw: UInt64 = 0
  ) throws -> Tensor {
    let gradient = try Tensor(try network("teacher").parameters.shape, elementType)
    _ = try meta((inputs, labels), unlabeled, strong, trusted, pseudoLabels, draw, into: gradient)
    return gradient
  }

  /// L_l(θ′(φ)): the student's labelled loss after its step. Changes nothing.
  public func metaObjective(
    _ inputs: Tensor, _ labels: [Int], unlabeled: Tensor, strong: Tensor? = nil,
    trusted: (inputs: Tensor, labels: [Int])? = nil, pseudoLabels: [Int]? = nil, draw: UInt64 = 0
  ) throws -> Double {
    try meta((inputs, labels), unlabeled, strong, trusted, pseudoLabels, draw, into: nil)
  }

  private func meta(
    _ labeled: (inputs: Tensor, labels: [Int]), _ unlabeled: Tensor, _ strong: Tensor?,
    _ trusted: (inputs: Tensor, labels: [Int])?, _ pseudoLabels: [Int]?, _ draw: UInt64, into gradient: Tensor?
  ) throws -> Double {
    guard let method = method as? MetaPseudoLabels else {
      throw DidactError(.unsupported, "method \"\(methodName)\" has no meta-gradient")
    }
    applySchedules()
    func batch(_ rows: (inputs: Tensor, labels: [Int]), _ names: (rows: String, labels: String)) throws -> LabeledBatch
    {
      let labels = try checkLabels(
        rows.labels, names.labels, rows: rows.inputs.rows * student.labelsPerExample,
        canBeNone: type(of: student.task).stepsTakeNone)
      guard labels.isEmpty || labels.contains(where: { $0 >= 0 }) else {
        throw DidactError(.data, "\(names.labels): no pixel has a label")
      }
      return LabeledBatch(inputs: try prepared(rows.inputs, names.rows), labels: try Tensor(labels))
    }
    let labeledRows = try batch(labeled, ("X", "y"))
    let trustedRows = try trusted.map { try batch($0, ("X_trusted", "y_trusted")) }
    let weak = try prepared(unlabeled, "unlabeled")
    let strongRows = try strong.map { try prepared($0, "unlabeled, strong view") } ?? weak
    try checkStrong(strongRows, of: weak)
    if let pseudoLabels { try checkLabels(pseudoLabels, "pseudo_labels") }
    do {
      return try writing {
        try method.metaGradient(
          labeledRows, trusted: trustedRows, weak: weak, strong: strongRows,
          pseudoLabels: pseudoLabels.map { try Tensor($0) }, draw: draw,
          into: gradient)
      }
    } catch let error as DidactError where error.code == .diverged {
      throw DidactError(
        .diverged,
        "step \(steps): the meta-gradient, or a loss on the way to it, is not finite; nothing was changed. Look for "
          + "parameters or inputs that are very large")
    }
  }
}
