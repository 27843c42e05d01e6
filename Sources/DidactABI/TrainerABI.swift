// swift-format-ignore-file: AlwaysUseLowerCamelCase
// MARK: Trainers
import CDidact
import Didact

/// Makes a trainer: a method at work on its networks.
///
/// - Parameters:
///   - out: takes the handle; free it with `didact_trainer_free`.
///   - json: a configuration such as `{"method": "meta_pseudo_labels", "network": {"type": "mlp", "inputs": 2, "hidden":
///     [64, 64], "classes": 2}, "seed": 0, "uda_weight": 8.0, "student_optimizer": {"learning_rate": 0.1}}`. The keys of a
///     method are listed by `didact_configuration_fields`.
/// - Returns: `DIDACT_OK`, or `DIDACT_EINVALID` with a message that names key, value and what the key takes.
@_cdecl("didact_trainer_create")
public func didact_trainer_create(
  _ out: UnsafeMutablePointer<didact_trainer?>?, _ json: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let out = try required(out, "out")
    out.pointee = try makeHandle(Trainer(DidactABI.json(json)), .trainer)
  }
}

/// Frees the handle. Nothing for null or a handle that is not alive.
@_cdecl("didact_trainer_free")
public func didact_trainer_free(_ trainer: didact_trainer?) { freeHandle(trainer, .trainer) }

/// Makes a trainer of its own in the same state.
@_cdecl("didact_trainer_copy")
public func didact_trainer_copy(
  _ out: UnsafeMutablePointer<didact_trainer?>?, _ trainer: didact_trainer?
) -> didact_status {
  call {
    let out = try required(out, "out")
    out.pointee = try makeHandle((resolve(trainer, .trainer) as Trainer).copy(), .trainer)
  }
}

/// Writes networks, optimisers, average, scaling, names and history to a safetensors file, from which training goes on as
/// if uninterrupted. Completes or leaves the old file.
@_cdecl("didact_trainer_save")
public func didact_trainer_save(_ trainer: didact_trainer?, _ path: UnsafePointer<CChar>?) -> didact_status {
  call { try (resolve(trainer, .trainer) as Trainer).save(to: text(path, "path")) }
}

/// Reads a trainer that `didact_trainer_save` wrote.
@_cdecl("didact_trainer_load")
public func didact_trainer_load(
  _ out: UnsafeMutablePointer<didact_trainer?>?, _ path: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let out = try required(out, "out")
    out.pointee = try makeHandle(Trainer(loading: text(path, "path")), .trainer)
  }
}

/// What `didact_trainer_save` writes, in memory.
///
/// - Parameters:
///   - out: takes all bytes where `capacity` is enough, else none; may be null.
///   - capacity: the size of `out` in bytes.
///   - length: takes how many bytes there are. Where a step came between two calls there may be more than before.
@_cdecl("didact_trainer_to_bytes")
public func didact_trainer_to_bytes(
  _ out: UnsafeMutableRawPointer?, _ capacity: Int64, _ length: UnsafeMutablePointer<Int64>?, _ trainer: didact_trainer?
) -> didact_status {
  call {
    let length = try required(length, "length")
    try (resolve(trainer, .trainer) as Trainer).write { count in
      length.pointee = Int64(count)
      return capacity >= count ? out : nil
    }
  }
}

/// Makes a trainer of the bytes that `didact_trainer_to_bytes` gave, or of those of a file.
///
/// - Parameters:
///   - out: takes the trainer.
///   - bytes: may come from anyone; they are not needed after the call.
///   - length: how many.
@_cdecl("didact_trainer_from_bytes")
public func didact_trainer_from_bytes(
  _ out: UnsafeMutablePointer<didact_trainer?>?, _ bytes: UnsafeRawPointer?, _ length: Int64
) -> didact_status {
  call {
    let out = try required(out, "out")
    guard let bytes, length >= 0, let count = Int(exactly: length) else {
      throw DidactError(.invalidArgument, bytes == nil ? "bytes is null" : "length must not be negative; got \(length)")
    }
    out.pointee = try makeHandle(Trainer(bytes: UnsafeRawBufferPointer(start: bytes, count: count)), .trainer)
  }
}

/// Keeps a text with the model, in its files and copies, for a program's own purposes.
///
/// - Parameters:
///   - trainer: the trainer.
///   - key: the text's name, which is a metadata key of the file, such as "myprogram.units".
///   - text: null takes the text away.
@_cdecl("didact_trainer_set_annotation")
public func didact_trainer_set_annotation(
  _ trainer: didact_trainer?, _ key: UnsafePointer<CChar>?, _ text: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer), key = try DidactABI.text(key, "key")
    try trainer.setAnnotation(key, try text.map { try DidactABI.text($0, "text") })
  }
}

/// The text that is kept under a key; `DIDACT_EINVALID` where there is none.
///
/// - Parameters:
///   - out: takes as much of the text as fits, ended by a zero byte; may be null.
///   - capacity: the size of `out` in bytes.
///   - length: takes the size that all of the text needs, the zero byte included.
///   - trainer: the trainer.
///   - key: the text's name.
@_cdecl("didact_trainer_annotation")
public func didact_trainer_annotation(
  _ out: UnsafeMutablePointer<CChar>?, _ capacity: Int64, _ length: UnsafeMutablePointer<Int64>?,
  _ trainer: didact_trainer?, _ key: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer), key = try DidactABI.text(key, "key")
    guard let text = trainer.reading({ trainer.annotation(key) }) else {
      throw DidactError(.invalidArgument, "the model has no annotation \"\(key)\"")
    }
    try copyOut(text, out, capacity, length)
  }
}

/// The configuration as JSON, by dotted key, with defaults filled in.
///
/// - Parameters:
///   - out: takes as much of the text as fits, ended by a zero byte; may be null.
///   - capacity: the size of `out` in bytes.
///   - length: takes the size that all of the text needs, the zero byte included.
///   - trainer: the trainer.
@_cdecl("didact_trainer_configuration")
public func didact_trainer_configuration(
  _ out: UnsafeMutablePointer<CChar>?, _ capacity: Int64, _ length: UnsafeMutablePointer<Int64>?,
  _ trainer: didact_trainer?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    try copyOut(JSON.object(trainer.configuration.object).serialized(), out, capacity, length)
  }
}
