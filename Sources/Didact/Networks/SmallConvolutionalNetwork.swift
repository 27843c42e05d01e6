/// A small convolutional network for images of 8 × 8 to 64 × 64: stages of two convolutions with batch normalisation and
/// ReLU, each stage on an image of half the size with twice the channels, as long as a side has 4 pixels; then the mean over
/// pixels and a dense layer.
enum SmallConvolutionalNetwork {
  static let fields = [
    Field("type", .choice(["small_cnn"]), nil, "a small convolutional network"),
    Field("inputs", .extent(.closed(1, 65_536)), nil, "[height, width, channels] of an image"),
    Field("classes", .integer(.closed(1, 16_777_216)), nil, "number of classes"),
    Field("width", .integer(.closed(1, 4096)), 32, "channels of the first stage"),
    Field("stages", .integer(.closed(1, 8)), .null, "number of stages; null for as many as leave 4 pixels, at most 3"),
    Field(
      "dropout", .number(.halfOpen(0, 1)), 0, "dropout rate before the dense layer", source: "Srivastava et al. 2014"),
  ]

  @Sendable static func layers(_ values: FieldValues) throws -> [JSONObject] {
    let extent = try values.extent("inputs"), width = try values.integer("width")
    var side = min(extent.height, extent.width), usual = 1
    while side >= 8, usual < 3 { (side, usual) = (side / 2, usual + 1) }
    var list = LayerList()
    for stage in 0..<(try values.optionalInteger("stages") ?? usual) {
      if stage > 0 { list.add("max_pool", "stage\(stage).pool") }
      for index in 0..<2 {
        _ = list.convolution("stage\(stage).conv\(index)", width << stage)
        list.add("batch_norm", "stage\(stage).bn\(index)")
        list.add("relu", "stage\(stage).relu\(index)")
      }
    }
    list.add("global_average_pool", "pool")
    let dropout = try values.number("dropout")
    if dropout > 0 { list.add("dropout", "dropout", ["rate": .number(dropout)]) }
    list.add("dense", "dense", ["outputs": try values.value("classes")])
    return list.layers
  }
}
