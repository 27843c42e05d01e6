// swift-format-ignore-file: AlwaysUseLowerCamelCase
// MARK: Types and constants
import CDidact
import Didact

/// What a call returns: `DIDACT_OK` or the reason why not. The numbers never change.
public typealias didact_status = Int32

/// A network: layers, parameters, gradients and running statistics.
public typealias didact_network = OpaquePointer
/// One forward of a network, recorded for its backward and tangent.
public typealias didact_pass = OpaquePointer
/// Moves a network's parameters along a gradient.
public typealias didact_optimizer = OpaquePointer
/// A moving average of a network.
public typealias didact_average = OpaquePointer
/// A frozen network bound to its input and output.
public typealias didact_predictor = OpaquePointer
/// Image data read from files.
public typealias didact_dataset = OpaquePointer
/// A method at work on its networks.
public typealias didact_trainer = OpaquePointer

/// Called after every step of `didact_trainer_fit`. Returning anything but 0 stops the fit, which then returns
/// `DIDACT_ECANCELLED` with everything as after the last step. Predictions may be made within it.
public typealias didact_progress_callback =
  @convention(c) (UnsafePointer<didact_progress>?, UnsafeMutableRawPointer?) -> Int32

/// The status codes.
public enum didact_status_code: Int32 {
  /// Done.
  case DIDACT_OK = 0
  /// An argument or configuration value is null, unknown, out of range or of the wrong kind.
  case DIDACT_EINVALID = 1
  /// A handle was freed, belongs to another class, or never existed.
  case DIDACT_EHANDLE = 2
  /// Another training call is using the object.
  case DIDACT_EBUSY = 3
  /// The process was forked after the library was used; use a fresh process.
  case DIDACT_EFORK = 4
  /// An array has the wrong number of dimensions or the wrong lengths.
  case DIDACT_ESHAPE = 5
  /// An array has an element type that is not accepted here.
  case DIDACT_EDTYPE = 6
  /// A value in the data is not usable: NaN, infinity, a label out of range, too few rows.
  case DIDACT_EDATA = 7
  /// A file could not be opened, read or written.
  case DIDACT_EFILE = 8
  /// A file's content is malformed or not what was asked for.
  case DIDACT_EFORMAT = 9
  /// An allocation failed.
  case DIDACT_EMEMORY = 10
  /// Training produced a loss or gradient that is not finite; the last finite state is kept.
  case DIDACT_EDIVERGED = 11
  /// The progress callback asked to stop; the state is valid.
  case DIDACT_ECANCELLED = 12
  /// A call came in the wrong order, such as a teacher step without a student step before it.
  case DIDACT_ESTATE = 13
  /// What was asked for is not available with this configuration.
  case DIDACT_EUNSUPPORTED = 14
  /// A defect of the library itself.
  case DIDACT_EINTERNAL = 99
}

/// The element types of `didact_array`.
public enum didact_element_type: Int32 {
  /// IEEE single precision.
  case DIDACT_FLOAT32 = 1
  /// IEEE double precision.
  case DIDACT_FLOAT64 = 2
  /// Signed, 64 bits.
  case DIDACT_INT64 = 3
  /// Unsigned, 8 bits.
  case DIDACT_UINT8 = 4
}

/// Numbers that do not change while the library runs.
public enum didact_constant: Int32 {
  /// The version of the binary interface that the header describes; compare with `didact_abi_version()`.
  case DIDACT_ABI_VERSION = 2
}
