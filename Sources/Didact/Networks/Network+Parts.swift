extension Network {
  /// Parameters, gradients and running statistics, each in one buffer that never moves; networks that are views of each other
  /// share them.
  struct Values: @unchecked Sendable {
    let parameters, gradients, statistics: Tensor
    let parameterSlots, statisticSlots: [Slot]
    let parameterNames, statisticNames: [String]
    let initializations: [NetworkBuilder.Initialization]
    /// Where each name stands: parameters, then statistics.
    let indices: [String: Int]
    let lock: ReadWriteLock
    /// Draws made by training-mode passes that did not say which draw they are.
    let draws: Locked<UInt64>

    init(_ builder: NetworkBuilder, _ elementType: ElementType) throws {
      // Asked for as a whole, before any of it is filled.
      try Buffer.checkRoom(byteCount: (2 * builder.parameterCount + builder.statisticCount) * elementType.byteCount)
      try self.init(
        parameters: Tensor(Shape(builder.parameterCount), elementType),
        gradients: Tensor(Shape(builder.parameterCount), elementType),
        statistics: Tensor(Shape(builder.statisticCount), elementType), builder.parameters, builder.statistics,
        builder.initializations, lock: ReadWriteLock(), draws: Locked(0))
    }

    private init(
      parameters: Tensor, gradients: Tensor, statistics: Tensor, _ parameterSlots: [Slot], _ statisticSlots: [Slot],
      _ initializations: [NetworkBuilder.Initialization], lock: ReadWriteLock, draws: Locked<UInt64>
    ) throws {
      self.parameters = parameters
      self.gradients = gradients
      self.statistics = statistics
      self.parameterSlots = parameterSlots
      self.statisticSlots = statisticSlots
      parameterNames = parameterSlots.map(\.name)
      statisticNames = statisticSlots.map(\.name)
      self.initializations = initializations
      indices = Dictionary(
        uniqueKeysWithValues: (parameterNames + statisticNames).enumerated().map { ($0.element, $0.offset) })
      self.lock = lock
      self.draws = draws
    }

    /// The first of them.
    func prefix(parameters count: Int, statistics statisticCount: Int) throws -> Values {
      func length(_ slots: ArraySlice<Slot>) -> Int { slots.last.map { $0.offset + $0.shape.count } ?? 0 }
      let slots = parameterSlots.prefix(count), statisticSlots = statisticSlots.prefix(statisticCount)
      return try Values(
        parameters: parameters.view(Shape(length(slots))), gradients: gradients.view(Shape(length(slots))),
        statistics: statistics.view(Shape(length(statisticSlots))), Array(slots), Array(statisticSlots),
        Array(initializations.prefix(count)), lock: lock, draws: draws)
    }
  }

  /// All parameters, in the order of `parameterNames`. Writable; a write is seen by the next call.
  public var parameters: Tensor { values.parameters }
  /// What `RecordedPass.backward` computed last, in the same order.
  public var gradients: Tensor { values.gradients }
  /// Running statistics of normalisation layers, in the order of `statisticNames`.
  public var statistics: Tensor { values.statistics }
  /// Held for reading by predictions and for writing by training steps.
  package var lock: ReadWriteLock { values.lock }
  package var draws: Locked<UInt64> { values.draws }
  var parameterSlots: [Slot] { values.parameterSlots }
  var statisticSlots: [Slot] { values.statisticSlots }

  /// The network as far as one of its layers, as a network of its own: what that layer gives is its output. It shares
  /// parameters, gradients and statistics with this one, as far as they go; its average is that of a part.
  /// - Parameter name: of a layer, or "features" for what the last layer reads, or "logits" for the whole.
  /// - Throws: `DidactError.invalidArgument` for a name that no layer has, with the nearest.
  func part(endingWith name: String) throws -> Network {
    if name == "logits" || name == graph.last.name { return self }
    if let known = parts.withLock({ $0[name] }) { return known }
    let last = try graph.place(of: name), nodes = graph.nodes.prefix(last + 1)
    let names = Set(nodes.map(\.layer.name))
    // Parameters are called after their layer, and are in the order of the layers.
    func count(_ slots: [Slot]) -> Int {
      slots.prefix { slot in
        names.contains(String(slot.name.prefix(upTo: slot.name.lastIndex(of: ".") ?? slot.name.endIndex)))
      }.count
    }
    let part = try Network(
      sharing: self, values.prefix(parameters: count(parameterSlots), statistics: count(statisticSlots)), specification,
      LayerGraph(nodes.map { ($0.layer, $0.inputs) }), end: name)
    return parts.withLock { parts in
      if let known = parts[name] { return known }
      // Somebody may ask for each of thousands of layers.
      if parts.count == 8 { parts.removeAll() }
      parts[name] = part
      return part
    }
  }
}

extension LayerGraph {
  /// The layer of a name; "features" is what the last one reads.
  fileprivate func place(of name: String) throws -> Int {
    if name == "features" {
      guard let value = nodes.last?.inputs.first, value > 0 else {
        throw DidactError(.invalidArgument, "the network has one layer, so that its features are its input")
      }
      return value - 1
    }
    guard let place = nodes.firstIndex(where: { $0.layer.name == name }) else {
      let known = nodes.map(\.layer.name) + ["features", "logits"]
      throw DidactError(.invalidArgument, "no layer \"\(name)\".\(suggestion(for: name, among: known))")
    }
    return place
  }
}
