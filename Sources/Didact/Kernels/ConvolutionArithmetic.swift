import CKernels

/// How convolutions compute. Parameters, statistics and sums are float32 in any case.
public enum ConvolutionArithmetic: Sendable {
  /// Sums of products in float32.
  case direct
  /// Winograd's algorithm (Lavin and Gray, CVPR 2016) where that is faster: fewer multiplications, more rounding.
  case fast
  /// On operands rounded to bfloat16, with sums in float32. Images between layers are kept as bfloat16 too.
  case bfloat16
  /// The same numbers computed in float32, for processors without instructions for bfloat16.
  case emulatedBFloat16

  static let fields = [
    Field(
      "math", .choice(["direct", "fast"]), "direct",
      "\"fast\" lets convolutions use Winograd's algorithm where it is faster: fewer multiplications, more rounding",
      source: "Lavin and Gray 2016"),
    Field(
      "bfloat16", .choice(["off", "on", "emulate"]), "off",
      "\"on\": convolutions multiply in bfloat16 and add in float32, which needs a processor with avx512_bf16, and images "
        + "between layers are kept in bfloat16; \"emulate\" computes the same in float32"),
  ]

  /// From the values of `fields`.
  /// - Throws: `DidactError.invalidArgument` for what does not go together, `.unsupported` for what the processor does not have.
  init(_ values: FieldValues, _ elementType: ElementType) throws {
    let isFast = try values.text("math") == "fast", bfloat16 = try values.text("bfloat16")
    guard !isFast || bfloat16 == "off" else {
      throw DidactError(.invalidArgument, "math \"fast\" and bfloat16 \"\(bfloat16)\" exclude each other")
    }
    guard elementType == .float32 || (!isFast && bfloat16 == "off") else {
      throw DidactError(
        .invalidArgument, "math \"fast\" and bfloat16 are about float32; with dtype \"\(elementType)\" leave them out")
    }
    switch bfloat16 {
    case "on":
      guard kernels_has_bfloat16() else {
        throw DidactError(
          .unsupported,
          "bfloat16 \"on\": this processor has no avx512_bf16, or the environment limits oneDNN to less (it uses "
            + "\(String(cString: kernels_onednn_instruction_set()))); set bfloat16 to \"emulate\" or \"off\"")
      }
      self = .bfloat16
    case "emulate": self = .emulatedBFloat16
    default: self = isFast ? .fast : .direct
    }
  }

  /// - Throws: `DidactError.invalidArgument` where the choice would change nothing.
  func check(hasConvolutions: Bool) throws {
    guard self == .direct || hasConvolutions else {
      throw DidactError(.invalidArgument, "math and bfloat16 are about convolutions, of which the network has none")
    }
  }

  var code: Int32 {
    let code =
      switch self {
      case .direct: KERNELS_DIRECT
      case .fast: KERNELS_FAST
      case .bfloat16: KERNELS_BFLOAT16
      case .emulatedBFloat16: KERNELS_ROUNDED_TO_BFLOAT16
      }
    return Int32(bitPattern: code.rawValue)
  }
}
