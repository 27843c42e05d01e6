// swift-format-ignore-file: AlwaysUseLowerCamelCase
// MARK: Networks
import CDidact
import Didact

/// Makes a network.
///
/// - Parameters:
///   - out: takes the handle; free it with `didact_network_free`.
///   - json: a specification such as `{"type": "mlp", "inputs": 64, "hidden": [128], "classes": 10}`, with `"dtype"`
///     ("float32" or "float64", default "float32") and `"seed"` (default 0) beside its own keys.
/// - Returns: `DIDACT_OK`, or `DIDACT_EINVALID` with a message that names the key.
@_cdecl("didact_network_create")
public func didact_network_create(
  _ out: UnsafeMutablePointer<didact_network?>?, _ json: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let out = try required(out, "out")
    out.pointee = try makeHandle(Network(description: DidactABI.json(json)), .network)
  }
}

/// Frees the handle. Nothing for null or a handle that is not alive. The network lives on while another handle, a pass, an
/// optimiser or a trainer needs it.
@_cdecl("didact_network_free")
public func didact_network_free(_ network: didact_network?) { freeHandle(network, .network) }

/// Makes a network of its own with the same values.
@_cdecl("didact_network_copy")
public func didact_network_copy(
  _ out: UnsafeMutablePointer<didact_network?>?, _ network: didact_network?
) -> didact_status {
  call {
    let out = try required(out, "out")
    let network: Network = try resolve(network, .network)
    out.pointee = try makeHandle(network.lock.reading { try network.copy() }, .network)
  }
}

/// Writes parameters, statistics and specification to a safetensors file. Completes or leaves the old file.
@_cdecl("didact_network_save")
public func didact_network_save(_ network: didact_network?, _ path: UnsafePointer<CChar>?) -> didact_status {
  call { try (resolve(network, .network) as Network).save(to: text(path, "path")) }
}

/// Reads a network that `didact_network_save` wrote.
@_cdecl("didact_network_load")
public func didact_network_load(
  _ out: UnsafeMutablePointer<didact_network?>?, _ path: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let out = try required(out, "out")
    out.pointee = try makeHandle(Network(loading: text(path, "path")), .network)
  }
}

/// The same parameters, gradients and statistics, not copies, as a network for images of another size. The new handle is
/// freed by itself; the memory lives as long as either.
///
/// - Parameters:
///   - out: takes the new handle.
///   - network: a network of images whose parameters do not depend on their size, such as one that ends in a global pool.
///   - height: in pixels.
///   - width: in pixels.
@_cdecl("didact_network_resized")
public func didact_network_resized(
  _ out: UnsafeMutablePointer<didact_network?>?, _ network: didact_network?, _ height: Int64, _ width: Int64
) -> didact_status {
  call {
    let out = try required(out, "out"), network: Network = try resolve(network, .network)
    out.pointee = try makeHandle(network.resized(height: Int(height), width: Int(width)), .network)
  }
}

/// What `didact_network_load_pretrained` would do with a file, as JSON: `"names"` (whose the file has: "didact",
/// "torchvision" or "timm"), `"matched"`, `"kept"` (what the file does not have and stays as it is) and `"unused"` (what
/// the network has no place for).
///
/// - Parameters:
///   - out: takes as much of the text as fits, ended by a zero byte; may be null.
///   - capacity: the size of `out` in bytes.
///   - length: takes the size that all of the text needs, the zero byte included.
///   - network: stays as it is.
///   - path: a safetensors file.
@_cdecl("didact_network_compare_pretrained")
public func didact_network_compare_pretrained(
  _ out: UnsafeMutablePointer<CChar>?, _ capacity: Int64, _ length: UnsafeMutablePointer<Int64>?,
  _ network: didact_network?, _ path: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let network: Network = try resolve(network, .network)
    let weights = try PretrainedWeights(text(path, "path"), for: network, strict: false)
    try copyOut(weights.report.json.serialized(), out, capacity, length)
  }
}

/// Reads the weights of a network that this library saved, or of torchvision's or timm's ResNet or EfficientNet, from a
/// safetensors file. On an error the network stays as it is.
///
/// - Parameters:
///   - network: takes the weights. Its last layer stays as it is where the numbers of classes differ.
///   - path: a safetensors file.
///   - strict: not 0: everything but the last layer must be there in the right shape.
@_cdecl("didact_network_load_pretrained")
public func didact_network_load_pretrained(
  _ network: didact_network?, _ path: UnsafePointer<CChar>?, _ strict: Int32
) -> didact_status {
  call {
    let network: Network = try resolve(network, .network)
    try PretrainedWeights(text(path, "path"), for: network, strict: strict != 0).apply()
  }
}

