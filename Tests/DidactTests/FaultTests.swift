import Testing

@testable import Didact

/// Every N-th allocation of a buffer, loss or gradient fails in turn: an error each time, nothing lost, and the next try
/// succeeds.
@Suite struct FaultTests {
  /// Runs `body` with the first thing of a kind failing, then the second, until all succeed. What it takes is made anew each
  /// time.
  /// - Parameter check: looks at it after a failure.
  /// - Returns: how many failures there were.
  @discardableResult private func failEach<Subject>(
    _ point: Fault.Point, _ subject: () throws -> Subject, _ body: (Subject) throws -> Void,
    _ check: (Subject) throws -> Void = { _ in }
  ) throws -> Int {
    for number in 0... {
      let subject = try subject()
      let (result, hasHappened) = Fault.failing(point, number: number) { try body(subject) }
      guard hasHappened else {
        try result.get()
        return number
      }
      // Memory that is kept for later is let go, and asked for again.
      if case .failure(let error) = result {
        let expected: DidactError.Code = point == .allocation ? .outOfMemory : .diverged
        #expect((error as? DidactError)?.code == expected, "\(point) \(number): \(error)")
        try check(subject)
      }
    }
    return 0
  }

  private static func trainer(_ method: String, _ changes: JSONObject = [:]) throws -> Trainer {
    // What is to fail is the calling thread's.
    let keys = try Training.fitKeys(method).setting(["method": .string(method), "steps": 3, "threads": 1])
    return try Trainer(configuration: Training.configuration(keys).setting(changes))
  }

  private static let stages: JSONObject = [
    "validation_fraction": 0.4, "validation_steps": 1, "finetune_steps": 2, "members": [["method": "supervised"]],
    "forest_trees": 2,
  ]

