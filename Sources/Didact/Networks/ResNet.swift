/// Residual networks (He et al., CVPR 2016) of depth 18, 34 and 50, the stride of a bottleneck in its 3 × 3 convolution.
/// Layers have torchvision's names.
///
/// A block of two 3 × 3 convolutions, or of 1 × 1, 3 × 3 and 1 × 1 to four times the channels:
///
///     y = relu(bn(conv(… relu(bn(conv(x))))) + x, or + bn(conv1×1(x)) where stride or channels change)
enum ResNet {
  private static let blocks: [(depth: Int, counts: [Int], isBottleneck: Bool)] = [
    (18, [2, 2, 2, 2], false), (34, [3, 4, 6, 3], false), (50, [3, 4, 6, 3], true),
  ]

  static let fields = [
    Field("type", .choice(["resnet"]), nil, "a residual network", source: "He et al. 2016"),
    Field("inputs", .extent(.closed(1, 65_536)), nil, "[height, width, channels] of an image"),
    Field("classes", .integer(.closed(1, 16_777_216)), nil, "number of classes"),
    Field("depth", .integer(.closed(18, 50)), 18, "18, 34 or 50"),
    Field("width", .integer(.closed(1, 64)), 1, "factor of the channels", source: "as in SimCLR"),
    Field(
      "small_images", .boolean, false,
      "begin with a 3 × 3 convolution that keeps the size, instead of 7 × 7 and pooling"),
  ]

  @Sendable static func layers(_ values: FieldValues) throws -> [JSONObject] {
    let depth = try values.integer("depth"), channels = 64 * (try values.integer("width"))
    guard let (_, counts, isBottleneck) = blocks.first(where: { $0.depth == depth }) else {
      throw DidactError(.invalidArgument, "network: \"depth\" of a resnet must be 18, 34 or 50; got \(depth)")
    }
    var list = LayerList()
    func normalized(_ name: String, isActive: Bool = true) -> String {
      let name = list.add("batch_norm", name)
      return isActive ? list.add("relu", "\(name).relu") : name
    }
    if try values.boolean("small_images") {
      _ = list.convolution("conv1", channels)
    } else {
      _ = list.convolution("conv1", channels, size: 7, stride: 2)
    }
    var value = normalized("bn1"), inputs = channels
    if try !values.boolean("small_images") {
      value = list.add("max_pool", "maxpool", ["size": 3, "stride": 2, "padding": 1])
    }
    for (stage, count) in counts.enumerated() {
      let inner = channels << stage, outputs = isBottleneck ? 4 * inner : inner
      for block in 0..<count {
        let prefix = "layer\(stage + 1).\(block)", stride = block == 0 && stage > 0 ? 2 : 1, input = value
        if isBottleneck {
          _ = list.convolution("\(prefix).conv1", inner, size: 1)
          _ = normalized("\(prefix).bn1")
          _ = list.convolution("\(prefix).conv2", inner, stride: stride)
          _ = normalized("\(prefix).bn2")
          _ = list.convolution("\(prefix).conv3", outputs, size: 1)
        } else {
          _ = list.convolution("\(prefix).conv1", inner, stride: stride)
          _ = normalized("\(prefix).bn1")
          _ = list.convolution("\(prefix).conv2", outputs)
        }
        let branch = normalized("\(prefix).bn\(isBottleneck ? 3 : 2)", isActive: false)
        var shortcut = input
        if stride > 1 || inputs != outputs {
          _ = list.convolution("\(prefix).downsample.0", outputs, size: 1, stride: stride, from: input)
          shortcut = normalized("\(prefix).downsample.1", isActive: false)
        }
        list.add("add", "\(prefix).add", from: [branch, shortcut])
        value = list.add("relu", "\(prefix).relu")
        inputs = outputs
      }
    }
    list.add("global_average_pool", "avgpool")
    list.add("dense", "fc", ["outputs": try values.value("classes")])
    return list.layers
  }
}
