@testable import Didact

/// Whether loops run at full speed; without optimisation they are about 35 times slower.
#if DEBUG
  let isOptimizedBuild = false
#else
  let isOptimizedBuild = true
#endif

// MARK: - Test data

/// The stream that all test data comes from, by seed.
func testDraw(_ seed: UInt64) -> RandomDraw { RandomStream(seed: seed, name: "tests").draw(0) }

/// Normal values of deviation `scale` around `center`; the same for one seed.
func randomTensor(
  _ shape: Shape, _ elementType: ElementType = .float64, seed: UInt64, scale: Double = 1, around center: Double = 0
) throws -> Tensor {
  let draw = testDraw(seed), tensor = try Tensor(shape, elementType)
  for i in 0..<tensor.count { tensor[i] = center + scale * draw.normal(i) }
  return tensor
}

/// A random direction of length 1.
func unitDirection(_ count: Int, seed: UInt64) throws -> Tensor {
  let direction = try randomTensor(Shape(count), seed: seed)
  direction.scale(by: 1 / direction.norm)
  return direction
}

/// Rows that are positive and sum to 1.
func randomDistributions(_ rows: Int, _ classes: Int, seed: UInt64, sharpness: Double = 1) throws -> Tensor {
  try Objectives(ReferenceKernels<Double>()).softmax(randomTensor(Shape(rows, classes), seed: seed, scale: sharpness))
}

// MARK: - Vectors

extension Tensor {
  var norm: Double { dot(self).squareRoot() }

  func dot(_ other: Tensor) -> Double { zip(values, other.values).reduce(0) { $0 + $1.0 * $1.1 } }

  /// self ← self + factor · direction
  func add(_ direction: Tensor, scaledBy factor: Double) {
    for i in 0..<count { self[i] += factor * direction[i] }
  }

  func scale(by factor: Double) {
    for i in 0..<count { self[i] *= factor }
  }

  func set(_ values: [Double]) {
    for (i, value) in values.enumerated() { self[i] = value }
  }
}

func norm(_ values: [Double]) -> Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }

/// ‖a − b‖ / max(‖a‖, ‖b‖), 0 for two zero vectors.
func relativeError(_ a: [Double], _ b: [Double]) -> Double {
  let difference = norm(zip(a, b).map { $0 - $1 }), scale = max(norm(a), norm(b))
  guard a.count == b.count else { return .infinity }
  return scale == 0 ? difference : difference / scale
}

func relativeError(_ a: Tensor, _ b: Tensor) -> Double { relativeError(a.values, b.values) }

/// The largest |a − b| of two sequences of equal length.
func largestDifference(_ a: [Double], _ b: [Double]) -> Double {
  guard a.count == b.count else { return .infinity }
  // A NaN on one side must not pass as small.
  return zip(a, b).reduce(0) { ($1.0 - $1.1).isNaN ? .infinity : max($0, abs($1.0 - $1.1)) }
}

// MARK: - Finite differences

/// (f(h) − f(−h)) / 2h of a function of the distance along a direction.
func centralDifference(step h: Double, _ f: (Double) throws -> Double) rethrows -> Double {
  (try f(h) - f(-h)) / (2 * h)
}

/// The directional derivative along `direction` of f, a function that reads `variable`; `variable` is put back bit for bit.
func centralDifference(
  of f: () throws -> Double, moving variable: Tensor, along direction: Tensor, step h: Double
) throws -> Double {
  let start = variable.values
  defer { variable.set(start) }
  return try centralDifference(step: h) { distance in
    for i in 0..<start.count { variable[i] = start[i] + distance * direction[i] }
    return try f()
  }
}

/// The gradient of f with respect to every element of `variable`, by central differences of fourth order.
func differenceGradient(
  of f: () throws -> Double, by variable: Tensor, step h: Double = 1e-3
) throws -> [Double] {
  let start = variable.values
  defer { variable.set(start) }
  return try start.indices.map { i in
    func value(_ distance: Double) throws -> Double {
      variable[i] = start[i] + distance
      return try f()
    }
    let near = try value(h) - value(-h), far = try value(2 * h) - value(-2 * h)
    variable[i] = start[i]
    return (8 * near - far) / (12 * h)
  }
}

/// All that this machine can compute with.
let convolutionArithmetics: [ConvolutionArithmetic] = {
  let values = try? FieldValues(["bfloat16": "on"], fields: ConvolutionArithmetic.fields, subject: "test")
  let native = values.flatMap { try? ConvolutionArithmetic($0, .float32) }
  return [.direct, .fast, .emulatedBFloat16] + (native.map { [$0] } ?? [])
}()

// MARK: - Specifications

/// A chain of layers on rows of `inputs` features.
func sequential(_ inputs: Int, _ layers: [JSON]) throws -> NetworkSpecification {
  try NetworkSpecification(["type": "sequential", "inputs": .integer(Int64(inputs)), "layers": .array(layers)])
}

func images(_ height: Int, _ width: Int, _ channels: Int, _ layers: [JSON]) throws -> NetworkSpecification {
  try NetworkSpecification([
    "type": "sequential", "inputs": .array([height, width, channels].map { .integer(Int64($0)) }),
    "layers": .array(layers),
  ])
}

func convolution(_ outputs: Int, _ more: JSONObject = [:]) -> JSON {
  var values: JSONObject = ["type": "convolution", "outputs": .integer(Int64(outputs))]
  for (key, value) in more.members { values[key] = value }
  return .object(values)
}

func named(_ layer: JSON, _ name: String, from: [String]? = nil) -> JSON {
  var values = layer.members ?? [:]
  values["name"] = .string(name)
  if let from { values["from"] = .array(from.map { .string($0) }) }
  return .object(values)
}

func dense(_ outputs: Int) -> JSON { ["type": "dense", "outputs": .integer(Int64(outputs))] }
func dropoutLayer(_ rate: Double) -> JSON { ["type": "dropout", "rate": .number(rate)] }
func layer(_ type: String) -> JSON { ["type": .string(type)] }

extension Network {
  /// Moves parameters and running statistics away from their special starting values.
  func randomize(seed: UInt64, scale: Double = 0.3) throws {
    parameters.add(try randomTensor(parameters.shape, seed: seed), scaledBy: scale)
    let noise = try randomTensor(statistics.shape, seed: seed + 1)
    // Variances start at 1 and stay positive.
    for i in 0..<statistics.count { statistics[i] += 0.5 * noise[i] / (1 + abs(noise[i])) }
  }
}

// MARK: - Trainers

extension JSONObject {
  /// The same with these keys set, which may be dotted.
  func setting(_ changes: JSONObject) -> JSONObject {
    var result = self
    for (key, value) in changes.members { result[key] = value }
    return result
  }
}

extension Trainer {
  /// Everything that training changes, by name, as bytes.
  var snapshot: [String: [UInt8]] {
    var parts: [String: [UInt8]] = [:]
    for (index, entry) in state(withStages: stages.filter(\.hasBegun)).enumerated() {
      parts["\(index) \(entry.name)"] = entry.tensor.bytes
    }
    parts["steps"] = Array("\(steps)".utf8)
    parts["history"] = Array("\(history.map { zip($0.names, $0.values).map { "\($0) \($1.bitPattern)" } })".utf8)
    return parts
  }

  /// The parts of two snapshots that differ.
  static func differences(_ a: Trainer, _ b: Trainer) -> [String] { differences(a.snapshot, b.snapshot) }

  static func differences(_ a: [String: [UInt8]], _ b: [String: [UInt8]]) -> [String] {
    Set(a.keys).union(b.keys).filter { a[$0] != b[$0] }.sorted()
  }
}