/// The specification as JSON, with defaults filled in, and with `"dtype"` and `"seed"`.
///
/// - Parameters:
///   - out: takes as much of the text as fits, ended by a zero byte; may be null.
///   - capacity: the size of `out` in bytes.
///   - length: takes the size that all of the text needs, the zero byte included.
@_cdecl("didact_network_specification")
public func didact_network_specification(
  _ out: UnsafeMutablePointer<CChar>?, _ capacity: Int64, _ length: UnsafeMutablePointer<Int64>?,
  _ network: didact_network?
) -> didact_status {
  call {
    let network: Network = try resolve(network, .network)
    try copyOut(network.description.serialized(), out, capacity, length)
  }
}

/// The lengths of one input and of one row of logits.
///
/// - Parameters:
///   - inputs: takes the length of an input: of an image, height × width × channels.
///   - classes: takes the number of classes.
///   - network: the network.
@_cdecl("didact_network_lengths")
public func didact_network_lengths(
  _ inputs: UnsafeMutablePointer<Int64>?, _ classes: UnsafeMutablePointer<Int64>?, _ network: didact_network?
) -> didact_status {
  call {
    let inputs = try required(inputs, "inputs"), classes = try required(classes, "classes")
    let network: Network = try resolve(network, .network)
    (inputs.pointee, classes.pointee) = (Int64(network.inputs), Int64(network.classes))
  }
}

/// What a network says of its examples, as a JSON object: `task`, "classification" or "segmentation"; `classes`, how many; and
/// `labels`, the lengths of the labels of one example: [] for one label, [height, width] for one a pixel. Arrays of labels are
/// [rows, labels…], of logits and probabilities [rows, labels…, classes].
///
/// - Parameters:
///   - out: takes as much of the text as fits, ended by a zero byte; may be null.
///   - capacity: the size of `out` in bytes.
///   - length: takes the size that all of the text needs, the zero byte included.
///   - network: the network.
@_cdecl("didact_network_task")
public func didact_network_task(
  _ out: UnsafeMutablePointer<CChar>?, _ capacity: Int64, _ length: UnsafeMutablePointer<Int64>?,
  _ network: didact_network?
) -> didact_status {
  call {
    let network: Network = try resolve(network, .network)
    try copyOut(network.taskDescription.serialized(), out, capacity, length)
  }
}

/// How many parameters (named arrays, not elements) a network has.
@_cdecl("didact_network_parameter_count")
public func didact_network_parameter_count(
  _ out: UnsafeMutablePointer<Int64>?, _ network: didact_network?
) -> didact_status {
  call { try required(out, "out").pointee = Int64((resolve(network, .network) as Network).parameterNames.count) }
}

/// The name of a parameter, in public order: "dense0.weight" and so on. Lives as long as the process.
@_cdecl("didact_network_parameter_name")
public func didact_network_parameter_name(
  _ out: UnsafeMutablePointer<UnsafePointer<CChar>?>?, _ network: didact_network?, _ index: Int64
) -> didact_status {
  call {
    let network: Network = try resolve(network, .network)
    try required(out, "out").pointee = internedString(element(network.parameterNames, index, "parameter"))
  }
}

/// A view of a parameter: its memory itself, which never moves. Writes are seen by the next call.
///
/// - Parameters:
///   - view: takes data, dtype and shape; valid while a handle keeps the network alive.
///   - name: such as "dense0.weight" [outputs, inputs]; null for all parameters as one vector, in public order.
@_cdecl("didact_network_parameter")
public func didact_network_parameter(
  _ view: UnsafeMutablePointer<didact_array>?, _ network: didact_network?, _ name: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let network: Network = try resolve(network, .network)
    try exportView(name == nil ? network.parameters : network.parameter(text(name, "name")), to: view)
  }
}

/// A view of what `didact_pass_backward` computed last for a parameter; null `name` for all as one vector.
@_cdecl("didact_network_gradient")
public func didact_network_gradient(
  _ view: UnsafeMutablePointer<didact_array>?, _ network: didact_network?, _ name: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let network: Network = try resolve(network, .network)
    try exportView(name == nil ? network.gradients : network.gradient(text(name, "name")), to: view)
  }
}

/// How many running statistics a network has.
@_cdecl("didact_network_statistic_count")
public func didact_network_statistic_count(
  _ out: UnsafeMutablePointer<Int64>?, _ network: didact_network?
) -> didact_status {
  call { try required(out, "out").pointee = Int64((resolve(network, .network) as Network).statisticNames.count) }
}

