import Didact

/// `didact train --resume`
extension Train {
  /// The trainer of a file, whose configuration stays as it is.
  func resumed(_ path: String) throws -> Trainer {
    let fixed: [(option: String, isGiven: Bool)] = [
      ("config", options.config != nil), ("set", !options.assignments.isEmpty), ("network", network != nil),
      ("hidden", hidden != nil),
      ("dtype", dtype != nil), ("categorical", categorical != nil),
    ]
    if let given = fixed.first(where: \.isGiven) {
      throw DidactError(
        .invalidArgument, "--\(given.option) does not go with --resume: the model keeps its configuration; leave it out"
      )
    }
    let trainer = try Trainer(loading: path)
    if let method, Preset.method(named: method) != trainer.methodName {
      throw DidactError(.invalidArgument, "\(path) was trained by \(trainer.methodName), not by \(method)")
    }
    if let seed, UInt64(exactly: seed) != trainer.seed {
      throw DidactError(
        .invalidArgument, "\(path) was trained with seed \(trainer.seed), not \(seed); leave --seed out")
    }
    guard !trainer.isFinished else {
      throw DidactError(
        .invalidArgument,
        "\(path) is trained to its end, after \(trainer.steps) steps: early stopping or fine-tuning is over"
      )
    }
    let last = steps ?? trainer.plannedSteps
    guard last > trainer.steps else {
      throw DidactError(
        .invalidArgument, "\(path) has \(trainer.steps) of \(last) steps behind it; ask for more with --steps")
    }
    return trainer
  }

  func checkFits(_ trainer: Trainer, _ dataset: Dataset, _ trusted: DataSource.Trusted?, _ source: DataSource)
    throws
  {
    try source.check(dataset, for: trainer)
    guard trainer.featureNames.isEmpty || trainer.featureNames == dataset.featureNames else {
      throw DidactError(
        .data,
        "\(source.name): columns \(dataset.featureNames.joined(separator: ", ")); the model was trained on "
          + trainer.featureNames.joined(separator: ", "))
    }
    let digest = Trainer.digest(dataset.features, dataset.labels, dataset.unlabeled, trusted: trusted)
    guard trainer.dataDigest == nil || trainer.dataDigest == digest else {
      throw DidactError(
        .data,
        "\(source.name): not the data and labels that the model was trained on; give the same --data, --labels, "
          + "--trusted and --trusted-column"
      )
    }
    guard trainer.namesOfClasses == dataset.classNames else {
      throw DidactError(
        .data,
        "\(source.name): classes \(dataset.classNames.joined(separator: ", ")); the model was trained on "
          + trainer.namesOfClasses.joined(separator: ", "))
    }
  }
}
