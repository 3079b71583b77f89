internal import CKernels

/// Adapters in the format of Hugging Face PEFT: `adapter_config.json` beside `adapter_model.safetensors`.
///
/// Tensors are called `base_model.model.` + the module's path + `.lora_A.weight` (`[rank, inputs]`), `.lora_B.weight`
/// (`[outputs, rank]`) and, with DoRA, `.lora_magnitude_vector` (`[outputs]`), rows in the order of Hugging Face. `transformers` and
/// `peft` load what `write` writes.
public enum PEFTAdapter {
  static let configName = "adapter_config.json"
  static let weightsName = "adapter_model.safetensors"
  private static let prefix = "base_model.model."

  // MARK: Reading

  /// The settings of the adapter in the folder at `path`.
  ///
  /// - Throws: `CheckpointError` when the file is damaged or asks for something that Hearth does not compute.
  public static func settings(_ path: String) throws(CheckpointError) -> Adapter.Settings {
    try configuration(path).settings
  }

  /// What a configuration says: the settings of all maps, and of those that have a rank or an α of their own.
  struct Configuration {
    var settings: Adapter.Settings
    var ranks: ModulePatterns<Int>
    var alphas: ModulePatterns<Float>

    /// The settings of the map at `path`.
    func settings(of path: String) -> Adapter.Settings {
      settings.with(rank: ranks.value(for: path), alpha: alphas.value(for: path))
    }
  }

  /// Reads and checks `adapter_config.json`.
  static func configuration(_ path: String) throws(CheckpointError) -> Configuration {
    let file = path + "/" + configName
    let config = try JSONFile.readObject(file, maximumByteCount: 16 << 20)
    func unsupported(_ key: String, _ expected: String) -> CheckpointError {
      CheckpointError(
        .unsupported, file: file, place: .key(key), "asks for something Hearth does not compute",
        expected: expected, found: config[key].map { String(JSONText.line($0).prefix(100)) } ?? "nothing")
    }
    guard case .string("LORA")? = config["peft_type"] else { throw unsupported("peft_type", "LORA") }
    for key in ["lora_bias", "use_qalora", "use_bdlora"] {
      if case .bool(true)? = config[key] { throw unsupported(key, "false") }
    }
    // These begin by changing the base itself, which the adapter's file does not hold.
    if case .string(let start)? = config["init_lora_weights"],
      ["pissa", "olora", "corda", "loftq", "lora_ga"].contains(where: start.lowercased().hasPrefix)
    {
      throw unsupported("init_lora_weights", "an adapter to the base as it is, as PEFT saves it after converting")
    }
    // Each of these changes what the matrices mean, or adds others.
    for key in ["alora_invocation_tokens", "trainable_token_indices", "target_parameters", "layer_replication"] {
      switch config[key] {
      case nil, .null?: break
      case .array(let values)? where values.isEmpty: break
      default: throw unsupported(key, "null")
      }
    }
    if case .string(let bias)? = config["bias"], bias != "none" { throw unsupported("bias", "none") }
    if case .array(let saved)? = config["modules_to_save"], !saved.isEmpty {
      throw unsupported("modules_to_save", "null")
    }
    guard let rank = config["r"]?.integer, rank > 0, rank <= 4096 else { throw unsupported("r", "1 to 4096") }
    guard let alpha = config["lora_alpha"]?.real, alpha.isFinite else {
      throw unsupported("lora_alpha", "a number")
    }
    let dropout = config["lora_dropout"]?.real ?? 0
    guard dropout >= 0, dropout < 1 else { throw unsupported("lora_dropout", "0 ≤ dropout < 1") }
    func flag(_ key: String) -> Bool {
      if case .bool(true)? = config[key] { true } else { false }
    }
    func patterns<Value>(
      _ key: String, _ expected: String, _ read: (JSONValue) -> Value?
    ) throws(CheckpointError) -> ModulePatterns<Value> {
      guard case .object(let object)? = config[key] else { return ModulePatterns() }
      guard let patterns = ModulePatterns(object, read) else { throw unsupported(key, expected) }
      return patterns
    }
    return Configuration(
      settings: Adapter.Settings(
        rank: rank, alpha: Float(alpha), dropout: Float(dropout), isRankStabilised: flag("use_rslora"),
        isWeightDecomposed: flag("use_dora")),
      ranks: try patterns("rank_pattern", "names of modules, each with a rank from 1 to 4096") {
        $0.integer.flatMap { $0 > 0 && $0 <= 4096 ? $0 : nil }
      },
      alphas: try patterns("alpha_pattern", "names of modules, each with a number") {
        $0.real.flatMap { $0.isFinite ? Float($0) : nil }
      })
  }

