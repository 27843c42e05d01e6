import ArgumentParser
import Didact

/// How a folder of images is read.
struct ImageFileOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Height and width in pixels to which every image of a folder is resized, such as 32,32.", valueName: "H,W"))
  var imageSize: String?

  @Flag(help: "Leave out files of a folder of images that cannot be read, and say which.")
  var skipCorrupt = false

  /// - Throws: `DidactError.invalidArgument` for what is no height and width.
  func options() throws -> ImageOptions {
    var options = ImageOptions(skipsCorruptFiles: skipCorrupt)
    guard let imageSize else { return options }
    let lengths = imageSize.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
    guard lengths.count == 2, let height = lengths[0], let width = lengths[1] else {
      throw DidactError(.invalidArgument, "--image-size \(imageSize): give height and width in pixels, such as 32,32")
    }
    options.size = (height, width)
    return options
  }
}
