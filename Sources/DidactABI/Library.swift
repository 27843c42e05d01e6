// swift-format-ignore-file: AlwaysUseLowerCamelCase
// MARK: Library
import Didact

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The version of the library, such as "0.1.0". Never null; lives as long as the process.
@_cdecl("didact_version")
public func didact_version() -> UnsafePointer<CChar>? { constant(didactVersionText) }

/// A text that was there before the process began, so that no lock is needed: a child of `fork` may have been left with a
/// held one.
private func constant(_ text: StaticString) -> UnsafePointer<CChar> {
  UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
}

/// The version of the binary interface; equal to `DIDACT_ABI_VERSION` of the header that fits.
@_cdecl("didact_abi_version")
public func didact_abi_version() -> Int32 {
  didact_constant.DIDACT_ABI_VERSION.rawValue
}

/// How the library was built, as a JSON object: version, kernels, dtypes, methods. Lives as long as the process.
@_cdecl("didact_build_info")
public func didact_build_info() -> UnsafePointer<CChar>? { buildInformationText.address }

/// Made once, so that no lock is needed after that.
struct LastingText: @unchecked Sendable {
  let address: UnsafePointer<CChar>?
}
let buildInformationText = LastingText(
  address: strdup(buildInformation.serialized()).map { UnsafePointer($0) })

/// Why the last call of this thread failed; an empty string after a call that succeeded. Valid until this thread's next
/// call. Never use it to decide whether a call failed: that is what the status is for.
@_cdecl("didact_last_error_message")
public func didact_last_error_message() -> UnsafePointer<CChar>? {
  lastMessage() ?? constant("")
}

/// The name of a status, such as "DIDACT_ESHAPE"; "unknown status" for a number that is none.
///
/// - Parameters:
///   - status: what a call returned.
@_cdecl("didact_status_name")
public func didact_status_name(_ status: didact_status) -> UnsafePointer<CChar>? {
  switch didact_status_code(rawValue: status) {
  case .DIDACT_OK: constant("DIDACT_OK")
  case .DIDACT_EINVALID: constant("DIDACT_EINVALID")
  case .DIDACT_EHANDLE: constant("DIDACT_EHANDLE")
  case .DIDACT_EBUSY: constant("DIDACT_EBUSY")
  case .DIDACT_EFORK: constant("DIDACT_EFORK")
  case .DIDACT_ESHAPE: constant("DIDACT_ESHAPE")
  case .DIDACT_EDTYPE: constant("DIDACT_EDTYPE")
  case .DIDACT_EDATA: constant("DIDACT_EDATA")
  case .DIDACT_EFILE: constant("DIDACT_EFILE")
  case .DIDACT_EFORMAT: constant("DIDACT_EFORMAT")
  case .DIDACT_EMEMORY: constant("DIDACT_EMEMORY")
  case .DIDACT_EDIVERGED: constant("DIDACT_EDIVERGED")
  case .DIDACT_ECANCELLED: constant("DIDACT_ECANCELLED")
  case .DIDACT_ESTATE: constant("DIDACT_ESTATE")
  case .DIDACT_EUNSUPPORTED: constant("DIDACT_EUNSUPPORTED")
  case .DIDACT_EINTERNAL: constant("DIDACT_EINTERNAL")
  case nil: constant("unknown status")
  }
}

/// How many handles are alive, to find out what was not freed.
///
/// - Parameters:
///   - out: takes the count.
@_cdecl("didact_live_handles")
public func didact_live_handles(_ out: UnsafeMutablePointer<Int64>?) -> didact_status {
  call { try required(out, "out").pointee = Int64(liveHandles()) }
}

