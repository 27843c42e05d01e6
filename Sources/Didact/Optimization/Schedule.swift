#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The learning rate of each step, as a factor of the configured one: 0 while waiting, then rising linearly, then as the
/// shape says until the last step.
struct Schedule: Sendable, Equatable {
  enum Shape: String, Sendable {
    case constant
    /// (1 + cos πt) / 2, with t from 0 to 1 over the steps after the warm-up.
    case cosine
    /// cos(7πt / 16), which ends at 0.195.
    case cosineSevenSixteenths = "cosine_7_16"
    /// decayFactor to the power of the whole number of `decaySteps` gone by.
    case step
    /// The same without rounding.
    case exponential
  }

  let shape: Shape
  let waitSteps, warmupSteps: Int
  let decaySteps: Double?
  let decayFactor: Double

  static let fields: [Field] = [
    Field(
      "schedule", .choice(["constant", "cosine", "cosine_7_16", "step", "exponential"]), "constant",
      "the learning rate over the `steps`: cosine falls to 0; cosine_7_16 to 0.195 of it; step and exponential "
        + "by `decay_factor` every `decay_steps`",
      source: "cosine: Loshchilov and Hutter 2017; cosine_7_16: FixMatch, Sohn et al. 2020"),
    Field(
      "wait_steps", .integer(.atLeast(0)), 0, "first steps with learning rate 0",
      source: "Google's Meta Pseudo Labels code, for the student"),
    Field(
      "warmup_steps", .integer(.atLeast(0)), 0, "steps after these over which the learning rate rises linearly",
      source: "Goyal et al. 2017"),
    Field(
      "decay_steps", .number(.above(0)), .null, "step and exponential: steps for one decay; null for a third of all"),
    Field("decay_factor", .number(.above(0)), 0.1, "step and exponential: what one decay multiplies by"),
  ]

  init(_ object: JSONObject, subject: String) throws {
    let values = try FieldValues(object, fields: Self.fields, subject: subject)
    shape = try values.choice("schedule")
    waitSteps = try values.integer("wait_steps")
    warmupSteps = try values.integer("warmup_steps")
    decaySteps = try values.optionalNumber("decay_steps")
    decayFactor = try values.number("decay_factor")
  }

  /// - Parameters:
  ///   - step: counted from 0.
  ///   - steps: how many there are.
  func factor(at step: Int, of steps: Int) -> Double {
    guard step >= waitSteps else { return 0 }
    let sinceWait = step - waitSteps
    guard sinceWait >= warmupSteps else { return Double(sinceWait + 1) / Double(warmupSteps) }
    let sinceWarmup = Double(sinceWait - warmupSteps)
    let t = min(1, sinceWarmup / Double(max(1, steps - waitSteps - warmupSteps)))
    let decays = sinceWarmup / (decaySteps ?? max(1, Double(steps) / 3))
    switch shape {
    case .constant: return 1
    case .cosine: return (1 + cos(.pi * t)) / 2
    case .cosineSevenSixteenths: return cos(7 * .pi * t / 16)
    case .step: return pow(decayFactor, decays.rounded(.down))
    case .exponential: return pow(decayFactor, decays)
    }
  }
}

/// The weight of a term: rises from 0, or nearly so, at the first step to its full value.
struct Ramp: Sendable, Equatable {
  enum Shape: String, Sendable {
    case linear
    /// exp(−5 (1 − t)²), 0 at t = 0: of the Π-model and Mean Teacher.
    case exponential
  }

  /// 0 for the full value from the start.
  let steps: Double
  var shape = Shape.linear

  /// In [0, 1].
  func factor(at step: Int) -> Double {
    guard steps > 0, Double(step) < steps else { return 1 }
    let t = Double(step) / steps
    return shape == .linear || step == 0 ? t : exp(-5 * (1 - t) * (1 - t))
  }
}