/// The name of a running statistic: "batch_norm0.running_mean" and so on. Lives as long as the process.
@_cdecl("didact_network_statistic_name")
public func didact_network_statistic_name(
  _ out: UnsafeMutablePointer<UnsafePointer<CChar>?>?, _ network: didact_network?, _ index: Int64
) -> didact_status {
  call {
    let network: Network = try resolve(network, .network)
    try required(out, "out").pointee = internedString(element(network.statisticNames, index, "statistic"))
  }
}

/// A view of a running statistic; null `name` for all as one vector.
@_cdecl("didact_network_statistic")
public func didact_network_statistic(
  _ view: UnsafeMutablePointer<didact_array>?, _ network: didact_network?, _ name: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let network: Network = try resolve(network, .network)
    try exportView(name == nil ? network.statistics : network.statistic(text(name, "name")), to: view)
  }
}

/// Computes logits.
///
/// - Parameters:
///   - logits: takes [rows, classes], of a network that segments [rows, height, width, classes]; float32 or float64.
///   - network: the network.
///   - x: [rows, inputs], any element type.
///   - training: 0 for running statistics and no dropout; 1 for batch statistics, which move the running ones, and
///     dropout.
@_cdecl("didact_network_forward")
public func didact_network_forward(
  _ logits: UnsafePointer<didact_array>?, _ network: didact_network?, _ x: UnsafePointer<didact_array>?,
  _ training: Int32
) -> didact_status {
  call {
    let network: Network = try resolve(network, .network)
    let x = try importArray(x, "x")
    // Before running statistics move.
    try borrow(logits, "logits").check(network.logitsShape(examples: x.rows), network.elementType, "logits")
    let result =
      training == 0
      ? try network.lock.reading { try network.forward(x) }
      : try network.lock.writing { try network.forward(x, training: true) }
    try exportArray(result, to: logits, "logits")
  }
}

/// Computes class probabilities with running statistics and no dropout. From any number of threads.
///
/// - Parameters:
///   - probabilities: takes [rows, classes], of a network that segments [rows, height, width, classes]; float32 or float64.
///   - network: the network.
///   - x: [rows, inputs], any element type.
@_cdecl("didact_network_predict")
public func didact_network_predict(
  _ probabilities: UnsafePointer<didact_array>?, _ network: didact_network?, _ x: UnsafePointer<didact_array>?
) -> didact_status {
  call {
    let network: Network = try resolve(network, .network)
    let probabilities = try borrow(probabilities, "probabilities"), x = try borrow(x, "x")
    try network.lock.reading { try network.predict(probabilities, x) }
  }
}

/// What a layer gives, with running statistics and no dropout: features of rows, or whatever the network computes on its way.
///
/// - Parameters:
///   - out: takes [rows, length of the layer's output], of images [rows, height · width · channels]; float32 or float64.
///   - network: the network.
///   - x: [rows, inputs], any element type.
///   - name: of a layer, such as "dense0" or "relu1"; "features" for what the last layer reads, "logits" for the last one.
@_cdecl("didact_network_output")
public func didact_network_output(
  _ out: UnsafePointer<didact_array>?, _ network: didact_network?, _ x: UnsafePointer<didact_array>?,
  _ name: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let network: Network = try resolve(network, .network)
    let out = try borrow(out, "out"), x = try borrow(x, "x"), name = try text(name, "name")
    try network.lock.reading { try network.output(out, x, named: name) }
  }
}

/// The length of what a layer gives for a row.
///
/// - Parameters:
///   - length: takes the length.
///   - network: the network.
///   - name: of a layer, "features" or "logits".
@_cdecl("didact_network_output_length")
public func didact_network_output_length(
  _ length: UnsafeMutablePointer<Int64>?, _ network: didact_network?, _ name: UnsafePointer<CChar>?
) -> didact_status {
  call {
    let length = try required(length, "length"), network: Network = try resolve(network, .network)
    length.pointee = Int64(try network.outputLength(text(name, "name")))
  }
}

