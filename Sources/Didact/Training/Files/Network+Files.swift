extension Network {
  /// Writes parameters, statistics and specification to a safetensors file. Completes or leaves the old file.
  /// - Throws: `DidactError.file`.
  public func save(to path: String) throws {
    var file = ModelFile(
      kind: "network",
      description: [
        "network": specification.json, "dtype": .string(elementType.description),
        "seed": .integer(Int64(bitPattern: seed)), "draws": .integer(Int64(clamping: draws.withLock { $0 })),
      ])
    file.tensors = fileState.flatMap(\.parts)
    try lock.reading { try file.write(to: path) }
  }

  /// - Throws: `DidactError.file`, or `.format` naming file and tensor.
  public convenience init(loading path: String) throws {
    let file = try ModelFile(reading: path, kind: "network")
    do {
      try self.init(file)
    } catch let error as DidactError {
      // What is wrong is the file, not an argument.
      throw error.code == .invalidArgument ? DidactError(.format, "\(path): \(error.message)") : error.at(path)
    }
  }

  private var fileState: [StateEntry] { state("", parameters: .never, statistics: .never) }

  private convenience init(_ file: ModelFile) throws {
    let specification = try NetworkSpecification(file.described("network") { $0 })
    let elementType =
      try file.described("dtype") { $0 == "float32" ? .float32 : $0 == "float64" ? .float64 : nil } as ElementType
    try file.check(specification, elementType: elementType, prefix: "")
    try self.init(
      specification, elementType: elementType, seed: UInt64(bitPattern: Int64(file.described("seed", \.int))))
    for entry in fileState { try file.read(entry) }
    let count = UInt64(try file.describedCount("draws"))
    draws.withLock { $0 = count }
  }
}
