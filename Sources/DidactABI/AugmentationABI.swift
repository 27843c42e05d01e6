// swift-format-ignore-file: AlwaysUseLowerCamelCase
// MARK: Augmentation
import CDidact
import Didact

/// Changes images at random by a policy, as `weak_augmentation` and `strong_augmentation` do in a fit.
///
/// - Parameters:
///   - out: takes as many images, uint8; may be `images`.
///   - images: [N, height, width, channels] or [N, height, width], uint8.
///   - policy: JSON: the name of a policy, or of an operation that needs no values; an operation with values (an object with
///     `operation`); or a list of them. `didact_augmentations` lists them.
///   - seed: of the random numbers.
///   - draw: which of the seed's draws, such as a step; image i of a draw changes in the same way whatever stands beside it.
///   - first: the position of the first image, 0 but where these are a part of all: so all are changed alike in one call and
///     part by part.
///   - threads: the most to use; 0 for one a core. The result does not depend on it.
@_cdecl("didact_augment")
public func didact_augment(
  _ out: UnsafePointer<didact_array>?, _ images: UnsafePointer<didact_array>?, _ policy: UnsafePointer<CChar>?,
  _ seed: UInt64, _ draw: UInt64, _ first: UInt64, _ threads: Int32
) -> didact_status {
  call {
    try augment(
      borrow(images, "images"), to: borrow(out, "out"), json(policy), seed: seed, draw: draw, first: first,
      threads: Int(threads))
  }
}

/// The named policies and the operations of augmentation as JSON: an object with `policies`, an array of objects with
/// `name`, `meaning`, `source` and `description`, and `operations`, an array of objects with `name` and `fields`.
///
/// - Parameters:
///   - out: takes as much of the text as fits, ended by a zero byte; may be null.
///   - capacity: the size of `out` in bytes.
///   - length: takes the size that all of the text needs, the zero byte included.
@_cdecl("didact_augmentations")
public func didact_augmentations(
  _ out: UnsafeMutablePointer<CChar>?, _ capacity: Int64, _ length: UnsafeMutablePointer<Int64>?
) -> didact_status {
  call { try copyOut(augmentationTable().serialized(), out, capacity, length) }
}