/// A configuration to begin with for one kind of data, as `didact_trainer_create` takes it.
///
/// - Parameters:
///   - out: takes as much of the text as fits, ended by a zero byte; may be null.
///   - capacity: the size of `out` in bytes.
///   - length: takes the size that all of the text needs, the zero byte included.
///   - data: "two-moons", "digits", or "table" for anything else.
///   - method: such as "meta_pseudo_labels".
///   - columns: length of an input row.
///   - classes: how many there are.
@_cdecl("didact_preset")
public func didact_preset(
  _ out: UnsafeMutablePointer<CChar>?, _ capacity: Int64, _ length: UnsafeMutablePointer<Int64>?,
  _ data: UnsafePointer<CChar>?, _ method: UnsafePointer<CChar>?, _ columns: Int64, _ classes: Int64
) -> didact_status {
  call {
    let data = try text(data, "data")
    guard data != "images" else {
      throw DidactError(.invalidArgument, "the preset \"images\" needs their lengths: didact_image_preset takes them")
    }
    guard Preset.names.contains(data) else {
      throw DidactError(
        .invalidArgument, "no preset \"\(data)\"; there are \(Preset.names.joined(separator: ", ")), images")
    }
    guard columns > 0, classes > 0 else {
      throw DidactError(.invalidArgument, "columns and classes must be positive; got \(columns) and \(classes)")
    }
    let configuration = try Preset(data: data, columns: Int(columns)).configuration(
      method: text(method, "method"), classes: Int(classes))
    try copyOut(JSON.object(configuration).serialized(), out, capacity, length)
  }
}

/// A configuration to begin with for images and a small convolutional network, as `didact_trainer_create` takes it.
///
/// - Parameters:
///   - out: takes as much of the text as fits, ended by a zero byte; may be null.
///   - capacity: the size of `out` in bytes.
///   - length: takes the size that all of the text needs, the zero byte included.
///   - method: such as "meta_pseudo_labels".
///   - height: of the images, in pixels.
///   - width: of the images, in pixels.
///   - channels: of the images.
///   - classes: how many there are.
///   - augmented: 1 for uint8 images, which policies can change; 0 for others, which get noise.
@_cdecl("didact_image_preset")
public func didact_image_preset(
  _ out: UnsafeMutablePointer<CChar>?, _ capacity: Int64, _ length: UnsafeMutablePointer<Int64>?,
  _ method: UnsafePointer<CChar>?, _ height: Int64, _ width: Int64, _ channels: Int64, _ classes: Int64,
  _ augmented: Int32
) -> didact_status {
  call {
    for (name, length) in [("height", height), ("width", width), ("channels", channels)] {
      guard (1...65_536).contains(length) else {
        throw DidactError(.invalidArgument, "\(name) of images must be in [1, 65536]; got \(length)")
      }
    }
    guard height * width > 1 else {
      throw DidactError(
        .invalidArgument, "images of one pixel are rows of \(channels) columns: take the preset \"table\"")
    }
    guard classes > 0 else { throw DidactError(.invalidArgument, "classes must be positive; got \(classes)") }
    let extent = Extent(Int(height), Int(width), Int(channels))
    let configuration = try Preset(images: extent, isAugmented: augmented != 0).configuration(
      method: text(method, "method"), classes: Int(classes))
    try copyOut(JSON.object(configuration).serialized(), out, capacity, length)
  }
}

/// The configuration keys of a method as a JSON array of objects with `key`, `accepts`, `default`, `meaning` and
/// `source`.
///
/// - Parameters:
///   - out: takes as much of the text as fits, ended by a zero byte; may be null.
///   - capacity: the size of `out` in bytes.
///   - length: takes the size that all of the text needs, the zero byte included.
///   - method: such as "meta_pseudo_labels".
@_cdecl("didact_configuration_fields")
public func didact_configuration_fields(
  _ out: UnsafeMutablePointer<CChar>?, _ capacity: Int64, _ length: UnsafeMutablePointer<Int64>?,
  _ method: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let fields = try Trainer.fields(method: text(method, "method"))
    try copyOut(JSON.array(fields.map(\.json)).serialized(), out, capacity, length)
  }
}
