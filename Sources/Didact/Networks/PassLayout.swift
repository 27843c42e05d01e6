/// Where each value of a pass over N rows stands in its memory, in elements of the network's type.
struct PassLayout {
  struct Place {
    var memory = Memory.workspace
    var offset = 0
    let shape: Shape
    let form: Tensor.Form

    /// As bfloat16, two elements in the place of one.
    var count: Int { form == .bfloat16 ? (shape.count + 1) / 2 : shape.count }

    /// In whole cache lines.
    var end: Int { offset + (count + 15) & ~15 }

    func tensor(in memories: Memories) -> Tensor {
      (memory == .workspace ? memories.workspace : memories.working).view(shape, at: offset, form: form)
    }
  }

  /// The workspace is a pass's own; working memory it has for one run.
  enum Memory { case workspace, working }
  struct Memories { let workspace, working: Tensor }

  let rows: Int
  /// Of the workspace, and of the working memory of any run.
  let workspaceCount, workingCount: Int
  /// Of the input, which is elsewhere.
  let input: Shape
  /// Of each layer. The logits, and what backward or tangent reads, are in the workspace; what neither reads, or what is
  /// computed again for them, is in working memory, and gone after the forward.
  let outputs: [Place]
  let saved: [[Place]]
  private let schedules: [BackwardSchedule]
  private let tangentSchedule: TangentSchedule
  /// What the schedules number, in working memory. That of the logits is elsewhere.
  private let cotangents: [[Place]], tangents: [Place]

  /// - Parameter imageForm: that images within the pass are kept in, where their layers take it.
  /// - Throws: `DidactError.shape` where a shape is too large to count.
  init(_ graph: LayerGraph, inputs: Int, rows: Int, isKept: Bool, imageForm: Tensor.Form = .plain) throws {
    var workspace = Arena(memory: .workspace), working = Arena(memory: .working)
    let layers = graph.nodes.map(\.layer), forms = graph.forms(imageForm), last = layers.count - 1
    /// The room that a value takes, nowhere yet.
    func room(_ value: Int) throws -> Place {
      Place(shape: try Shape(checking: [rows, value == 0 ? inputs : layers[value - 1].outputs]), form: forms[value])
    }
    self.rows = rows
    input = try room(0).shape
    // Layers that write over their input share its memory.
    let storages = graph.storages(isKept: isKept)
    var places: [Int: Place] = [:]
    let kept = layers.indices.filter { isKept ? graph.isKept($0) : $0 == last }
    for storage in Set(kept.map { storages[$0] }).sorted() {
      places[storage] = try workspace.append(try room(storage + 1))
    }
    // The others take turns.
    let uses = graph.forwardUses.map { use in
      ValueUse(reads: use.reads.map { storages[$0] }, writes: use.writes.map { storages[$0] }, region: use.region)
    }
    let turns = try working.places(
      try layers.indices.map { try room($0 + 1) }, uses: uses, elsewhere: { places[$0] != nil })
    outputs = storages.map { places[$0] ?? turns[$0] }
    saved = try layers.map {
      try $0.savedShapes(rows: rows).map { try workspace.append(Place(shape: $0, form: .plain)) }
    }
    workspaceCount = workspace.count

    guard isKept else {
      workingCount = working.count
      (schedules, cotangents, tangents) = ([], [], [])
      tangentSchedule = TangentSchedule()
      return
    }
    schedules = [false, true].map { BackwardSchedule(graph, toInput: $0) }
    tangentSchedule = TangentSchedule(graph)
    var largest = working.count
    func placed(_ values: [Int], _ uses: [ValueUse], elsewhere: (Int) -> Bool) throws -> [Place] {
      var arena = Arena(memory: .working)
      defer { largest = max(largest, arena.count) }
      return try arena.places(try values.map(room), uses: uses, elsewhere: elsewhere)
    }
    cotangents = try schedules.map { try placed($0.values, $0.uses(graph), elsewhere: $0.isGiven) }
    tangents = try placed(tangentSchedule.values, tangentSchedule.uses(graph), elsewhere: { $0 == last })
    workingCount = largest
  }

