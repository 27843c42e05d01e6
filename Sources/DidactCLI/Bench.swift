import ArgumentParser
import Didact

/// `didact bench`
struct Bench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Times a training step of a perceptron, and what of it each operation takes.",
    discussion: """
      On random data, in float32. Operations are timed as the first thread of each parallel region sees them. The floor \
      is the time of the same work at the best rate that was measured just before: products of 64 by 64 that stay in \
      the caches, oneDNN's own products of 1024 by 1024 for wide layers, copies within the first-level cache for all \
      else. scripts/bench compares with PyTorch and JAX.

      EXAMPLES:
        didact bench
        didact bench --set feedback=exact --set threads=1
        didact bench --inputs 784 --hidden 512,512 --classes 10 --labeled 256 --unlabeled 1792 --steps 20
      """)

  @Option(help: "The method.")
  var method = "meta_pseudo_labels"

  @Option(help: "Length of an input row.")
  var inputs = 2

  @Option(help: ArgumentHelp("Lengths of the hidden layers, with commas between them.", valueName: "lengths"))
  var hidden = "64,64"

  @Option(help: "Number of classes.")
  var classes = 2

  @Option(help: "Labelled rows a step.")
  var labeled = 64

  @Option(help: "Unlabelled rows a step, in two views.")
  var unlabeled = 448

  @Option(help: "Steps to time.")
  var steps = 1000

  @OptionGroup var configurationOptions: ConfigurationOptions

  @Flag(help: "Write one JSON object.")
  var json = false

  func run() throws {
    for (name, value) in [("labeled", labeled), ("unlabeled", unlabeled), ("steps", steps)] {
      guard value > 0, value <= 1_000_000 else {
        throw DidactError(.invalidArgument, "--\(name) must be in 1...1000000; got \(value)")
      }
    }
    let lengths = try hidden.split(separator: ",", omittingEmptySubsequences: hidden.isEmpty).map { part -> JSON in
      guard let length = Int(part) else {
        throw DidactError(.invalidArgument, "--hidden \(hidden): give whole numbers with commas, such as 64,64")
      }
      return .integer(Int64(length))
    }
    var values: JSONObject = [
      "method": .string(method),
      "network": [
        "type": "mlp", "inputs": .integer(Int64(inputs)), "hidden": .array(lengths),
        "classes": .integer(Int64(classes)),
      ],
    ]
    for (key, value) in try configurationOptions.fileValues().members + configurationOptions.setValues().members {
      values[key] = value
    }
    let benchmark = try StepBenchmark(values, labeled: labeled, unlabeled: unlabeled, steps: steps)
    try writeOutput(json ? object(benchmark).serialized() + "\n" : table(benchmark))
  }

  private func microseconds(_ benchmark: StepBenchmark, _ seconds: Double) -> Double {
    1e6 * seconds / Double(benchmark.steps)
  }

  /// What is not in an operation: methods, checks, the start of parallel regions.
  private func elsewhere(_ benchmark: StepBenchmark) -> Double {
    let times = benchmark.times
    return benchmark.secondsWithTimes - times.waiting - times.rows.reduce(0) { $0 + $1.seconds }
  }

  /// Of all products of the step, against the floor's.
  private func productRate(_ times: KernelTimes) -> Double {
    let products = times.rows.filter { $0.operation.hasPrefix("dense") }
    return products.reduce(0) { $0 + $1.floor } / products.reduce(0) { $0 + $1.seconds }
  }

  private func table(_ benchmark: StepBenchmark) -> String {
    let times = benchmark.times
    var rows = [["operation", "calls", "µs a step", "share", "floor", "÷ floor"]]
    func row(_ name: String, calls: String, _ seconds: Double, floor: Double? = nil) {
      rows.append([
        name, calls, formatted("%.2f", microseconds(benchmark, seconds)), percent(seconds / benchmark.secondsWithTimes),
        floor.map { formatted("%.2f", microseconds(benchmark, $0)) } ?? "",
        floor.map { formatted("%.2f", seconds / $0) } ?? "",
      ])
    }
    for part in times.rows {
      let calls = formatted("%.1f", Double(part.calls) / Double(benchmark.steps))
      row(part.operation, calls: calls, part.seconds, floor: part.floor > 0 ? part.floor : nil)
    }
    row("waiting for threads", calls: "", times.waiting)
    row("elsewhere", calls: "", elsewhere(benchmark))
    return """
      \(steps) steps: median \(formatted("%.1f", 1e6 * benchmark.quantile(0.5))) µs \
      (10 % \(formatted("%.1f", 1e6 * benchmark.quantile(0.1))), 90 % \(formatted("%.1f", 1e6 * benchmark.quantile(0.9))))

      \(aligned(rows))
      Products run at \(percent(productRate(times))) of the rate of their floor. Calls are blocks of rows of the first \
      thread; taking times makes a step \(formatted("%.1f", microseconds(benchmark, benchmark.secondsWithTimes))) µs.

      """
  }

  private func object(_ benchmark: StepBenchmark) -> JSON {
    let times = benchmark.times
    let operations = times.rows.map { row -> JSON in
      [
        "operation": .string(row.operation), "calls": .number(Double(row.calls) / Double(benchmark.steps)),
        "microseconds": .number(microseconds(benchmark, row.seconds)),
        "floor_microseconds": .number(microseconds(benchmark, row.floor)),
      ]
    }
    return [
      "build": buildInformation, "steps": .integer(Int64(steps)),
      "median_microseconds": .number(1e6 * benchmark.quantile(0.5)),
      "low_microseconds": .number(1e6 * benchmark.quantile(0.1)),
      "product_rate_of_floor": .number(productRate(times)), "high_microseconds": .number(1e6 * benchmark.quantile(0.9)),
      "operations": .array(operations),
      "waiting_microseconds": .number(microseconds(benchmark, times.waiting)),
      "elsewhere_microseconds": .number(microseconds(benchmark, elsewhere(benchmark))),
    ]
  }
}
