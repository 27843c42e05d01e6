import Testing

@testable import Didact

/// Corner values of learning rates, ramps and warm-ups.
@Suite struct ScheduleTests {
  private func schedule(_ values: JSONObject) throws -> Schedule {
    try Schedule(values, for: .adam, subject: "optimizer")
  }

  @Test func waitAndWarmup() throws {
    let schedule = try schedule(["wait_steps": 3, "warmup_steps": 4])
    #expect((0..<9).map { schedule.factor(at: $0, of: 20) } == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1])
  }

  @Test(arguments: [
    ("constant", [1, 1, 1, 1]), ("cosine", [1, 0.5, 0, 0]),
    ("cosine_7_16", [1, 0.773010453, 0.195090322, 0.195090322]),
    ("step", [1, 0.1, 0.01, 0.001]), ("exponential", [1, 0.1, 0.01, 0.0031622777]),
  ]) func shapes(name: String, expected: [Double]) throws {
    // From the first step after the warm-up on: the first, half of them, the end, and beyond it.
    let schedule = try schedule(["schedule": .string(name), "warmup_steps": 5, "decay_steps": 10])
    for (step, value) in zip([5, 15, 25, name == "step" ? 35 : 30], expected) {
      #expect(abs(schedule.factor(at: step, of: 25) - value) < 1e-9, "\(name) at \(step)")
    }
  }

  @Test func decaysAreThirdsByDefault() throws {
    let schedule = try schedule(["schedule": "step"])
    #expect([9, 10, 19, 20].map { schedule.factor(at: $0, of: 30) } == [1, 0.1, 0.1, 0.010000000000000002])
  }

  /// Laine and Aila's schedules, with Mean Teacher's β2.
  @Test func rampsOfAdam() throws {
    let schedule = try schedule([
      "schedule": "ramp_down", "decay_steps": 20, "warmup_steps": 10, "warmup_shape": "exponential", "final_beta1": 0.5,
      "early_beta2": 0.99, "early_beta2_steps": 10,
    ])
    let factors: [(Int, Double)] = [
      (0, 0), (5, 0.2865047969), (10, 1), (80, 1), (90, 0.0439369336), (100, 3.7266531720786e-6),
      (150, 3.7266531720786e-6),
    ]
    for (step, value) in factors { #expect(abs(schedule.factor(at: step, of: 100) - value) < 1e-9, "at \(step)") }
    let betas = [0, 9, 10, 80, 90, 100].map { schedule.betas(0.9, 0.999, at: $0, of: 100) }
    #expect(betas.map(\.1) == [0.99, 0.99, 0.999, 0.999, 0.999, 0.999])
    for (found, value) in zip(betas.map(\.0), [0.9, 0.9, 0.9, 0.9, 0.5175747734, 0.5000014907]) {
      #expect(abs(found - value) < 1e-9)
    }
    #expect(try Schedule([:], for: .sgd, subject: "optimizer").betas(0.9, 0.999, at: 7, of: 10) == (0.9, 0.999))

    let refused: [(JSONObject, OptimizerSettings.Name, String)] = [
      (["final_beta1": 0.5], .adam, "ramp_down"), (["final_beta1": 0.5, "schedule": "ramp_down"], .sgd, "sgd"),
      (["early_beta2": 0.9], .adamW, "early_beta2_steps"), (["early_beta2_steps": 3], .adamW, "early_beta2"),
      (["early_beta2": 0.9, "early_beta2_steps": 3], .rmsProp, "rmsprop"),
    ]
    for (values, name, word) in refused {
      expectError(.invalidArgument, containing: word) { _ = try Schedule(values, for: name, subject: "optimizer") }
    }
  }

  @Test func ramp() {
    let ramp = Ramp(steps: 4)
    #expect([0, 1, 2, 4, 9].map { ramp.factor(at: $0) } == [0, 0.25, 0.5, 1, 1])
    #expect(Ramp(steps: 0).factor(at: 0) == 1)
  }

  @Test func averageWarmup() throws {
    let network = try Network(
      NetworkSpecification(["type": "mlp", "inputs": 2, "hidden": [3], "classes": 2]), elementType: .float64)
    func decays(_ warmup: MovingAverage.Warmup, _ updates: [Double]) throws -> [Double] {
      let average = try MovingAverage(network, decay: 0.9, warmup: warmup)
      return updates.map { average.decay(at: $0) }
    }
    #expect(try decays(.none, [0, 5]) == [0.9, 0.9])
    #expect(try decays(.tensorflow, [0, 1, 80, 1000]) == [0.1, 2.0 / 11, 0.9, 0.9])
    #expect(try decays(.meanTeacher, [0, 1, 3, 1000]) == [0, 0.5, 0.75, 0.9])
    // The first update of Mean Teacher's forgets the initial values.
    let average = try MovingAverage(network, decay: 0.9, warmup: .meanTeacher)
    for index in 0..<network.parameters.count { network.parameters[index] += 1 }
    average.update()
    #expect(average.network.parameters.bytes == network.parameters.bytes)
    #expect(average.updateCount.integer == 1)
  }
}
