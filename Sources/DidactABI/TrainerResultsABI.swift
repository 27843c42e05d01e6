// swift-format-ignore-file: AlwaysUseLowerCamelCase
// MARK: What a trainer made
import CDidact
import Didact

/// Computes class probabilities with what `didact_trainer_predictor_role` names: a network, or the ensemble. From any number of threads,
/// also within a progress callback.
///
/// - Parameters:
///   - probabilities: takes [rows, classes], of networks that segment [rows, height, width, classes]; float32 or float64.
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
///   - probabilities: takes [rows, classes], of networks that segment [rows, height, width, classes]; float32 or float64.
///   - trainer: the trainer.
///   - x: [rows, inputs], any element type.
///   - role: "student", "teacher", "average", "best" or "finetuned", "forest" for its trees, or "ensemble" for what predicts together.
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
/// configuration and steps so far made them, then "forest" where there are trees, and
/// "ensemble" where several predict together.
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

/// What predicts together, and what the last fit aimed at, as a JSON object: `members`, of each its `method`, `steps` and `weight`
/// in the prediction; `forest`, null or its `trees` and `weight`; `class_shares`, null for those of the labels or the share of each
/// class; `warnings`, as of `didact_trainer_warnings`.
///
/// - Parameters:
///   - out: takes as much of the text as fits, ended by a zero byte; may be null.
///   - capacity: the size of `out` in bytes.
///   - length: takes the size that all of the text needs, the zero byte included.
///   - trainer: the trainer.
@_cdecl("didact_trainer_report")
public func didact_trainer_report(
  _ out: UnsafeMutablePointer<CChar>?, _ capacity: Int64, _ length: UnsafeMutablePointer<Int64>?,
  _ trainer: didact_trainer?
) -> didact_status {
  call {
    let trainer: Trainer = try resolve(trainer, .trainer)
    try copyOut(JSON.object(trainer.report()).serialized(), out, capacity, length)
  }
}

/// The role of what predicts now: "ensemble" where there are members or trees, else "finetuned" once there is such a network, else
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
