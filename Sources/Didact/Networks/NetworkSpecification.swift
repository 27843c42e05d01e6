/// A network as a value: its layers, written and read as JSON.
///
/// Either by name, such as `{"type": "mlp", "inputs": 64, "hidden": [128], "classes": 10}` or
/// `{"type": "wide_resnet", "inputs": [32, 32, 3], "classes": 10}`, or layer by layer:
/// `{"type": "sequential", "inputs": 64, "layers": [{"type": "dense", "outputs": 10}]}`. Images are [height, width,
/// channels].
public struct NetworkSpecification: Sendable, Equatable {
  /// As given, with defaults filled in.
  public let json: JSON
  /// The lengths of one input.
  let extent: Extent
  let layers: [LayerSpecification]
  let task: TaskName

  /// A layer in a network.
  struct LayerSpecification: Sendable, Equatable {
    let values: FieldValues
    /// What other layers and the parameters call it; nil for its type and number.
    let name: String?
    /// The names of the layers that it reads, "input" for the network's input; nil for the one before it.
    let from: [String]?
  }

  /// The length of one input row.
  public var inputs: Int { extent.count }
  /// `"mlp"` and so on.
  var type: String { json.members?["type"]?.text ?? "" }

  /// The same network for images of another size.
  /// - Throws: `DidactError.invalidArgument` for lengths that are not of images, or too small.
  func resized(height: Int, width: Int) throws -> NetworkSpecification {
    guard var object = json.members, extent.isImage else {
      throw DidactError(.invalidArgument, "a network of vectors cannot be resized; its input is \(extent)")
    }
    guard height > 0, width > 0 else {
      throw DidactError(.invalidArgument, "images have at least one row and one column; got \(height) × \(width)")
    }
    object["inputs"] = .array([height, width, extent.channels].map { .integer(Int64($0)) })
    return try NetworkSpecification(.object(object))
  }
  /// The length of one row of logits.
  var classes: Int {
    get throws { try layers.last { $0.values.has("outputs") }?.values.integer("outputs") ?? inputs }
  }

  /// The largest length of a layer: 2²⁴.
  private static let width = Field.Bounds.closed(1, 16_777_216)

