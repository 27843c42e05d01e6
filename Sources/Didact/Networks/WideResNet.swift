/// Wide residual networks (Zagoruyko and Komodakis, BMVC 2016): WideResNet-d-k has depth d and width k.
///
/// A convolution, three groups of (d − 4) / 6 blocks at 16k, 32k and 64k channels, the second and third of which halve the
/// image, batch normalisation, the mean over pixels, a dense layer. A block, with pre-activation:
///
///     h = f(bn(x));  y = conv(f(bn(conv(h)))) + x, or + conv1×1(h) where stride or channels change
///
/// What is called WideResNet-28-2 in the papers on semi-supervised learning is four networks (`variant`).
enum WideResNet {
  /// What differs between the published codes.
  private struct Variant {
    /// Channels of the first convolution.
    var stem = 16
    /// Slope of a leaky ReLU; 0 for a ReLU.
    var slope = 0.1
    var epsilon = 1e-3, momentum = 0.001
    var convolutionsHaveBias = false, stemHasBias = false
    /// In groups after the first, shortcuts read the block's input as it is.
    var shortcutReadsInput = false
    var dropout = 0.0
    var initialization = "he_normal_fan_out"
  }

  private static let variants: [(name: String, variant: Variant)] = [
    ("uda", Variant(slope: 0, epsilon: 1e-5, momentum: 0.1)),
    ("usb", Variant(stemHasBias: true, shortcutReadsInput: true)),
    ("fixmatch", Variant(convolutionsHaveBias: true, shortcutReadsInput: true, initialization: "glorot_normal")),
    ("meta_pseudo_labels", Variant(stem: 32, slope: 0.2, momentum: 0.01, dropout: 0.2)),
  ]

  static let fields = [
    Field("type", .choice(["wide_resnet"]), nil, "a wide residual network", source: "Zagoruyko and Komodakis 2016"),
    Field("inputs", .extent(.closed(1, 65_536)), nil, "[height, width, channels] of an image"),
    Field("classes", .integer(.closed(1, 16_777_216)), nil, "number of classes"),
    Field("depth", .integer(.closed(10, 1000)), 28, "number of convolutions and dense layers: 6 n + 4"),
    Field("width", .integer(.closed(1, 1024)), 2, "k of 16k, 32k and 64k channels"),
    Field(
      "variant", .choice(variants.map(\.name)), "uda",
      "which published code: 1,467,610, 1,467,626, 1,469,642 and 1,472,170 parameters at 28-2 with 10 classes"),
    Field(
      "dropout", .number(.halfOpen(0, 1)), .null, "dropout rate before the dense layer; null for the variant's"),
  ]

  @Sendable static func layers(_ values: FieldValues) throws -> [JSONObject] {
    let depth = try values.integer("depth"), width = try values.integer("width"), name = try values.text("variant")
    guard (depth - 4) % 6 == 0 else {
      throw DidactError(.invalidArgument, "network: \"depth\" must be 6 n + 4, such as 10, 16, 22 or 28; got \(depth)")
    }
    guard let variant = variants.first(where: { $0.name == name })?.variant else {
      throw DidactError(.internalError, "no WideResNet variant \(name)")
    }
    var list = LayerList()
    func convolution(_ name: String, _ outputs: Int, size: Int = 3, stride: Int = 1, bias: Bool, from: String? = nil)
      -> String
    {
      list.convolution(
        name, outputs, size: size, stride: stride,
        ["bias": .boolean(bias), "initialization": .string(variant.initialization)], from: from)
    }
    func normalized(_ name: String, from: String? = nil) -> String {
      list.add(
        "batch_norm", "\(name)", ["epsilon": .number(variant.epsilon), "momentum": .number(variant.momentum)],
        from: from.map { [$0] })
      return variant.slope > 0
        ? list.add("leaky_relu", "\(name).activation", ["slope": .number(variant.slope)])
        : list.add("relu", "\(name).activation")
    }

    let hasBias = variant.convolutionsHaveBias
    var value = convolution("conv0", variant.stem, bias: hasBias || variant.stemHasBias), channels = variant.stem
    for group in 0..<3 {
      let outputs = (16 << group) * width
      for block in 0..<(depth - 4) / 6 {
        let prefix = "group\(group).block\(block)", stride = block == 0 && group > 0 ? 2 : 1
        let input = value, activated = normalized("\(prefix).bn1", from: value)
        _ = convolution("\(prefix).conv1", outputs, stride: stride, bias: hasBias)
        _ = normalized("\(prefix).bn2")
        let branch = convolution("\(prefix).conv2", outputs, bias: hasBias)
        var shortcut = input
        if stride > 1 || outputs != channels {
          let source = variant.shortcutReadsInput && group > 0 ? input : activated
          shortcut = convolution("\(prefix).shortcut", outputs, size: 1, stride: stride, bias: hasBias, from: source)
        }
        value = list.add("add", "\(prefix).add", from: [branch, shortcut])
        channels = outputs
      }
    }
    _ = normalized("bn")
    list.add("global_average_pool", "pool")
    let dropout = try values.optionalNumber("dropout") ?? variant.dropout
    if dropout > 0 { list.add("dropout", "dropout", ["rate": .number(dropout)]) }
    list.add("dense", "dense", ["outputs": try values.value("classes")])
    return list.layers
  }
}
