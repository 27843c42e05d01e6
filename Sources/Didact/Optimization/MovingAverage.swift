/// An exponential moving average of a network's parameters: average ← decay · average + (1 − decay) · value.
///
/// Running statistics are copied from the network, or averaged like parameters on request (EMAN: Cai et al., CVPR 2021).
public final class MovingAverage: @unchecked Sendable {
  /// How the decay grows over the first updates, so that the initial values are forgotten sooner.
  public enum Warmup: String, Sendable {
    case none
    /// min(decay, (1 + k) / (10 + k)) at update k, from 0: TensorFlow's, in Meta Pseudo Labels and Noisy Student.
    case tensorflow
    /// min(decay, 1 − 1 / (k + 1)): Mean Teacher's.
    case meanTeacher = "mean_teacher"
  }

  public let source: Network
  /// Starts as a copy of the source.
  public let network: Network
  /// In [0, 1]; 0 makes the average equal to the source.
  public let decay: Double
  public let warmup: Warmup
  public let averagesStatistics: Bool
  /// Updates made, one int64.
  public let updateCount: Tensor

  /// - Throws: `DidactError.invalidArgument` for a decay outside [0, 1].
  public init(_ source: Network, decay: Double, averagesStatistics: Bool = false, warmup: Warmup = .none) throws {
    guard decay >= 0, decay <= 1 else {
      throw DidactError(.invalidArgument, "moving average: decay must be in [0, 1]; got \(decay)")
    }
    self.source = source
    self.decay = decay
    self.warmup = warmup
    self.averagesStatistics = averagesStatistics
    network = try source.copy()
    updateCount = try Tensor(Shape(), .int64)
  }

  /// Begins anew with the values of the source.
  func restart() {
    network.setValues(from: source)
    updateCount.integer = 0
  }

  public func update() {
    let kernels = source.kernels, decay = decay(at: Double(updateCount.integer))
    kernels.movingAverage(network.parameters, of: source.parameters, decay: decay)
    kernels.movingAverage(network.statistics, of: source.statistics, decay: averagesStatistics ? decay : 0)
    updateCount.integer &+= 1
  }

  /// The decay of an update, counted from 0.
  func decay(at update: Double) -> Double {
    switch warmup {
    case .none: decay
    case .tensorflow: min(decay, (1 + update) / (10 + update))
    case .meanTeacher: min(decay, 1 - 1 / (update + 1))
    }
  }
}
