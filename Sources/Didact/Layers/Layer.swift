/// One step of a network, with its three passes.
///
/// A layer knows kernels, never a method, and holds no values: parameters, statistics and everything a pass remembers
/// are handed in, so that one layer serves several passes at once.
protocol Layer: Sendable {
  /// Unique in its network; parameters are named `<name>.weight` and so on.
  var name: String { get }
  /// The lengths of one example's output.
  var extent: Extent { get }
  /// What backward and tangent read of the forward.
  var reads: PassValues { get }
  /// Whether an element of the output depends on the same element of the inputs alone, so that the kernels may write it
  /// over that.
  var isElementwise: Bool { get }
  /// Whether the same holds for a cotangent and a tangent.
  var derivativesAreElementwise: Bool { get }
  /// Which of its images, with their cotangents and tangents, its kernels take in a form that is not plain.
  /// - Parameter inputs: of each what its layer made, as a layer may read an image as a vector; nil for the network's input,
  ///   which is plain.
  func images(in form: Tensor.Form, inputs: [Extent?]) -> ImagesInForm
  /// Into how many groups it divides the examples of a batch, of which it takes statistics; nil where an example does not
  /// depend on the others.
  var batchGroups: Int? { get }
  /// How its kernels stand in regions of parallel work.
  var regions: Regions { get }
  /// Whether the cotangent of each input is that of the output, so that `backward` is never called: see `AdditionLayer`.
  var passesCotangentOn: Bool { get }
  /// Shapes of what a pass over `rows` examples remembers beside input and output.
  func savedShapes(rows: Int) -> [Shape]

  /// Computes `pass.output` from `pass.input`.
  func forward(_ pass: LayerPass)
  /// Whether the output is cheaper to compute again than to keep, which `repeatForward` does.
  var isRepeatable: Bool { get }
  /// Computes `pass.output` again, from the inputs and what the forward saved.
  func repeatForward(_ pass: LayerPass)
  /// Reverse mode: adds to `parameterCotangents`, and writes `inputCotangents`, one an input, unless they are nil.
  func backward(
    _ pass: LayerPass, outputCotangent: Tensor, inputCotangents: [Tensor?], parameterCotangents: Tensor)
  /// Forward mode: writes `outputTangent`, the directional derivative of the output along a direction in parameters
  /// and inputs. A nil input tangent is zero.
  func tangent(_ pass: LayerPass, inputTangents: [Tensor?], parameterTangents: Tensor, outputTangent: Tensor)
}

extension Layer {
  /// The length of one example's output.
  var outputs: Int { extent.count }
  var reads: PassValues { .inputs }
  var isElementwise: Bool { false }
  var derivativesAreElementwise: Bool { isElementwise }
  func images(in form: Tensor.Form, inputs: [Extent?]) -> ImagesInForm {
    guard form == .inBlocks else { return isElementwise ? .allOrNone : .any }
    // Channel by channel, whatever becomes of the pixels.
    return inputs.allSatisfy { $0?.channels == extent.channels } ? .allOrNone : .none
  }
  var batchGroups: Int? { nil }
  var regions: Regions { .joins }
  var passesCotangentOn: Bool { false }
  var isRepeatable: Bool { false }
  func repeatForward(_ pass: LayerPass) { forward(pass) }
}

/// Some of the values of a layer's forward.
struct PassValues: OptionSet {
  let rawValue: Int
  static let inputs = PassValues(rawValue: 1)
  static let output = PassValues(rawValue: 2)
}

/// Which images, of the inputs and the output, may be in a form that is not plain.
enum ImagesInForm {
  case none, allOrNone, any
}

/// How the kernels of a layer stand in regions: work that runs block of rows by block, so that a later operation may
/// begin at the first rows before an earlier one has come to the last.
enum Regions {
  /// In the region of its neighbours, if they have as many rows.
  case joins
  /// It begins with a sum over all rows, before which all that stands earlier is done.
  case begins
  /// It ends with a convolution, after which all that was begun is done.
  case ends
}

/// What a layer sees of one pass over N examples.
struct LayerPass {
  /// [N, inputs] each; most layers have one.
  let inputs: [Tensor]
  /// [N, outputs]
  let output: Tensor
  /// As `savedShapes` asked for, filled by the forward.
  let saved: [Tensor]
  /// All parameters of the network, at the values that the pass is about.
  let parameters: Tensor
  /// All running statistics of the network.
  let statistics: Tensor
  let mode: PassMode
  let kernels: any Kernels

  var input: Tensor { inputs[0] }
}

extension Extent {
  /// Examples [N, count] as their pixels [N · pixels, channels]; in blocks, [N, channels / 16, pixels, 16].
  func pixels(of examples: Tensor) -> Tensor {
    guard examples.form == .inBlocks else { return examples.view(Shape(examples.count / channels, channels)) }
    return examples.view(Shape(examples.count / count, channels / channelsOfBlock, pixels, channelsOfBlock))
  }
}

/// How a forward treats noise and normalisation.
struct PassMode {
  /// Where batch normalisation takes its mean and variance from.
  enum Normalization {
    /// The batch's, moving the running ones towards them.
    case batchUpdatingRunning
    /// The batch's, leaving the running ones.
    case batch
    /// The running ones, constants for the gradient.
    case running
  }

  var normalization: Normalization
  /// The source of dropout masks; nil for no dropout.
  var noise: RandomStream?
  /// Which draw of `noise`.
  var draw: UInt64
  /// Whether the pass keeps what backward and tangent need; one that is about the logits alone takes less memory.
  var isKept = true

  /// Running statistics, no dropout.
  static let evaluation = PassMode(normalization: .running, noise: nil, draw: 0)

  /// The same pass, for its logits alone.
  var forLogits: PassMode { PassMode(normalization: normalization, noise: noise, draw: draw, isKept: false) }
}

/// Where a parameter or statistic stands in its network's flat buffer.
struct Slot: Sendable {
  /// What a parameter is, for weight decay that leaves some out.
  enum Role: Sendable { case weight, bias, normalization, statistic }

  let name: String
  let shape: Shape
  let offset: Int
  let role: Role

  subscript(flat: Tensor) -> Tensor { flat.view(shape, at: offset) }
}
