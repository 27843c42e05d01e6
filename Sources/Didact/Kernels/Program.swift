import CKernels

/// Kernel calls noted down once, to run as one: those that work row by row share parallel regions, and the primitives of
/// large products are made once.
///
/// What the calls work on is named by `Place`, so that a program serves any number of passes at once.
final class Program: @unchecked Sendable {
  private let operations: UnsafeMutableBufferPointer<kernels_operation>
  private let threads: Int
  /// Floats of scratch memory that each thread needs.
  private let scratchOfThread: Int
  /// Floats before all that, for the weights of convolutions in the form that they want.
  let weightCount: Int
  /// Bytes of scratch memory that a run needs.
  let scratchByteCount: Int

  /// - Parameter threads: the most that a run uses.
  /// - Throws: `DidactError.outOfMemory`.
  init(_ recorded: [kernels_operation], threads: Int) throws {
    self.threads = threads
    operations = .allocate(capacity: recorded.count)
    _ = operations.initialize(from: recorded)
    let needed = kernels_plan(operations.baseAddress, Int64(recorded.count), Int32(threads))
    guard needed >= 0 else {
      // Nothing was planned.
      operations.deallocate()
      throw DidactError(.outOfMemory, "oneDNN could not make a product; use a smaller batch or network")
    }
    scratchOfThread = Int(needed)
    weightCount = Int(kernels_weights(operations.baseAddress, Int64(recorded.count)))
    let threads = Int(kernels_threads(operations.baseAddress, Int64(recorded.count), Int32(threads)))
    scratchByteCount = 4 * (weightCount + scratchOfThread * threads)
  }

  deinit {
    kernels_unplan(operations.baseAddress, Int64(operations.count))
    operations.deallocate()
  }

  /// Where the values of a run are.
  enum Place: Int, CaseIterable {
    // 0 is the address space itself.
    case workspace = 1
    case working, parameters, statistics, gradients, parameterTangents, input, cotangent, inputDirection, output

    /// A tensor that stands for memory at this place, to record with. Never read or written.
    func tensor(_ shape: Shape) -> Tensor {
      // The place in the highest byte, as kernels_operation has it.
      let address = UnsafeMutableRawPointer(bitPattern: rawValue << 56).unsafelyUnwrapped
      return Tensor(
        shape, .float32, buffer: Buffer(borrowing: address, byteCount: shape.count * 4, owner: Program.owner))
    }
  }
  private static let owner = Owner()
  private final class Owner: Sendable {}

  /// The tensors of one run, by place; who runs the program keeps them alive. Places left out are none.
  struct Places {
    fileprivate var run = kernels_run()

    /// - Parameters:
    ///   - draw: of dropout masks.
    ///   - accumulate: whether gradients are added to what stands there.
    init(noise: RandomStream?, draw: UInt64, accumulate: Bool) {
      run.key = noise?.key ?? 0
      run.draw = draw
      run.accumulate = accumulate
    }

    mutating func set(_ place: Place, _ tensor: Tensor?) {
      guard let tensor else { return }
      withUnsafeMutableBytes(of: &run.bases) {
        $0.bindMemory(to: UnsafeMutableRawPointer?.self)[place.rawValue] = tensor.address
      }
    }
  }

  /// - Parameters:
  ///   - scratch: has room for `scratchByteCount` bytes.
  ///   - offset: where in it, in bytes, whole cache lines.
  /// - Throws: `DidactError.outOfMemory`.
  func run(_ places: consuming Places, scratch: Buffer, at offset: Int = 0) throws {
    places.run.threads = Int32(threads)
    places.run.scratch = (scratch.address + offset).assumingMemoryBound(to: Float.self) + weightCount
    places.run.scratch_count = Int64(scratchOfThread)
    kernels_execute(operations.baseAddress, Int64(operations.count), &places.run)
    guard !places.run.failed else {
      throw DidactError(.outOfMemory, "oneDNN had no memory for a convolution; use a smaller batch or network")
    }
  }
}

/// Takes the calls of kernels that record, from one thread.
final class ProgramRecorder: @unchecked Sendable {
  private(set) var operations: [kernels_operation] = []
  var beginsRegion = false

  func append(_ operation: kernels_operation) {
    operations.append(operation)
    operations[operations.count - 1].begins_region = beginsRegion
    beginsRegion = false
  }
}
