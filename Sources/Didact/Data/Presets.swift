/// A network and a configuration to begin with, for one kind of data.
///
/// Chosen on the seeds 100 to 109 with exact feedback of weight 1; not meant for anything but a good start.
public struct Preset: Sendable {
  /// Length of a row.
  public let columns: Int
  /// Lengths of the hidden layers of a multilayer perceptron.
  public let hidden: [Int]
  /// Values of configuration keys, of whatever method; see `configuration(method:)`.
  let values: JSONObject

  public static let names = ["two-moons", "digits", "table"]

  /// - Parameters:
  ///   - data: `"two-moons"` or `"digits"`; anything else means a table of unknown content.
  ///   - columns: length of a row.
  public init(data: String, columns: Int) {
    self.columns = columns
    switch data {
    case "two-moons": (hidden, values) = Self.twoMoons
    case "digits": (hidden, values) = Self.digits
    default: (hidden, values) = Self.table(columns: columns)
    }
  }

  /// For images and a network of images.
  public init(images extent: Extent) {
    columns = extent.count
    (hidden, values) = Self.images
  }

  /// Channels of mean 0 and deviation 1.
  private static let images: (hidden: [Int], values: JSONObject) = (
    [128],
    [
      "input_scaling": "channel", "steps": 800, "unlabeled_batch_size": 128, "weak_noise": 0, "strong_noise": 0.1,
      "strong_feature_dropout": 0,
    ]
  )

  /// Two coordinates of noise 0.1. The consistency target is neither sharpened nor masked: a sharpened one fixes where
  /// the boundary runs before it has moved between the moons. A smooth activation draws smoother boundaries.
  private static let twoMoons: (hidden: [Int], values: JSONObject) = (
    [64, 64],
    [
      "network.activation": "swish", "input_scaling": "none", "steps": 1000, "unlabeled_batch_size": 128,
      "weak_noise": 0, "strong_noise": 0.1, "strong_feature_dropout": 0, "uda_weight": 2, "uda_temperature": 1,
      "uda_threshold": 0, "teacher_optimizer.learning_rate": 0.1, "teacher_optimizer.clip_norm": 1,
      "student_optimizer.learning_rate": 0.05,
    ]
  )

  /// 64 pixels from 0 to 16, which become 0 to 1.
  private static let digits: (hidden: [Int], values: JSONObject) = (
    [128],
    [
      "network.batch_norm": true, "input_scaling": "unit", "steps": 800, "unlabeled_batch_size": 128,
      "weak_noise": 0, "strong_noise": 0.3, "strong_feature_dropout": 0.1, "uda_weight": 2, "uda_temperature": 0.4,
      "uda_threshold": 0.8, "teacher_optimizer.learning_rate": 0.2, "teacher_optimizer.clip_norm": 3,
      "student_optimizer.learning_rate": 0.2,
    ]
  )

  /// Columns of mean 0 and deviation 1. Rows lie further apart the more columns there are, in proportion to the root, so
  /// that rows of few columns bear less noise; dropping features would move rows of two columns onto an axis. The target
  /// of the consistency loss counts only where it is sure, and only after a while: otherwise some runs lose a class.
  private static func table(columns: Int) -> (hidden: [Int], values: JSONObject) {
    (
      [64, 64],
      [
        "network.batch_norm": true, "input_scaling": "standard", "steps": 1000, "unlabeled_batch_size": 128,
        "strong_noise": .number(min(0.6, 0.15 * Double(columns).squareRoot())), "strong_feature_dropout": 0,
        "uda_weight": 4, "uda_temperature": 1, "uda_threshold": 0.8, "uda_warmup_steps": 300,
        "teacher_optimizer.learning_rate": 0.2, "teacher_optimizer.clip_norm": 1,
        "teacher_optimizer.schedule": "cosine", "teacher_optimizer.weight_decay": 0.001,
        "student_optimizer.learning_rate": 0.2, "student_optimizer.schedule": "cosine",
        "student_optimizer.weight_decay": 0.001,
      ]
    )
  }
}
