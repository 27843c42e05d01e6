/// EfficientNet B0 to B8 and L2 (Tan and Le, ICML 2019; B8: Xie et al., CVPR 2020; L2: Xie et al., CVPR 2020).
///
/// A convolution, seven stages of inverted bottlenecks, a 1 × 1 convolution, the mean over pixels, a dense layer. A block
/// widens by 1 × 1, convolves each channel, gates the channels by what they are on average (squeeze-and-excitation), narrows
/// by 1 × 1, and adds its input where the shapes agree; whole branches are left out at random, the later the more often.
enum EfficientNet {
  private static let variants: [(name: String, width: Double, depth: Double, dropout: Double)] = [
    ("b0", 1, 1, 0.2), ("b1", 1, 1.1, 0.2), ("b2", 1.1, 1.2, 0.3), ("b3", 1.2, 1.4, 0.3), ("b4", 1.4, 1.8, 0.4),
    ("b5", 1.6, 2.2, 0.4), ("b6", 1.8, 2.6, 0.5), ("b7", 2, 3.1, 0.5), ("b8", 2.2, 3.6, 0.5),
    ("l2", 4.3, 5.3, 0.5),
  ]
  private static let stages: [(count: Int, size: Int, stride: Int, expansion: Int, channels: Int)] = [
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
  ]

  static let fields = [
    Field("type", .choice(["efficientnet"]), nil, "an EfficientNet", source: "Tan and Le 2019"),
    Field("inputs", .extent(.closed(1, 65_536)), nil, "[height, width, channels] of an image"),
    Field("classes", .integer(.closed(1, 16_777_216)), nil, "number of classes"),
    Field("variant", .choice(variants.map(\.name)), "b0", "how wide and deep"),
    Field("dropout", .number(.halfOpen(0, 1)), .null, "rate before the dense layer; null for the variant's"),
    Field(
      "stochastic_depth", .number(.halfOpen(0, 1)), 0.2, "rate at which the last block's branch is left out",
      source: "Huang et al. 2016"),
    Field(
      "epsilon", .number(.above(0)), 0.001,
      "added to the variance by batch normalisation; torchvision's B0 to B4 and timm's have 1e-5"),
    Field(
      "small_images", .boolean, false, "the first convolution and the second and third stage keep the size",
      source: "Google's Meta Pseudo Labels code"),
  ]

  /// A multiple of 8, not less than 90 % of what it rounds.
  private static func rounded(_ channels: Int, _ width: Double) -> Int {
    let exact = Double(channels) * width, multiple = max(8, Int(exact + 4) / 8 * 8)
    return Double(multiple) < 0.9 * exact ? multiple + 8 : multiple
  }

  @Sendable static func layers(_ values: FieldValues) throws -> [JSONObject] {
    let name = try values.text("variant"), isSmall = try values.boolean("small_images")
    guard let (_, width, depth, dropout) = variants.first(where: { $0.name == name }) else {
      throw DidactError(.internalError, "no EfficientNet \(name)")
    }
    var list = LayerList()
    let epsilon = try values.value("epsilon")
    func normalized(_ name: String, isActive: Bool = true) -> String {
      let name = list.add("batch_norm", name, ["epsilon": epsilon, "momentum": 0.01])
      return isActive ? list.add("swish", "\(name).swish") : name
    }
    /// A 1 × 1 convolution of one pixel in the published codes, which starts as those do.
    func gateLayer(_ outputs: Int) -> JSONObject {
      ["outputs": .integer(Int64(outputs)), "initialization": "he_normal_fan_out"]
    }
    var channels = rounded(32, width), index = 0
    _ = list.convolution("stem.conv", channels, stride: isSmall ? 1 : 2)
    var value = normalized("stem.bn")
    let counts = stages.map { Int((Double($0.count) * depth).rounded(.up)) }, total = counts.reduce(0, +)
    let dropRate = try values.number("stochastic_depth")
    for (stage, (shape, count)) in zip(stages, counts).enumerated() {
      let outputs = rounded(shape.channels, width)
      for block in 0..<count {
        let prefix = "blocks.\(stage).\(block)", input = value, inner = channels * shape.expansion
        let stride = block > 0 || isSmall && (1...2).contains(stage) ? 1 : shape.stride
        if shape.expansion > 1 {
          _ = list.convolution("\(prefix).expand", inner, size: 1)
          _ = normalized("\(prefix).expand_bn")
        }
        _ = list.convolution("\(prefix).depthwise", inner, size: shape.size, stride: stride, groups: inner)
        let image = normalized("\(prefix).depthwise_bn")
        list.add("global_average_pool", "\(prefix).squeeze")
        list.add("dense", "\(prefix).reduce", gateLayer(max(1, channels / 4)))
        list.add("swish", "\(prefix).reduce.swish")
        list.add("dense", "\(prefix).excite", gateLayer(inner))
        let gate = list.add("sigmoid", "\(prefix).gate")
        list.add("gate", "\(prefix).gated", from: [image, gate])
        _ = list.convolution("\(prefix).project", outputs, size: 1)
        value = normalized("\(prefix).project_bn", isActive: false)
        if stride == 1, channels == outputs {
          let rate = dropRate * Double(index) / Double(total)
          if rate > 0 { value = list.add("stochastic_depth", "\(prefix).drop", ["rate": .number(rate)]) }
          value = list.add("add", "\(prefix).add", from: [value, input])
        }
        channels = outputs
        index += 1
      }
    }
    _ = list.convolution("head.conv", rounded(1280, width), size: 1)
    _ = normalized("head.bn")
    list.add("global_average_pool", "pool")
    let rate = try values.optionalNumber("dropout") ?? dropout
    if rate > 0 { list.add("dropout", "dropout", ["rate": .number(rate)]) }
    list.add(
      "dense", "classifier", ["outputs": try values.value("classes"), "initialization": "uniform_fan_out"])
    return list.layers
  }
}