  public static let multilayerPerceptronFields = [
    Field("type", .choice(["mlp"]), nil, "a multilayer perceptron"),
    Field("inputs", .extent(width), nil, "length of one input row, or lengths of an image"),
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
    Field("inputs", .extent(width), nil, "length of one input row, or lengths of an image"),
    Field("layers", .objects, nil, "the layers, first to last"),
    Field(
      "task", .choice(TaskName.allCases.map(\.rawValue)), "classification",
      "what the last layer says: the class of an example, or, for segmentation, that of each of its pixels, a channel a class"
    ),
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
            "initialization", .choice(["he_uniform", "glorot_uniform", "he_normal_fan_out", "uniform_fan_out"]),
            "glorot_uniform",
            "how weights start: uniform within √(6 / inputs) or √(6 / (inputs + outputs)), normal with variance "
              + "2 / outputs, or uniform within 1 / √outputs; biases start at 0",
            source: "He et al. 2015; Glorot and Bengio 2010"),
        ]
      ),
      (
        "convolution",
        [
          Field("type", .choice(["convolution"]), nil, "a convolution over the pixels of an image"),
          Field("outputs", .integer(width), nil, "number of output channels"),
          Field("size", .integer(.closed(1, 1024)), 3, "height and width of the window"),
          Field("stride", .integer(.closed(1, 1024)), 1, "pixels from one window to the next"),
          Field(
            "padding", .integer(.closed(0, 1024)), .null,
            "zeros around the image; null for (size - 1) / 2, which keeps its size at stride 1"),
          Field(
            "groups", .integer(width), 1, "groups of channels that are not mixed; as many as channels for depthwise"),
          Field("bias", .boolean, false, "whether a bias is added"),
          Field(
            "initialization", .choice(["he_normal_fan_out", "he_normal", "he_uniform", "glorot_normal"]),
            "he_normal_fan_out",
            "how weights start: normal with variance 2 / fan_out, 2 / fan_in or 2 / (fan_in + fan_out), or uniform within "
              + "√(6 / fan_in)", source: "He et al. 2015; Glorot and Bengio 2010"),
        ]
      ),
      (
        "batch_norm",
        [
          Field("type", .choice(["batch_norm"]), nil, "batch normalisation by channel"),
          Field("epsilon", .number(.above(0)), 1e-5, "added to the variance", source: "as in PyTorch"),
          Field(
            "momentum", .number(.closed(0, 1)), 0.1, "of the batch in the running statistics", source: "as in PyTorch"),
          Field(
            "groups", .integer(.closed(1, 65_536)), 1,
            "parts of a batch that are normalised each by itself, as if on as many devices"),
        ]
      ),
      ("max_pool", poolFields("max_pool", "the largest of each window")),
      ("average_pool", poolFields("average_pool", "the mean of each window")),
      (
        "global_average_pool",
        [Field("type", .choice(["global_average_pool"]), nil, "the mean over all pixels")]
      ),
      (
        "flatten",
        [Field("type", .choice(["flatten"]), nil, "an image as a vector, pixel by pixel; dense layers need none")]
      ),
      ("add", [Field("type", .choice(["add"]), nil, "the sum of the two layers in \"from\"")]),
      (
        "gate",
        [
          Field(
            "type", .choice(["gate"]), nil,
            "the channels of the first layer in \"from\" times the second, one a channel",
            source: "Hu et al. 2018")
        ]
      ),
      (
        "stochastic_depth",
        [
          Field("type", .choice(["stochastic_depth"]), nil, "leaves whole examples out of a branch"),
          Field("rate", .number(.halfOpen(0, 1)), nil, "probability of that", source: "Huang et al. 2016"),
        ]
      ),
      (
        "dropout",
        [
          Field("type", .choice(["dropout"]), nil, "inverted dropout"),
          Field("rate", .number(.halfOpen(0, 1)), nil, "probability of a zero"),
        ]
      ),
    ]
    + ActivationFunction.allCases.map { function in
      let type = Field("type", .choice([function.rawValue]), nil, "a scalar function of every element")
      let slope = Field("slope", .number(.halfOpen(0, 1)), 0.01, "below zero", source: "Maas et al. 2013")
      return (function.rawValue, function == .leakyReLU ? [type, slope] : [type])
    }

  private static func poolFields(_ type: String, _ meaning: String) -> [Field] {
    [
      Field("type", .choice([type]), nil, meaning),
      Field("size", .integer(.closed(1, 1024)), 2, "height and width of the window"),
      Field(
        "stride", .integer(.closed(1, 1024)), .null, "pixels from one window to the next; null for its size"),
      Field("padding", .integer(.closed(0, 1023)), 0, "pixels around the image, which the mean counts as zeros"),
    ]
  }

  /// What every layer of a chain can have beside its own keys.
  static let layerNaming = [
    Field("name", .text, .null, "what parameters and other layers call it; null for its type and number"),
    Field(
      "from", .texts, .null,
      "names of the layers that it reads, \"input\" for the network's; null for the one before it"),
  ]

  /// The networks by name: their keys, and the layers that they stand for.
  static let families: [(type: String, fields: [Field], layers: @Sendable (FieldValues) throws -> [JSONObject])] = [
    ("mlp", multilayerPerceptronFields, multilayerPerceptronLayers),
    ("small_cnn", SmallConvolutionalNetwork.fields, SmallConvolutionalNetwork.layers),
    ("wide_resnet", WideResNet.fields, WideResNet.layers), ("resnet", ResNet.fields, ResNet.layers),
    ("efficientnet", EfficientNet.fields, EfficientNet.layers),
  ]

  /// - Throws: `DidactError.invalidArgument` naming the key that does not fit.
  public init(_ json: JSON) throws {
    guard let object = json.members else {
      throw DidactError(.invalidArgument, "network: expected an object such as {\"type\": \"mlp\", …}")
    }
    let type = object["type"]?.text
    if let family = Self.families.first(where: { $0.type == type }) {
      let values = try FieldValues(object, fields: family.fields, subject: "network")
      self.json = .object(values.object)
      extent = try values.extent("inputs")
      let described = try family.layers(values)
      try Self.checkLayerCount(described.count)
      layers = try described.map { try Self.layer(.object($0), subject: "network") }
      task = .classification
      return
    }
    guard type == "sequential" else {
      let known = (Self.families.map(\.type) + ["sequential"]).map { "\"\($0)\"" }
      throw DidactError(
        .invalidArgument,
        "network: \"type\" must be one of \(known.joined(separator: ", ")); got \(type.map { "\"\($0)\"" } ?? "none")")
    }
    let values = try FieldValues(object, fields: Self.sequentialFields, subject: "network")
    task = try values.choice("task")
    extent = try values.extent("inputs")
    let list = try values.value("layers").list ?? []
    try Self.checkLayerCount(list.count)
    layers = try list.enumerated().map { try Self.layer($0.element, subject: "network, layer \($0.offset)") }
    guard !layers.isEmpty else { throw DidactError(.invalidArgument, "network: \"layers\" is empty") }
    var complete = values.object
    complete["layers"] = .array(
      layers.map { layer in
        var object = layer.values.object
        if let name = layer.name { object["name"] = .string(name) }
        if let from = layer.from { object["from"] = .array(from.map { .string($0) }) }
        return .object(object)
      })
    // As it was before there were tasks, so that files stay the same.
    if task == .classification { complete["task"] = nil }
    self.json = .object(complete)
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

  private static func multilayerPerceptronLayers(_ values: FieldValues) throws -> [JSONObject] {
    let activation: ActivationFunction = try values.choice("activation")
    let saturates = activation == .sigmoid || activation == .tanh
    var layers: [JSONObject] = []
    let hidden = try values.integers("hidden")
    try checkLayerCount(hidden.count)
    for outputs in hidden {
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
    return layers
  }

  /// Recording what passes through layers takes time that grows with the square of their number.
  private static let mostLayers = 10_000

  private static func checkLayerCount(_ count: Int) throws {
    guard count <= mostLayers else {
      throw DidactError(.invalidArgument, "network: \(count) layers; at most \(mostLayers) are supported")
    }
  }

  private static func layer(_ json: JSON, subject: String) throws -> LayerSpecification {
    guard var object = json.members, let type = object["type"]?.text else {
      throw DidactError(.invalidArgument, "\(subject): expected an object with a \"type\"")
    }
    guard let known = layerFields.first(where: { $0.type == type }) else {
      throw DidactError(
        .invalidArgument,
        "\(subject): unknown layer type \"\(type)\".\(suggestion(for: type, among: layerFields.map(\.type)))")
    }
    var naming = JSONObject()
    for key in layerNaming.map(\.key) {
      naming[key] = object[key]
      object[key] = nil
    }
    let names = try FieldValues(naming, fields: layerNaming, subject: subject)
    let name = try names.optionalText("name")
    if let name, name.isEmpty || name == "input" || !name.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) {
      throw DidactError(
        .invalidArgument, "\(subject): \"name\" must be of visible ASCII characters, and not \"input\"; got \"\(name)\""
      )
    }
    return LayerSpecification(
      values: try FieldValues(object, fields: known.fields, subject: subject), name: name,
      from: try names.optionalTexts("from"))
  }
}
