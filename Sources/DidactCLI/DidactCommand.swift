import ArgumentParser
import Didact

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The command `didact`.
@main
struct DidactCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "didact",
    abstract: "Trains classifiers from a few labelled and many unlabelled examples.",
    discussion: """
      A teacher network labels, a student network learns from those labels, and the student's result on the labelled \
      data teaches the teacher.

      EXAMPLES:
        didact train --data two-moons --labels 6
        didact train --data digits --labels 40 --model digits.safetensors
        didact train --data table.csv --label-column species --model species.safetensors
        didact predict --model species.safetensors --data more.csv --output predictions.csv
        didact evaluate --model digits.safetensors --data digits
        didact info --method meta_pseudo_labels

      EXIT CODES:
        0 done; 1 failed (data, files, divergence, a failed check); 64 wrong usage or configuration;
        130 interrupted.
      """,
    version: didactVersion,
    subcommands: [
      Train.self, Predict.self, Evaluate.self, Gradcheck.self, Smoke.self, Bench.self, Reproduce.self,
      Info.self,
    ])

  static func main() {
    // A file that may not become longer is an error with a reason; the signal would end the process without a word.
    signal(SIGXFSZ, SIG_IGN)
    do {
      try checkArgumentsAreText()
      try checkSubcommand()
      var command = try parseAsRoot()
      try command.run()
    } catch {
      exit(withError: ExitCode(report(error)))
    }
  }

  /// Where a name of a file is no UTF-8, a repaired one would be that of another file.
  private static func checkArgumentsAreText() throws {
    for index in 0..<Int(CommandLine.argc) {
      guard let argument = CommandLine.unsafeArgv[index], String(validatingCString: argument) == nil else { continue }
      throw DidactError(
        .invalidArgument,
        "argument \(index), \"\(String(cString: argument))\", is not UTF-8; rename the file that it names")
    }
  }

  /// The parser would complain about the options of a command that it does not know, not about its name.
  private static func checkSubcommand() throws {
    let known = configuration.subcommands.compactMap { $0.configuration.commandName } + ["help"]
    guard let name = CommandLine.arguments.dropFirst().first, !name.hasPrefix("-"), !known.contains(name) else {
      return
    }
    throw DidactError(.invalidArgument, "unknown command \"\(name)\".\(suggestion(for: name, among: known))")
  }

  /// Writes the error as one line to standard error.
  /// - Returns: the exit code.
  private static func report(_ error: any Error) -> Int32 {
    switch error {
    case let code as ExitCode:
      return code.rawValue
    case let error as DidactError:
      writeError("didact: error: \(error.message)\n")
      return error.code == .invalidArgument ? ExitCode.validationFailure.rawValue : ExitCode.failure.rawValue
    default:
      let code = exitCode(for: error)
      // Help and version come as errors, too.
      if code == .success { exit(withError: error) }
      let message = message(for: error).split(whereSeparator: \.isNewline).joined(separator: " ")
      writeError("didact: error: \(message) (see didact --help)\n")
      return code.rawValue
    }
  }
}
