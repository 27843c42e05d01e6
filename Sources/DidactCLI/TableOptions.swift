import ArgumentParser
import Didact

/// Where the labels of a file are, and which columns of a CSV file are what.
struct TableOptions: ParsableArguments {
  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The CSV column that has the labels, by name or by number from 0. (default: that of the model, else label)",
      valueName: "column"))
  var labelColumn: String?

  @Option(
    name: .customLong("ignore"),
    help: ArgumentHelp(
      "CSV columns that are no features, by name or number, with commas between; a model remembers names.",
      valueName: "columns"))
  var ignoredList: String?

  @Option(
    help: ArgumentHelp(
      "The CSV column that says by yes, true or 1 which rows' labels are right: train measures the feedback on those.",
      valueName: "column"))
  var trustedColumn: String?

  @Option(
    help: ArgumentHelp(
      "An .npy file with a label for each row of the .npy file of --data; -1 or an empty text for none.",
      valueName: "file"))
  var labelFile: String?

  @Option(
    help: ArgumentHelp(
      "Whether the first line of the CSV file is a header. (default: where a cell of it is text)", valueName: "yes|no"))
  var header: Header?

  enum Header: String, ExpressibleByArgument, CaseIterable {
    case yes, no
  }

  var hasHeader: Bool? { header.map { $0 == .yes } }

  /// The columns of `--ignore`.
  var ignored: [String] { TableOptions.columns(ignoredList) }

  static func columns(_ list: String?) -> [String] {
    list.map { $0.separated(by: ",") } ?? []
  }
}
