#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension Tensor {
  /// The rows (entries of the first dimension) with these indices, in this order, in memory of their own.
  /// - Throws: `DidactError.shape` for a tensor without dimensions, `.invalidArgument` for an index out of range.
  public func selectingRows(_ indices: [Int]) throws -> Tensor {
    guard shape.rank > 0 else { throw DidactError(.shape, "a tensor without dimensions has no rows") }
    if let outside = indices.first(where: { $0 < 0 || $0 >= rows }) {
      throw DidactError(.invalidArgument, "there is no row \(outside): the \(rows) rows count from 0")
    }
    var dimensions = shape.dimensions
    dimensions[0] = indices.count
    let result = try Tensor(Shape(checking: dimensions), elementType)
    guard result.count > 0 else { return result }
    let rowLength = byteCount / rows
    withExtendedLifetime((buffer, result.buffer)) {
      for (position, index) in indices.enumerated() {
        memcpy(result.address + position * rowLength, address + index * rowLength, rowLength)
      }
    }
    try BorrowedArray(self).checkNoneLost()
    return result
  }
}

extension Dataset {
  /// The rows of each class, in order.
  private var rowsByClass: [[Int]] {
    var rows = Array(repeating: [Int](), count: classNames.count)
    for (row, label) in labels.enumerated() where label >= 0 { rows[label].append(row) }
    return rows
  }

  /// The same data with only `total` labels left, chosen at random and balanced over the classes.
  ///
  /// Where `total` is no multiple of the number of classes, the remainder goes to classes chosen at random. With one
  /// seed, a class's labels of a smaller choice are among those of a larger one.
  /// - Throws: `DidactError.data` where a class has too few labels, with its name and the numbers;
  ///   `.invalidArgument` for a total below 1.
  public func keepingLabels(_ total: Int, seed: UInt64) throws -> Dataset {
    try checkLabels()
    guard total >= 1 else { throw DidactError(.invalidArgument, "\(total) labels to keep; give at least 1") }
    guard !classNames.isEmpty else { throw DidactError(.data, "\(total) labels to keep, but the data has none") }
    let stream = RandomStream(seed: seed, name: "split/labels")
    let classCount = classNames.count
    var wanted = Array(repeating: total / classCount, count: classCount)
    for classIndex in stream.draw(0).permutation(classCount).prefix(total % classCount) { wanted[classIndex] += 1 }

    var kept = Array(repeating: -1, count: labels.count)
    for (classIndex, rows) in rowsByClass.enumerated() {
      guard wanted[classIndex] <= rows.count else {
        throw DidactError(
          .data,
          "\(total) labels over \(classCount) classes need \(wanted[classIndex]) of class \"\(classNames[classIndex])\", "
            + "but it has only \(rows.count); ask for fewer")
      }
      let order = stream.draw(UInt64(classIndex) + 1).permutation(rows.count)
      for position in order.prefix(wanted[classIndex]) { kept[rows[position]] = classIndex }
    }
    var result = self
    result.labels = kept
    return result
  }

  /// Takes the trusted rows out, with their labels. The other rows keep their order.
  /// - Throws: `DidactError.data` where there are none, or there is nothing else.
  public mutating func takeTrustedRows() throws -> (inputs: Tensor, labels: [Int]) {
    let taken = trustedRows, chosen = Set(taken), others = labels.indices.filter { !chosen.contains($0) }
    guard !taken.isEmpty, !others.isEmpty else {
      throw DidactError(
        .data, "\(taken.isEmpty ? "no row" : "every row") is trusted; feedback needs trusted rows and others")
    }
    let trusted = (inputs: try features.selectingRows(taken), labels: taken.map { labels[$0] })
    features = try features.selectingRows(others)
    labels = others.map { labels[$0] }
    trustedRows = []
    return trusted
  }

  /// The same data with a random part of the labelled rows moved to `testFeatures` and `testLabels`.
  ///
  /// The part has `testFraction` of the labelled rows, rounded up, and of each class as nearly that fraction as whole
  /// rows allow; at least one row of each class stays. Both parts keep the order of rows; rows without label stay.
  /// - Throws: `DidactError.invalidArgument` for a fraction not between 0 and 1, `.state` where there is a test part
  ///   already, `.data` where a class has a single labelled row.
  public func stratifiedSplit(testFraction: Double = 0.25, seed: UInt64) throws -> Dataset {
    try checkShapes()
    try checkLabels()
    guard testFraction > 0, testFraction < 1 else {
      throw DidactError(.invalidArgument, "a test fraction of \(testFraction); give one between 0 and 1")
    }
    guard testFeatures == nil else { throw DidactError(.state, "the data has a test part already") }
    let rowsByClass = rowsByClass
    if let single = rowsByClass.firstIndex(where: { $0.count == 1 }) {
      throw DidactError(
        .data, "class \"\(classNames[single])\" has a single labelled row, which cannot be split; add rows or drop it")
    }
    guard rowsByClass.contains(where: { !$0.isEmpty }) else {
      throw DidactError(.data, "no row has a label to split by")
    }

    let stream = RandomStream(seed: seed, name: "split/test")
    let counts = Dataset.testCounts(classCounts: rowsByClass.map(\.count), fraction: testFraction)
    var isTest = Array(repeating: false, count: rows)
    for (classIndex, rows) in rowsByClass.enumerated() {
      let order = stream.draw(UInt64(classIndex)).permutation(rows.count)
      for position in order.prefix(counts[classIndex]) { isTest[rows[position]] = true }
    }
    let testRows = isTest.indices.filter { isTest[$0] }, trainingRows = isTest.indices.filter { !isTest[$0] }
    var result = self
    result.features = try features.selectingRows(trainingRows)
    result.labels = trainingRows.map { labels[$0] }
    if !imageFiles.isEmpty { result.imageFiles = trainingRows.map { imageFiles[$0] } }
    result.testFeatures = try features.selectingRows(testRows)
    result.testLabels = testRows.map { labels[$0] }
    return result
  }

  /// How many rows of each class are tested: the whole part of its share, and one more where the rest is largest.
  private static func testCounts(classCounts: [Int], fraction: Double) -> [Int] {
    let total = Int((fraction * Double(classCounts.reduce(0, +))).rounded(.up))
    let shares = classCounts.map { fraction * Double($0) }
    var counts = shares.map { Int($0) }
    let byRest = counts.indices.sorted {
      let (a, b) = (shares[$0] - Double(counts[$0]), shares[$1] - Double(counts[$1]))
      return a != b ? a > b : $0 < $1
    }
    var missing = total - counts.reduce(0, +)
    for classIndex in byRest where missing > 0 && counts[classIndex] + 1 < classCounts[classIndex] {
      counts[classIndex] += 1
      missing -= 1
    }
    return counts
  }
}
