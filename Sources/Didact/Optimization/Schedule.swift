#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The learning rate of each step, as a factor of the configured one: 0 while waiting, then rising, then as the shape says
/// until the last step; and, for Adam, the decays of its moments.
struct Schedule: Sendable, Equatable {
  enum Shape: String, CaseIterable, Sendable {
    case constant
    /// (1 + cos πt) / 2, with t from 0 to 1 over the steps after the warm-up.
    case cosine
    /// cos(7πt / 16), which ends at 0.195.
    case cosineSevenSixteenths = "cosine_7_16"
    /// decayFactor to the power of the whole number of `decaySteps` gone by.
    case step
    /// The same without rounding.
    case exponential
    /// 1 until the last `decaySteps`, over which it is exp(−12.5 t²), with t from 0 to 1.
    case rampDown = "ramp_down"
  }

  let shape: Shape
  let warmupShape: Ramp.Shape
  let waitSteps, warmupSteps: Int
  /// Where β1 goes with the ramp-down; nil to stay.
  private let finalBeta1: Double?
  /// β2 in the first `earlyBeta2Steps`; nil for that of all steps.
  private let earlyBeta2: Double?
  private let earlyBeta2Steps: Int
  let decaySteps: Double?
  let decayFactor: Double

  static let fields: [Field] = [
    Field(
      "schedule", .choice(Shape.allCases.map(\.rawValue)), "constant",
      "the learning rate over the `steps`: cosine falls to 0; cosine_7_16 to 0.195 of it; step and exponential "
        + "by `decay_factor` every `decay_steps`; ramp_down by exp(−12.5 t²) over the last `decay_steps`",
      source:
        "cosine: Loshchilov and Hutter 2017; cosine_7_16: FixMatch, Sohn et al. 2020; ramp_down: Laine and Aila 2017"),
    Field(
      "wait_steps", .integer(.atLeast(0)), 0, "first steps with learning rate 0",
      source: "Google's Meta Pseudo Labels code, for the student"),
    Field(
      "warmup_steps", .integer(.atLeast(0)), 0, "steps after these over which the learning rate rises",
      source: "Goyal et al. 2017"),
    Field(
      "warmup_shape", .choice(["linear", "exponential"]), "linear",
      "how it rises: (k + 1) / `warmup_steps`, or exp(−5 (1 − t)²) from 0", source: "exponential: Laine and Aila 2017"),
    Field(
      "decay_steps", .number(.above(0)), .null,
      "step and exponential: steps for one decay; ramp_down: the last steps; null for a third of all"),
    Field("decay_factor", .number(.above(0)), 0.1, "step and exponential: what one decay multiplies by"),
    Field(
      "final_beta1", .number(.halfOpen(0, 1)), .null,
      "adam, adamw with ramp_down: `beta1` goes here as the learning rate goes to 0; null to stay",
      source: "Laine and Aila 2017: 0.5"),
    Field(
      "early_beta2", .number(.halfOpen(0, 1)), .null,
      "adam, adamw: `beta2` of the first `early_beta2_steps`; null for the same as later",
      source: "Tarvainen and Valpola 2017: 0.99"),
    Field("early_beta2_steps", .integer(.atLeast(0)), 0, "adam, adamw: how many steps these are"),
  ]

  /// - Parameter optimizer: what it is for.
  init(_ object: JSONObject, for optimizer: OptimizerSettings.Name, subject: String) throws {
    let values = try FieldValues(object, fields: Self.fields, subject: subject)
    shape = try values.choice("schedule")
    waitSteps = try values.integer("wait_steps")
    warmupSteps = try values.integer("warmup_steps")
    decaySteps = try values.optionalNumber("decay_steps")
    decayFactor = try values.number("decay_factor")
    warmupShape = try values.choice("warmup_shape")
    finalBeta1 = try values.optionalNumber("final_beta1")
    earlyBeta2 = try values.optionalNumber("early_beta2")
    earlyBeta2Steps = try values.integer("early_beta2_steps")
    let isAdam = optimizer == .adam || optimizer == .adamW
    for (key, isSet) in [("final_beta1", finalBeta1 != nil), ("early_beta2", earlyBeta2 != nil)] where isSet && !isAdam
    {
      throw DidactError(.invalidArgument, "\(subject): \"\(key)\" has no effect on \(optimizer.rawValue)")
    }
    guard finalBeta1 == nil || shape == .rampDown else {
      throw DidactError(.invalidArgument, "\(subject): \"final_beta1\" needs \"schedule\": \"ramp_down\"")
    }
    guard (earlyBeta2 == nil) == (earlyBeta2Steps == 0) else {
      throw DidactError(.invalidArgument, "\(subject): \"early_beta2\" and \"early_beta2_steps\" need each other")
    }
  }

  /// - Parameters:
  ///   - step: counted from 0.
  ///   - steps: how many there are.
  func factor(at step: Int, of steps: Int) -> Double {
    guard step >= waitSteps else { return 0 }
    let sinceWait = step - waitSteps
    guard sinceWait >= warmupSteps else {
      return warmupShape == .linear
        ? Double(sinceWait + 1) / Double(warmupSteps)
        : Ramp(steps: Double(warmupSteps), shape: .exponential).factor(at: sinceWait)
    }
    let sinceWarmup = Double(sinceWait - warmupSteps)
    let t = min(1, sinceWarmup / Double(max(1, steps - waitSteps - warmupSteps)))
    let decays = sinceWarmup / (decaySteps ?? max(1, Double(steps) / 3))
    switch shape {
    case .constant: return 1
    case .cosine: return (1 + cos(.pi * t)) / 2
    case .cosineSevenSixteenths: return cos(7 * .pi * t / 16)
    case .step: return pow(decayFactor, decays.rounded(.down))
    case .exponential: return pow(decayFactor, decays)
    case .rampDown: return rampDown(at: step, of: steps)
    }
  }

  /// exp(−12.5 t²), with t from 0 to 1 over the last `decaySteps`.
  private func rampDown(at step: Int, of steps: Int) -> Double {
    let length = decaySteps ?? max(1, Double(steps) / 3)
    let t = min(1, max(0, (Double(step) - (Double(steps) - length)) / length))
    return exp(-12.5 * t * t)
  }

  /// β1 and β2 of a step, from those of all steps.
  func betas(_ beta1: Double, _ beta2: Double, at step: Int, of steps: Int) -> (Double, Double) {
    let share = finalBeta1 == nil ? 1 : rampDown(at: step, of: steps)
    return (
      share * beta1 + (1 - share) * (finalBeta1 ?? 0), step < earlyBeta2Steps ? earlyBeta2 ?? beta2 : beta2
    )
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
