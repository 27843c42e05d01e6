import Synchronization

/// A frozen network bound to its input and output: the shortest way from one to the other, for few rows at a time.
///
/// It has a copy of the network as it was when this was made; later training does not change it.
public final class Predictor: @unchecked Sendable {
  private let network: Network
  private let pass: RecordedPass
  private let input, probabilities: BorrowedArray
  private let isRunning = Atomic(false)

  /// - Parameters:
  ///   - input: [rows, inputs] of any element type, read by every run.
  ///   - probabilities: [rows, classes], of a network that segments [rows, height, width, classes], float32 or float64, written by every run. Both stay where they are as long as
  ///     this lives.
  package init(_ network: Network, _ input: BorrowedArray, _ probabilities: BorrowedArray) throws {
    let network = try network.copy()
    let input = try network.examples(input)
    try probabilities.check(network.task.logitsShape(examples: input.rows), network.elementType, "probabilities")
    self.network = network
    self.input = input
    self.probabilities = probabilities
    pass = try network.predictionPass(rows: input.rows)
  }

  /// Reads the input and writes its class probabilities.
  /// - Throws: `DidactError.data` where they are not finite, `.busy` while another thread runs this.
  package func run() throws {
    guard !isRunning.exchange(true, ordering: .acquiring) else {
      throw DidactError(.busy, "this predictor is running already; make one for each thread")
    }
    defer { isRunning.store(false, ordering: .releasing) }
    try network.predict(probabilities, input, by: pass, firstRow: 0)
  }
}
