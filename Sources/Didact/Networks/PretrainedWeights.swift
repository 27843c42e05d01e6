/// Weights that another package trained, on their way into a network: which tensor of a safetensors file becomes which
/// parameter or statistic.
///
/// Known are the names of this library, and for ResNet and EfficientNet those of torchvision and timm.
public struct PretrainedWeights {
  public struct Report: Sendable {
    /// Whose names the file has: "didact", "torchvision" or "timm".
    public let names: String
    /// Parameters and statistics that the file has.
    public let matched: [String]
    /// Those that it does not have, or in another shape, and which therefore stay as they are.
    public let kept: [String]
    /// Tensors of the file that the network has no place for.
    public let unused: [String]

    public var json: JSON {
      func texts(_ names: [String]) -> JSON { .array(names.map { .string($0) }) }
      return .object([
        "names": .string(names), "matched": texts(matched), "kept": texts(kept), "unused": texts(unused),
      ])
    }
  }

  public let report: Report
  private let network: Network
  private let path: String
  private let assignments: [(target: Tensor, source: Tensor)]

  /// Reads a file and compares it with a network, which stays as it is.
  /// - Parameter strict: whether all but the last layer must be there. The last layer stays as it is where the numbers of
  ///   classes differ.
  /// - Throws: `DidactError.file`, or `.format` for a file that is not of this network, naming tensors.
  public init(_ path: String, for network: Network, strict: Bool = true) throws {
    let file = try SafetensorsFile(mapping: path)
    self.network = network
    // Data-parallel training puts a prefix before all names.
    let prefix = file.tensors.allSatisfy { $0.name.hasPrefix("module.") } ? "module." : ""
    let given = Dictionary(
      file.tensors.map { (String($0.name.dropFirst(prefix.count)), $0.tensor) }, uniquingKeysWith: { first, _ in first }
    )
    let slots =
      network.parameterSlots.map { ($0, network.parameters) } + network.statisticSlots.map { ($0, network.statistics) }
    let schemes = Self.schemes(of: network.specification)
    let counts = schemes.map { scheme in slots.count { given[scheme.rename($0.0.name)] != nil } }
    let best = counts.indices.max { counts[$0] < counts[$1] } ?? 0
    guard counts[best] > 0 else {
      let some = file.tensors.prefix(3).map(\.name).joined(separator: ", ")
      let isTrainer = file.tensors.contains { $0.name.hasPrefix("student.") }
      throw DidactError(
        .format,
        "\(path): none of the network's names is there, by the rules of \(schemes.map(\.name).joined(separator: ", ")). "
          + (isTrainer
            ? "It is a trainer's file: load the trainer, and save its student"
            : "The file has \(file.tensors.count) tensors\(some.isEmpty ? "" : ": \(some), …")"))
    }

    // Another number of classes: the whole last layer stays as it is.
    let last = network.graph.last.name + "."
    let keepsLast = slots.contains { slot, _ in
      guard slot.name.hasPrefix(last), let tensor = given[schemes[best].rename(slot.name)] else { return false }
      return tensor.shape.dimensions.first != slot.shape.dimensions.first
    }
    var matched: [String] = [], kept: [String] = [], missing: [String] = []
    var assignments: [(target: Tensor, source: Tensor)] = [], used: Set<String> = []
    for (slot, values) in slots {
      let theirs = schemes[best].rename(slot.name)
      used.insert(theirs)
      let isLast = slot.name.hasPrefix(last)
      if isLast, keepsLast {
        kept.append(slot.name)
        continue
      }
      guard let tensor = given[theirs] else {
        kept.append(slot.name)
        if !isLast { missing.append("\(slot.name) (\(theirs))") }
        continue
      }
      guard tensor.shape.hasSameElements(as: slot.shape) else {
        kept.append(slot.name)
        missing.append("\(slot.name): \(slot.shape), but \(theirs) in the file is \(tensor.shape)")
        continue
      }
      guard tensor.elementType == .float32 || tensor.elementType == .float64 else {
        throw DidactError(.format, "\(path): \(theirs) is of \(tensor.elementType); weights must be float32 or float64")
      }
      matched.append(slot.name)
      assignments.append((slot[values], tensor))
    }
    guard !strict || missing.isEmpty else {
      throw DidactError(
        .format,
        "\(path): not of this network: \(missing.count) of \(slots.count) tensors are missing or of another shape, "
          + "such as \(missing.prefix(3).joined(separator: "; ")). With strict off they stay as they are.")
    }
    self.assignments = assignments
    self.path = path
    report = Report(
      names: schemes[best].name, matched: matched, kept: kept,
      unused: given.keys.filter { !used.contains($0) && !$0.hasSuffix("num_batches_tracked") }.sorted())
  }