  /// The free text in the head of the weights' file of the adapter at `path`, by name.
  ///
  /// - Throws: `CheckpointError` when the file is missing or damaged.
  public static func metadata(_ path: String) throws(CheckpointError) -> [String: String] {
    try SafetensorsFile(path: path + "/" + weightsName).metadata
  }

  /// Loads the adapter in the folder at `path` for `model`.
  ///
  /// - Throws: `CheckpointError` naming the tensor when the adapter is damaged or was made for another model.
  public static func read(_ path: String, for model: LanguageModel) throws -> Adapter {
    let configuration = try configuration(path)
    var settings = configuration.settings
    let file = try SafetensorsFile(path: path + "/" + weightsName)
    var unused = Set(file.tensors.map(\.name))
    let empty = Adapter(settings: settings)
    for linear in model.linears {
      let module = model.modulePath(of: linear)
      let names = TensorNames(prefix + module)
      if !unused.contains(names.down), !unused.contains(names.up) { continue }
      let pair = LowRankPair(linear, settings: configuration.settings(of: module), model.pool)
      func inOrder(_ rows: [Float]) -> [Float] {
        model.isGGUF
          ? RotaryOrder.gguf(rows, rows: linear.outputs, headCount: linear.weight.rotaryHeadCount) : rows
      }
      pair.down.setValues(try values(names.down, file, [pair.rank, linear.inputs]))
      pair.up.setValues(inOrder(try values(names.up, file, [linear.outputs, pair.rank])))
      if let magnitude = pair.magnitude {
        magnitude.lengths.setValues(inOrder(try values(names.magnitude, file, [linear.outputs])))
        unused.remove(names.magnitude)
      }
      unused.subtract([names.down, names.up])
      empty.add(pair, to: linear)
      if !settings.targets.contains(linear.targetName) { settings.targets.append(linear.targetName) }
    }
    if let stranger = unused.min() { throw strange(stranger, in: file, model) }
    guard !empty.entries.isEmpty else {
      throw CheckpointError(.malformed, file: file.path, "holds no low-rank pair")
    }
    let adapter = Adapter(settings: settings)
    for entry in empty.entries { adapter.add(entry.pair, to: entry.linear) }
    return adapter
  }

  /// What PEFT calls the tensors of a module.
  struct TensorNames {
    let down, up, magnitude: String

    init(_ module: String) {
      down = module + ".lora_A.weight"
      up = module + ".lora_B.weight"
      magnitude = module + ".lora_magnitude_vector"
    }
  }

  /// The error for a tensor that nothing has a use for.
  private static func strange(_ name: String, in file: SafetensorsFile, _ model: LanguageModel) -> CheckpointError {
    let isOfTable = ["lora_embedding", "embed_tokens", "lm_head", "wte."].contains(where: name.contains)
    return CheckpointError(
      .mismatch, file: file.path, place: .tensor(name), "belongs to no linear map of the model",
      expected: "tensors for \(model.checkpoint.path)",
      advice: isOfTable
        ? "Hearth adapts the linear maps of the blocks, not the token table or the head: merge the adapter with PEFT "
          + "(merge_and_unload) and use the merged folder as the model"
        : "The adapter was trained on another model; load it with the model it was trained on")
  }

