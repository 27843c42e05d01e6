/// What goes on around a method's own steps, and has a network of its own that may predict.
protocol Stage: AnyObject, Stateful {
  /// The name of the network.
  static var role: String { get }
  /// What to do where there is no such network.
  static var remedy: String { get }
  /// Keys of what it adds to a step's metrics.
  static var metricNames: [String] { get }
  var network: Network { get }
  /// Whether the network has come to be: before that it holds what nobody sees.
  var hasBegun: Bool { get }
}

extension Stage {
  static var metricNames: [String] { [] }
}

extension MovingAverage: Stage {
  static let role = "average"
  static let remedy = "; set \"average_decay\""
  var hasBegun: Bool { true }
}

extension Trainer {
  /// The last one that has begun predicts.
  static var stageKinds: [any Stage.Type] { [MovingAverage.self, Selection.self, Finetuning.self] }

  /// Where training is, as far as no tensor says so. Files, copies and transactions keep it.
  struct Position {
    var steps = 0
    var finetuningStart: Int?
    var selection: Selection.Progress?
  }

  var position: Position {
    get {
      // Before its first step the fine-tuning may begin anew, with what predicts then.
      let start = finetuning?.start.flatMap { $0 < steps ? $0 : nil }
      return Position(steps: steps, finetuningStart: start, selection: selection?.progress)
    }
    set {
      historyValues.removeLast(max(0, steps - newValue.steps) * metricNames.count)
      steps = newValue.steps
      finetuning?.start = newValue.finetuningStart
      if let progress = newValue.selection { selection?.progress = progress }
      choosePredictor()
    }
  }

  /// All that training changes, in the order of model files: networks and optimisers, then what the method keeps, then the
  /// stages.
  func state(withStages stages: [any Stage]) -> [StateEntry] {
    method.learners.flatMap(\.state) + method.state + augmentationRates + stages.flatMap(\.state)
  }

  /// What policies that learn have learned.
  private var augmentationRates: [StateEntry] {
    definition.views.compactMap { strength in
      augmentations[strength]?.adaptive.map {
        StateEntry(name: "augmentation.\(strength).rates", tensor: $0.rates.values, kind: .shares, change: .inStep)
      }
    }
  }
}
