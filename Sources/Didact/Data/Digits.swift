extension Dataset {
  /// 1,797 handwritten digits of 8×8 pixels, all labelled: features `[1797, 64]`, uint8 from 0 (paper) to 16 (ink).
  ///
  /// E. Alpaydin, C. Kaynak: "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
  /// https://doi.org/10.24432/C50P49, licensed CC BY 4.0. This is the test part of that set, as in scikit-learn's
  /// `load_digits`, with its order of rows, and unchanged.
  /// - Throws: `DidactError.outOfMemory`.
  public static func digits() throws -> Dataset {
    let imageCount = 1797, pixelCount = 64
    // A line is the label, the pixels and a line feed; the last line has none.
    let lineLength = 1 + pixelCount + 1
    guard digitsTable.utf8CodeUnitCount == imageCount * lineLength - 1 else {
      throw DidactError(.internalError, "the table of digits has the wrong length")
    }
    let table = digitsTable.utf8Start
    let features = try Tensor(Shape(imageCount, pixelCount), .uint8)
    let pixels = features.address.assumingMemoryBound(to: UInt8.self)
    var labels: [Int] = []
    for image in 0..<imageCount {
      let line = table + image * lineLength
      labels.append(Int(line[0] &- UInt8(ascii: "0")))
      for pixel in 0..<pixelCount { pixels[image * pixelCount + pixel] = line[1 + pixel] &- UInt8(ascii: "a") }
    }
    return Dataset(
      features: features, labels: labels, classNames: (0..<10).map { String($0) },
      featureNames: (0..<pixelCount).map { "pixel_\($0 / 8)_\($0 % 8)" })
  }
}
