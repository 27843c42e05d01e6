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

/// The student's half of a step: the teacher labels, the student learns. Nothing is augmented.
///
/// - Parameters:
///   - trainer: the trainer.
///   - u: unlabelled rows [M, inputs], any element type.
///   - u_strong: a strong view of the same rows; null for `u` itself.
@_cdecl("didact_trainer_student_step")
public func didact_trainer_student_step(
  _ trainer: didact_trainer?, _ u: UnsafePointer<didact_array>?, _ u_strong: UnsafePointer<didact_array>?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    try trainer.studentStep(borrow(u, "u"), strong: borrowOptional(u_strong, "u_strong"))
  }
}

/// The teacher's half of a step: it learns from the student's result on labelled rows. `DIDACT_ESTATE` without a student
/// step before it. Where it fails but for `DIDACT_EDIVERGED`, nothing has changed, and it can be called again.
///
/// - Parameters:
///   - trainer: the trainer.
///   - x: labelled rows [N, inputs], any element type.
///   - y: a class for each row [N], int64 or uint8.
@_cdecl("didact_trainer_teacher_step")
public func didact_trainer_teacher_step(
  _ trainer: didact_trainer?, _ x: UnsafePointer<didact_array>?, _ y: UnsafePointer<didact_array>?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    try trainer.teacherStep(borrow(x, "x"), borrow(y, "y"))
  }
}

/// One step: student, teacher and average, bit for bit as the three calls in this order.
///
/// - Parameters:
///   - trainer: the trainer.
///   - x: labelled rows [N, inputs], any element type.
///   - y: a class for each row [N], int64 or uint8.
///   - u: unlabelled rows [M, inputs]; null for methods that use none.
///   - u_strong: a strong view of the same rows; null for `u` itself.
@_cdecl("didact_trainer_step")
public func didact_trainer_step(
  _ trainer: didact_trainer?, _ x: UnsafePointer<didact_array>?, _ y: UnsafePointer<didact_array>?,
  _ u: UnsafePointer<didact_array>?, _ u_strong: UnsafePointer<didact_array>?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    try trainer.step(
      borrow(x, "x"), borrow(y, "y"), unlabeled: borrowOptional(u, "u"), strong: borrowOptional(u_strong, "u_strong"))
  }
}

/// Moves the student's average; nothing where none is kept.
@_cdecl("didact_trainer_update_average")
public func didact_trainer_update_average(_ trainer: didact_trainer?) -> didact_status {
  call { try (resolve(trainer, .trainer) as Trainer).updateAverage() }
}

/// The gradient of the student's labelled loss after its step with respect to the teacher's parameters: the feedback alone,
/// without weight or baseline. Changes nothing.
///
/// - Parameters:
///   - out: takes a vector over all parameters of the teacher in public order.
///   - trainer: the trainer.
///   - x: labelled rows [N, inputs].
///   - y: a class for each row [N].
///   - u: unlabelled rows [M, inputs].
///   - u_strong: a strong view of the same rows; null for `u` itself.
///   - pseudo_labels: a class for each unlabelled row [M] in place of sampled ones; null to sample. Not for exact feedback.
///   - draw: which dropout masks and samples.
@_cdecl("didact_trainer_meta_gradient")
public func didact_trainer_meta_gradient(
  _ out: UnsafeMutablePointer<didact_array>?, _ trainer: didact_trainer?, _ x: UnsafePointer<didact_array>?,
  _ y: UnsafePointer<didact_array>?, _ u: UnsafePointer<didact_array>?, _ u_strong: UnsafePointer<didact_array>?,
  _ pseudo_labels: UnsafePointer<didact_array>?, _ draw: UInt64
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    let gradient = try trainer.metaGradient(
      importArray(x, "x"), importLabels(y, "y"), unlabeled: importArray(u, "u"),
      strong: importOptional(u_strong, "u_strong"),
      pseudoLabels: pseudo_labels.map { try importLabels($0, "pseudo_labels") }, draw: draw)
    try exportArray(gradient, to: UnsafePointer(out), "out")
  }
}

