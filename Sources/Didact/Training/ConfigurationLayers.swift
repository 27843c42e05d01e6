extension Trainer {
  /// One configuration from several, such as a preset, a file and a command line: later values replace earlier ones.
  ///
  /// Keys with dots and nested objects mean the same, also within `network` and `student_network`. A network of another
  /// `type`, or an optimiser of another `name`, starts afresh: the values before it were meant for something else.
  /// Nothing else is checked here; `init(configuration:)` does that.
  /// - Returns: dotted keys, with each network as one nested object.
  /// - Throws: `DidactError.invalidArgument` for an unknown method, and for a key given twice in one layer.
  public static func mergedConfiguration(_ layers: [JSONObject], method: String) throws -> JSONObject {
    let keys = try fields(method: method).map(\.key)
    var merged = JSONObject()
    for layer in layers {
      let values = try dotted(layer, keys: keys)
      for role in ["student", "teacher", "corrector"] {
        let prefix = "\(role)_optimizer.", name = prefix + "name"
        guard let newName = values[name], newName != merged[name] ?? "sgd" else { continue }
        merged.members.removeAll { $0.key.hasPrefix(prefix) }
      }
      for network in networkKeys {
        let type = network + ".type"
        let isReplaced = values[network] != nil || values[type] != nil && values[type] != merged[type] ?? "mlp"
        guard isReplaced else { continue }
        merged.members.removeAll { $0.key == network || $0.key.hasPrefix(network + ".") }
      }
      for (key, value) in values.members { merged[key] = value }
    }
    var result = JSONObject()
    for (key, value) in merged.members {
      guard let network = networkKeys.first(where: { key.hasPrefix($0 + ".") }) else {
        result[key] = value
        continue
      }
      var object = result[network]?.members ?? [:]
      object[String(key.dropFirst(network.count + 1))] = value
      result[network] = .object(object)
    }
    return result
  }

  private static let networkKeys = ["network", "student_network"]

  /// All values under dotted keys. An object that no key leads into stays as it is.
  private static func dotted(_ object: JSONObject, keys: [String]) throws -> JSONObject {
    var values = JSONObject()
    func collect(_ object: JSONObject, prefix: String) throws {
      for (key, value) in object.members {
        let path = prefix + key
        let isInner = networkKeys.contains(path) || keys.contains { $0.hasPrefix(path + ".") }
        if isInner, case .object(let nested) = value {
          try collect(nested, prefix: path + ".")
        } else if values[path] != nil {
          throw DidactError(.invalidArgument, "configuration: \"\(path)\" is given twice")
        } else {
          values[path] = value
        }
      }
    }
    try collect(object, prefix: "")
    return values
  }
}

extension JSONObject {
  /// This description of a network, with what it leaves out taken from the data: its type, `inputs`, `classes` of a network
  /// by name, `hidden` of a multilayer perceptron, and `small_images` of networks that otherwise begin by shrinking them.
  /// - Parameter images: the lengths of images; nil for vectors.
  public func completed(columns: Int, images: Extent? = nil, hidden: [Int], classes: Int) -> JSONObject {
    let type = self["type"] ?? "mlp"
    var result: JSONObject = ["type": type, "inputs": .integer(Int64(columns))]
    if type == "mlp" { result["hidden"] = .array(hidden.map { .integer(Int64($0)) }) }
    if type != "sequential" { result["classes"] = .integer(Int64(classes)) }
    if type != "mlp", let images {
      result["inputs"] = .array([images.height, images.width, images.channels].map { .integer(Int64($0)) })
      if type == "resnet" || type == "efficientnet" {
        result["small_images"] = .boolean(max(images.height, images.width) <= 64)
      }
    }
    for (key, value) in members { result[key] = value }
    return result
  }
}

extension Preset {
  /// The name of a method as a configuration has it: that of `automaticMethod` is Meta Pseudo Labels.
  public static func method(named name: String) -> String {
    name == automaticMethod ? MetaPseudoLabels.definition.name : name
  }

  /// A whole configuration of a method.
  /// - Parameter method: or `automaticMethod`.
  /// - Throws: `DidactError.invalidArgument` naming the nearest known method.
  public func configuration(method: String, classes: Int) throws -> JSONObject {
    let name = Self.method(named: method)
    var values = try Trainer.mergedConfiguration([configuration(method: method)], method: name)
    values["method"] = .string(name)
    let network = values["network"]?.members ?? [:]
    values["network"] = .object(
      network.completed(columns: columns, images: images, hidden: hidden, classes: classes))
    return values
  }

  /// The values for those keys that a method has.
  /// - Parameter method: or `automaticMethod`.
  /// - Throws: `DidactError.invalidArgument` naming the nearest known method.
  public func configuration(method: String) throws -> JSONObject {
    let keys = Set(try Trainer.fields(method: Self.method(named: method)).map(\.key))
    var result = JSONObject(values.members.filter { keys.contains($0.key) || $0.key.hasPrefix("network.") })
    if method == Self.automaticMethod, !members.isEmpty {
      result["members"] = .array(members)
      result["forest_trees"] = .integer(Int64(Self.tableTrees))
    }
    return result
  }
}