  /// Rows of a block of a prediction: as many as take 256 MiB or less in float32, from 16 to 1024.
  static func rowsOfBlock(_ graph: LayerGraph, inputs: Int) throws -> Int {
    let rows = 16, layout = try PassLayout(graph, inputs: inputs, rows: rows, isKept: false)
    return max(rows, min(1024, (1 << 26) / max(1, (layout.workspaceCount + layout.workingCount) / rows)))
  }

  func backward(toInput: Bool) -> (schedule: BackwardSchedule, places: [Place]) {
    (schedules[toInput ? 1 : 0], cotangents[toInput ? 1 : 0])
  }

  var tangent: (schedule: TangentSchedule, places: [Place]) { (tangentSchedule, tangents) }

  /// Memory that is handed out piece by piece.
  private struct Arena {
    let memory: Memory
    private(set) var count = 0

    init(memory: Memory) { self.memory = memory }

    mutating func append(_ room: Place) throws -> Place { try at(count, room) }

    private mutating func at(_ offset: Int, _ room: Place) throws -> Place {
      var place = room
      (place.memory, place.offset) = (memory, offset)
      count = max(count, place.end)
      guard count < Int.max / 64 else { throw DidactError(.shape, "a batch of \(room.shape[0]) rows is too large") }
      return place
    }

    /// Places for values that are written and read in the order of `uses`. Values share memory where the last region of
    /// the kernels that uses one is before the first of the other, and where one is overwritten element by element in the
    /// same form.
    mutating func places(_ rooms: [Place], uses: [ValueUse], elsewhere: (Int) -> Bool) throws -> [Place] {
      var lastUses = Array(repeating: -1, count: rooms.count)
      for (index, use) in uses.enumerated() {
        for value in use.reads + use.writes { lastUses[value] = index }
      }
      var pieces: [Piece] = []
      var pieceOf: [Int?] = Array(repeating: nil, count: rooms.count)
      for (index, use) in uses.enumerated() {
        for value in use.writes where pieceOf[value] == nil && !elsewhere(value) {
          let lastRegion = uses[max(index, lastUses[value])].region
          if let old = use.overwritten, lastUses[old] == index, let piece = pieceOf[old],
            pieces[piece].place.count >= rooms[value].count, pieces[piece].place.form == rooms[value].form
          {
            pieces[piece].regions = pieces[piece].regions.lowerBound...lastRegion
            pieceOf[value] = piece
          } else {
            pieceOf[value] = pieces.count
            pieces.append(Piece(place: rooms[value], regions: use.region...lastRegion))
          }
        }
      }
      try place(&pieces)
      return try rooms.indices.map { value in
        guard let piece = pieceOf[value] else { return rooms[value] }
        return try at(pieces[piece].place.offset, rooms[value])
      }
    }

    /// Memory for values that take turns in it, and the regions from its first use to its last.
    private struct Piece {
      var place: Place
      var regions: ClosedRange<Int>
    }

    /// The largest first, each at the lowest offset where nothing stands that is used at the same time.
    private mutating func place(_ pieces: inout [Piece]) throws {
      let start = count
      // In the order of their offsets.
      var placed: [(offset: Int, end: Int, regions: ClosedRange<Int>)] = []
      for index in pieces.indices.sorted(by: { (pieces[$1].place.count, $0) < (pieces[$0].place.count, $1) }) {
        let regions = pieces[index].regions, length = pieces[index].place.count
        var offset = start
        for other in placed where other.regions.overlaps(regions) && other.offset < offset + length {
          offset = max(offset, other.end)
        }
        let place = try at(offset, pieces[index].place)
        pieces[index].place = place
        placed.insert((offset, place.end, regions), at: placed.firstIndex { $0.offset > offset } ?? placed.count)
      }
    }
  }
}
