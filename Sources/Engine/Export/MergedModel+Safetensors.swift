extension MergedModel {
  /// What `transformers` splits weights at, 5 GB.
  public static let shardByteCount = 5_000_000_000

  /// The type that `config.json` names: what is asked for, else what the base has. Of a quantised base, f32: exactly what its blocks
  /// stand for.
  public func folderType(_ asked: StorageType?) throws -> StorageType {
    if let asked { return asked }
    let types = Set(try tensors().filter { !$0.isVector }.map { $0.storedType.name })
    if types.count == 1, let only = types.first.flatMap(StorageType.init(name:)), only.isPlain { return only }
    return StorageType(type: .f32)
  }

  /// Bytes that all tensors take in a folder.
  public func folderByteCount(_ asked: StorageType?) throws -> Int {
    let type = try folderType(asked)
    return try tensors().reduce(0) { $0 + $1.parameter.count * folderType($1, type, asked).blockBytes }
  }

  private func folderType(_ tensor: MergedTensor, _ type: StorageType, _ asked: StorageType?) -> GGMLType {
    // A folder may mix types; each tensor then keeps its own.
    asked == nil && !base.isGGUF ? tensor.storedType : type.type
  }

  /// Writes the merged weights as `transformers` does: `model.safetensors`, or shards with an index when they are large.
  ///
  /// - Parameters:
  ///   - folder: Exists already.
  ///   - type: F32, F16 or BF16; nil keeps the base's type, f32 for quantised ones.
  ///   - shardByteCount: The most bytes in one file, unless a single tensor has more.
  /// - Throws: `CheckpointError` when the base cannot be written so, `FileError` when the disk is full or refuses.
  public func writeSafetensors(
    to folder: String, type asked: StorageType? = nil, shardByteCount: Int = MergedModel.shardByteCount
  ) throws -> Summary {
    if base.isGGUF { _ = try base.exportedFamily() }
    let type = try folderType(asked)
    var summary = Summary()
    var shards: [(tensors: [OutgoingTensor], byteCount: Int)] = [([], 0)]
    for tensor in try tensors() {
      let target = folderType(tensor, type, asked)
      let outgoing = tensor.outgoing(tensor.parameter.name.huggingFace, in: .huggingFace, as: target, nil)
      summary.count(
        target, shape: outgoing.shape, isCopied: tensor.bytes(in: .huggingFace, as: target) != nil)
      let byteCount = tensor.parameter.count * target.blockBytes
      if shards[shards.count - 1].byteCount > 0, shards[shards.count - 1].byteCount + byteCount > shardByteCount {
        shards.append(([], 0))
      }
      shards[shards.count - 1].tensors.append(outgoing)
      shards[shards.count - 1].byteCount += byteCount
    }
    for (index, shard) in shards.enumerated() {
      var writer = SafetensorsWriter()
      for tensor in shard.tensors { writer.add(tensor) }
      try writer.write(to: joined(folder, MergedModel.shardName(index, of: shards.count)))
    }
    if shards.count > 1 { try writeIndex(shards, to: folder) }
    return summary
  }

  private static func shardName(_ index: Int, of count: Int) -> String {
    func padded(_ number: Int) -> String {
      String(repeating: "0", count: max(0, 5 - "\(number)".count)) + "\(number)"
    }
    return count == 1 ? "model.safetensors" : "model-\(padded(index + 1))-of-\(padded(count)).safetensors"
  }

  private func writeIndex(_ shards: [(tensors: [OutgoingTensor], byteCount: Int)], to folder: String) throws {
    let map = shards.enumerated().flatMap { index, shard in
      shard.tensors.map { ($0.name, JSONValue.string(MergedModel.shardName(index, of: shards.count))) }
    }
    let total = shards.reduce(0) { $0 + $1.byteCount }
    let index = JSONObject([
      ("metadata", .object(JSONObject([("total_size", .integer(total))]))),
      ("weight_map", .object(JSONObject(map.sorted { $0.0 < $1.0 }))),
    ])
    try AtomicFile.write(JSONText.pretty(.object(index)), to: joined(folder, "model.safetensors.index.json"))
  }

  /// `config.json` of the merged model.
  ///
  /// - Parameters:
  ///   - type: What `writeSafetensors` writes.
  ///   - tokens: `bos_token_id` and the like, for a base that is a GGUF file.
  /// - Throws: `CheckpointError` when the base has settings that a folder cannot express.
  package func huggingFaceConfig(_ asked: StorageType?, tokens: [(String, JSONValue)]) throws -> JSONObject {
    let dtype: JSONValue =
      switch try folderType(asked).name {
      case "F16": .string("float16")
      case "BF16": .string("bfloat16")
      default: .string("float32")
      }
    switch base.checkpoint.source {
    case .gguf:
      let settings = try base.exportedFamily().huggingFaceSettings(of: base)
      // transformers 5 reads the first, transformers 4 the second.
      return settings.setting([("dtype", dtype), ("torch_dtype", dtype)] + tokens)
    case .huggingFace(let folder):
      guard case .object(let config)? = folder.value("") else { return JSONObject() }
      let key = config.names.contains("dtype") ? "dtype" : "torch_dtype"
      return config.setting([(key, dtype)])
    }
  }
}

extension StorageType {
  init(type: GGMLType) { self.type = type }
}