  /// A student's half of a step waits for the teacher's through steps and halves that are refused, or have no memory.
  @Test(arguments: [0, 2]) func aHalfWaitsThroughStepsThatFail(stepsBefore: Int) throws {
    let batch = try Training.Batches(1), single = try batch.weak.rows(0..<1).copy()
    func waiting() throws -> Trainer {
      let trainer = try Self.trainer("meta_pseudo_labels", ["dtype": "float64"])
      for _ in 0..<stepsBefore {
        try trainer.step(batch.inputs, Training.labels, unlabeled: batch.weak, strong: batch.strong)
      }
      try trainer.studentStep(batch.weak, strong: batch.strong)
      return trainer
    }
    let whole = try waiting()
    try whole.teacherStep(batch.inputs, Training.labels)
    func check(_ trainer: Trainer) throws {
      let metrics = try trainer.teacherStep(batch.inputs, Training.labels)
      #expect(metrics == whole.lastMetrics && Trainer.differences(trainer, whole) == [])
    }
    // Batch normalisation refuses a single row.
    let refused = try waiting()
    for _ in 0..<2 {
      #expect(Training.error { try refused.studentStep(single) }.code == .data)
      #expect(
        Training.error { try refused.step(batch.inputs, Training.labels, unlabeled: single) }.code == .data)
    }
    try check(refused)
    let failures = try failEach(
      .allocation, waiting,
      {
        try $0.step(batch.inputs, Training.labels, unlabeled: batch.weak, strong: batch.strong)
      }, check)
    #expect(failures > 3)
    // What diverges gives the half up: nothing of it stays.
    try failEach(
      .loss, waiting,
      {
        try $0.step(batch.inputs, Training.labels, unlabeled: batch.weak, strong: batch.strong)
      }
    ) { trainer in
      #expect(Training.error { try trainer.teacherStep(batch.inputs, Training.labels) }.code == .state)
      let clean = try Self.trainer("meta_pseudo_labels", ["dtype": "float64"])
      while clean.steps < trainer.steps {
        try clean.step(batch.inputs, Training.labels, unlabeled: batch.weak, strong: batch.strong)
      }
      #expect(trainer.steps == clean.steps && Trainer.differences(trainer, clean) == [])
    }
  }

  /// A validation, or probes of a policy that learns, for which there was no memory after a step are made up for: by the next
  /// fit, of a copy too.
  @Test(arguments: [false, true]) func whatALastStepOwesIsMadeUpFor(hasProbes: Bool) throws {
    let images = try Tensor(Shape(12, 6, 6, 1), .uint8), labels = (0..<12).map { $0 < 9 ? $0 % 3 : -1 }
    for index in 0..<images.count { images[index] = Double(index * index % 251) }
    let keys: JSONObject = [
      "network": [
        "type": "sequential", "inputs": [6, 6, 1],
        "layers": [
          ["type": "convolution", "outputs": 4], ["type": "relu"], ["type": "global_average_pool"],
          ["type": "dense", "outputs": 3],
        ],
      ],
      "validation_fraction": hasProbes ? 0 : 0.4, "validation_steps": 1, "input_scaling": "unit",
      "strong_augmentation": hasProbes ? "ct_augment" : "none",
    ]
    let fresh = { try Self.trainer("fixmatch", keys) }, whole = try fresh()
    try whole.fit(images, labels)
    try failEach(.allocation, fresh, { _ = try $0.fit(images, labels) }) { trainer in
      // The file is made anew from the bytes of this one.
      let copy = trainer.steps > 0 ? try trainer.copy() : try fresh()
      for each in [trainer, copy] {
        try each.fit(images, labels)
        #expect(Trainer.differences(each, whole) == [])
      }
    }
  }

  /// A fit ends with an error after some of its steps, whole ones, and goes on to the bits of one that nothing disturbed.
  @Test(arguments: Trainer.methodNames, [false, true])
  func aFitGoesOnWhereSomethingFailed(method: String, hasStages: Bool) throws {
    let (features, labels) = try Training.points(), changes = hasStages ? Self.stages : [:]
    let whole = try Self.trainer(method, changes)
    try whole.fit(features, labels)
    // It goes on until all is done, or for a number of steps, where members may be behind.
    var isCounted = false
    let fresh = { try Self.trainer(method, changes) },
      fit = { (trainer: Trainer) in _ = try trainer.fit(features, labels) }
    let allocations = try failEach(.allocation, fresh, fit) { trainer in
      try trainer.fit(features, labels, steps: isCounted ? whole.steps - trainer.steps : nil)
      isCounted.toggle()
      #expect(Trainer.differences(trainer, whole) == [])
    }
    #expect(allocations > 30)
    // What diverges goes back to a whole step, the last or the one before.
    let diverged = try [Fault.Point.loss, .gradient].map { point in
      try failEach(point, fresh, fit) { trainer in
        if !hasStages {
          let undisturbed = try fresh()
          // A fit that makes no step leaves nothing of its rows.
          if trainer.steps > 0 { try undisturbed.fit(features, labels, steps: trainer.steps) }
          #expect(Trainer.differences(trainer, undisturbed) == [])
        }
        try trainer.fit(features, labels)
        #expect(Trainer.differences(trainer, whole) == [])
      }
    }
    #expect(diverged.allSatisfy { $0 >= 3 })
    print(
      "\(method)\(hasStages ? " with stages" : ""): \(allocations) allocations, \(diverged[0]) losses, \(diverged[1]) gradients"
    )
  }

  /// Those that must know which rows a batch has make no single steps.
  @Test(arguments: Trainer.methodNames.filter { !["reduced_meta_pseudo_labels", "temporal_ensembling"].contains($0) })
  func aStepThatHadNoMemoryChangesNothing(method: String) throws {
    let batches = try Training.Batches(0), fresh = try Self.trainer(method)
    func step(_ trainer: Trainer) throws {
      try trainer.step(batches.inputs, Training.labels, unlabeled: batches.weak, strong: batches.strong)
    }
    try failEach(.allocation, { try Self.trainer(method) }, step) { #expect(Trainer.differences($0, fresh) == []) }
  }

  @Test func trainersAndFilesThatHadNoMemoryCanBeHadNext() throws {
    let directory = try TemporaryDirectory(), path = directory.path("model.safetensors")
    let (features, labels) = try Training.points(), trainer = try Self.trainer("meta_pseudo_labels", Self.stages)
    try trainer.fit(features, labels)
    try trainer.save(to: path)
    let content = try readBytes(path)
    let counts = [
      try failEach(.allocation, {}, { _ in _ = try Self.trainer("meta_pseudo_labels", Self.stages) }),
      try failEach(.allocation, {}, { _ in _ = try Trainer(loading: path) }),
      try failEach(.allocation, {}, { _ in _ = try trainer.copy() }),
      try failEach(.allocation, { try trainer.copy() }, { try $0.save(to: path) }) { _ in
        let written = try readBytes(path)
        #expect(written == content)
      },
      try failEach(.allocation, { try trainer.copy() }, { _ = try $0.predictProbabilities(features) }) { copy in
        let predicted = try copy.predict(features), expected = try trainer.predict(features)
        #expect(predicted == expected)
      },
      try failEach(.allocation, {}, { _ in _ = try trainer.student.copy() }),
      try failEach(.allocation, {}, { _ in _ = try SafetensorsFile(reading: path) }),
    ]
    #expect(counts.allSatisfy { $0 > 0 }, "\(counts)")
  }
}
