/// How long a training step takes here, and what of it each operation takes.
public struct StepBenchmark {
  /// Of every timed step, without the taking of times by operation; ascending.
  public let seconds: [Double]
  /// The same steps with it; their times are a little longer.
  package let times: KernelTimes
  package let secondsWithTimes: Double
  public let steps: Int

  /// - Parameters:
  ///   - configuration: of the trainer; float32.
  ///   - labeled: labelled rows a step.
  ///   - unlabeled: unlabelled rows a step, in two views; for methods that use them.
  ///   - steps: how many to time, after a tenth as many to warm up.
  public init(_ configuration: JSONObject, labeled: Int, unlabeled: Int, steps: Int) throws {
    let trainer = try Trainer(configuration: configuration)
    guard trainer.elementType == .float32 else {
      throw DidactError(.invalidArgument, "times are taken in float32; the reference kernels of float64 are not timed")
    }
    let student = trainer.student, noise = RandomStream(seed: 0, name: "benchmark")
    func rows(_ count: Int, _ draw: UInt64) throws -> Tensor {
      let rows = try Tensor(Shape(count, student.inputs), .float32)
      student.kernels.addNormal(rows, deviation: 1, noise.draw(draw))
      return rows
    }
    let inputs = try rows(labeled, 0), labels = try Tensor(student.task.labelShape(examples: labeled), .int64)
    for index in 0..<labels.count { labels[index] = Double(index % student.classes) }
    let weak = trainer.method.needsUnlabeled ? try rows(unlabeled, 1) : nil
    let strong = trainer.method.needsUnlabeled ? try rows(unlabeled, 2) : nil
    func step() throws { try trainer.step(inputs, labels: labels, unlabeled: weak, strong: strong) }

    for _ in 0..<max(2, steps / 10) { try step() }
    var seconds: [Double] = []
    for _ in 0..<steps {
      let start = secondsOfClock()
      try step()
      seconds.append(secondsOfClock() - start)
    }
    self.seconds = seconds.sorted()
    self.steps = steps
    var whole = 0.0
    times = try KernelTimes.of(threads: student.threads) {
      let start = secondsOfClock()
      for _ in 0..<steps { try step() }
      whole = secondsOfClock() - start
    }
    secondsWithTimes = whole
  }

  /// The value that a share of all steps stays below.
  public func quantile(_ share: Double) -> Double {
    seconds[min(seconds.count - 1, Int(share * Double(seconds.count)))]
  }
}
