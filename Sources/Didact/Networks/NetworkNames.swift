extension NetworkSpecification {
  /// The names that `described(by:)` takes; numbers stand for others that the network's page lists.
  public static let names = [
    "mlp", "small-cnn", "wide-resnet-28-2", "wide-resnet-28-8", "resnet-18", "resnet-34", "resnet-50",
    "efficientnet-b0", "efficientnet-b1", "efficientnet-b2", "efficientnet-b3", "efficientnet-b4", "efficientnet-b5",
    "efficientnet-b6", "efficientnet-b7", "efficientnet-b8", "efficientnet-l2",
  ]

  /// The keys that a name stands for: `wide-resnet-28-2` for `{"type": "wide_resnet", "depth": 28, "width": 2}`.
  /// - Throws: `DidactError.invalidArgument` with the nearest known name.
  public static func described(by name: String) throws -> JSONObject {
    let words = name.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
    let numbers = words.compactMap { Int64($0) }
    switch (words.first, words.count) {
    case _ where name == "mlp": return ["type": "mlp"]
    case _ where name == "small-cnn": return ["type": "small_cnn"]
    case ("wide", 4) where words[1] == "resnet" && numbers.count == 2:
      return ["type": "wide_resnet", "depth": .integer(numbers[0]), "width": .integer(numbers[1])]
    case ("resnet", 2) where numbers.count == 1: return ["type": "resnet", "depth": .integer(numbers[0])]
    case ("efficientnet", 2) where names.contains(name): return ["type": "efficientnet", "variant": .string(words[1])]
    default:
      throw DidactError(.invalidArgument, "unknown network \"\(name)\".\(suggestion(for: name, among: names))")
    }
  }

  /// Whether a description is of a network of images, as far as it says: by its type, or its inputs.
  public static func takesImages(_ description: JSONObject) -> Bool {
    let type = description["type"]?.text ?? "mlp"
    return description["inputs"]?.list?.count == 3 || type != "mlp" && families.contains { $0.type == type }
  }
}

extension Network {
  /// The lengths of the images that it takes; nil for a network of vectors.
  public var imageExtent: Extent? { specification.extent.isImage ? specification.extent : nil }
}
