extension PEFTAdapter {
  /// Writes an adapter as PEFT does: the same adapter gives the same bytes.
  ///
  /// The configuration holds the keys that every version of PEFT since 0.5 knows, and those that this adapter cannot do without; other
  /// keys are left to their defaults, as older versions refuse what they do not know.
  ///
  /// - Parameters:
  ///   - adapter: What is written.
  ///   - model: The model it belongs to; its names and order of rows decide those in the file.
  ///   - folder: Exists already.
  ///   - baseName: What PEFT shows as the base model; loading does not need it.
  ///   - metadata: Free text by name for the head of the weights' file; PEFT passes over what it does not know there.
  /// - Throws: `FileError` when a file cannot be written; nothing half-written is left behind.
  public static func write(
    _ adapter: Adapter, of model: LanguageModel, to folder: String, baseName: String,
    metadata: [String: String] = [:]
  ) throws {
    var writer = SafetensorsWriter(metadata: metadata.merging(["format": "pt"]) { $1 })
    for (name, tensor) in tensors(adapter, of: model).sorted(by: { $0.key < $1.key }) {
      writer.add(OutgoingTensor(name: name, values: tensor.values, shape: tensor.shape))
    }
    try writer.write(to: folder + "/" + weightsName)
    try AtomicFile.write(configuration(adapter, of: model, baseName: baseName), to: folder + "/" + configName)
  }

  /// `adapter_config.json`, keys in order, as PEFT indents it.
  static func configuration(_ adapter: Adapter, of model: LanguageModel, baseName: String) -> String {
    let settings = adapter.settings
    let targets = Set(adapter.entries.map { $0.linear.targetName }).sorted()
    // GPT-2's linear maps are Conv1D in transformers, whose weights lie the other way round.
    let isConv1D = model.checkpoint.architecture == "gpt2"
    var entries: [(String, String)] = [
      ("base_model_name_or_path", quoted(baseName)),
      ("bias", quoted("none")),
      ("fan_in_fan_out", isConv1D ? "true" : "false"),
      ("inference_mode", "true"),
      ("init_lora_weights", "true"),
      ("layers_to_transform", "null"),
      ("lora_alpha", number(settings.alpha)),
      ("lora_dropout", number(settings.dropout)),
      ("modules_to_save", "null"),
      ("peft_type", quoted("LORA")),
      ("r", "\(settings.rank)"),
      ("target_modules", "[\n" + targets.map { "    " + quoted($0) }.joined(separator: ",\n") + "\n  ]"),
      ("task_type", quoted("CAUSAL_LM")),
      ("use_rslora", settings.isRankStabilised ? "true" : "false"),
    ]
    if settings.isWeightDecomposed { entries.append(("use_dora", "true")) }
    let pairs = adapter.entries.map { (path: model.modulePath(of: $0.linear), settings: $0.pair.settings) }
    let ranks = pairs.filter { $0.settings.rank != settings.rank }.map { ($0.path, "\($0.settings.rank)") }
    let alphas = pairs.filter { $0.settings.alpha != settings.alpha }.map { ($0.path, number($0.settings.alpha)) }
    for (key, pattern) in [("rank_pattern", ranks), ("alpha_pattern", alphas)] where !pattern.isEmpty {
      let lines = pattern.sorted { $0.0 < $1.0 }.map { "    \(quoted($0.0)): \($0.1)" }
      entries.append((key, "{\n" + lines.joined(separator: ",\n") + "\n  }"))
    }
    entries.sort { $0.0 < $1.0 }
    return "{\n" + entries.map { "  \(quoted($0.0)): \($0.1)" }.joined(separator: ",\n") + "\n}\n"
  }

  /// Whole numbers without a fraction, as people write alpha.
  private static func number(_ value: Float) -> String {
    value == value.rounded() && abs(value) < 1e6 ? "\(Int(value))" : "\(value)"
  }

  private static func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case let control where control.value < 0x20:
        let digits = String(control.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}
