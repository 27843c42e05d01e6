/// What this build is and can do, for `info`, bug reports and bindings.
public let buildInformation: JSON = {
  #if DEBUG
    let configuration = "debug"
  #else
    let configuration = "release"
  #endif
  return [
    "version": .string(didactVersion), "configuration": .string(configuration), "kernels": ["oneDNN", "reference"],
    "oneDNN": .string(MachineCode.oneDNNVersion), "instruction_sets": .object(MachineCode.instructionSets),
    "dtypes": ["float32", "float64"], "methods": .array(Trainer.methodNames.map { .string($0) }),
  ]
}()
