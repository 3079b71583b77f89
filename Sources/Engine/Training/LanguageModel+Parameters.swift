extension LanguageModel {
  static let parametersName = "parameters.safetensors"

  /// Writes all parameters in f32, as they lie in memory, for a checkpoint of full fine-tuning.
  ///
  /// - Parameter folder: Receives `parameters.safetensors`.
  /// - Throws: `FileError` when it cannot be written.
  public func writeParameters(to folder: String) throws {
    var writer = SafetensorsWriter()
    for parameter in parameters {
      let pool = pool
      writer.add(
        OutgoingTensor(
          name: parameter.name.huggingFace, type: .f32, shape: [parameter.rows, parameter.columns]
        ) { sink in
          guard let values = unsafe parameter.float32 else { return try sink.append(floats: parameter.values(pool)) }
          // As it lies there: a copy of a token table would be the largest thing that training allocates.
          unsafe try sink.append(RawSpan(_unsafeStart: values, byteCount: 4 * parameter.count))
        })
    }
    try writer.write(to: folder + "/" + LanguageModel.parametersName)
  }

  /// Puts the values of a checkpoint of full fine-tuning in place of the base's.
  ///
  /// - Throws: `CheckpointError` when a parameter is missing or has another shape; no parameter has changed then.
  public func readParameters(from folder: String) throws(CheckpointError) {
    let file = try SafetensorsFile(path: folder + "/" + LanguageModel.parametersName)
    var stored: [StoredTensor] = []
    for parameter in parameters {
      let name = parameter.name.huggingFace
      guard let tensor = try file.tensorIfPresent(name), tensor.shape == [parameter.rows, parameter.columns]
      else {
        throw CheckpointError(
          .mismatch, file: file.path, place: .tensor(name), "is missing or has the wrong shape",
          expected: "[\(parameter.rows), \(parameter.columns)]",
          advice: "The run was trained on another base model")
      }
      try tensor.requireFormat()
      stored.append(tensor)
    }
    // One after the other: the file's pages count as this process's memory while they are mapped in.
    for (parameter, tensor) in zip(parameters, stored) { parameter.setValues(tensor) }
    revision += 1
  }
}
