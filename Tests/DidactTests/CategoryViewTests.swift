import Testing

@testable import Didact

/// Views that change a category as a category.
@Suite struct CategoryViewTests {
  /// A number, a category of three, a yes or no, and another number.
  private func rows(_ count: Int) throws -> Tensor {
    let random = RandomStream(seed: 4, name: "rows")
    let numbers = try Tensor(Shape(count, 2), .float64)
    ReferenceKernels<Double>().uniform(numbers, low: 2, high: 9, random.draw(0, lane: 0))
    return try Tensor(
      rows: (0..<count).map { row in
        let category = random.draw(1, lane: 0).permutation(count)[row] % 3
        let indicators = (0..<3).map { $0 == category ? 1.0 : 0.0 }
        return [numbers[2 * row]] + indicators + [row % 2 == 0 ? 1 : 0, numbers[2 * row + 1]]
      })
  }

  @Test func runsAreColumnsThatNeverMeet() throws {
    let rows = try rows(60)
    let whole = try CategoryColumns(columns: 6) { try $0(rows) }.ranges
    #expect(whole == [1..<4, 4..<5])
    // The same in blocks.
    #expect(
      try CategoryColumns(columns: 6) { body in for row in 0..<60 { try body(rows.rows(row..<row + 1)) } }.ranges
        == whole)
    // A yes or no before a category that some of its values never meet leaves it whole.
    let before = try Tensor(rows: [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    #expect(try CategoryColumns(columns: 4) { try $0(before) }.ranges == [0..<1, 1..<4])
    // A missing category is no 1 at all; other numbers, and numbers of two kinds, are no category.
    let others = try Tensor(rows: [[0, 0, 1, 0.5, 1], [1, 0, 2, 1, 0], [0, 1, 0, 0, 1]])
    #expect(try CategoryColumns(columns: 5) { try $0(others) }.ranges == [0..<2, 4..<5])
  }

  @Test func categoriesComeWholeFromOtherRows() throws {
    let input = try rows(3000), kernels = ReferenceKernels<Double>(), stream = RandomStream(seed: 1, name: "view")
    let fields = VectorView.fields("strong", noise: 0.5, featureDropout: 0)
    let view = try VectorView(
      FieldValues(["strong_category_mix": 0.3], fields: fields, subject: "view"), "strong", categories: [1..<4, 4..<5],
      stream: stream)
    let changed = try view(kernels, input, draw: 7)
    var moved = [0, 0]
    for row in 0..<input.rows {
      let before = (0..<6).map { input[6 * row + $0] }, after = (0..<6).map { changed[6 * row + $0] }
      // Numbers are noised, categories are one-hot still.
      #expect(before[0] != after[0] && before[5] != after[5])
      #expect(after[1..<4].sorted() == [0, 0, 1] && [0, 1].contains(after[4]))
      moved[0] += before[1..<4] == after[1..<4] ? 0 : 1
      moved[1] += before[4] == after[4] ? 0 : 1
    }
    // Two rows differ in the category of three with probability 2 / 3, in the yes or no with 1 / 2.
    #expect(abs(Double(moved[0]) / 3000 - 0.3 * 2 / 3) < 0.03)
    #expect(abs(Double(moved[1]) / 3000 - 0.3 / 2) < 0.03)
    #expect(try view(kernels, input, draw: 7).values == changed.values)
    #expect(try view(kernels, input, draw: 8).values != changed.values)
  }

  /// Without the key, columns of categories are as all others.
  @Test func featuresAreNoisedWhereNoCategoryIsMixed() throws {
    let input = try rows(20), fields = VectorView.fields("strong", noise: 0.5, featureDropout: 0)
    let view = try VectorView(
      FieldValues([:], fields: fields, subject: "view"), "strong", categories: [1..<4, 4..<5],
      stream: RandomStream(seed: 1, name: "view"))
    let changed = try view(ReferenceKernels<Double>(), input, draw: 7)
    #expect((0..<input.count).allSatisfy { changed[$0] != input[$0] })
  }
}
