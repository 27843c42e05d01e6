/// A network as a value: the chain of its layers, written and read as JSON.
///
/// Two forms: `{"type": "mlp", "inputs": 64, "hidden": [128], "classes": 10}` and
/// `{"type": "sequential", "inputs": 64, "layers": [{"type": "dense", "outputs": 10}]}`.
public struct NetworkSpecification: Sendable, Equatable {
  /// As given, with defaults filled in.
  public let json: JSON
  /// The length of one input row.
  public let inputs: Int
  let layers: [FieldValues]

  /// The length of one row of logits.
  var classes: Int { get throws { try layers.last { $0.has("outputs") }?.integer("outputs") ?? inputs } }

  /// The largest length of a layer: 2²⁴.
  private static let width = Field.Bounds.closed(1, 16_777_216)

  public static let multilayerPerceptronFields = [
    Field("type", .choice(["mlp"]), nil, "a multilayer perceptron"),
    Field("inputs", .integer(width), nil, "length of one input row"),
    Field("hidden", .integers(width), nil, "length of each hidden layer, possibly none"),
    Field("classes", .integer(width), nil, "number of classes"),
    Field(
      "activation", .choice(ActivationFunction.allCases.map(\.rawValue)), "relu", "scalar function of the hidden layers"
    ),
    Field(
      "batch_norm", .boolean, false, "batch normalisation before every activation", source: "Ioffe and Szegedy 2015"),
    Field(
      "dropout", .number(.halfOpen(0, 1)), 0, "dropout rate after every activation", source: "Srivastava et al. 2014"),
  ]

  static let sequentialFields = [
    Field("type", .choice(["sequential"]), nil, "a chain of layers"),
    Field("inputs", .integer(width), nil, "length of one input row"),
    Field("layers", .objects, nil, "the layers, first to last"),
  ]

  /// The fields of each type of layer.
  public static let layerFields: [(type: String, fields: [Field])] =
    [
      (
        "dense",
        [
          Field("type", .choice(["dense"]), nil, "output = input · weightᵀ + bias"),
          Field("outputs", .integer(width), nil, "length of one output row"),
          Field(
            "initialization", .choice(["he_uniform", "glorot_uniform"]), "glorot_uniform",
            "how weights start: uniform within √(6 / inputs), or within √(6 / (inputs + outputs)); biases start at 0",
            source: "He et al. 2015; Glorot and Bengio 2010"),
        ]
      ),
      ("batch_norm", [Field("type", .choice(["batch_norm"]), nil, "batch normalisation by column")]),
      (
        "dropout",
        [
          Field("type", .choice(["dropout"]), nil, "inverted dropout"),
          Field("rate", .number(.halfOpen(0, 1)), nil, "probability of a zero"),
        ]
      ),
    ]
    + ActivationFunction.allCases.map {
      ($0.rawValue, [Field("type", .choice([$0.rawValue]), nil, "a scalar function of every element")])
    }

  /// - Throws: `DidactError.invalidArgument` naming the key that does not fit.
  public init(_ json: JSON) throws {
    guard let object = json.members else {
      throw DidactError(.invalidArgument, "network: expected an object such as {\"type\": \"mlp\", …}")
    }
    switch object["type"]?.text {
    case "mlp":
      let values = try FieldValues(object, fields: Self.multilayerPerceptronFields, subject: "network")
      self.json = .object(values.object)
      inputs = try values.integer("inputs")
      layers = try Self.multilayerPerceptronLayers(values)
    case "sequential":
      let values = try FieldValues(object, fields: Self.sequentialFields, subject: "network")
      inputs = try values.integer("inputs")
      let list = try values.value("layers").list ?? []
      layers = try list.enumerated().map { try Self.layer($0.element, subject: "network, layer \($0.offset)") }
      guard !layers.isEmpty else { throw DidactError(.invalidArgument, "network: \"layers\" is empty") }
      var complete = values.object
      complete["layers"] = .array(layers.map { .object($0.object) })
      self.json = .object(complete)
    case let other:
      throw DidactError(
        .invalidArgument,
        "network: \"type\" must be \"mlp\" or \"sequential\"; got \(other.map { "\"\($0)\"" } ?? "none")")
    }
  }

  /// A multilayer perceptron: hidden layers of dense, batch normalisation, activation and dropout, then a dense layer.
  /// - Parameters:
  ///   - activation: `relu`, `leaky_relu`, `sigmoid`, `tanh` or `swish`.
  ///   - dropout: rate in [0, 1).
  public static func multilayerPerceptron(
    inputs: Int, hidden: [Int], classes: Int, activation: String = "relu", batchNorm: Bool = false, dropout: Double = 0
  ) throws -> NetworkSpecification {
    try NetworkSpecification(
      .object([
        "type": "mlp", "inputs": .integer(Int64(inputs)), "hidden": .array(hidden.map { .integer(Int64($0)) }),
        "classes": .integer(Int64(classes)), "activation": .string(activation), "batch_norm": .boolean(batchNorm),
        "dropout": .number(dropout),
      ]))
  }

  private static func multilayerPerceptronLayers(_ values: FieldValues) throws -> [FieldValues] {
    let activation: ActivationFunction = try values.choice("activation")
    let saturates = activation == .sigmoid || activation == .tanh
    var layers: [JSONObject] = []
    for outputs in try values.integers("hidden") {
      layers.append([
        "type": "dense", "outputs": .integer(Int64(outputs)),
        "initialization": saturates ? "glorot_uniform" : "he_uniform",
      ])
      if try values.boolean("batch_norm") { layers.append(["type": "batch_norm"]) }
      layers.append(["type": .string(activation.rawValue)])
      let dropout = try values.number("dropout")
      if dropout > 0 { layers.append(["type": "dropout", "rate": .number(dropout)]) }
    }
    layers.append(["type": "dense", "outputs": try values.value("classes")])
    return try layers.map { try layer(.object($0), subject: "network") }
  }

  private static func layer(_ json: JSON, subject: String) throws -> FieldValues {
    guard let object = json.members, let type = object["type"]?.text else {
      throw DidactError(.invalidArgument, "\(subject): expected an object with a \"type\"")
    }
    guard let known = layerFields.first(where: { $0.type == type }) else {
      throw DidactError(
        .invalidArgument,
        "\(subject): unknown layer type \"\(type)\".\(suggestion(for: type, among: layerFields.map(\.type)))")
    }
    return try FieldValues(object, fields: known.fields, subject: subject)
  }
}
