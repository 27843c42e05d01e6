// swift-format-ignore-file: AlwaysUseLowerCamelCase
// MARK: Training
import CDidact
import Didact

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
///   - y: a class for each row [N], int64 or uint8; of a network that segments for each pixel [N, height, width], 255 or -1 for
///     none.
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
///   - y: a class for each row [N], int64 or uint8; of a network that segments for each pixel [N, height, width], 255 or -1 for
///     none.
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
///   - y: a class for each row [N], of a network that segments for each pixel [N, height, width].
///   - u: unlabelled rows [M, inputs].
///   - u_strong: a strong view of the same rows; null for `u` itself.
///   - pseudo_labels: a class for each unlabelled row [M], or its pixels, in place of sampled ones; null to sample. Not for exact feedback.
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
      importArray(x, "x"), importLabels(y, "y", of: trainer.student), unlabeled: importArray(u, "u"),
      strong: importOptional(u_strong, "u_strong"),
      pseudoLabels: pseudo_labels.map { try importLabels($0, "pseudo_labels", of: trainer.student) }, draw: draw)
    try exportArray(gradient, to: UnsafePointer(out), "out")
  }
}

/// The student's labelled loss after its step, of which `didact_trainer_meta_gradient` is the gradient. Changes nothing.
///
/// - Parameters:
///   - out: takes the loss.
///   - trainer: the trainer.
///   - x: labelled rows [N, inputs].
///   - y: a class for each row [N], of a network that segments for each pixel [N, height, width].
///   - u: unlabelled rows [M, inputs].
///   - u_strong: a strong view of the same rows; null for `u` itself.
///   - pseudo_labels: a class for each unlabelled row [M], or its pixels, in place of sampled ones; null to sample. Not for exact feedback.
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
      importArray(x, "x"), importLabels(y, "y", of: trainer.student), unlabeled: importArray(u, "u"),
      strong: importOptional(u_strong, "u_strong"),
      pseudoLabels: pseudo_labels.map { try importLabels($0, "pseudo_labels", of: trainer.student) }, draw: draw)
  }
}

/// Trains on rows with and without labels, which are read where they are. Views are made as configured; labelled rows are
/// among the unlabelled ones too.
///
/// - Parameters:
///   - trainer: the trainer.
///   - x: rows [N, inputs], any element type.
///   - y: a class for each row [N], -1 for none, int64 or uint8; of a network that segments for each pixel [N, height, width], 255
///     or -1 for none. Copied.
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
    try fit(
      trainer, FitArrays(borrow(x, "x"), labels: borrow(y, "y"), unlabeled: borrowOptional(unlabeled, "unlabeled")),
      steps: steps < 0 ? nil : Int(steps), callback, payload)
  }
}

/// - Throws: `DidactError.cancelled` where the callback stopped it.
func fit(
  _ trainer: Trainer, _ arrays: FitArrays, steps: Int?, _ callback: didact_progress_callback?,
  _ payload: UnsafeMutableRawPointer?
) throws {
  let outcome = try trainer.fit(arrays, steps: steps) { progress in
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
