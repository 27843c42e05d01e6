import CDidact
import Didact

/// Binds a frozen copy of a network to an input and an output array. Both must stay where they are until the predictor is
/// freed.
///
/// - Parameters:
///   - out: takes the handle; free it with `didact_predictor_free`.
///   - network: the network; what it learns later does not change the predictor.
///   - x: [rows, inputs], any element type; read by every run.
///   - probabilities: [rows, classes], of a network that segments [rows, height, width, classes]; float32 or float64; written by every run.
@_cdecl("didact_predictor_create")
public func didact_predictor_create(
  _ out: UnsafeMutablePointer<didact_predictor?>?, _ network: didact_network?, _ x: UnsafePointer<didact_array>?,
  _ probabilities: UnsafePointer<didact_array>?
) -> didact_status {
  call {
    let out = try required(out, "out")
    let network: Network = try resolve(network, .network)
    let x = try borrow(x, "x"), probabilities = try borrow(probabilities, "probabilities")
    let predictor = try network.lock.reading { try Predictor(network, x, probabilities) }
    out.pointee = try makeHandle(predictor, .predictor)
  }
}

/// Reads the bound input and writes its class probabilities to the bound output. One thread at a time: `DIDACT_EBUSY` for a
/// second one.
///
/// - Parameter predictor: the predictor.
@_cdecl("didact_predictor_run")
public func didact_predictor_run(_ predictor: didact_predictor?) -> didact_status {
  call { try (resolve(predictor, .predictor) as Predictor).run() }
}

/// Frees the handle. Nothing for null or a handle that is not alive.
@_cdecl("didact_predictor_free")
public func didact_predictor_free(_ predictor: didact_predictor?) { freeHandle(predictor, .predictor) }
