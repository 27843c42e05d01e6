/// Where each value of a pass over N rows stands in its memory, in elements of the network's type.
struct PassLayout {
  struct Place {
    var offset: Int
    let shape: Shape
    let form: Tensor.Form

    /// As bfloat16, two elements in the place of one.
    var count: Int { form == .bfloat16 ? (shape.count + 1) / 2 : shape.count }

    /// The value in the memory that the place is about.
    func tensor(in memory: Tensor) -> Tensor { memory.view(shape, at: offset, form: form) }
  }

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

  /// - Parameter imageForm: that images within the pass are kept in, where their layers take it.
  /// - Throws: `DidactError.shape` where a shape is too large to count.
  init(_ graph: LayerGraph, inputs: Int, rows: Int, isKept: Bool, imageForm: Tensor.Form = .plain) throws {
    var workspace = Arena()
    let layers = graph.nodes.map(\.layer), forms = graph.forms(imageForm)
    /// The room that a value takes, nowhere yet.
    func room(_ value: Int) throws -> Place {
      Place(
        offset: 0, shape: try Shape(checking: [rows, value == 0 ? inputs : layers[value - 1].outputs]),
        form: forms[value])
    }
    self.rows = rows
    input = try room(0).shape
    // Layers that write over their input share its memory.
    let storages = graph.storages(isKept: isKept)
    var places: [Int: Place] = [:]
    for storage in Set(storages.enumerated().filter { isKept && graph.isKept($0.offset) }.map(\.element)).sorted() {
      places[storage] = try workspace.append(try room(storage + 1))
    }
    // The others take turns.
    let uses = graph.forwardUses.map { use in
      ValueUse(reads: use.reads.map { storages[$0] }, writes: use.writes.map { storages[$0] }, region: use.region)
    }
    let turns = try workspace.places(
      try layers.indices.map { try room($0 + 1) }, uses: uses, elsewhere: { places[$0] != nil })
    outputs = storages.map { places[$0] ?? turns[$0] }
    saved = try layers.map {
      try $0.savedShapes(rows: rows).map { try workspace.append(Place(offset: 0, shape: $0, form: .plain)) }
    }
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
      defer { directionCount = max(directionCount, arena.count) }
      return try arena.places(try values.map(room), uses: uses, elsewhere: elsewhere)
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

    mutating func append(_ room: Place) throws -> Place {
      _ = try Shape(checking: room.shape.dimensions)
      var place = room
      place.offset = count
      count += (room.count + 15) & ~15  // whole cache lines
      guard count < Int.max / 64 else { throw DidactError(.shape, "a batch of \(room.shape[0]) rows is too large") }
      return place
    }

    /// Places for values that are written and read in the order of `uses`. Where a value was last read in an earlier
    /// region of the kernels, or is overwritten element by element, another takes its place.
    mutating func places(_ rooms: [Place], uses: [ValueUse], elsewhere: (Int) -> Bool) throws -> [Place] {
      var places: [Place?] = rooms.enumerated().map { elsewhere($0.offset) ? $0.element : nil }
      var lastUses = Array(repeating: -1, count: rooms.count)
      for (index, use) in uses.enumerated() {
        for value in use.reads + use.writes { lastUses[value] = index }
      }
      // Memory that was taken, with the region after which it is free again.
      var taken: [(offset: Int, count: Int, lastRegion: Int)] = []
      for (index, use) in uses.enumerated() {
        for value in use.writes where places[value] == nil {
          var place = rooms[value]
          let lastRegion = uses[max(index, lastUses[value])].region
          if let old = use.overwritten, lastUses[old] == index, !elsewhere(old), let offset = places[old]?.offset,
            let piece = taken.firstIndex(where: { $0.offset == offset }), taken[piece].count >= place.count
          {
            taken[piece].lastRegion = lastRegion
            place.offset = offset
            places[value] = place
            continue
          }
          let fitting = taken.indices.filter { taken[$0].lastRegion < use.region && taken[$0].count >= place.count }
          if let piece = fitting.min(by: { taken[$0].count < taken[$1].count }) {
            taken[piece].lastRegion = lastRegion
            place.offset = taken[piece].offset
          } else {
            place = try append(place)
            taken.append((place.offset, place.count, lastRegion))
          }
          places[value] = place
        }
      }
      return places.enumerated().map { $0.element ?? rooms[$0.offset] }
    }
  }
}
