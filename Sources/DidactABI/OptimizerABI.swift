// swift-format-ignore-file: AlwaysUseLowerCamelCase
// MARK: Optimisers and averages
import CDidact
import Didact

/// Makes an optimiser for a network.
///
/// - Parameters:
///   - out: takes the handle; free it with `didact_optimizer_free`.
///   - network: whose parameters it moves, and whose gradients it reads.
///   - json: such as `{"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": true, "weight_decay": 0.0005,
///     "clip_norm": 1.0}` or `{"name": "adamw", "learning_rate": 0.001}`.
@_cdecl("didact_optimizer_create")
public func didact_optimizer_create(
  _ out: UnsafeMutablePointer<didact_optimizer?>?, _ network: didact_network?, _ json: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let out = try required(out, "out")
    let network: Network = try resolve(network, .network)
    let settings = try OptimizerSettings(DidactABI.json(json), subject: "optimizer")
    out.pointee = try makeHandle(Optimizer.make(network, settings), .optimizer)
  }
}

/// Frees the handle. Nothing for null or a handle that is not alive.
@_cdecl("didact_optimizer_free")
public func didact_optimizer_free(_ optimizer: didact_optimizer?) { freeHandle(optimizer, .optimizer) }

/// One step along the network's gradients: parameters -= update(gradients).
@_cdecl("didact_optimizer_step")
public func didact_optimizer_step(_ optimizer: didact_optimizer?) -> didact_status {
  call {
    let optimizer: Optimizer = try resolve(optimizer, .optimizer)
    try optimizer.network.lock.writing { try optimizer.step() }
  }
}

/// The transposed Jacobian of the last step's update with respect to its gradient, applied to `v`: maps a gradient at the
/// new parameters to one at the fresh gradient. +learning_rate * v for plain SGD.
///
/// - Parameters:
///   - out: takes a vector over all parameters in public order.
///   - optimizer: the optimiser; `DIDACT_ESTATE` before its first step.
///   - v: a vector over all parameters in public order.
@_cdecl("didact_optimizer_pullback")
public func didact_optimizer_pullback(
  _ out: UnsafePointer<didact_array>?, _ optimizer: didact_optimizer?, _ v: UnsafePointer<didact_array>?
) -> didact_status {
  call {
    let optimizer: Optimizer = try resolve(optimizer, .optimizer)
    let v = try importFlat(v, optimizer.network, "v")
    let result = try Tensor(v.shape, v.elementType)
    try optimizer.network.lock.writing { try optimizer.pullback(v, into: result) }
    try exportArray(result, to: out, "out")
  }
}

/// How many parts the state has.
@_cdecl("didact_optimizer_state_count")
public func didact_optimizer_state_count(
  _ out: UnsafeMutablePointer<Int64>?, _ optimizer: didact_optimizer?
) -> didact_status {
  call { try required(out, "out").pointee = Int64((resolve(optimizer, .optimizer) as Optimizer).state.count) }
}

/// The name of a part of the state: "momentum.dense0.weight", "first_moment.…", "second_moment.…" or "step". Lives as long
/// as the process.
@_cdecl("didact_optimizer_state_name")
public func didact_optimizer_state_name(
  _ out: UnsafeMutablePointer<UnsafePointer<CChar>?>?, _ optimizer: didact_optimizer?, _ index: Int64
) -> didact_status {
  call {
    let optimizer: Optimizer = try resolve(optimizer, .optimizer)
    try required(out, "out").pointee = internedString(element(optimizer.stateNames, index, "state"))
  }
}

/// A view of a part of the state, readable and writable before the first step too. "step" is one int64.
@_cdecl("didact_optimizer_state")
public func didact_optimizer_state(
  _ view: UnsafeMutablePointer<didact_array>?, _ optimizer: didact_optimizer?, _ name: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let optimizer: Optimizer = try resolve(optimizer, .optimizer)
    try exportView(optimizer.state(named: text(name, "name")), to: view)
  }
}

/// The learning rate of the next step.
@_cdecl("didact_optimizer_learning_rate")
public func didact_optimizer_learning_rate(
  _ out: UnsafeMutablePointer<Double>?, _ optimizer: didact_optimizer?
) -> didact_status {
  call { try required(out, "out").pointee = (resolve(optimizer, .optimizer) as Optimizer).learningRate }
}

/// Sets the learning rate of the next step; finite and not negative.
@_cdecl("didact_optimizer_set_learning_rate")
public func didact_optimizer_set_learning_rate(
  _ optimizer: didact_optimizer?, _ learning_rate: Double
) -> didact_status {
  call {
    let optimizer: Optimizer = try resolve(optimizer, .optimizer)
    try optimizer.network.lock.writing { try optimizer.setLearningRate(learning_rate) }
  }
}

/// Makes a moving average of a network, which starts as its copy.
///
/// - Parameters:
///   - out: takes the handle; free it with `didact_average_free`.
///   - network: what is averaged.
///   - decay: in [0, 1]: average = decay * average + (1 - decay) * network.
///   - statistics: 1 to average the running statistics too, 0 to copy them.
@_cdecl("didact_average_create")
public func didact_average_create(
  _ out: UnsafeMutablePointer<didact_average?>?, _ network: didact_network?, _ decay: Double, _ statistics: Int32
) -> didact_status {
  call {
    let out = try required(out, "out")
    let network: Network = try resolve(network, .network)
    let average = try network.lock.reading {
      try MovingAverage(network, decay: decay, averagesStatistics: statistics != 0)
    }
    out.pointee = try makeHandle(average, .average)
  }
}

/// Frees the handle. Nothing for null or a handle that is not alive.
@_cdecl("didact_average_free")
public func didact_average_free(_ average: didact_average?) { freeHandle(average, .average) }

/// Moves the average towards the network.
@_cdecl("didact_average_update")
public func didact_average_update(_ average: didact_average?) -> didact_status {
  call {
    let average: MovingAverage = try resolve(average, .average)
    average.network.lock.writing { average.source.lock.reading { average.update() } }
  }
}

/// The averaged network, as a handle of its own; free it with `didact_network_free`, in any order.
@_cdecl("didact_average_network")
public func didact_average_network(
  _ out: UnsafeMutablePointer<didact_network?>?, _ average: didact_average?
) -> didact_status {
  call {
    let out = try required(out, "out")
    let average: MovingAverage = try resolve(average, .average)
    out.pointee = try makeHandle(average.network, .network)
  }
}
