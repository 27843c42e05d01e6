import Testing

@testable import Didact

@Suite("Gradient check") struct GradientCheckTests {
  /// f(x) = Σ sin(xᵢ) + x₀ x₁, and its gradient.
  private func function(at x: Tensor) -> Double { x.values.reduce(x[0] * x[1]) { $0 + sine($1) } }

  private func gradient(at x: Tensor) throws -> Tensor {
    var values = x.values.map { sine($0 + .pi / 2) }
    values[0] += x[1]
    values[1] += x[0]
    return try Tensor(values, shape: x.shape)
  }

  /// A Taylor series, good to 1e-16 on [−1, 3].
  private func sine(_ x: Double) -> Double {
    var term = x, sum = x
    for n in 1..<15 {
      term *= -x * x / Double(2 * n * (2 * n + 1))
      sum += term
    }
    return sum
  }

  private func point() throws -> Tensor { try Tensor([0.3, -0.5, 0.8, 0.1], shape: Shape(4)) }

  @Test func aRightGradientPasses() throws {
    let x = try point()
    let check = try GradientCheck.compare("f", gradient: try gradient(at: x), parameters: x) { function(at: x) }
    #expect(check.passed, "\(check)")
    #expect(check.error < 1e-9)
    #expect(x.values == [0.3, -0.5, 0.8, 0.1], "the parameters are put back")
  }

  @Test(arguments: [1.001, 0.5, -1, 2]) func aScaledGradientFails(factor: Double) throws {
    let x = try point()
    let wrong = try Tensor(try gradient(at: x).values.map { factor * $0 }, shape: x.shape)
    let check = try GradientCheck.compare("f", gradient: wrong, parameters: x) { function(at: x) }
    #expect(!check.passed && check.norm > 0)
    #expect(check.error > 0.9 * abs(1 - 1 / factor), "\(check)")
  }

  /// ⟨G, d⟩ is right along G itself: random directions find it.
  @Test func aWrongComponentFails() throws {
    let x = try point()
    let wrong = try gradient(at: x)
    wrong[3] += 1e-4
    #expect(try !GradientCheck.compare("f", gradient: wrong, parameters: x) { function(at: x) }.passed)
  }

  @Test func aZeroGradientFails() throws {
    let x = try point()
    let check = try GradientCheck.compare("constant", gradient: try Tensor(Shape(4), .float64), parameters: x) { 1 }
    #expect(check.norm == 0 && !check.passed)
  }

  @Test func badArgumentsAreRefused() throws {
    let x = try point(), narrow = try Tensor(Shape(4), .float32), short = try Tensor(Shape(3), .float64)
    expectError(.elementType, containing: "float64") {
      _ = try GradientCheck.compare("f", gradient: narrow, parameters: narrow) { 0 }
    }
    expectError(.shape, containing: "[3]", "[4]") {
      _ = try GradientCheck.compare("f", gradient: short, parameters: x) { 0 }
    }
    expectError(.invalidArgument, containing: "exact") { _ = try GradientCheck.run(feedback: "exakt") }
    expectError(.invalidArgument, containing: "float64") {
      _ = try GradientCheck.run("float", ["dtype": "float32"], feedback: "exact")
    }
    expectError(.invalidArgument, containing: "momentun", "momentum") {
      _ = try GradientCheck.run("misspelt", ["student_optimizer": ["momentun": 0.5]], feedback: "exact")
    }
  }

  @Test(arguments: [0, 1] as [UInt64]) func exactFeedbackPassesEverywhere(seed: UInt64) throws {
    let checks = try GradientCheck.run(feedback: "exact", seed: seed)
    #expect(checks.count > 10)
    for check in checks { #expect(check.passed, "\(check)") }
  }

  @Test(
    arguments: [
      [:], ["network": ["batch_norm": true], "eman": true], ["student_optimizer": ["clip_norm": 0.01]],
    ] as [JSONObject])
  func sampledFeedbackIsTheGradientOfItsExpectation(configuration: JSONObject) throws {
    let check = try GradientCheck.run("sampled", configuration, feedback: "loss_difference")
    #expect(check.passed, "\(check)")
    #expect(check.error < 1e-7)
  }

  @Test func gradientDotIsItsFirstOrderForm() throws {
    let check = try GradientCheck.run(
      "Nesterov", ["student_optimizer": ["nesterov": true, "momentum": 0.9]], feedback: "gradient_dot")
    #expect(check.passed, "\(check)")
  }

  /// Were the feedback of sampled labels taken for the gradient of one draw's loss, the check would not pass.
  @Test func oneDrawIsNotTheExpectation() throws {
    let trainer = try Trainer([
      "method": "meta_pseudo_labels", "dtype": "float64", "feedback": "loss_difference",
      "network": ["type": "mlp", "inputs": 2, "hidden": [4], "classes": 2, "activation": "tanh"],
    ])
    let x = try Tensor(rows: [[1, 2], [-1, 0.5]]), u = try Tensor(rows: [[0.5, 1], [2, -1], [0, 0.3]])
    let gradient = try trainer.metaGradient(x, [0, 1], unlabeled: u)
    let check = try GradientCheck.compare(
      "one draw", gradient: gradient, parameters: try trainer.network("teacher").parameters
    ) { try trainer.metaObjective(x, [0, 1], unlabeled: u) }
    #expect(check.norm > 0 && !check.passed)
  }
}
