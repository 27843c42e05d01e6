import CKernels

/// Where the time of a computation in float32 goes, by operation, beside what the operation must take on this machine.
package struct KernelTimes {
  package struct Row {
    package let operation: String
    package let calls: Int
    /// Of the first thread.
    package let seconds: Double
    /// The same work at the best rate that was measured here for its kind: products of 64 by 64, oneDNN's products of
    /// 1024 by 1024, copies within the first-level cache.
    package let floor: Double
  }

  /// The longest first.
  package let rows: [Row]
  /// The first thread, at the end of parallel regions, waiting for the others.
  package let waiting: Double
  package let regions: Int

  /// Times everything that `body` runs, which must be all that runs.
  package static func of(threads: Int, _ body: () throws -> Void) throws -> KernelTimes {
    let rates = try Rates(threads: threads)
    let profile = UnsafeMutablePointer<kernels_profile>.allocate(capacity: 1)
    profile.initialize(to: kernels_profile())
    defer { profile.deallocate() }
    kernels_take_times(profile)
    defer { kernels_take_times(nil) }
    try body()
    kernels_take_times(nil)
    return withUnsafeBytes(of: &profile.pointee.seconds) { seconds in
      withUnsafeBytes(of: &profile.pointee.calls) { calls in
        withUnsafeBytes(of: &profile.pointee.work) { work in
          withUnsafeBytes(of: &profile.pointee.large_work) { largeWork in
            KernelTimes(
              profile.pointee, rates, seconds.bindMemory(to: Double.self), calls.bindMemory(to: Int64.self),
              work.bindMemory(to: Double.self), largeWork.bindMemory(to: Double.self))
          }
        }
      }
    }
  }

  private init(
    _ profile: kernels_profile, _ rates: Rates, _ seconds: UnsafeBufferPointer<Double>,
    _ calls: UnsafeBufferPointer<Int64>, _ work: UnsafeBufferPointer<Double>,
    _ largeWork: UnsafeBufferPointer<Double>
  ) {
    rows = calls.indices.filter { calls[$0] > 0 }.map { code in
      let isDense =
        code >= Int(KERNELS_DENSE.rawValue) && code <= Int(KERNELS_DENSE_TANGENT.rawValue)
      let own = work[code] / (isDense ? rates.products : rates.elements)
      return Row(
        operation: String(cString: kernels_code_name(Int32(code))), calls: Int(calls[code]), seconds: seconds[code],
        floor: own + largeWork[code] / rates.largeProducts)
    }.sorted { $0.seconds > $1.seconds }
    waiting = profile.waiting
    regions = Int(profile.regions)
  }

  /// The best of several runs.
  private struct Rates {
    /// Multiply-adds a second of one thread in loops, and of oneDNN on all threads; elements copied a second.
    let products, largeProducts, elements: Double

    init(threads: Int) throws {
      func best(_ work: Double, _ run: () throws -> Void) rethrows -> Double {
        var best = Double.infinity
        for _ in 0..<30 {
          let start = secondsOfClock()
          for _ in 0..<20 { try run() }
          best = min(best, (secondsOfClock() - start) / 20)
        }
        return work / best
      }
      func product(_ rows: Int, _ size: Int, threads: Int) throws -> () throws -> Void {
        let input = try Tensor(Shape(rows, size), .float32), output = try Tensor(Shape(rows, size), .float32)
        let weight = try Tensor(Shape(size, size), .float32)
        let program = try FusedKernels(threads: threads).program {
          $0.dense(output, input, weight: weight, bias: nil)
        }
        let scratch = try Buffer(byteCount: program.scratchByteCount)
        return {
          try withExtendedLifetime((input, output, weight, scratch)) {
            try program.run(Program.Places(noise: nil, draw: 0, accumulate: false), scratch: scratch)
          }
        }
      }
      products = try best(Double(960 * 64 * 64), try product(960, 64, threads: 1))
      largeProducts = try best(Double(1024 * 1024 * 1024), try product(1024, 1024, threads: threads))
      let from = try Tensor(Shape(4096), .float32), to = try Tensor(Shape(4096), .float32)
      let kernels = FusedKernels(threads: 1)
      elements = best(4096) { kernels.copy(from, to: to) }
    }
  }
}