/// Records a forward at a snapshot of the parameters, for its backward and tangent.
///
/// - Parameters:
///   - out: takes the handle; free it with `didact_pass_free`.
///   - network: the network.
///   - x: [rows, inputs], any element type; copied.
///   - training: 1 for batch statistics, which move the running ones, and dropout; 0 for neither.
///   - draw: which dropout masks; negative for the next ones of the network.
@_cdecl("didact_network_record")
public func didact_network_record(
  _ out: UnsafeMutablePointer<didact_pass?>?, _ network: didact_network?, _ x: UnsafePointer<didact_array>?,
  _ training: Int32, _ draw: Int64
) -> didact_status {
  call {
    let out = try required(out, "out")
    let network: Network = try resolve(network, .network)
    let x = try importArray(x, "x")
    let pass = try network.lock.writing {
      try network.record(x, training: training != 0, draw: draw < 0 ? nil : UInt64(draw))
    }
    out.pointee = try makeHandle(PassOfNetwork(pass: pass, network: network), .pass)
  }
}

/// Frees the handle. Nothing for null or a handle that is not alive.
@_cdecl("didact_pass_free")
public func didact_pass_free(_ pass: didact_pass?) { freeHandle(pass, .pass) }

/// Copies the logits of a pass.
///
/// - Parameters:
///   - logits: takes [rows, classes], of a network that segments [rows, height, width, classes]; float32 or float64.
///   - pass: the pass.
@_cdecl("didact_pass_logits")
public func didact_pass_logits(_ logits: UnsafePointer<didact_array>?, _ pass: didact_pass?) -> didact_status {
  call {
    let handle: PassOfNetwork = try resolve(pass, .pass)
    try exportArray(handle.shaped(handle.pass.logits), to: logits, "logits")
  }
}

/// Reverse mode: the gradient of the inner product of `cotangent` and the logits, with respect to the parameters of the
/// pass, into the network's gradients.
///
/// - Parameters:
///   - x_gradient: takes the gradient of the input [rows, inputs]; null if not wanted.
///   - pass: the pass.
///   - cotangent: as the logits.
///   - accumulate: 1 to add to the network's gradients, 0 to replace them.
@_cdecl("didact_pass_backward")
public func didact_pass_backward(
  _ x_gradient: UnsafePointer<didact_array>?, _ pass: didact_pass?, _ cotangent: UnsafePointer<didact_array>?,
  _ accumulate: Int32
) -> didact_status {
  call {
    let handle: PassOfNetwork = try resolve(pass, .pass)
    let pass = handle.pass, network = handle.network
    let cotangent = try network.rowsOfLogits(borrow(cotangent, "cotangent"), examples: pass.rows, "cotangent")
    if x_gradient != nil {
      // Before the network's gradients change.
      try borrow(x_gradient, "x_gradient").check(Shape(pass.rows, network.inputs), network.elementType, "x_gradient")
    }
    let inputGradient =
      x_gradient == nil ? nil : try Tensor(Shape(pass.rows, network.inputs), network.elementType)
    try network.lock.writing {
      try pass.backward(cotangent, accumulate: accumulate != 0, inputCotangent: inputGradient)
    }
    if let inputGradient { try exportArray(inputGradient, to: x_gradient, "x_gradient") }
  }
}

/// Forward mode: the derivative of the logits along a direction in the parameters of the pass and its input.
///
/// - Parameters:
///   - tangent: as the logits, float32 or float64.
///   - pass: the pass.
///   - direction: a vector over all parameters in public order.
///   - x_direction: [rows, inputs]; null for zero.
@_cdecl("didact_pass_tangent")
public func didact_pass_tangent(
  _ tangent: UnsafePointer<didact_array>?, _ pass: didact_pass?, _ direction: UnsafePointer<didact_array>?,
  _ x_direction: UnsafePointer<didact_array>?
) -> didact_status {
  call {
    let handle: PassOfNetwork = try resolve(pass, .pass)
    let pass = handle.pass, network = handle.network
    let direction = try importFlat(direction, network, "direction")
    let inputDirection = try importOptional(x_direction, "x_direction").map { try network.converted($0) }
    try network.lock.writing {
      try exportArray(handle.shaped(pass.tangent(direction, inputDirection: inputDirection)), to: tangent, "tangent")
    }
  }
}

/// A pass with the network that it keeps alive.
private final class PassOfNetwork: Sendable {
  let pass: RecordedPass
  let network: Network

  init(pass: RecordedPass, network: Network) {
    self.pass = pass
    self.network = network
  }

  /// Logits, or a tangent of them, as the C interface gives them.
  func shaped(_ logits: Tensor) -> Tensor { network.shaped(logits, examples: pass.rows) }
}

/// - Throws: `DidactError.invalidArgument` for an index outside the list.
func element<Element>(_ list: [Element], _ index: Int64, _ what: String) throws -> Element {
  guard index >= 0, index < Int64(list.count) else {
    throw DidactError(.invalidArgument, "\(what) \(index) is not in 0..<\(list.count)")
  }
  return list[Int(index)]
}
