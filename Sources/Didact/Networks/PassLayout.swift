/// Where each value of a pass over N rows stands in its memory, in elements.
struct PassLayout {
  typealias Place = (offset: Int, shape: Shape)

  let rows: Int
  /// Of the workspace, and of the memory that cotangents and tangents take turns in.
  let count, directionCount: Int
  /// Of the input, which is elsewhere.
  let input: Shape
  /// Of each layer, in the workspace. An elementwise layer writes over its input where nothing reads that later.
  let outputs: [Place]
  let saved: [[Place]]
  private let schedules: [BackwardSchedule]
  /// What the schedules number, and the tangents of each layer's output, in the memory of directions.
  private let cotangents: [[Place]]
  let tangents: [Place]

  /// - Throws: `DidactError.shape` where a shape is too large to count.
  init(_ graph: LayerGraph, inputs: Int, rows: Int, isKept: Bool) throws {
    var workspace = Arena()
    func shape(_ length: Int) throws -> Shape { try Shape(checking: [rows, length]) }
    let layers = graph.nodes.map(\.layer)
    self.rows = rows
    input = try shape(inputs)
    if isKept {
      var outputs: [Place] = []
      for (index, node) in graph.nodes.enumerated() {
        outputs.append(
          graph.overwritesInput(index)
            ? outputs[node.inputs[0] - 1] : try workspace.append(try shape(node.layer.outputs)))
      }
      self.outputs = outputs
    } else {
      outputs = try workspace.places(
        try layers.map { try shape($0.outputs) }, uses: graph.forwardUses, elsewhere: { _ in false })
    }
    saved = try layers.map { try $0.savedShapes(rows: rows).map { try workspace.append($0) } }
    count = workspace.count

    guard isKept else {
      (schedules, cotangents, tangents, directionCount) = ([], [], [], 0)
      return
    }
    schedules = [false, true].map { BackwardSchedule(graph, toInput: $0) }
    var directionCount = 0
    cotangents = try schedules.map { schedule in
      var arena = Arena()
      let lengths = schedule.values.map { $0 == 0 ? inputs : layers[$0 - 1].outputs }
      let places = try arena.places(
        try lengths.map(shape), uses: schedule.uses(graph), elsewhere: schedule.isGiven)
      directionCount = max(directionCount, arena.count)
      return places
    }
    var arena = Arena()
    tangents = try arena.places(
      try layers.map { try shape($0.outputs) }, uses: graph.forwardUses, elsewhere: { _ in false })
    self.directionCount = max(directionCount, arena.count)
  }

  /// Rows of a block of a prediction: as many as take 256 MiB or less in float32, from 16 to 1024.
  static func rowsOfBlock(_ graph: LayerGraph, inputs: Int) throws -> Int {
    let rows = 16, layout = try PassLayout(graph, inputs: inputs, rows: rows, isKept: false)
    return max(rows, min(1024, (1 << 26) / max(1, layout.count / rows)))
  }

  func backward(toInput: Bool) -> (schedule: BackwardSchedule, places: [Place]) {
    (schedules[toInput ? 1 : 0], cotangents[toInput ? 1 : 0])
  }

  /// Memory that is handed out piece by piece.
  private struct Arena {
    private(set) var count = 0

    mutating func append(_ shape: Shape) throws -> Place {
      let shape = try Shape(checking: shape.dimensions)
      defer { count += (shape.count + 15) & ~15 }  // whole cache lines
      guard count < Int.max / 64 else { throw DidactError(.shape, "a batch of \(shape[0]) rows is too large") }
      return (count, shape)
    }

    /// Places for values that are written and read in the order of `uses`. Where a value was last read in an earlier
    /// region of the kernels, or is overwritten element by element, another takes its place.
    mutating func places(_ shapes: [Shape], uses: [ValueUse], elsewhere: (Int) -> Bool) throws -> [Place] {
      var places: [Place?] = shapes.enumerated().map { elsewhere($0.offset) ? (0, $0.element) : nil }
      var lastUses = Array(repeating: -1, count: shapes.count)
      for (index, use) in uses.enumerated() {
        for value in use.reads + use.writes { lastUses[value] = index }
      }
      // Memory that was taken, with the region after which it is free again.
      var taken: [(offset: Int, count: Int, lastRegion: Int)] = []
      for (index, use) in uses.enumerated() {
        for value in use.writes where places[value] == nil {
          let shape = shapes[value], lastRegion = uses[max(index, lastUses[value])].region
          if let old = use.overwritten, lastUses[old] == index, !elsewhere(old), let place = places[old],
            let piece = taken.firstIndex(where: { $0.offset == place.offset }), taken[piece].count >= shape.count
          {
            taken[piece].lastRegion = lastRegion
            places[value] = (place.offset, shape)
            continue
          }
          let fitting = taken.indices.filter { taken[$0].lastRegion < use.region && taken[$0].count >= shape.count }
          if let piece = fitting.min(by: { taken[$0].count < taken[$1].count }) {
            taken[piece].lastRegion = lastRegion
            places[value] = (taken[piece].offset, shape)
          } else {
            let place = try append(shape)
            taken.append((place.offset, shape.count, lastRegion))
            places[value] = place
          }
        }
      }
      return places.enumerated().map { $0.element ?? (0, shapes[$0.offset]) }
    }
  }
}

