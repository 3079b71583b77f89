/// A family whose checkpoints Hearth writes: its settings in both formats' words.
///
/// Tensor names and orders are known from loading; what is added here are the settings, which each format spells in its own way.
protocol ExportedFamily: Architecture {
  /// Whether `transformers` keeps linear maps as `[inputs, outputs]`.
  var isConv1D: Bool { get }
  /// The family's keys of a GGUF file, `llama.block_count` and so on, for a base that is a folder.
  func ggufSettings(of model: LanguageModel) throws(CheckpointError) -> Metadata
  /// Tensors that a GGUF file has beside the parameters.
  func ggufExtras(of model: LanguageModel) throws(CheckpointError) -> [OutgoingTensor]
  /// `config.json` for a base that is a GGUF file, without what the tokenizer and the types say.
  func huggingFaceSettings(of model: LanguageModel) throws(CheckpointError) -> JSONObject
}

extension LanguageModel {
  /// The model's family, as one that can be written.
  ///
  /// - Throws: `CheckpointError` when it is not.
  func exportedFamily() throws(CheckpointError) -> any ExportedFamily {
    if let family = architecture as? any ExportedFamily { return family }
    let known = architectures.filter { $0 is any ExportedFamily.Type }.flatMap { $0.names }
    throw CheckpointError(
      .unsupported, file: checkpoint.path, "is of a family that cannot be converted between GGUF and safetensors yet",
      expected: known.joined(separator: ", "), found: checkpoint.architecture)
  }

  /// What a GGUF file calls the model's family, whichever relative of it a folder names.
  var ggufArchitecture: String { type(of: architecture).names.first ?? checkpoint.architecture }

  /// Whether the output head is the token table.
  var isHeadTied: Bool {
    parameters.contains { $0 === architecture.head.weight && $0.name.gguf == "token_embd.weight" }
  }

  /// Rows of the first block's first feed-forward map.
  var feedForwardWidth: Int {
    linears.first { $0.weight.name.gguf.hasSuffix("ffn_up.weight") }?.outputs ?? 0
  }
}

extension MetadataValue {
  /// A count as GGUF files have it.
  static func count(_ value: Int) -> MetadataValue { .uint32(UInt32(clamping: value)) }
}

extension JSONObject {
  /// An object of these members.
  package init(_ members: [(String, JSONValue)]) {
    self.init()
    for (name, value) in members { _ = add(name, value) }
  }

  /// The object with other values for some names; names it lacks are put last.
  package func setting(_ changes: [(String, JSONValue)]) -> JSONObject {
    var result = JSONObject()
    for name in names {
      let value = changes.first { $0.0 == name }?.1 ?? self[name]
      if let value { _ = result.add(name, value) }
    }
    for (name, value) in changes { _ = result.add(name, value) }
    return result
  }
}
