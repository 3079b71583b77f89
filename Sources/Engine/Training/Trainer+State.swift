/// What a trainer has to remember beside the parameters: AdamW's moments and the number of steps.
extension Trainer {
  private static let stepKey = "step"

  /// Writes the moments to a safetensors file.
  ///
  /// Tensors are called `first.NAME` and `second.NAME`, NAME being the parameter's Hugging Face name, rows as they lie in memory.
  ///
  /// - Throws: `FileError` when the file cannot be written; nothing is left behind then.
  public func writeState(to path: String) throws {
    var writer = SafetensorsWriter(metadata: [Trainer.stepKey: "\(optimizer.stepCount)"])
    for (index, parameter) in optimizer.parameters.enumerated() {
      let shape = [parameter.rows, parameter.columns]
      writer.add(
        OutgoingTensor(
          name: "first." + parameter.name.huggingFace, values: optimizer.first[index], shape: shape))
      writer.add(
        OutgoingTensor(
          name: "second." + parameter.name.huggingFace, values: optimizer.second[index], shape: shape))
    }
    try writer.write(to: path)
  }

  /// Restores what `writeState` wrote; the parameters have to be restored by themselves.
  ///
  /// - Throws: `CheckpointError` when the file is damaged or of another run.
  public func readState(from path: String) throws(CheckpointError) {
    let file = try SafetensorsFile(path: path)
    guard let text = file.metadata[Trainer.stepKey], let step = Int(text), step >= 0 else {
      throw CheckpointError(
        .malformed, file: path, place: .key(Trainer.stepKey), "does not say how many steps were taken")
    }
    var moments: (first: [[Float]], second: [[Float]]) = ([], [])
    for parameter in optimizer.parameters {
      moments.first.append(try Trainer.moment("first.", parameter, file))
      moments.second.append(try Trainer.moment("second.", parameter, file))
    }
    optimizer.restore(stepCount: step, first: moments.first, second: moments.second)
  }

  private static func moment(
    _ prefix: String, _ parameter: Parameter, _ file: SafetensorsFile
  ) throws(CheckpointError) -> [Float] {
    let name = prefix + parameter.name.huggingFace
    guard let tensor = try file.tensorIfPresent(name) else {
      throw CheckpointError(
        .missing, file: file.path, place: .tensor(name), "is not there",
        advice: "The checkpoint is of a run that trains something else; resume with the run's own recipe")
    }
    guard tensor.shape == [parameter.rows, parameter.columns] else {
      throw CheckpointError(
        .mismatch, file: file.path, place: .tensor(name), "has the wrong shape",
        expected: "[\(parameter.rows), \(parameter.columns)]", found: "\(tensor.shape)")
    }
    return try tensor.float32Values()
  }
}

extension Trainer {
  /// Numbers that training changes.
  public var parameterCount: Int { optimizer.parameters.reduce(0) { $0 + $1.count } }
}