/// The student's labelled loss after its step, of which `didact_trainer_meta_gradient` is the gradient. Changes nothing.
///
/// - Parameters:
///   - out: takes the loss.
///   - trainer: the trainer.
///   - x: labelled rows [N, inputs].
///   - y: a class for each row [N].
///   - u: unlabelled rows [M, inputs].
///   - u_strong: a strong view of the same rows; null for `u` itself.
///   - pseudo_labels: a class for each unlabelled row [M] in place of sampled ones; null to sample. Not for exact feedback.
///   - draw: which dropout masks and samples.
@_cdecl("didact_trainer_meta_objective")
public func didact_trainer_meta_objective(
  _ out: UnsafeMutablePointer<Double>?, _ trainer: didact_trainer?, _ x: UnsafePointer<didact_array>?,
  _ y: UnsafePointer<didact_array>?, _ u: UnsafePointer<didact_array>?, _ u_strong: UnsafePointer<didact_array>?,
  _ pseudo_labels: UnsafePointer<didact_array>?, _ draw: UInt64
) -> didact_status {
  call {
    let out = try required(out, "out")
    let trainer: Trainer = try resolve(trainer, .trainer)
    out.pointee = try trainer.metaObjective(
      importArray(x, "x"), importLabels(y, "y"), unlabeled: importArray(u, "u"),
      strong: importOptional(u_strong, "u_strong"),
      pseudoLabels: pseudo_labels.map { try importLabels($0, "pseudo_labels") }, draw: draw)
  }
}

/// Trains on rows with and without labels, which are read where they are. Views are made as configured; labelled rows are
/// among the unlabelled ones too.
///
/// - Parameters:
///   - trainer: the trainer.
///   - x: rows [N, inputs], any element type.
///   - y: a class for each row [N], -1 for none.
///   - unlabeled: more rows without labels [M, inputs]; null for none.
///   - steps: how many to make now; negative for what is left of the configured "steps" and "finetune_steps".
///   - callback: called after every step; null for none.
///   - payload: handed to the callback.
/// - Returns: `DIDACT_OK`, or `DIDACT_ECANCELLED` where the callback stopped it.
@_cdecl("didact_trainer_fit")
public func didact_trainer_fit(
  _ trainer: didact_trainer?, _ x: UnsafePointer<didact_array>?, _ y: UnsafePointer<didact_array>?,
  _ unlabeled: UnsafePointer<didact_array>?, _ steps: Int64, _ callback: didact_progress_callback?,
  _ payload: UnsafeMutableRawPointer?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    let labels = try importLabels(y, "y")
    try fit(
      trainer, borrow(x, "x"), labels, unlabeled: borrowOptional(unlabeled, "unlabeled"),
      steps: steps < 0 ? nil : Int(steps), callback, payload)
  }
}

/// - Throws: `DidactError.cancelled` where the callback stopped it.
func fit(
  _ trainer: Trainer, _ x: BorrowedArray, _ labels: [Int], unlabeled: BorrowedArray?, steps: Int?,
  _ callback: didact_progress_callback?, _ payload: UnsafeMutableRawPointer?
) throws {
  let outcome = try trainer.fit(x, labels, unlabeled: unlabeled, steps: steps) { progress in
    guard let callback else { return true }
    var report = didact_progress(progress)
    return callback(&report, payload) == 0
  }
  guard outcome == .completed else {
    throw DidactError(.cancelled, "the progress callback stopped the fit after step \(trainer.steps)")
  }
}

extension didact_progress {
  init(_ progress: Trainer.Progress) {
    let metrics = progress.metrics,
      own = ["student", "supervised", "feedback", "teacher", "finetune"].map { "loss/\($0)" }
    let unlabeled = metrics.names.first { $0.hasPrefix("loss/") && !own.contains($0) }
    self.init(
      size: Int64(MemoryLayout<didact_progress>.size), step: Int64(progress.step), steps: Int64(progress.steps),
      seconds: progress.seconds, student_loss: metrics["loss/student"] ?? 0,
      supervised_loss: metrics["loss/supervised"] ?? 0, unlabeled_loss: unlabeled.flatMap { metrics[$0] } ?? 0,
      feedback: metrics["feedback"] ?? 0)
  }
}

