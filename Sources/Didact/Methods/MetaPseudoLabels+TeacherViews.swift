/// The teacher's forwards: which rows pass it together, and whose logits label.
extension MetaPseudoLabels {
  /// The forwards made so far.
  struct TeacherViews {
    var labeled, weak, strong: RowsOfPass?
  }

  private func record(
    _ input: Tensor, _ noise: RandomStream, draw: UInt64, statistics: PassMode.Normalization, isKept: Bool = true
  ) throws -> RowsOfPass {
    let mode = PassMode(normalization: statistics, noise: noise, draw: draw, isKept: isKept)
    let pass = try teacher.record(input, mode: mode)
    return RowsOfPass(pass)
  }

  /// The forward whose softmax is q, and all that were made with it.
  func labelingView(
    weak: Tensor, strong: Tensor, labeled: LabeledBatch?, draw: UInt64, statistics: PassMode.Normalization
  ) throws -> (labeling: RowsOfPass, made: TeacherViews) {
    let (input, noise) = pseudoLabelView == .weak ? (weak, streams.weak) : (strong, streams.strong)
    if eman {
      // EMAN: running averages, constants for the gradient. The other forwards use batch statistics.
      return (try record(input, noise, draw: draw, statistics: .running), TeacherViews())
    }
    guard isJoint else {
      let view = try record(input, noise, draw: draw, statistics: statistics)
      let made = pseudoLabelView == .weak ? TeacherViews(weak: view) : TeacherViews(strong: view)
      return (view, made)
    }
    guard let labeled else {
      throw DidactError(
        .state,
        "batch_composition \"joint\" normalises labelled and unlabelled rows together: call step, or set \"separate\"")
    }
    let views = try jointViews(weak: weak, strong: strong, labeled, draw: draw, statistics: statistics)
    return (
      pseudoLabelView == .weak ? views.weak : views.strong,
      TeacherViews(labeled: views.labeled, weak: views.weak, strong: views.strong)
    )
  }

  /// One forward over labelled, weak and strong rows, as in the released code.
  private func jointViews(
    weak: Tensor, strong: Tensor, _ labeled: LabeledBatch, draw: UInt64, statistics: PassMode.Normalization
  ) throws -> (labeled: RowsOfPass, weak: RowsOfPass, strong: RowsOfPass) {
    let views = try teacher.record(
      together: [labeled.inputs, weak, strong],
      mode: PassMode(normalization: statistics, noise: streams.joint, draw: draw), objectives)
    return (views[0], views[1], views[2])
  }

  /// Adds the forwards that the supervised and consistency terms need and the labelling did not make.
  func auxiliaryViews(
    _ made: TeacherViews, _ step: StudentMove, _ labeled: LabeledBatch, draw: UInt64
  ) throws -> TeacherViews {
    var views = made
    if isJoint {
      if views.labeled == nil {
        let joint = try jointViews(
          weak: step.weak, strong: step.strong, labeled, draw: draw, statistics: .batchUpdatingRunning)
        (views.labeled, views.weak, views.strong) = (joint.labeled, joint.weak, joint.strong)
      }
      return views
    }
    if supervisedWeight != 0 {
      views.labeled = try record(labeled.inputs, streams.labeled, draw: draw, statistics: .batchUpdatingRunning)
    }
    if udaWeight != 0 {
      // Of the weak view only the logits are needed: they are a target.
      views.weak =
        try views.weak
        ?? record(step.weak, streams.weak, draw: draw, statistics: .batchUpdatingRunning, isKept: false)
      views.strong =
        try views.strong ?? record(step.strong, streams.strong, draw: draw, statistics: .batchUpdatingRunning)
    }
    return views
  }
}
