/// The layers of a network while it is written down, one after the other.
struct LayerList {
  private(set) var layers: [JSONObject] = []

  /// Adds a layer that reads the one before it, or those that `from` names.
  /// - Returns: its name.
  @discardableResult
  mutating func add(_ type: String, _ name: String, _ values: JSONObject = [:], from: [String]? = nil) -> String {
    var layer: JSONObject = ["type": .string(type), "name": .string(name)]
    for (key, value) in values.members { layer[key] = value }
    if let from { layer["from"] = .array(from.map { .string($0) }) }
    layers.append(layer)
    return name
  }

  mutating func convolution(
    _ name: String, _ outputs: Int, size: Int = 3, stride: Int = 1, groups: Int = 1, _ more: JSONObject = [:],
    from: String? = nil
  ) -> String {
    var values: JSONObject = [
      "outputs": .integer(Int64(outputs)), "size": .integer(Int64(size)), "stride": .integer(Int64(stride)),
      "groups": .integer(Int64(groups)),
    ]
    for (key, value) in more.members { values[key] = value }
    return add("convolution", name, values, from: from.map { [$0] })
  }
}
