import ArgumentParser
import Didact

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// `didact info`
struct Info: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "info",
    abstract: "Tells version, build and methods, or the configuration keys of a method, or how images can be changed.",
    discussion: """
      EXAMPLES:
        didact info
        didact info --method meta_pseudo_labels
        didact info --method supervised --json
        didact info --augmentations
      """)

  @Option(help: ArgumentHelp("The method whose keys to list.", valueName: "name"))
  var method: String?

  @Flag(help: "List the policies and operations of weak_augmentation and strong_augmentation.")
  var augmentations = false

  @Flag(help: "Write one JSON object.")
  var json = false

  func run() throws {
    if augmentations {
      guard method == nil else {
        throw DidactError(.invalidArgument, "--augmentations are those of all methods; leave --method out")
      }
      try writeOutput(json ? augmentationTable().serialized() + "\n" : augmentationText())
    } else if let method {
      let fields = try Trainer.fields(method: Preset.method(named: method))
      try writeOutput(json ? fieldsJSON(method, fields) : meaning(of: method) + fieldsText(fields))
    } else {
      try writeOutput(json ? JSON.object(build()).serialized() + "\n" : buildText())
    }
  }

  private func build() -> JSONObject {
    var object = buildInformation.members ?? [:]
    object["cores"] = .integer(Int64(sysconf(Int32(_SC_NPROCESSORS_ONLN))))
    return object
  }

  private func buildText() -> String {
    var rows: [[String]] = []
    for (key, value) in build().members {
      let words = value.list?.map(plain) ?? [plain(value)]
      rows.append([key, words.joined(separator: ", ")])
    }
    return aligned(rows, leftAligned: [0, 1])
  }

  private func plain(_ value: JSON) -> String { value.text ?? value.serialized() }

  private func fieldsJSON(_ method: String, _ fields: [Field]) -> String {
    let object: JSON = ["method": .string(method), "fields": .array(fields.map(\.json))]
    return object.serialized() + "\n"
  }

  /// A line on a name that is no method's own; empty for methods.
  private func meaning(of name: String) -> String {
    guard name == Preset.automaticMethod else { return "" }
    let method = Preset.method(named: name),
      members = Preset.tableMembers.map { $0.serialized() }.joined(separator: ", ")
    return "\(name) is \(method), of tables with \"members\": [\(members)]\n\n"
  }

  private func augmentationText() -> String {
    var text =
      "policies\n" + aligned(AugmentationPolicy.named.map { ["  " + $0.name, $0.meaning] }, leftAligned: [0, 1])
    for operation in AugmentationPolicy.operations {
      text += "\noperation \(operation.name)\n" + fieldsText(operation.fields)
    }
    return text
  }

  /// Two lines a field: a table of all would be wider than any terminal.
  private func fieldsText(_ fields: [Field]) -> String {
    var text = ""
    for field in fields {
      let value = field.defaultValue.map { "default \($0.serialized())" } ?? "required"
      text += "\(field.key): \(field.accepts); \(value)\n    \(field.meaning)"
      text += field.source.isEmpty ? "\n" : " [\(field.source)]\n"
    }
    return text
  }
}