  /// Writes what matched into the network.
  /// - Throws: `DidactError.data` naming what is not finite, or negative and a variance; the network then stays as it is.
  public func apply() throws {
    for (name, assignment) in zip(report.matched, assignments) {
      let values = try converted(assignment)
      guard network.kernels.allFinite(values) else {
        throw DidactError(.data, "\(path): \(name) is not finite in \(network.elementType)")
      }
      guard !name.hasSuffix("running_variance") || values.values.allSatisfy({ $0 >= 0 }) else {
        throw DidactError(.data, "\(path): \(name) has a negative variance")
      }
    }
    try network.lock.writing {
      for assignment in assignments { network.kernels.copy(try converted(assignment), to: assignment.target) }
    }
  }

  /// The tensor in the network's element type and shape.
  private func converted(_ assignment: (target: Tensor, source: Tensor)) throws -> Tensor {
    let result = try Tensor(assignment.target.shape, network.elementType), flat = Shape(1, result.count)
    let source = assignment.source.view(flat, at: 0)
    _ = network.kernels.convert(result.view(flat, at: 0), BorrowedArray(source), mean: nil, scale: nil)
    try BorrowedArray(source).checkNoneLost()
    return result
  }

  // MARK: - Names

  private typealias Scheme = (name: String, rename: (String) -> String)

  /// How the packages call this library's names.
  private static func schemes(of specification: NetworkSpecification) -> [Scheme] {
    let own: Scheme = ("didact", { $0 })
    switch specification.type {
    case "resnet": return [own, ("torchvision", torch { $0 })]
    case "efficientnet":
      return [own, ("torchvision", torch(torchvisionEfficientNet)), ("timm", torch(timmEfficientNet))]
    default: return [own]
    }
  }

  /// Of a name such as `layer1.0.bn1.running_variance`: the layer by `rename`, the rest by PyTorch's convention.
  private static func torch(_ rename: @escaping (String) -> String) -> (String) -> String {
    { name in
      guard let dot = name.lastIndex(of: ".") else { return name }
      let kind = name[name.index(after: dot)...]
      return rename(String(name[..<dot])) + "." + (kind == "running_variance" ? "running_var" : kind)
    }
  }

  /// `blocks.<stage>.<block>.<layer>` in its parts. In the first stage nothing is expanded.
  private static func block(_ name: String) -> (stage: Int, block: Int, layer: String, isExpanded: Bool)? {
    let parts = name.split(separator: ".").map(String.init)
    guard parts.count == 4, parts[0] == "blocks", let stage = Int(parts[1]), let block = Int(parts[2]) else {
      return nil
    }
    return (stage, block, parts[3], stage > 0)
  }

  private static func timmEfficientNet(_ name: String) -> String {
    let outer = [
      "stem.conv": "conv_stem", "stem.bn": "bn1", "head.conv": "conv_head", "head.bn": "bn2",
      "classifier": "classifier",
    ]
    guard let (stage, block, layer, isExpanded) = block(name) else { return outer[name] ?? name }
    let inner =
      isExpanded
      ? [
        "expand": "conv_pw", "expand_bn": "bn1", "depthwise": "conv_dw", "depthwise_bn": "bn2", "project": "conv_pwl",
        "project_bn": "bn3",
      ] : ["depthwise": "conv_dw", "depthwise_bn": "bn1", "project": "conv_pw", "project_bn": "bn2"]
    let gate = ["reduce": "se.conv_reduce", "excite": "se.conv_expand"]
    return "blocks.\(stage).\(block).\(inner[layer] ?? gate[layer] ?? layer)"
  }

  private static func torchvisionEfficientNet(_ name: String) -> String {
    let outer = [
      "stem.conv": "features.0.0", "stem.bn": "features.0.1", "head.conv": "features.8.0", "head.bn": "features.8.1",
      "classifier": "classifier.1",
    ]
    guard let (stage, block, layer, isExpanded) = block(name) else { return outer[name] ?? name }
    let e = isExpanded ? 1 : 0
    let inner = [
      "expand": "0.0", "expand_bn": "0.1", "depthwise": "\(e).0", "depthwise_bn": "\(e).1", "reduce": "\(e + 1).fc1",
      "excite": "\(e + 1).fc2", "project": "\(e + 2).0", "project_bn": "\(e + 2).1",
    ]
    return "features.\(stage + 1).\(block).block.\(inner[layer] ?? layer)"
  }
}

extension Shape {
  /// Whether the shapes differ at most by lengths of 1 at the end: a dense layer may come as a 1 × 1 convolution.
  fileprivate func hasSameElements(as other: Shape) -> Bool {
    func essential(_ shape: Shape) -> [Int] {
      var lengths = shape.dimensions
      while lengths.count > 1, lengths.last == 1 { lengths.removeLast() }
      return lengths
    }
    return essential(self) == essential(other)
  }
}
