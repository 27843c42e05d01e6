import CKernels

/// Calls `body` for consecutive parts of `0..<count`, in parallel where threads are free.
/// - Parameters:
///   - parts: how many, at most one a core.
///   - body: takes the number of the part, and what is in it.
func parallelLoop(_ count: Int, parts: Int, _ body: (Int, Range<Int>) -> Void) {
  withoutActuallyEscaping(body) { body in
    var loop = ParallelLoop(count: count, parts: parts, body: body)
    withUnsafeMutablePointer(to: &loop) { loop in
      kernels_for_each_part(
        Int32(parts),
        { argument, part in
          guard let loop = argument?.assumingMemoryBound(to: ParallelLoop.self) else { return }
          let (count, parts) = (loop.pointee.count, loop.pointee.parts)
          loop.pointee.body(Int(part), count * Int(part) / parts..<count * (Int(part) + 1) / parts)
        }, loop)
    }
  }
}

private struct ParallelLoop {
  let count, parts: Int
  let body: (Int, Range<Int>) -> Void
}
