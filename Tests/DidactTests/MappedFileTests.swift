#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif
import Testing

@testable import Didact

@Suite("Mapped files") struct MappedFileTests {
  private let directory: TemporaryDirectory
  private let path: String
  private let labels = (0..<2000).map { $0 % 40 < 2 ? $0 % 2 : -1 }

  init() throws {
    directory = try TemporaryDirectory()
    path = directory.path("rows.npy")
    try writeNPY(randomTensor(Shape(2000, 3), .float32, seed: 1), to: path)
  }

  private func trainer() throws -> Trainer {
    try Trainer(
      configuration: [
        "method": "meta_pseudo_labels", "network": ["type": "mlp", "inputs": 3, "hidden": [4], "classes": 2],
      ])
  }

  /// To nothing, to whole pages, and by a byte of the last page, whose rest then reads as zeros without a signal.
  @Test(arguments: [0, 128, 4096, 20_480, 24_127])
  func oneThatBecomesShorterIsAnErrorThatNamesIt(length: Int) throws {
    let rows = try Dataset(npy: path).features, trainer = try trainer()
    try trainer.fit(rows, labels, steps: 2)
    let parameters = trainer.student.parameters.values
    #expect(truncate(path, length) == 0)
    let message = "rows.npy: it was written to"
    expectError(.file, containing: path, message) { try trainer.fit(rows, labels, steps: 2) }
    #expect(trainer.steps == 2 && trainer.student.parameters.values == parameters, "nothing of it was learned")
    expectError(.file, containing: message) { _ = try trainer.predictProbabilities(rows) }
    expectError(.file, containing: message) { _ = try trainer.step(rows, labels.map { max(0, $0) }, unlabeled: rows) }
    expectError(.file, containing: message) { _ = try rows.selectingRows([1999]) }
    // Those that are whole are read as before.
    try writeNPY(randomTensor(Shape(2000, 3), .float32, seed: 2), to: directory.path("other.npy"))
    let other = try Dataset(npy: directory.path("other.npy")).features
    try trainer.fit(other, labels, steps: 2)
    #expect(try trainer.predict(other).count == 2000)
  }

  @Test func oneThatIsRestoredIsNotTrusted() throws {
    let rows = try Dataset(npy: path).features, trainer = try trainer(), bytes = try readBytes(path)
    #expect(truncate(path, 0) == 0)
    expectError(.file) { try trainer.fit(rows, labels, steps: 1) }
    let file = try #require(fopen(path, "r+"))
    #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count && fclose(file) == 0)
    expectError(.file, containing: "was written to") { try trainer.fit(rows, labels, steps: 1) }
    try trainer.fit(Dataset(npy: path).features, labels, steps: 1)
  }

  @Test func distributionsAndPretrainedWeightsTellToo() throws {
    let network = try trainer().student, weights = directory.path("weights.safetensors")
    try network.save(to: weights)
    let pretrained = try PretrainedWeights(weights, for: network)
    #expect(truncate(weights, 100) == 0)
    let parameters = network.parameters.values
    expectError(.file, containing: "weights.safetensors: it was written to") { try pretrained.apply() }
    #expect(network.parameters.values == parameters)

    let stored = directory.path("stored.safetensors"), rows = try Dataset(npy: path).features
    try trainer().storeDistributions(of: rows, to: stored)
    let student = try Trainer(
      configuration: [
        "method": "reduced_meta_pseudo_labels", "teacher_distributions": .string(stored),
        "network": ["type": "mlp", "inputs": 3, "hidden": [4], "classes": 2],
      ])
    expectError(.file, containing: "stored.safetensors: it was written to") {
      try student.fit(rows, labels, steps: 5) { progress in
        if progress.step == 2 { #expect(truncate(stored, 300) == 0) }
        return true
      }
    }
    #expect(student.steps == 2)
  }
}
