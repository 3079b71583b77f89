/// A model folder as Hugging Face's `transformers` writes it: `config.json`, perhaps
/// `generation_config.json`, and weights in `model.safetensors` or in shards listed by
/// `model.safetensors.index.json`.
public final class HuggingFaceFolder: Sendable {
  /// The path, as it was given.
  public let path: String
  /// The path of `config.json`, for errors.
  public let configPath: String

  private let config: JSONObject
  private let generationConfig: JSONObject
  /// The weight files, in the order of their names.
  private let shards: [SafetensorsFile]
  /// Which shard holds each tensor.
  private let shardIndices: [String: Int]
  /// The names of all tensors, shard by shard.
  public let tensorNames: [String]

  /// Settings larger than this are no settings.
  private static let maximumConfigByteCount = 16 << 20
  /// The index of the largest models has some 100,000 lines.
  private static let maximumIndexByteCount = 128 << 20

  /// Opens the folder at `path` and checks the headers of all weight files.
  ///
  /// - Throws: `CheckpointError` naming the file and the key or tensor that is wrong or missing.
  public init(path: String) throws(CheckpointError) {
    self.path = path
    configPath = joined(path, "config.json")
    config = try JSONFile.readObject(
      configPath, maximumByteCount: HuggingFaceFolder.maximumConfigByteCount)
    let generationPath = joined(path, "generation_config.json")
    generationConfig =
      JSONFile.exists(generationPath)
      ? try JSONFile.readObject(
        generationPath, maximumByteCount: HuggingFaceFolder.maximumConfigByteCount)
      : JSONObject()

    let weights = try HuggingFaceFolder.openWeights(in: path)
    shards = weights.shards
    shardIndices = weights.indices
    tensorNames = weights.names
  }

  /// The value in `config.json` at `key`, with dots between levels; nil if absent.
  package func value(_ key: String) -> JSONValue? { HuggingFaceFolder.value(key, in: config) }

  /// The value in `generation_config.json` at `key`, nil if absent.
  package func generationValue(_ key: String) -> JSONValue? {
    HuggingFaceFolder.value(key, in: generationConfig)
  }

  /// Tells the system that the weight files' bytes are not needed for now; reading them again reads the files again.
  func letGo() { shards.forEach { $0.letGo() } }

  private static func value(_ key: String, in root: JSONObject) -> JSONValue? {
    var value = JSONValue.object(root)
    for name in key.split(separator: ".") {
      guard case .object(let object) = value, let next = object[String(name)] else { return nil }
      value = next
    }
    return value
  }

  /// The tensor called `name`, nil if there is none.
  ///
  /// - Throws: `CheckpointError` if it has a type that cannot be computed with.
  public func tensorIfPresent(_ name: String) throws(CheckpointError) -> StoredTensor? {
    guard let index = shardIndices[name] else { return nil }
    return try shards[index].tensorIfPresent(name)
  }

  // MARK: Weights

  private struct Weights {
    var shards: [SafetensorsFile] = []
    var indices: [String: Int] = [:]
    var names: [String] = []
  }

  private static func openWeights(in folder: String) throws(CheckpointError) -> Weights {
    let single = joined(folder, "model.safetensors")
    let index = joined(folder, "model.safetensors.index.json")
    // The order of transformers: a single file wins over an index.
    if JSONFile.exists(single) {
      let file = try SafetensorsFile(path: single)
      let names = file.tensors.map(\.name)
      let indices = Dictionary(names.map { ($0, 0) }, uniquingKeysWith: { first, _ in first })
      return Weights(shards: [file], indices: indices, names: names)
    }
    if JSONFile.exists(index) { return try openShards(index: index, folder: folder) }
    let isPickled = ["pytorch_model.bin", "pytorch_model.bin.index.json"].contains {
      JSONFile.exists(joined(folder, $0))
    }
    throw CheckpointError(
      .missing, file: folder, "has no weights",
      expected: "model.safetensors or model.safetensors.index.json",
      found: isPickled ? "pytorch_model.bin, a Python pickle" : nil,
      advice: isPickled
        ? "Convert it to safetensors with transformers: model.save_pretrained(folder)"
        : "Fetch the model's weights into the folder")
  }

  private static func openShards(
    index path: String, folder: String
  ) throws(CheckpointError) -> Weights {
    let map = try ShardIndex(path: path, maximumByteCount: maximumIndexByteCount)
    var weights = Weights()
    for shard in map.shards {
      let file = joined(folder, shard)
      guard JSONFile.exists(file) else {
        throw CheckpointError(
          .missing, file: path, "lists the shard \(printable(shard)), which is not in the folder",
          advice: "The download is incomplete: fetch the missing file")
      }
      weights.shards.append(try SafetensorsFile(path: file))
    }
    for (tensor, shard) in map.entries {
      guard weights.shards[shard].entry(tensor) != nil else {
        throw CheckpointError(
          .missing, file: path, place: .tensor(tensor),
          "is not in the shard that the index names", expected: printable(map.shards[shard]),
          advice: "The index and the shards belong to different versions: fetch all of them again")
      }
      weights.indices[tensor] = shard
    }
    weights.names = map.entries.sorted { $0.shard < $1.shard }.map(\.tensor)
    return weights
  }
}

/// `name` inside `folder`.
func joined(_ folder: String, _ name: String) -> String {
  folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
}
