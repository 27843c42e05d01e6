extension Trainer {
  /// What `save` writes, in memory.
  /// - Parameter allocate: returns memory for so many bytes, which may be fewer or more another time; nil where there is
  ///   none, and nothing is written.
  /// - Throws: as `save`, and what `allocate` throws.
  public func write(into allocate: (Int) throws -> UnsafeMutableRawPointer?) throws {
    try student.lock.reading { try modelFile().write(into: allocate) }
  }

  /// A trainer that goes on where the one stood whose file has these bytes.
  /// - Throws: `DidactError.format` naming the tensor.
  public convenience init(bytes: UnsafeRawBufferPointer) throws {
    do {
      try self.init(ModelFile(SafetensorsFile(bytes: bytes), kind: "trainer"))
    } catch let error as DidactError where error.code == .invalidArgument {
      throw DidactError(.format, error.message)
    }
  }
}
