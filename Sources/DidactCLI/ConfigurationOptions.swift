import ArgumentParser
import Didact

/// `--config` and `--set`.
struct ConfigurationOptions: ParsableArguments {
  @Option(help: ArgumentHelp("A JSON file with configuration values.", valueName: "file"))
  var config: String?

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp(
      "A configuration value, such as student_optimizer.learning_rate=0.1; the value is JSON, else text. Repeatable.",
      valueName: "key=value"))
  var assignments: [String] = []

  /// The file's values; empty where no file is given.
  /// - Throws: `DidactError.file`, or `.invalidArgument` where it is no JSON object.
  func fileValues() throws -> JSONObject {
    guard let config else { return [:] }
    let content = try readFile(config)
    do {
      guard let object = try content.withBytes({ try JSON(parsing: $0) }).members else {
        throw DidactError(.invalidArgument, "expected an object such as {\"steps\": 500}")
      }
      return object
    } catch let error as DidactError {
      throw DidactError(.invalidArgument, "\(config): \(error.message)")
    }
  }

  /// The values of `--set`.
  func setValues() throws -> JSONObject { try assignedValues(assignments) }
}

/// Configuration values from texts `key=value`; the last one of a key counts.
/// - Throws: `DidactError.invalidArgument` for one without a key or "=".
func assignedValues(_ assignments: [String]) throws -> JSONObject {
  var values = JSONObject()
  for assignment in assignments {
    guard let separator = assignment.utf8.firstIndex(of: UInt8(ascii: "=")), separator > assignment.startIndex else {
      throw DidactError(.invalidArgument, "--set \(assignment): give key=value, for instance --set uda_weight=2")
    }
    let text = String(assignment.unicodeScalars[assignment.unicodeScalars.index(after: separator)...])
    let key = String(assignment[..<separator])
    do {
      values[key] = try JSON(parsing: text)
    } catch let error as DidactError {
      // Words need no quotes; lists and objects are JSON.
      if let first = text.utf8.first, "[{\"".utf8.contains(first) { throw error.at("--set \(key)") }
      values[key] = .string(text)
    }
  }
  return values
}
