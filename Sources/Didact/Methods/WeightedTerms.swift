/// Some rows of the logits of a recorded pass: those of one view, where several views passed together.
struct RowsOfPass {
  let pass: RecordedPass
  let range: Range<Int>

  init(pass: RecordedPass, range: Range<Int>) {
    self.pass = pass
    self.range = range
  }

  /// All rows.
  init(_ pass: RecordedPass) { self.init(pass: pass, range: 0..<pass.logits.rows) }

  var logits: Tensor { pass.logits.rows(range) }

  /// gradient ← the gradient of ⟨cotangent, logits⟩, or += it.
  func backward(_ cotangent: Tensor, into gradient: Tensor, accumulate: Bool = false, _ objectives: Objectives) throws {
    guard range.count < pass.logits.rows else {
      return try pass.backward(cotangent, into: gradient, accumulate: accumulate)
    }
    let whole = try objectives.zeros(pass.logits.shape)
    pass.kernels.copy(cotangent, to: whole.rows(range))
    try pass.backward(whole, into: gradient, accumulate: accumulate)
  }
}

extension Network {
  /// One pass over the rows of several views [N, inputs] each, which share batch statistics; the rows of each.
  func record(together views: [Tensor], mode: PassMode, _ objectives: Objectives) throws -> [RowsOfPass] {
    let pass = try record(objectives.joined(views), mode: mode)
    var start = 0
    return views.map { view in
      defer { start += view.rows * labelsPerExample }
      return RowsOfPass(pass: pass, range: start..<start + view.rows * labelsPerExample)
    }
  }
}

/// The gradient of a weighted sum of losses with respect to one network's parameters, term by term.
final class WeightedTerms {
  static let field = Field(
    "term_gradient_norms", .boolean, true,
    "report gradient_norm/<term> for each term of the objective; false makes one backward where terms share a forward, "
      + "which is faster, and the norms read 0")

  private let network: Network
  private let objectives: Objectives
  /// Takes one term's gradient at a time [parameters]; nil where nobody asks for the norm of each.
  private let termGradient: Tensor?
  /// The terms through one pass that are still to go backward, where they do so together.
  private var together: (pass: RecordedPass, cotangent: Tensor)?

  /// - Parameter measuresEach: whether the norm of each term's gradient is wanted; without, terms that share a pass have one
  ///   backward.
  init(_ network: Network, measuresEach: Bool = true) throws {
    self.network = network
    objectives = Objectives(network.kernels)
    termGradient = measuresEach ? try Tensor(network.parameters.shape, network.elementType) : nil
  }

  /// network.gradients ← 0
  func begin() {
    together = nil
    network.kernels.fill(network.gradients, 0)
  }

  /// network.gradients += weight · ∇term, now or by `finish`.
  /// - Returns: ‖∇term‖, without the weight; nil where it is not measured.
  /// - Throws: `DidactError.diverged` where the term's loss is not finite.
  func add(_ term: LossGradient, _ name: String, weight: Double, through rows: RowsOfPass, draw: UInt64) throws
    -> Double?
  {
    try checkFinite(term.loss, term: name, draw: draw)
    guard let termGradient else {
      if together?.pass !== rows.pass { try finish() }
      let whole = try together?.cotangent ?? objectives.zeros(rows.pass.logits.shape)
      network.kernels.add(term.cotangent, scaledBy: weight, to: whole.rows(rows.range))
      together = (rows.pass, whole)
      return nil
    }
    try rows.backward(term.cotangent, into: termGradient, objectives)
    return add(termGradient, weight)
  }

  /// The same for a term on all rows of a pass.
  func add(_ term: LossGradient, _ name: String, weight: Double, through pass: RecordedPass, draw: UInt64) throws
    -> Double?
  {
    try add(term, name, weight: weight, through: RowsOfPass(pass), draw: draw)
  }

  /// The same for a term that reaches the parameters through several passes.
  func add(
    loss: Double, _ parts: [(cotangent: Tensor, rows: RowsOfPass)], _ name: String, weight: Double, draw: UInt64
  ) throws -> Double? {
    try checkFinite(loss, term: name, draw: draw)
    guard let termGradient else {
      for part in parts {
        _ = try add(
          LossGradient(loss: loss, cotangent: part.cotangent), name, weight: weight, through: part.rows, draw: draw)
      }
      return nil
    }
    for (index, part) in parts.enumerated() {
      try part.rows.backward(part.cotangent, into: termGradient, accumulate: index > 0, objectives)
    }
    return add(termGradient, weight)
  }

  /// Takes the terms backward that do so together.
  func finish() throws {
    if let (pass, cotangent) = together { try pass.backward(cotangent, into: network.gradients, accumulate: true) }
    together = nil
  }

  private func add(_ termGradient: Tensor, _ weight: Double) -> Double {
    network.kernels.add(termGradient, scaledBy: weight, to: network.gradients)
    return network.kernels.dot(termGradient, termGradient).squareRoot()
  }
}
