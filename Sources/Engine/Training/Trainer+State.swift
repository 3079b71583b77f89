internal import CKernels

/// What a trainer has to remember beside the parameters: AdamW's moments and the number of steps.
extension Trainer {
  private static let stepKey = "step"
  private static let firstPrefix = "first."
  private static let secondPrefix = "second."

  /// Writes the moments to a safetensors file.
  ///
  /// Tensors are called `first.NAME` and `second.NAME`, NAME being the parameter's Hugging Face name, rows as they lie in memory; in bf16
  /// where moments are kept in it.
  ///
  /// - Throws: `FileError` when the file cannot be written; nothing is left behind then.
  public func writeState(to path: String) throws {
    var writer = SafetensorsWriter(metadata: [Trainer.stepKey: "\(optimizer.stepCount)"])
    for (parameter, moments) in zip(optimizer.parameters, optimizer.moments) {
      let (name, shape) = (parameter.name.huggingFace, [parameter.rows, parameter.columns])
      if moments.areHalves {
        writer.add(Trainer.tensor(Trainer.firstPrefix + name, moments.halfFirst, shape))
        writer.add(Trainer.tensor(Trainer.secondPrefix + name, moments.halfSecond, shape))
      } else {
        writer.add(OutgoingTensor(name: Trainer.firstPrefix + name, values: moments.first, shape: shape))
        writer.add(OutgoingTensor(name: Trainer.secondPrefix + name, values: moments.second, shape: shape))
      }
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
    var stored: [(first: StoredTensor, second: StoredTensor)] = []
    for parameter in optimizer.parameters {
      stored.append(
        (
          try Trainer.moment(Trainer.firstPrefix, parameter, file),
          try Trainer.moment(Trainer.secondPrefix, parameter, file)
        ))
    }
    for (index, parameter) in optimizer.parameters.enumerated() {
      let (first, second) = (try stored[index].first.float32Values(), try stored[index].second.float32Values())
      var moments = optimizer.moments[index]
      if moments.areHalves {
        // What is in bf16 already stays as it is; a run that kept it in f32 goes on with it rounded.
        round(first, of: parameter, to: &moments.halfFirst)
        round(second, of: parameter, to: &moments.halfSecond)
      } else {
        (moments.first, moments.second) = (first, second)
      }
      optimizer.restore(moments, of: index)
    }
    optimizer.stepCount = step
  }

  private static func tensor(_ name: String, _ halves: [UInt16], _ shape: [Int]) -> OutgoingTensor {
    OutgoingTensor(name: name, type: .bf16, shape: shape) { sink in unsafe try sink.append(halves.span.bytes) }
  }

  private func round(_ values: [Float], of parameter: Parameter, to halves: inout [UInt16]) {
    unsafe hearth_bf16_round(
      model.pool.pointer, &halves, parameter.columns, values, parameter.columns, parameter.rows, parameter.columns)
  }

  private static func moment(
    _ prefix: String, _ parameter: Parameter, _ file: SafetensorsFile
  ) throws(CheckpointError) -> StoredTensor {
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
    try tensor.requireFormat()
    return tensor
  }
}

extension Trainer {
  /// Numbers that training changes.
  public var parameterCount: Int { optimizer.parameters.reduce(0) { $0 + $1.count } }
}