/// One step of a pass, for the memory that it needs.
struct ValueUse {
  let reads, writes: [Int]
  /// What may be written over element by element, unless nil.
  var overwritten: Int?
  /// Steps of one region run together, block of rows by block; those of the next when all of it is done.
  let region: Int
}

/// Counts the regions that layers run in.
private struct RegionCounter {
  private var region = 0

  /// The region of a layer's pass.
  mutating func enter(_ layer: any Layer) -> Int {
    if layer.regions != .joins { region += 1 }
    defer { if layer.regions == .isAlone { region += 1 } }
    return region
  }

  var current: Int { region }
}

extension LayerGraph {
  /// Whether the output of the layer may stand where its first input stands: see `PassLayout.outputs`.
  func overwritesInput(_ index: Int) -> Bool {
    let node = nodes[index], value = node.inputs[0]
    guard node.layer.isElementwise, !node.layer.reads.contains(.inputs), value > 0, uses[value] == 1 else {
      return false
    }
    return !nodes[value - 1].layer.reads.contains(.output)
  }

  /// What each layer's forward or tangent reads and writes: outputs or their tangents, numbered as the layers.
  var forwardUses: [ValueUse] {
    var regions = RegionCounter()
    return nodes.enumerated().map { index, node in
      let reads = node.inputs.filter { $0 > 0 }.map { $0 - 1 }
      let first = node.inputs[0] > 0 && node.layer.isElementwise ? reads.first : nil
      return ValueUse(reads: reads, writes: [index], overwritten: first, region: regions.enter(node.layer))
    }
  }
}

/// The order in which a backward computes cotangents, which are numbered: 0 is that of the logits, which is given; with
/// `toInput`, 1 is that of the network's input, which is asked for.
struct BackwardSchedule {
  enum Step {
    /// The backward of a layer. An input cotangent that nobody asks for is nil.
    case layer(Int, outputCotangent: Int, inputCotangents: [Int?])
    /// cotangent ← a + b
    case sum(Int, Int, Int)
    /// cotangent += a
    case add(Int, to: Int)
    case copy(Int, to: Int)
  }

  private(set) var steps: [Step] = []
  /// Of which value (see `LayerGraph`) each cotangent is, or a part of it.
  private(set) var values: [Int]
  private let toInput: Bool

  init(_ graph: LayerGraph, toInput: Bool) {
    self.toInput = toInput
    values = [graph.nodes.count] + (toInput ? [0] : [])
    // What the readers of each value contributed so far.
    var contributions: [[Int]] = Array(repeating: [], count: graph.nodes.count + 1)
    // Whether a cotangent belongs to one value alone, so that others may be added to it.
    var isOwn = values.indices.map { $0 > 0 }
    contributions[graph.nodes.count] = [0]

    func new(_ value: Int, _ schedule: inout BackwardSchedule) -> Int {
      if value == 0, contributions[0].isEmpty { return 1 }
      schedule.values.append(value)
      isOwn.append(true)
      return schedule.values.count - 1
    }
    /// The sum of all contributions.
    func complete(_ value: Int, _ schedule: inout BackwardSchedule) -> Int? {
      let parts = contributions[value]
      guard parts.count > 1 else { return parts.first }
      if let own = parts.first(where: { isOwn[$0] }) {
        for part in parts where part != own { schedule.steps.append(.add(part, to: own)) }
        return own
      }
      let sum = new(value, &schedule)
      schedule.steps.append(.sum(sum, parts[0], parts[1]))
      for part in parts.dropFirst(2) { schedule.steps.append(.add(part, to: sum)) }
      return sum
    }

    for (index, node) in graph.nodes.enumerated().reversed() {
      guard let outputCotangent = complete(index + 1, &self) else { continue }
      let asked = node.inputs.map { $0 > 0 || toInput }
      if node.layer.passesCotangentOn {
        isOwn[outputCotangent] = false
        for (value, isAsked) in zip(node.inputs, asked) where isAsked { contributions[value].append(outputCotangent) }
        continue
      }
      let inputCotangents = zip(node.inputs, asked).map { value, isAsked in isAsked ? new(value, &self) : nil }
      steps.append(.layer(index, outputCotangent: outputCotangent, inputCotangents: inputCotangents))
      for (value, cotangent) in zip(node.inputs, inputCotangents) {
        if let cotangent { contributions[value].append(cotangent) }
      }
    }
    if toInput, let sum = complete(0, &self), sum != 1 { steps.append(.copy(sum, to: 1)) }
  }

  /// Whether a cotangent has memory of the caller's.
  func isGiven(_ cotangent: Int) -> Bool { cotangent == 0 || (toInput && cotangent == 1) }

  func uses(_ graph: LayerGraph) -> [ValueUse] {
    var regions = RegionCounter()
    return steps.map { step in
      switch step {
      case .layer(let index, let outputCotangent, let inputCotangents):
        let layer = graph.nodes[index].layer, isElementwise = layer.isElementwise && inputCotangents.count == 1
        return ValueUse(
          reads: [outputCotangent], writes: inputCotangents.compactMap { $0 },
          overwritten: isElementwise ? outputCotangent : nil, region: regions.enter(layer))
      case .sum(let sum, let a, let b):
        return ValueUse(reads: [a, b], writes: [sum], overwritten: a, region: regions.current)
      case .add(let a, let sum), .copy(let a, let sum):
        return ValueUse(reads: [a, sum], writes: [sum], region: regions.current)
      }
    }
  }
}
