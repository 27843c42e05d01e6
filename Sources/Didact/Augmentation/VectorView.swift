/// A random view of vectors: features set to 0 with probability `featureDropout`, then Gaussian noise added.
struct VectorView: Sendable {
  /// Standard deviation, in the unit of the network's input.
  let noise: Double
  /// In [0, 1).
  let featureDropout: Double
  let stream: RandomStream

  /// A view of `input` [N, inputs] in memory of its own.
  func callAsFunction(_ kernels: any Kernels, _ input: Tensor, draw: UInt64) throws -> Tensor {
    let view = try input.copy()
    if featureDropout > 0 {
      let mask = try Tensor(input.shape, input.elementType)
      kernels.dropoutMask(mask, rate: featureDropout, stream.draw(draw, lane: 0))
      // A dropout mask holds 0 and 1 / (1 − rate); what is kept stays as it is here.
      kernels.scale(mask, by: 1 - featureDropout)
      kernels.multiply(view, view, mask)
    }
    if noise > 0 { kernels.addNormal(view, deviation: noise, stream.draw(draw, lane: 1)) }
    return view
  }
}
