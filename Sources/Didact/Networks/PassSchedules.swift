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
    if layer.regions == .begins { region += 1 }
    defer { if layer.regions == .ends { region += 1 } }
    return region
  }

  var current: Int { region }
}

extension LayerGraph {
  /// Whether backward or tangent reads the output of the layer, and does not compute it again.
  func isKept(_ index: Int) -> Bool {
    guard !isRepeated[index], index < nodes.count - 1 else { return index == nodes.count - 1 }
    return nodes[index].layer.reads.contains(.output) || isReadAgain[index + 1]
  }

  /// Of each layer the first one whose output stands in the same memory: an elementwise layer writes over its input where
  /// nobody else reads that.
  func storages(isKept: Bool) -> [Int] {
    var storages: [Int] = []
    for (index, node) in nodes.enumerated() {
      let value = node.inputs[0]
      let overwrites =
        node.layer.isElementwise && value > 0 && uses[value] == 1
        && !(isKept && (node.layer.reads.contains(.inputs) || nodes[value - 1].layer.reads.contains(.output)))
      storages.append(overwrites ? storages[value - 1] : index)
    }
    return storages
  }

  /// In which form each value is kept: images between layers that take it in `wanted`, the others plain.
  func forms(_ wanted: Tensor.Form) -> [Tensor.Form] {
    let extents = [nil] + nodes.map { Optional($0.layer.extent) }
    var areKept = extents.map { extent in
      extent.map { $0.isImage && (wanted != .inBlocks || $0.channels % channelsOfBlock == 0) } ?? false
    }
    areKept[nodes.count] = false
    var isSettled = false
    while !isSettled {
      isSettled = true
      for (index, node) in nodes.enumerated() {
        // An elementwise layer may write over its input, so that both are kept alike, and are images both.
        let isReadAsItIs = !node.layer.isElementwise || node.inputs.allSatisfy { extents[$0] == node.layer.extent }
        let images = (node.inputs + [index + 1]).filter { extents[$0]?.isImage ?? true }
        guard images.contains(where: { areKept[$0] }) else { continue }
        switch node.layer.images(in: wanted, inputs: node.inputs.map { extents[$0] }) {
        case .any: continue
        case .allOrNone where isReadAsItIs && images.allSatisfy({ areKept[$0] }): continue
        case .allOrNone, .none: break
        }
        for value in images { areKept[value] = false }
        isSettled = false
      }
    }
    return areKept.map { $0 ? wanted : .plain }
  }

  /// What each layer's forward reads and writes: outputs, numbered as the layers.
  var forwardUses: [ValueUse] {
    var regions = RegionCounter()
    return nodes.enumerated().map { index, node in
      ValueUse(reads: node.inputs.filter { $0 > 0 }.map { $0 - 1 }, writes: [index], region: regions.enter(node.layer))
    }
  }

  /// The values that the layer's backward and tangent read and that are not kept.
  fileprivate func repeatedValues(of index: Int) -> [Int] {
    let node = nodes[index]
    var values = node.layer.reads.contains(.inputs) ? node.inputs : []
    if node.layer.reads.contains(.output) { values.append(index + 1) }
    return values.filter { $0 > 0 && isRepeated[$0 - 1] }
  }
}

/// A forward that is computed again.
struct Repetition {
  /// The layer.
  let index: Int
  /// Its output, and its input where that is a repetition too, by the numbers of a schedule.
  let output: Int, input: Int?
}

/// Notes which values a schedule has computed again.
private struct Repetitions {
  /// Numbers by value.
  private(set) var numbers: [Int: Int] = [:]

  /// What must be computed before the layer's turn, with numbers from `count` on.
  mutating func before(_ index: Int, _ graph: LayerGraph, count: Int) -> [Repetition] {
    var found: [Repetition] = []
    func need(_ value: Int, _ numbers: inout [Int: Int]) {
      guard numbers[value] == nil else { return }
      let input = graph.nodes[value - 1].inputs[0]
      if input > 0, graph.isRepeated[input - 1] { need(input, &numbers) }
      let output = count + found.count
      numbers[value] = output
      found.append(Repetition(index: value - 1, output: output, input: numbers[input]))
    }
    for value in graph.repeatedValues(of: index) { need(value, &numbers) }
    return found
  }

  func uses(_ index: Int, _ graph: LayerGraph) -> [Int] { graph.repeatedValues(of: index).compactMap { numbers[$0] } }
}

extension Repetition {
  fileprivate func use(_ graph: LayerGraph, region: Int) -> ValueUse {
    let overwritten = graph.nodes[index].layer.isElementwise ? input : nil
    return ValueUse(reads: input.map { [$0] } ?? [], writes: [output], overwritten: overwritten, region: region)
  }
}

/// The order in which a tangent computes the tangents of each layer's output, which are numbered as the layers.
struct TangentSchedule {
  enum Step {
    case layer(Int)
    case again(Repetition)
  }

  private(set) var steps: [Step] = []
  /// Of which value (see `LayerGraph`) each number is, or its tangent.
  private(set) var values: [Int] = []
  private var repetitions = Repetitions()

  init() {}

  init(_ graph: LayerGraph) {
    values = graph.nodes.indices.map { $0 + 1 }
    for index in graph.nodes.indices {
      for repetition in repetitions.before(index, graph, count: values.count) {
        values.append(repetition.index + 1)
        steps.append(.again(repetition))
      }
      steps.append(.layer(index))
    }
  }

  func uses(_ graph: LayerGraph) -> [ValueUse] {
    var regions = RegionCounter()
    return steps.map { step in
      switch step {
      case .again(let repetition): return repetition.use(graph, region: regions.current)
      case .layer(let index):
        let node = graph.nodes[index], reads = node.inputs.filter { $0 > 0 }.map { $0 - 1 }
        let first = node.inputs[0] > 0 && node.layer.derivativesAreElementwise ? reads.first : nil
        // Where the network's input has no tangent, there is nothing to sum up first.
        let mayJoin = node.layer.regions == .begins && node.inputs[0] == 0
        return ValueUse(
          reads: reads + repetitions.uses(index, graph), writes: [index], overwritten: first,
          region: mayJoin ? regions.current : regions.enter(node.layer))
      }
    }
  }
}

/// The order in which a backward computes cotangents, which are numbered: 0 is that of the logits, which is given; with
/// `toInput`, 1 is that of the network's input, which is asked for.
struct BackwardSchedule {
  enum Step {
    case again(Repetition)
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
  private var repetitions = Repetitions()

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
      for repetition in repetitions.before(index, graph, count: values.count) {
        values.append(repetition.index + 1)
        isOwn.append(true)
        steps.append(.again(repetition))
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
      case .again(let repetition): return repetition.use(graph, region: regions.current)
      case .layer(let index, let outputCotangent, let inputCotangents):
        let layer = graph.nodes[index].layer
        let overwrites = layer.derivativesAreElementwise && inputCotangents.count == 1
        return ValueUse(
          reads: [outputCotangent] + repetitions.uses(index, graph), writes: inputCotangents.compactMap { $0 },
          overwritten: overwrites ? outputCotangent : nil, region: regions.enter(layer))
      case .sum(let sum, let a, let b):
        return ValueUse(reads: [a, b], writes: [sum], overwritten: a, region: regions.current)
      case .add(let a, let sum), .copy(let a, let sum):
        return ValueUse(reads: [a, sum], writes: [sum], region: regions.current)
      }
    }
  }
}
