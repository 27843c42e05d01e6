extension Trainer {
  /// Stores what a network predicts for all rows that a student will learn from, for `reduced_meta_pseudo_labels`: the
  /// matrix `distributions` [rows of `features` and of `unlabeled`, classes] in a safetensors file. Completes or leaves the
  /// old file.
  /// - Parameters:
  ///   - features: [N, inputs] of any element type, as a fit takes them.
  ///   - unlabeled: more rows [M, inputs].
  ///   - role: of the network; nil for the one that predicts.
  /// - Throws: `DidactError.file`, `.shape`, or `.data` naming row and column of what is not finite.
  public func storeDistributions(
    of features: Tensor, unlabeled: Tensor? = nil, by role: String? = nil, to path: String
  ) throws {
    try withExtendedLifetime((features, unlabeled)) {
      try storeDistributions(
        of: BorrowedArray(features), unlabeled: unlabeled.map { BorrowedArray($0) }, by: role, to: path)
    }
  }

  /// The same for arrays of the caller's.
  package func storeDistributions(
    of features: BorrowedArray, unlabeled: BorrowedArray?, by role: String?, to path: String
  ) throws {
    guard student.labelsPerExample == 1 else {
      throw DidactError(
        .unsupported, "distributions are stored by row; this network segments, and has one for each pixel")
    }
    let role = role ?? predictorRole
    let parts = [(features, "X")] + (unlabeled.map { $0.rows > 0 ? [($0, "X_unlabeled")] : [] } ?? [])
    for (part, name) in parts { _ = try checkedRows(part, name) }
    let count = parts.reduce(0) { $0 + $1.0.rows }
    try StoredDistributions.write(
      to: path, rowsDigest: Trainer.digest(parts.map(\.0)).value, classNames: classNames,
      shape: Shape(count, student.classes), elementType: elementType
    ) { write in
      for (part, name) in parts {
        for start in stride(from: 0, to: part.rows, by: 4096) {
          let rows = start..<min(part.rows, start + 4096)
          let probabilities = try Tensor(Shape(rows.count, student.classes), elementType)
          do {
            try predict(BorrowedArray(probabilities), part.rows(rows), by: role)
          } catch let error as DidactError {
            throw error.at("\(name), in the rows from \(start) on")
          }
          try write(probabilities)
        }
      }
    }
  }
}