/// Computes class probabilities with what `didact_trainer_predictor_role` names: a network, or the ensemble. From any number of threads,
/// also within a progress callback.
///
/// - Parameters:
///   - probabilities: takes [rows, classes], float32 or float64.
///   - trainer: the trainer.
///   - x: [rows, inputs], any element type.
@_cdecl("didact_trainer_predict")
public func didact_trainer_predict(
  _ probabilities: UnsafeMutablePointer<didact_array>?, _ trainer: didact_trainer?, _ x: UnsafePointer<didact_array>?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    try trainer.predict(borrow(probabilities, "probabilities"), borrow(x, "x"))
  }
}

/// The same with one network of the trainer. Inputs are scaled as the fit chose, which a network by itself does not do.
///
/// - Parameters:
///   - probabilities: takes [rows, classes], float32 or float64.
///   - trainer: the trainer.
///   - x: [rows, inputs], any element type.
///   - role: "student", "teacher", "average", "best" or "finetuned", or "ensemble" for the mean of all members.
@_cdecl("didact_trainer_predict_by")
public func didact_trainer_predict_by(
  _ probabilities: UnsafeMutablePointer<didact_array>?, _ trainer: didact_trainer?, _ x: UnsafePointer<didact_array>?,
  _ role: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    try trainer.predict(borrow(probabilities, "probabilities"), borrow(x, "x"), by: text(role, "role"))
  }
}

/// Stores what a network predicts for all rows that a student will learn from, for "reduced_meta_pseudo_labels": the matrix
/// `distributions` [rows of x and of unlabeled, classes] in a safetensors file. Completes or leaves the old file.
///
/// - Parameters:
///   - trainer: the trainer.
///   - x: [N, inputs], any element type, as a fit takes it.
///   - unlabeled: more rows [M, inputs]; null for none.
///   - role: as above; null for the network that predicts.
///   - path: of the file.
@_cdecl("didact_trainer_store_distributions")
public func didact_trainer_store_distributions(
  _ trainer: didact_trainer?, _ x: UnsafePointer<didact_array>?, _ unlabeled: UnsafePointer<didact_array>?,
  _ role: UnsafePointer<CChar>?, _ path: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    try trainer.storeDistributions(
      of: borrow(x, "x"), unlabeled: borrowOptional(unlabeled, "unlabeled"), by: role.map { try text($0, "role") },
      to: text(path, "path"))
  }
}

/// The student, as a handle of its own that keeps it alive; free it with `didact_network_free`, in any order.
@_cdecl("didact_trainer_student")
public func didact_trainer_student(
  _ out: UnsafeMutablePointer<didact_network?>?, _ trainer: didact_trainer?
) -> didact_status {
  networkHandle(out, trainer, "student")
}

/// The teacher, as a handle of its own; `DIDACT_EUNSUPPORTED` for methods without one.
@_cdecl("didact_trainer_teacher")
public func didact_trainer_teacher(
  _ out: UnsafeMutablePointer<didact_network?>?, _ trainer: didact_trainer?
) -> didact_status {
  networkHandle(out, trainer, "teacher")
}

/// The student's moving average, as a handle of its own; `DIDACT_EUNSUPPORTED` where none is kept.
@_cdecl("didact_trainer_average")
public func didact_trainer_average(
  _ out: UnsafeMutablePointer<didact_network?>?, _ trainer: didact_trainer?
) -> didact_status {
  networkHandle(out, trainer, "average")
}

/// A network by its role, as a handle of its own; `DIDACT_EUNSUPPORTED` where there is none, or none yet.
///
/// - Parameters:
///   - out: takes the handle.
///   - trainer: the trainer.
///   - role: "student", "teacher", "average", "best" (chosen by "validation_fraction") or "finetuned" (by
///     "finetune_steps").
@_cdecl("didact_trainer_network")
public func didact_trainer_network(
  _ out: UnsafeMutablePointer<didact_network?>?, _ trainer: didact_trainer?, _ role: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let out = try required(out, "out")
    let trainer: Trainer = try resolve(trainer, .trainer)
    out.pointee = try makeHandle(trainer.network(text(role, "role")), .network)
  }
}

