/// Turns a specification into layers, giving each parameter and statistic its name and place.
struct NetworkBuilder {
  private(set) var graph = LayerGraph([])
  private(set) var parameters: [Slot] = []
  private(set) var statistics: [Slot] = []
  /// How each parameter starts: the bound of a uniform distribution, or a constant.
  private(set) var initializations: [Initialization] = []
  private(set) var parameterCount = 0
  private(set) var statisticCount = 0
  private var countsByType: [String: Int] = [:]
  /// Dropout layers so far.
  private var lanes: UInt32 = 0

  enum Initialization {
    case constant(Double)
    case uniform(bound: Double)
    case normal(deviation: Double)
  }

  init(_ specification: NetworkSpecification) throws {
    var layers: [(layer: any Layer, inputs: [Int])] = []
    typealias Value = (place: Int, extent: Extent)
    var last: Value = (0, specification.extent), values = ["input": last]
    // Flattened values that nothing has read so far, and whether the last value is one of them.
    var unread: Set<String> = [], lastName = "input"
    for layer in specification.layers {
      let type = try layer.values.text("type"), index = countsByType[type, default: 0]
      countsByType[type] = index + 1
      let name = layer.name ?? "\(type)\(index)"
      let inputs =
        try layer.from?.map { source in
          unread.remove(source)
          guard let value = values[source] else {
            throw DidactError(
              .invalidArgument,
              "network, layer \"\(name)\": no layer before it is called \"\(source)\"."
                + suggestion(for: source, among: values.keys.sorted()))
          }
          return value
        } ?? [last]
      if layer.from == nil { unread.remove(lastName) }
      let wanted = ["add", "gate"].contains(type) ? 2 : 1
      guard inputs.count == wanted else {
        throw DidactError(
          .invalidArgument,
          "network, layer \"\(name)\": reads \(inputs.count) layers, but \(type) takes \(wanted); name them in \"from\""
        )
      }
      if type == "flatten" {
        // The same values, seen as a vector.
        last = (inputs[0].place, Extent(inputs[0].extent.count))
        unread.insert(name)
      } else {
        let made = try makeLayer(layer.values, name, inputs.map(\.extent))
        layers.append((made, inputs.map(\.place)))
        last = (layers.count, made.extent)
      }
      guard values.updateValue(last, forKey: name) == nil else {
        throw DidactError(.invalidArgument, "network: two layers are called \"\(name)\"")
      }
      lastName = name
    }
    // The last layer gives the logits.
    if last.place == layers.count { unread.remove(lastName) }
    if let name = unread.min() {
      throw DidactError(
        .invalidArgument,
        name == lastName
          ? "network: the last layer \"\(name)\" must read the layer before it, as it gives the logits"
          : "network: nothing reads layer \"\(name)\"; name it in a \"from\"")
    }
    guard !layers.isEmpty else { throw DidactError(.invalidArgument, "network: it computes nothing") }
    graph = LayerGraph(layers)
    if let unread = graph.uses.dropFirst().dropLast().firstIndex(of: 0) {
      throw DidactError(
        .invalidArgument, "network: nothing reads layer \"\(layers[unread - 1].layer.name)\"; name it in a \"from\"")
    }
  }

