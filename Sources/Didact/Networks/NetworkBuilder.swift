/// Turns a specification into layers, giving each parameter and statistic its name and place.
struct NetworkBuilder {
  private(set) var layers: [any Layer] = []
  private(set) var parameters: [Slot] = []
  private(set) var statistics: [Slot] = []
  /// How each parameter starts: the bound of a uniform distribution, or a constant.
  private(set) var initializations: [Initialization] = []
  private(set) var parameterCount = 0
  private(set) var statisticCount = 0
  private var countsByType: [String: Int] = [:]

  enum Initialization {
    case constant(Double)
    case uniform(bound: Double)
  }

  init(_ specification: NetworkSpecification) throws {
    var inputs = specification.inputs
    for values in specification.layers {
      let layer = try makeLayer(values, inputs: inputs)
      layers.append(layer)
      inputs = layer.outputs
    }
  }

  private mutating func makeLayer(_ values: FieldValues, inputs: Int) throws -> any Layer {
    let type = try values.text("type")
    let index = countsByType[type, default: 0]
    countsByType[type] = index + 1
    let name = "\(type)\(index)"
    switch type {
    case "dense":
      let outputs = try values.integer("outputs")
      let fan = try values.text("initialization") == "he_uniform" ? inputs : inputs + outputs
      let shape = try Shape(checking: [outputs, inputs])
      let weight = try parameter("\(name).weight", shape, .weight, .uniform(bound: (6 / Double(fan)).squareRoot()))
      let bias = try parameter("\(name).bias", Shape(outputs), .bias, .constant(0))
      return DenseLayer(name: name, outputs: outputs, weight: weight, bias: bias)
    case "batch_norm":
      let shape = Shape(inputs)
      return BatchNormLayer(
        name: name, outputs: inputs,
        weight: try parameter("\(name).weight", shape, .normalization, .constant(1)),
        bias: try parameter("\(name).bias", shape, .normalization, .constant(0)),
        runningMean: statistic("\(name).running_mean", shape),
        runningVariance: statistic("\(name).running_variance", shape))
    case "dropout":
      return DropoutLayer(name: name, outputs: inputs, rate: try values.number("rate"), lane: UInt32(index))
    default:
      return ActivationLayer(name: name, outputs: inputs, function: try values.choice("type"))
    }
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
