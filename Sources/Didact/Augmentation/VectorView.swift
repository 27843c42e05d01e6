/// A random view of vectors, or of the pixels of images as the network takes them: features taken from another row,
/// features set to 0, features scaled, and Gaussian noise added, in this order; or, where categories are mixed, those taken
/// from another row and nothing else done to them.
struct VectorView: Sendable {
  /// Share of features that come from another row of the batch, one for each row.
  let featureMix: Double
  /// Share of features set to 0.
  let featureDropout: Double
  /// Standard deviation of the factor, around 1, that every feature of every row is multiplied by.
  let featureScaling: Double
  /// Standard deviation, in the unit of the network's input.
  let noise: Double
  /// Share of categories that come from another row of the batch, one for each row; where it is 0 their columns are features as
  /// all others are.
  let categoryMix: Double
  let categories: [Range<Int>]
  let stream: RandomStream

  /// The fields of a view, such as `strong_noise`.
  static func fields(_ strength: String, noise: Double, featureDropout: Double) -> [Field] {
    func share(_ key: String, _ defaultValue: Double, _ meaning: String, source: String = "") -> Field {
      Field("\(strength)_\(key)", .number(.halfOpen(0, 1)), .number(defaultValue), meaning, source: source)
    }
    return [
      Field(
        "\(strength)_noise", .number(.atLeast(0)), .number(noise),
        "fit: standard deviation of the \(strength) view's Gaussian noise"),
      share(
        "category_mix", 0,
        "fit: share of the categories (columns of 0 and 1 of which a row has one 1 at most) that the \(strength) view takes from "
          + "another row of the batch; where it is above 0, their columns have no noise"),
      share("feature_dropout", featureDropout, "fit: share of features that the \(strength) view sets to 0"),
      share(
        "feature_mix", 0, "fit: share of features that the \(strength) view takes from another row of the batch",
        source: "tabular self-supervision: Yoon et al. 2020 (VIME), Bahri et al. 2022 (SCARF)"),
      Field(
        "\(strength)_feature_scaling", .number(.atLeast(0)), 0,
        "fit: standard deviation of the factors around 1 that the \(strength) view multiplies features by"),
    ]
  }

  /// The view of a strength that a configuration describes.
  init(_ configuration: FieldValues, _ strength: String, categories: [Range<Int>], stream: RandomStream) throws {
    categoryMix = try configuration.number("\(strength)_category_mix")
    self.categories = categoryMix > 0 ? categories : []
    featureMix = try configuration.number("\(strength)_feature_mix")
    featureDropout = try configuration.number("\(strength)_feature_dropout")
    featureScaling = try configuration.number("\(strength)_feature_scaling")
    noise = try configuration.number("\(strength)_noise")
    self.stream = stream
  }

  private var changesNothing: Bool {
    featureMix == 0 && featureDropout == 0 && featureScaling == 0 && noise == 0 && categories.isEmpty
  }

  /// A view of `input` [N, inputs], which stays as it is.
  func callAsFunction(_ kernels: any Kernels, _ input: Tensor, draw: UInt64) throws -> Tensor {
    guard !changesNothing else { return input }
    let view = try input.copy()
    if featureMix > 0 {
      // view ← other + m ⊙ (view − other)
      let other = try Tensor(input.shape, input.elementType)
      kernels.gather(other, input, rows: stream.draw(draw, lane: 2).permutation(input.rows))
      kernels.add(other, scaledBy: -1, to: view)
      kernels.multiply(view, view, try kept(kernels, input, rate: featureMix, draw: draw, lane: 3))
      kernels.add(other, scaledBy: 1, to: view)
    }
    if featureDropout > 0 {
      kernels.multiply(view, view, try kept(kernels, input, rate: featureDropout, draw: draw, lane: 0))
    }
    if featureScaling > 0 {
      let factors = try Tensor(input.shape, input.elementType)
      kernels.fill(factors, 1)
      kernels.addNormal(factors, deviation: featureScaling, stream.draw(draw, lane: 4))
      kernels.multiply(view, view, factors)
    }
    if noise > 0 { kernels.addNormal(view, deviation: noise, stream.draw(draw, lane: 1)) }
    if !categories.isEmpty { try mixCategories(of: view, from: input, kernels, draw: draw) }
    return view
  }

  /// Gives each category of `view` the value of the row in `input`, or of another row.
  private func mixCategories(of view: Tensor, from input: Tensor, _ kernels: any Kernels, draw: UInt64) throws {
    let isKept = try kept(
      kernels, Tensor(Shape(input.rows, categories.count), input.elementType), rate: categoryMix, draw: draw, lane: 6)
    let others = stream.draw(draw, lane: 5).permutation(input.rows)
    for row in 0..<input.rows {
      for (index, columns) in categories.enumerated() {
        let source = isKept[row * categories.count + index] != 0 ? row : others[row]
        let start = source * input.columns + columns.lowerBound
        view.copyElements(start..<start + columns.count, of: input, to: row * input.columns + columns.lowerBound)
      }
    }
  }

  /// 0 with probability `rate`, else 1.
  private func kept(_ kernels: any Kernels, _ input: Tensor, rate: Double, draw: UInt64, lane: UInt32) throws -> Tensor
  {
    let mask = try Tensor(input.shape, input.elementType)
    kernels.dropoutMask(mask, rate: rate, stream.draw(draw, lane: lane))
    // A dropout mask holds 0 and 1 / (1 − rate).
    kernels.scale(mask, by: 1 - rate)
    return mask
  }
}
