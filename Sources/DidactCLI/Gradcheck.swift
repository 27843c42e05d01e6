import ArgumentParser
import Didact

/// `didact gradcheck`
struct Gradcheck: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gradcheck",
    abstract: "Checks the meta-gradient against finite differences.",
    discussion: """
      In float64, on a small problem, over a table of configurations. Exact feedback is compared with central \
      differences of the student's labelled loss after its step; feedback of sampled labels is averaged over all \
      labels that could be drawn, and compared with central differences of that loss's expectation.

      With --set, checks that one configuration in place of the table; activations should be smooth (tanh by default).

      EXAMPLES:
        didact gradcheck
        didact gradcheck --feedback exact --seed 7
        didact gradcheck --feedback exact --set student_optimizer.name=adamw --set network.batch_norm=true
      """)

  @Option(help: ArgumentHelp("exact, gradient_dot or loss_difference; all by default.", valueName: "name"))
  var feedback: String?

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp("A configuration value; the value is JSON, else text. Repeatable.", valueName: "key=value"))
  var assignments: [String] = []

  @Option(help: ArgumentHelp("Seed of networks, data and directions. (default: 0)", valueName: "n"))
  var seed: Int?

  @Flag(help: "Write JSON, one object a line.")
  var json = false

  func run() throws {
    let seed = try checkedSeed(seed) ?? 0
    let values = try assignedValues(assignments)
    var checks: [GradientCheck] = []
    for feedback in feedback.map({ [$0] }) ?? GradientCheck.feedbacks {
      if values.members.isEmpty {
        checks += try GradientCheck.run(feedback: feedback, seed: seed)
      } else {
        checks.append(try GradientCheck.run(assignments.joined(separator: " "), values, feedback: feedback, seed: seed))
      }
    }
    try writeOutput(json ? lines(checks) : table(checks))
    if checks.contains(where: { !$0.passed }) { throw ExitCode.failure }
  }

  private func table(_ checks: [GradientCheck]) -> String {
    var rows = [["configuration", "norm", "worst error", "allowed", "verdict"]]
    for check in checks {
      rows.append([
        check.configuration, formatted("%.3e", check.norm), formatted("%.1e", check.error),
        formatted("%.0e", check.tolerance), verdict(check),
      ])
    }
    let failed = checks.count { !$0.passed }
    let summary = failed == 0 ? "all \(checks.count) checks passed\n" : "\(failed) of \(checks.count) checks FAILED\n"
    return aligned(rows, leftAligned: [0, 4]) + summary
  }

  private func verdict(_ check: GradientCheck) -> String {
    check.passed ? "ok" : check.norm > 0 ? "FAILED" : "FAILED: zero"
  }

  private func lines(_ checks: [GradientCheck]) -> String {
    checks.map { check in
      let object: JSON = [
        "configuration": .string(check.configuration), "norm": .number(check.norm), "error": .number(check.error),
        "tolerance": .number(check.tolerance), "passed": .boolean(check.passed),
      ]
      return object.serialized() + "\n"
    }.joined()
  }
}