  private mutating func makeLayer(_ values: FieldValues, _ name: String, _ extents: [Extent]) throws -> any Layer {
    let extent = extents[0], inputs = extent.count
    switch try values.text("type") {
    case "dense":
      let outputs = try values.integer("outputs")
      let initialization: Initialization =
        switch try values.text("initialization") {
        case "he_uniform": .uniform(bound: (6 / Double(inputs)).squareRoot())
        case "he_normal_fan_out": .normal(deviation: (2 / Double(outputs)).squareRoot())
        case "uniform_fan_out": .uniform(bound: 1 / Double(outputs).squareRoot())
        default: .uniform(bound: (6 / Double(inputs + outputs)).squareRoot())
        }
      let weight = try parameter("\(name).weight", Shape(checking: [outputs, inputs]), .weight, initialization)
      let bias = try parameter("\(name).bias", Shape(outputs), .bias, .constant(0))
      return DenseLayer(name: name, extent: Extent(outputs), weight: weight, bias: bias)
    case "convolution": return try convolution(values, name, extent)
    case "average_pool", "max_pool":
      let size = try values.integer("size")
      let window = try Window(
        over: extent, height: size, width: size, stride: values.optionalInteger("stride") ?? size,
        padding: values.integer("padding"), channels: extent.channels, called: "network, layer \"\(name)\"")
      guard window.padding < size else {
        throw DidactError(.invalidArgument, "network, layer \"\(name)\": \"padding\" must be less than \"size\"")
      }
      return try values.text("type") == "max_pool"
        ? MaxPoolLayer(name: name, window: window) : AveragePoolLayer(name: name, window: window)
    case "global_average_pool":
      let window = try Window(
        over: extent, height: extent.height, width: extent.width, stride: 1, padding: 0, channels: extent.channels,
        called: name)
      return AveragePoolLayer(name: name, window: window)
    case "add":
      guard extents[0] == extents[1] else {
        throw DidactError(
          .invalidArgument, "network, layer \"\(name)\": cannot add \(extents[0]) and \(extents[1])")
      }
      return AdditionLayer(name: name, extent: extent)
    case "gate":
      guard extents[1] == Extent(extent.channels) else {
        throw DidactError(
          .invalidArgument,
          "network, layer \"\(name)\": the gate of \(extent) must be [\(extent.channels)], but is \(extents[1])")
      }
      return ChannelGateLayer(name: name, extent: extent)
    case "stochastic_depth":
      return StochasticDepthLayer(
        name: name, extent: extent, rate: try values.number("rate"), lane: nextLane())
    case "batch_norm":
      let shape = Shape(extent.channels)
      return BatchNormLayer(
        name: name, extent: extent, epsilon: try values.number("epsilon"), momentum: try values.number("momentum"),
        groups: try values.integer("groups"),
        weight: try parameter("\(name).weight", shape, .normalization, .constant(1)),
        bias: try parameter("\(name).bias", shape, .normalization, .constant(0)),
        runningMean: statistic("\(name).running_mean", shape),
        runningVariance: statistic("\(name).running_variance", shape))
    case "dropout":
      return DropoutLayer(name: name, extent: extent, rate: try values.number("rate"), lane: nextLane())
    default:
      return ActivationLayer(
        name: name, extent: extent, function: try values.choice("type"),
        slope: values.has("slope") ? try values.number("slope") : 0)
    }
  }

  private mutating func nextLane() -> UInt32 {
    defer { lanes += 1 }
    return lanes
  }

  private mutating func convolution(_ values: FieldValues, _ name: String, _ extent: Extent) throws -> any Layer {
    let channels = try values.integer("outputs"), size = try values.integer("size"),
      groups = try values.integer("groups")
    guard extent.channels % groups == 0, channels % groups == 0 else {
      throw DidactError(
        .invalidArgument,
        "network, layer \"\(name)\": \(extent.channels) and \(channels) channels cannot be divided into \(groups) groups"
      )
    }
    guard max(extent.height, extent.width) <= Window.longestSide else {
      throw DidactError(
        .invalidArgument,
        "network, layer \"\(name)\": an image of \(extent.height) × \(extent.width) pixels; convolutions take at most "
          + "\(Window.longestSide) a side")
    }
    let window = try Window(
      over: extent, height: size, width: size, stride: values.integer("stride"),
      padding: values.optionalInteger("padding") ?? (size - 1) / 2, channels: channels, groups: groups,
      called: "network, layer \"\(name)\"")
    let fanIn = extent.channels / groups * size * size, fanOut = channels / groups * size * size
    let initialization: Initialization =
      switch try values.text("initialization") {
      case "he_normal": .normal(deviation: (2 / Double(fanIn)).squareRoot())
      case "he_uniform": .uniform(bound: (6 / Double(fanIn)).squareRoot())
      case "glorot_normal": .normal(deviation: (2 / Double(fanIn + fanOut)).squareRoot())
      default: .normal(deviation: (2 / Double(fanOut)).squareRoot())
      }
    let weight = try parameter(
      "\(name).weight", window.weights, .weight, initialization)
    let bias =
      try values.boolean("bias") ? parameter("\(name).bias", Shape(channels), .bias, .constant(0)) : nil as Slot?
    return ConvolutionLayer(name: name, window: window, weight: weight, bias: bias)
  }

  private mutating func parameter(
    _ name: String, _ shape: Shape, _ role: Slot.Role, _ initialization: Initialization
  ) throws -> Slot {
    let slot = Slot(name: name, shape: shape, offset: parameterCount, role: role)
    let (count, overflow) = parameterCount.addingReportingOverflow(shape.count)
    guard !overflow, count < 1 << 40 else { throw DidactError(.outOfMemory, "network: too many parameters") }
    parameterCount = count
    parameters.append(slot)
    initializations.append(initialization)
    return slot
  }

  private mutating func statistic(_ name: String, _ shape: Shape) -> Slot {
    let slot = Slot(name: name, shape: shape, offset: statisticCount, role: .statistic)
    statisticCount += shape.count
    statistics.append(slot)
    return slot
  }
}