/// The roles of what can predict now, as a JSON array: "student", then "teacher", "average", "best" and "finetuned" as method,
/// configuration and steps so far made them, then "ensemble" where there are members.
///
/// - Parameters:
///   - out: takes as much of the text as fits, ended by a zero byte; may be null.
///   - capacity: the size of `out` in bytes.
///   - length: takes the size that all of the text needs, the zero byte included.
///   - trainer: the trainer.
@_cdecl("didact_trainer_roles")
public func didact_trainer_roles(
  _ out: UnsafeMutablePointer<CChar>?, _ capacity: Int64, _ length: UnsafeMutablePointer<Int64>?,
  _ trainer: didact_trainer?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    let roles = trainer.reading { trainer.networkRoles }
    try copyOut(JSON.array(roles.map { .string($0) }).serialized(), out, capacity, length)
  }
}

/// What the last fit found that its user should know, though it ended well: a JSON array of objects with "code", which is
/// one of "poor_on_labels", "class_shares", "class_never_predicted", "few_labels", "few_steps", "steps_beyond_schedule",
/// "rows_far_from_labels" and "members_disagree", and "message", which says what was seen and what can be done. Empty while
/// a fit is at work, and after one that was cancelled or made only some of the steps.
@_cdecl("didact_trainer_warnings")
public func didact_trainer_warnings(
  _ out: UnsafeMutablePointer<CChar>?, _ capacity: Int64, _ length: UnsafeMutablePointer<Int64>?,
  _ trainer: didact_trainer?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    let warnings = trainer.reading { trainer.warnings }
    try copyOut(JSON.array(warnings.map(\.json)).serialized(), out, capacity, length)
  }
}

/// The role of what predicts now: "ensemble" where there are members, else "finetuned" once there is such a network, else
/// "best", else "average", else "student". Lives as long as the process.
@_cdecl("didact_trainer_predictor_role")
public func didact_trainer_predictor_role(
  _ out: UnsafeMutablePointer<UnsafePointer<CChar>?>?, _ trainer: didact_trainer?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    try required(out, "out").pointee = internedString(trainer.predictorRole)
  }
}

private func networkHandle(
  _ out: UnsafeMutablePointer<didact_network?>?, _ trainer: didact_trainer?, _ role: String
) -> didact_status {
  call {
    let out = try required(out, "out")
    let trainer: Trainer = try resolve(trainer, .trainer)
    out.pointee = try makeHandle(trainer.network(role), .network)
  }
}

/// How many members the trainer has: trainers beside it, of the key "members", that a fit trains too, and whose probabilities
/// are averaged with its own.
@_cdecl("didact_trainer_member_count")
public func didact_trainer_member_count(
  _ out: UnsafeMutablePointer<Int64>?, _ trainer: didact_trainer?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    try required(out, "out").pointee = Int64(trainer.members.count)
  }
}

/// A member, as a handle of its own that keeps it alive; free it with `didact_trainer_free`, in any order.
///
/// - Parameters:
///   - out: takes the handle.
///   - trainer: the trainer.
///   - index: from 0 on, in the order of the configuration.
@_cdecl("didact_trainer_member")
public func didact_trainer_member(
  _ out: UnsafeMutablePointer<didact_trainer?>?, _ trainer: didact_trainer?, _ index: Int64
) -> didact_status {
  call {
    let out = try required(out, "out")
    let trainer: Trainer = try resolve(trainer, .trainer)
    out.pointee = try makeHandle(element(trainer.members, index, "member"), .trainer)
  }
}

/// The optimiser of a role, as a handle of its own; free it with `didact_optimizer_free`, in any order.
///
/// - Parameters:
///   - out: takes the handle.
///   - trainer: the trainer.
///   - role: "student" or "teacher".
@_cdecl("didact_trainer_optimizer")
public func didact_trainer_optimizer(
  _ out: UnsafeMutablePointer<didact_optimizer?>?, _ trainer: didact_trainer?, _ role: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let out = try required(out, "out")
    let trainer: Trainer = try resolve(trainer, .trainer)
    out.pointee = try makeHandle(trainer.optimizer(text(role, "role")), .optimizer)
  }
}

/// Steps completed.
@_cdecl("didact_trainer_steps")
public func didact_trainer_steps(_ out: UnsafeMutablePointer<Int64>?, _ trainer: didact_trainer?) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    try required(out, "out").pointee = trainer.reading { Int64(trainer.steps) }
  }
}

