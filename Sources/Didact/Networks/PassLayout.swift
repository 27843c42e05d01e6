/// Where each value of a pass over N rows stands in its memory, in elements.
struct PassLayout {
  typealias Place = (offset: Int, shape: Shape)

  let rows: Int
  /// Of the workspace, and of the memory that cotangents and tangents take turns in.
  let count, directionCount: Int
  /// Of the input, which is elsewhere.
  let input: Shape
  /// Of each layer, in the workspace. What neither backward nor tangent reads, or what is computed again for them, has its
  /// memory for a while only.
  let outputs: [Place]
  let saved: [[Place]]
  private let schedules: [BackwardSchedule]
  private let tangentSchedule: TangentSchedule
  /// What the schedules number, in the memory of directions.
  private let cotangents: [[Place]], tangents: [Place]

  /// - Throws: `DidactError.shape` where a shape is too large to count.
  init(_ graph: LayerGraph, inputs: Int, rows: Int, isKept: Bool) throws {
    var workspace = Arena()
    func shape(_ length: Int) throws -> Shape { try Shape(checking: [rows, length]) }
    let layers = graph.nodes.map(\.layer)
    self.rows = rows
    input = try shape(inputs)
    // Layers that write over their input share its memory.
    let storages = graph.storages(isKept: isKept)
    var places: [Int: Place] = [:]
    for storage in Set(storages.enumerated().filter { isKept && graph.isKept($0.offset) }.map(\.element)).sorted() {
      places[storage] = try workspace.append(try shape(layers[storage].outputs))
    }
    // The others take turns.
    let uses = graph.forwardUses.map { use in
      ValueUse(reads: use.reads.map { storages[$0] }, writes: use.writes.map { storages[$0] }, region: use.region)
    }
    let turns = try workspace.places(
      try layers.map { try shape($0.outputs) }, uses: uses, elsewhere: { places[$0] != nil })
    outputs = storages.map { places[$0] ?? turns[$0] }
    saved = try layers.map { try $0.savedShapes(rows: rows).map { try workspace.append($0) } }
    count = workspace.count

    guard isKept else {
      (schedules, cotangents, tangents, directionCount) = ([], [], [], 0)
      tangentSchedule = TangentSchedule()
      return
    }
    schedules = [false, true].map { BackwardSchedule(graph, toInput: $0) }
    tangentSchedule = TangentSchedule(graph)
    var directionCount = 0
    func placed(_ values: [Int], _ uses: [ValueUse], elsewhere: (Int) -> Bool) throws -> [Place] {
      var arena = Arena()
      let shapes = try values.map { try shape($0 == 0 ? inputs : layers[$0 - 1].outputs) }
      defer { directionCount = max(directionCount, arena.count) }
      return try arena.places(shapes, uses: uses, elsewhere: elsewhere)
    }
    cotangents = try schedules.map { try placed($0.values, $0.uses(graph), elsewhere: $0.isGiven) }
    tangents = try placed(tangentSchedule.values, tangentSchedule.uses(graph), elsewhere: { _ in false })
    self.directionCount = directionCount
  }

  /// Rows of a block of a prediction: as many as take 256 MiB or less in float32, from 16 to 1024.
  static func rowsOfBlock(_ graph: LayerGraph, inputs: Int) throws -> Int {
    let rows = 16, layout = try PassLayout(graph, inputs: inputs, rows: rows, isKept: false)
    return max(rows, min(1024, (1 << 26) / max(1, layout.count / rows)))
  }

  func backward(toInput: Bool) -> (schedule: BackwardSchedule, places: [Place]) {
    (schedules[toInput ? 1 : 0], cotangents[toInput ? 1 : 0])
  }

  var tangent: (schedule: TangentSchedule, places: [Place]) { (tangentSchedule, tangents) }
  /// Of the tangent of the logits.
  var logitsTangent: Place { tangents[outputs.count - 1] }

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
