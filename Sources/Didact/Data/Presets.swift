/// A network and a configuration to begin with, for one kind of data.
///
/// Chosen on the seeds 100 to 109 with exact feedback of weight 1; not meant for anything but a good start.
/// The Π-model's weak view is a constant: with both sides free it was 0 to 11 points behind on five data sets.
public struct Preset: Sendable {
  /// Length of a row.
  public let columns: Int
  /// Lengths of the hidden layers of a multilayer perceptron.
  public let hidden: [Int]
  /// The lengths of an image; nil for rows.
  let images: Extent?
  /// Values of configuration keys, of whatever method; see `configuration(method:)`.
  let values: JSONObject
  /// Beside `automaticMethod`: see `Trainer.membersField`.
  let members: [JSON]

  /// The name that front ends have for their default: Meta Pseudo Labels, and of tables an ensemble of it and supervised
  /// learning.
  public static let automaticMethod = "auto"

  public static let names = ["two-moons", "digits", "table"]

  /// - Parameters:
  ///   - data: `"two-moons"` or `"digits"`; anything else means a table of unknown content.
  ///   - columns: length of a row.
  public init(data: String, columns: Int) {
    self.columns = columns
    images = nil
    switch data {
    case "two-moons": (hidden, values) = Self.twoMoons
    case "digits": (hidden, values) = Self.digits
    default: (hidden, values) = Self.table(columns: columns)
    }
    members = Self.names.dropLast().contains(data) ? [] : Self.tableMembers
  }

  /// For images and a network of images.
  /// - Parameter isAugmented: whether the images are uint8, so that policies can change them; others get noise.
  public init(images extent: Extent, isAugmented: Bool = true) {
    columns = extent.count
    images = extent
    members = []
    (hidden, values) = Self.images(extent, isAugmented: isAugmented)
  }

  /// Images are moved, turned and covered in part, on black; those of three colours get FixMatch's views without flips,
  /// which would make other letters and digits of some. Views that keep an image as it is would leave pseudo-labels to
  /// the few pixels that the labelled images happen to have.
  private static func images(_ extent: Extent, isAugmented: Bool) -> (hidden: [Int], values: JSONObject) {
    var values: JSONObject = [
      "network.type": "small_cnn", "input_scaling": extent.channels == 1 ? "unit" : "channel", "steps": 1500,
      "unlabeled_batch_size": 192, "uda_weight": 1, "uda_temperature": 0.4, "uda_threshold": 0.8,
      "distribution_alignment": true,
      "student_optimizer.learning_rate": 0.05, "student_optimizer.schedule": "cosine",
      "teacher_optimizer.learning_rate": 0.05, "teacher_optimizer.schedule": "cosine",
    ]
    if !isAugmented {
      values["weak_noise"] = 0
      values["strong_noise"] = 0.1
      values["strong_feature_dropout"] = 0
    } else if extent.channels != 3 {
      let size = max(1, 3 * min(extent.height, extent.width) / 8)
      values["weak_augmentation"] = ["operation": "affine", "rotation": 5, "translation": 0.06]
      values["strong_augmentation"] = ["affine", ["operation": "cutout", "size": .integer(Int64(size)), "fill": 0]]
    } else {
      values["weak_augmentation"] = "crop"
      values["strong_augmentation"] = [
        "crop", ["operation": "rand_augment", "variant": "fixmatch"], ["operation": "cutout"],
      ]
    }
    return ([], values)
  }

  /// Two coordinates of noise 0.1. The consistency target is neither sharpened nor masked: a sharpened one fixes where
  /// the boundary runs before it has moved between the moons. A smooth activation draws smoother boundaries.
  private static let twoMoons: (hidden: [Int], values: JSONObject) = (
    [64, 64],
    [
      "network.activation": "swish", "input_scaling": "none", "steps": 1000, "unlabeled_batch_size": 128,
      "detach_target": true,
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
      "detach_target": true,
      "weak_noise": 0, "strong_noise": 0.3, "strong_feature_dropout": 0.1, "uda_weight": 2, "uda_temperature": 0.4,
      "uda_threshold": 0.8, "teacher_optimizer.learning_rate": 0.2, "teacher_optimizer.clip_norm": 3,
      "student_optimizer.learning_rate": 0.2,
    ]
  )

  /// Columns of mean 0 and deviation 1, those of categories 0 and 1. Rows of few columns lie near each other and bear less
  /// noise; dropping features would move rows of two columns onto an axis. A category is another row's at times, as noise
  /// beside 0 and 1 makes nothing that a row could hold. There is no batch normalisation: labels are often
  /// drawn evenly from rows that are not even, and a teacher that normalises both by their own statistics takes rows for
  /// another class. The consistency loss begins when the teacher has learned the labels, and class shares are held near
  /// what it then predicts: otherwise some runs lose a class. Where the rows' shares are far from the labels', labels count
  /// for the rows' shares.
  private static func table(columns: Int) -> (hidden: [Int], values: JSONObject) {
    (
      [64, 64],
      [
        "network.activation": "swish", "network.dropout": 0.1, "input_scaling": "table", "steps": 1000,
        "unlabeled_batch_size": 128,
        "strong_noise": .number(min(0.3, 0.15 * Double(columns).squareRoot())), "strong_feature_dropout": 0,
        "strong_category_mix": 0.1, "detach_target": true, "uda_weight": 2, "uda_temperature": 1, "uda_threshold": 0.8,
        "uda_wait_steps": 100,
        "uda_warmup_steps": 300,
        "share_limit": 1.25, "class_prior": "estimate", "teacher_optimizer.learning_rate": 0.1,
        "teacher_optimizer.clip_norm": 1,
        "teacher_optimizer.schedule": "cosine", "teacher_optimizer.weight_decay": 0.001,
        "student_optimizer.learning_rate": 0.1, "student_optimizer.clip_norm": 1,
        "student_optimizer.schedule": "cosine", "student_optimizer.weight_decay": 0.001,
      ]
    )
  }

  /// A student knows no label but the teacher's, and is behind supervised learning where rows have no clusters, or clusters
  /// are not classes. With few labels nothing tells beforehand; the mean is near the better one on most tables. Two more
  /// of the same method take out some of the chance of first weights and batches.
  public static let tableMembers: [JSON] = [
    ["method": "meta_pseudo_labels"], ["method": "meta_pseudo_labels"], ["method": "supervised"],
    ["method": "supervised"],
  ]
  /// Trees beside them have half of the prediction: they are better where columns are skewed, and where clusters of rows are
  /// not classes.
  public static let tableTrees = 100
}
