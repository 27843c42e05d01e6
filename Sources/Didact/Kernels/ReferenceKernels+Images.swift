#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Convolution, pooling and what else knows pixels, in plain loops.
extension ReferenceKernels {
  /// Calls `body` for every pair of output and input pixel that a window joins: their first elements, and the index of the
  /// pair in the window.
  @inline(__always)
  private func forEachPair(_ rows: Int, _ window: Window, _ body: (_ output: Int, _ input: Int, _ index: Int) -> Void) {
    let input = window.input, output = window.output
    for n in 0..<rows {
      for y in 0..<output.height {
        for x in 0..<output.width {
          let o = ((n * output.height + y) * output.width + x) * output.channels
          window.forEachPixel(y, x) { row, column, index in
            body(o, ((n * input.height + row) * input.width + column) * input.channels, index)
          }
        }
      }
    }
  }

  // MARK: Convolution

  /// Calls `body` with a weight [O, I, K, K] as [K · K, O, I], so that inner loops run over neighbours, and with how far
  /// apart pixels and pairs of channels stand in it: in the weight itself, where there is no memory for another form.
  @inline(__always)
  private func withPixels(
    _ weight: Elements, _ window: Window, isWritten: Bool = false,
    _ body: (_ weight: Elements, _ pixelStride: Int, _ pairStride: Int) -> Void
  ) {
    let size = window.height * window.width, pairs = window.output.channels * window.input.channels / window.groups
    guard let memory = malloc(max(1, size * pairs) * MemoryLayout<Element>.stride) else { return body(weight, 1, size) }
    defer { free(memory) }
    let result = memory.assumingMemoryBound(to: Element.self)
    for index in 0..<size {
      for pair in 0..<pairs { result[index * pairs + pair] = weight[pair * size + index] }
    }
    body(result, pairs, 1)
    guard isWritten else { return }
    for index in 0..<size {
      for pair in 0..<pairs { weight[pair * size + index] = result[index * pairs + pair] }
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func convolution(
    _ output: Tensor, _ input: Tensor, weight: Tensor, bias: Tensor?, _ window: Window, accumulate: Bool
  ) {
    let rows = input.rows, y = elements(output), x = elements(input), bias = bias.map(elements)
    let outputs = window.output.channels
    let inputsOfGroup = window.input.channels / window.groups, outputsOfGroup = outputs / window.groups
    if !accumulate {
      for pixel in 0..<rows * window.output.pixels {
        for o in 0..<outputs { y[pixel * outputs + o] = bias?[o] ?? 0 }
      }
    }
    withPixels(elements(weight), window) { w, pixelStride, pairStride in
      forEachPair(rows, window) { to, from, index in
        for o in 0..<outputs {
          let x = x + from + o / outputsOfGroup * inputsOfGroup
          let w = w + index * pixelStride + o * inputsOfGroup * pairStride
          var sum: Element = 0
          for i in 0..<inputsOfGroup { sum += w[i * pairStride] * x[i] }
          y[to + o] += sum
        }
      }
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func convolutionInputCotangent(_ inputCotangent: Tensor, _ outputCotangent: Tensor, weight: Tensor, _ window: Window)
  {
    let rows = outputCotangent.rows, d = elements(inputCotangent), y = elements(outputCotangent)
    let outputs = window.output.channels
    let inputsOfGroup = window.input.channels / window.groups, outputsOfGroup = outputs / window.groups
    d.update(repeating: 0, count: inputCotangent.count)
    withPixels(elements(weight), window) { w, pixelStride, pairStride in
      forEachPair(rows, window) { from, to, index in
        for o in 0..<outputs {
          let d = d + to + o / outputsOfGroup * inputsOfGroup
          let w = w + index * pixelStride + o * inputsOfGroup * pairStride, value = y[from + o]
          for i in 0..<inputsOfGroup { d[i] += w[i * pairStride] * value }
        }
      }
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func convolutionParameterCotangents(
    _ weightCotangent: Tensor, _ biasCotangent: Tensor?, _ outputCotangent: Tensor, input: Tensor, _ window: Window
  ) {
    let rows = input.rows, d = elements(outputCotangent), x = elements(input)
    let outputs = window.output.channels
    let inputsOfGroup = window.input.channels / window.groups, outputsOfGroup = outputs / window.groups
    withPixels(elements(weightCotangent), window, isWritten: true) { dw, pixelStride, pairStride in
      forEachPair(rows, window) { to, from, index in
        for o in 0..<outputs {
          let x = x + from + o / outputsOfGroup * inputsOfGroup
          let dw = dw + index * pixelStride + o * inputsOfGroup * pairStride, value = d[to + o]
          for i in 0..<inputsOfGroup { dw[i * pairStride] += value * x[i] }
        }
      }
    }
    guard let biasCotangent else { return }
    let db = elements(biasCotangent)
    for pixel in 0..<rows * window.output.pixels {
      for o in 0..<outputs { db[o] += d[pixel * outputs + o] }
    }
  }

  // MARK: Pooling

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func averagePool(_ output: Tensor, _ input: Tensor, _ window: Window) {
    let y = elements(output), x = elements(input), share = 1 / Element(window.height * window.width)
    y.update(repeating: 0, count: output.count)
    forEachPair(input.rows, window) { to, from, _ in
      for c in 0..<window.input.channels { y[to + c] += x[from + c] }
    }
    for i in 0..<output.count { y[i] *= share }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func averagePoolBackward(_ inputCotangent: Tensor, _ outputCotangent: Tensor, _ window: Window) {
    let d = elements(inputCotangent), y = elements(outputCotangent)
    let share = 1 / Element(window.height * window.width)
    d.update(repeating: 0, count: inputCotangent.count)
    forEachPair(outputCotangent.rows, window) { from, to, _ in
      for c in 0..<window.input.channels { d[to + c] += share * y[from + c] }
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func maxPool(_ output: Tensor, _ input: Tensor, places: Tensor, _ window: Window) {
    let y = elements(output), x = elements(input), p = elements(places)
    p.update(repeating: -1, count: places.count)
    forEachPair(input.rows, window) { to, from, index in
      for c in 0..<window.input.channels {
        // The first of equal ones; NaN stays NaN.
        let isFirst = p[to + c] < 0, value = x[from + c]
        guard isFirst || value > y[to + c] || value != value && y[to + c] == y[to + c] else { continue }
        y[to + c] = value
        p[to + c] = Element(index)
      }
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func maxPoolBackward(_ inputCotangent: Tensor, _ outputCotangent: Tensor, places: Tensor, _ window: Window) {
    let d = elements(inputCotangent), y = elements(outputCotangent), p = elements(places)
    d.update(repeating: 0, count: inputCotangent.count)
    forEachPair(outputCotangent.rows, window) { from, to, index in
      for c in 0..<window.input.channels where p[from + c] == Element(index) { d[to + c] += y[from + c] }
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func maxPoolTangent(_ outputTangent: Tensor, _ inputTangent: Tensor, places: Tensor, _ window: Window) {
    let y = elements(outputTangent), x = elements(inputTangent), p = elements(places)
    forEachPair(inputTangent.rows, window) { to, from, index in
      for c in 0..<window.input.channels where p[to + c] == Element(index) { y[to + c] = x[from + c] }
    }
  }

  // MARK: Gates

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func scaleChannels(_ result: Tensor, _ x: Tensor, gate: Tensor, accumulate: Bool) {
    let rows = gate.rows, channels = gate.columns, pixels = x.count / gate.count
    let r = elements(result), x = elements(x), g = elements(gate)
    for n in 0..<rows {
      for pixel in 0..<pixels {
        for c in 0..<channels {
          let i = (n * pixels + pixel) * channels + c
          r[i] = (accumulate ? r[i] : 0) + x[i] * g[n * channels + c]
        }
      }
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func sumPixels(_ gate: Tensor, _ a: Tensor, _ b: Tensor) {
    let rows = gate.rows, channels = gate.columns, pixels = a.count / gate.count
    let g = elements(gate), a = elements(a), b = elements(b)
    g.update(repeating: 0, count: gate.count)
    for n in 0..<rows {
      for pixel in 0..<pixels {
        for c in 0..<channels {
          let i = (n * pixels + pixel) * channels + c
          g[n * channels + c] += a[i] * b[i]
        }
      }
    }
  }

  @specialized(where Element == Float)
  @specialized(where Element == Double)
  func scaleRows(_ result: Tensor, _ x: Tensor, factors: Tensor) {
    let columns = x.columns, rows = x.rows, r = elements(result), x = elements(x), f = elements(factors)
    for n in 0..<rows {
      for i in n * columns..<(n + 1) * columns { r[i] = f[n] * x[i] }
    }
  }
}