/// How many metrics the last call reported.
@_cdecl("didact_trainer_metric_count")
public func didact_trainer_metric_count(
  _ out: UnsafeMutablePointer<Int64>?, _ trainer: didact_trainer?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    try required(out, "out").pointee = trainer.reading { Int64(trainer.lastMetrics.names.count) }
  }
}

/// The name of a metric that the last call reported, such as "loss/student". Lives as long as the process.
@_cdecl("didact_trainer_metric_name")
public func didact_trainer_metric_name(
  _ out: UnsafeMutablePointer<UnsafePointer<CChar>?>?, _ trainer: didact_trainer?, _ index: Int64
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    try required(out, "out").pointee = internedString(
      element(trainer.reading { trainer.lastMetrics.names }, index, "metric"))
  }
}

/// A metric of the last step by name: "loss/<term>", "gradient_norm/<term>" (terms: student, supervised, uda, feedback),
/// "feedback", "mask_rate", "learning_rate/student" or "learning_rate/teacher". A term of weight 0 is not computed and
/// reads 0.
@_cdecl("didact_trainer_metric")
public func didact_trainer_metric(
  _ out: UnsafeMutablePointer<Double>?, _ trainer: didact_trainer?, _ name: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    try required(out, "out").pointee = trainer.reading { try trainer.lastMetric(text(name, "name")) }
  }
}

/// All metrics of the last call, in the order of the history's columns; NaN for those that it did not report.
///
/// - Parameters:
///   - out: takes [columns], float64.
///   - trainer: the trainer.
@_cdecl("didact_trainer_metrics")
public func didact_trainer_metrics(
  _ out: UnsafePointer<didact_array>?, _ trainer: didact_trainer?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    let out = try borrow(out, "out")
    try trainer.reading { try trainer.copyMetrics(to: out) }
  }
}

/// How many columns the history has, one for each metric of the method.
@_cdecl("didact_trainer_history_columns")
public func didact_trainer_history_columns(
  _ out: UnsafeMutablePointer<Int64>?, _ trainer: didact_trainer?
) -> didact_status {
  call { try required(out, "out").pointee = Int64((resolve(trainer, .trainer) as Trainer).metricNames.count) }
}

/// The metric of a column of the history. Lives as long as the process.
@_cdecl("didact_trainer_history_name")
public func didact_trainer_history_name(
  _ out: UnsafeMutablePointer<UnsafePointer<CChar>?>?, _ trainer: didact_trainer?, _ index: Int64
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    try required(out, "out").pointee = internedString(element(trainer.metricNames, index, "metric"))
  }
}

/// Copies the metrics of every completed step.
///
/// - Parameters:
///   - out: takes [steps, columns], float64.
///   - trainer: the trainer.
@_cdecl("didact_trainer_history")
public func didact_trainer_history(_ out: UnsafePointer<didact_array>?, _ trainer: didact_trainer?) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    try exportArray(trainer.reading { try trainer.historyTable() }, to: out, "out")
  }
}

/// Names classes or features; model files keep the names.
///
/// - Parameters:
///   - trainer: the trainer.
///   - kind: "class" or "feature".
///   - json: an array of strings, one for each class or input; an empty one takes the names away.
@_cdecl("didact_trainer_set_names")
public func didact_trainer_set_names(
  _ trainer: didact_trainer?, _ kind: UnsafePointer<CChar>?, _ json: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    try trainer.setNames(NamedThings(named: text(kind, "kind")), from: DidactABI.json(json))
  }
}

/// The names of classes or features as a JSON array of strings.
///
/// - Parameters:
///   - out: takes as much of the text as fits, ended by a zero byte; may be null.
///   - capacity: the size of `out` in bytes.
///   - length: takes the size that all of the text needs, the zero byte included.
///   - trainer: the trainer.
///   - kind: "class" or "feature".
@_cdecl("didact_trainer_names")
public func didact_trainer_names(
  _ out: UnsafeMutablePointer<CChar>?, _ capacity: Int64, _ length: UnsafeMutablePointer<Int64>?,
  _ trainer: didact_trainer?, _ kind: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    let things = try NamedThings(named: text(kind, "kind"))
    let names = trainer.reading { trainer.names(things) }
    try copyOut(JSON.array(names.map { .string($0) }).serialized(), out, capacity, length)
  }
}
