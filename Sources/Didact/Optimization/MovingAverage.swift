/// An exponential moving average of a network's parameters: average ← decay · average + (1 − decay) · value.
///
/// Running statistics are copied from the network, or averaged like parameters on request (EMAN: Cai et al., CVPR 2021).
public final class MovingAverage: @unchecked Sendable {
  public let source: Network
  /// Starts as a copy of the source.
  public let network: Network
  /// In [0, 1]; 0 makes the average equal to the source.
  public let decay: Double
  public let averagesStatistics: Bool

  /// - Throws: `DidactError.invalidArgument` for a decay outside [0, 1].
  public init(_ source: Network, decay: Double, averagesStatistics: Bool = false) throws {
    guard decay >= 0, decay <= 1 else {
      throw DidactError(.invalidArgument, "moving average: decay must be in [0, 1]; got \(decay)")
    }
    self.source = source
    self.decay = decay
    self.averagesStatistics = averagesStatistics
    network = try source.copy()
  }

  public func update() {
    let kernels = source.kernels
    kernels.movingAverage(network.parameters, of: source.parameters, decay: decay)
    kernels.movingAverage(network.statistics, of: source.statistics, decay: averagesStatistics ? decay : 0)
  }
}