  private static func values(
    _ name: String, _ file: SafetensorsFile, _ shape: [Int]
  ) throws(CheckpointError) -> [Float] {
    guard let tensor = try file.tensorIfPresent(name) else {
      throw CheckpointError(.missing, file: file.path, place: .tensor(name), "is not there")
    }
    guard tensor.shape == shape else {
      throw CheckpointError(
        .mismatch, file: file.path, place: .tensor(name), "has the wrong shape", expected: "\(shape)",
        found: "\(tensor.shape)", advice: "The adapter was trained on another model, or with another rank")
    }
    let values = try tensor.float32Values()
    if let index = values.firstIndex(where: { !$0.isFinite }) {
      throw CheckpointError(
        .malformed, file: file.path, place: .tensor(name), "holds a number that is not finite",
        expected: "finite numbers", found: "\(values[index]) at index \(index)",
        advice: "The run that made it diverged, or the file is damaged: use an earlier checkpoint")
    }
    return values
  }

  // MARK: Writing

  /// The adapter's tensors by their PEFT names, rows in the order of Hugging Face.
  static func tensors(_ adapter: Adapter, of model: LanguageModel) -> [String: (shape: [Int], values: [Float])] {
    var tensors: [String: (shape: [Int], values: [Float])] = [:]
    for (linear, pair) in adapter.entries {
      let names = TensorNames(prefix + model.modulePath(of: linear))
      func inOrder(_ parameter: Parameter) -> [Float] {
        let rows = parameter.values(model.pool)
        return model.isGGUF
          ? RotaryOrder.huggingFace(rows, rows: linear.outputs, headCount: linear.weight.rotaryHeadCount) : rows
      }
      tensors[names.down] = ([pair.rank, linear.inputs], pair.down.values(model.pool))
      tensors[names.up] = ([linear.outputs, pair.rank], inOrder(pair.up))
      if let magnitude = pair.magnitude { tensors[names.magnitude] = ([linear.outputs], inOrder(magnitude.lengths)) }
    }
    return tensors
  }
}

extension LanguageModel {
  /// Where the map lies in the model that `transformers` makes of a folder, which for the first GPT-2 folders is not the name of its
  /// tensor: those were saved without the prefix.
  func modulePath(of linear: Linear) -> String {
    let name = linear.weight.name.dropping(".weight").huggingFace
    return checkpoint.architecture == "gpt2" && name.hasPrefix("h.") ? "transformer." + name : name
  }

  /// Whether weights lie in the order of GGUF files.
  var isGGUF: Bool {
    if case .gguf = checkpoint.source { true } else { false }
  }
}

extension StoredTensor {
  /// All elements in f32.
  ///
  /// - Throws: `CheckpointError` when Hearth does not know the format.
  func float32Values() throws(CheckpointError) -> [Float] {
    try requireFormat()
    var values = [Float](repeating: 0, count: elementCount)
    unsafe values.withUnsafeMutableBufferPointer { values in
      if let base = values.baseAddress { unsafe writeFloat32(to: base) }
    }
    return values
  }

  /// - Throws: `CheckpointError` when Hearth does not know the format.
  func requireFormat() throws(CheckpointError) {
    guard let format = unsafe hearth_format_for(formatNumber),
      unsafe elementCount % Int(format.pointee.block_elements) == 0
    else {
      throw CheckpointError(
        .unsupported, file: file, place: .tensor(name), "is stored in a way Hearth does not know",
        found: "\(type)")
    }
  }

  /// Writes all elements in f32, and lets the file's own bytes go.
  ///
  /// The format is one that `requireFormat` lets pass.
  func writeFloat32(to values: UnsafeMutablePointer<Float>) {
    guard elementCount > 0, let format = unsafe hearth_format_for(formatNumber) else { return }
    let (elements, bytes) = unsafe (Int(format.pointee.block_elements), Int(format.pointee.block_bytes))
    // A token table at once would be the largest thing in memory.
    let piece = max(elements, (1 << 20) / elements * elements)
    for start in stride(from: 0, to: elementCount, by: piece) {
      unsafe withBytes {
        guard let base = $0.baseAddress else { return }
        unsafe format.pointee.dequantize(
          values + start, base + start / elements * bytes, min(piece, elementCount - start))
      }
      letGo()
    }
  }
}
