extension Dataset {
  /// 1,797 handwritten digits of 8×8 pixels, all labelled: features `[1797, 64]`, uint8 from 0 (paper) to 16 (ink).
  ///
  /// E. Alpaydin, C. Kaynak: "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998,
  /// https://doi.org/10.24432/C50P49, licensed CC BY 4.0. This is the test part of that set, as in scikit-learn's
  /// `load_digits`, with its order of rows, and unchanged.
  /// - Parameter asImages: whether the rows are images of 8 × 8 × 1 with pixels from 0 to 255, as those of files are:
  ///   255 / 16 times as much, rounded.
  /// - Throws: `DidactError.outOfMemory`.
  public static func digits(asImages: Bool = false) throws -> Dataset {
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
      for pixel in 0..<pixelCount {
        let ink = line[1 + pixel] &- UInt8(ascii: "a")
        pixels[image * pixelCount + pixel] = asImages ? UInt8(clamping: (Int(ink) * 255 + 8) / 16) : ink
      }
    }
    let classNames = (0..<10).map { String($0) }
    if asImages {
      return Dataset(features: features, labels: labels, classNames: classNames, imageExtent: Extent(8, 8, 1))
    }
    return Dataset(
      features: features, labels: labels, classNames: classNames,
      featureNames: (0..<pixelCount).map { "pixel_\($0 / 8)_\($0 % 8)" })
  }
}
