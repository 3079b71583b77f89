/// Adapters as llama.cpp reads them: a GGUF file with the two matrices of each map, called after the base's tensor.
///
///     blk.0.attn_q.weight.lora_a   [rank, inputs]       blk.0.attn_q.weight.lora_b   [outputs, rank]
///
/// llama.cpp multiplies by `adapter.lora.alpha` / rank, so α is written such that this gives the adapter's own scale. Rows of B for query and key
/// maps are in the order of GGUF files. llama.cpp, `src/llama-adapter.cpp`.
public enum GGUFAdapter {
  /// Writes an adapter to the file at `path`.
  ///
  /// - Parameters:
  ///   - path: Its folder must exist; what is there is replaced.
  ///   - name: `general.name`.
  ///   - type: F32, F16 or BF16.
  /// - Returns: How many tensors were written.
  /// - Throws: `FileError` when it cannot be written; nothing half-written is left behind.
  public static func write(
    _ adapter: Adapter, of model: LanguageModel, to path: String, name: String, type: StorageType? = nil
  ) throws -> Int {
    let rank = Float(adapter.settings.rank)
    var writer = GGUFWriter(architecture: model.ggufArchitecture)
    writer.metadata["general.type"] = .string("adapter")
    writer.metadata["general.name"] = .string(name)
    writer.metadata["general.file_type"] = .uint32(StorageType.fileType(type?.type ?? .f32) ?? 0)
    writer.metadata["adapter.type"] = .string("lora")
    writer.metadata["adapter.lora.alpha"] = .float32(adapter.settings.scale * rank)
    let type = type?.type ?? .f32
    for (linear, pair) in adapter.entries {
      let pool = model.pool
      let base = linear.weight.name.dropping(".weight").gguf + ".weight"
      writer.add(
        OutgoingTensor(name: base + ".lora_a", type: type, shape: [pair.rank, linear.inputs]) { sink in
          try sink.append(type.encode(pair.down.values(pool), columns: linear.inputs, pool))
        })
      let isFolder = !model.isGGUF
      writer.add(
        OutgoingTensor(name: base + ".lora_b", type: type, shape: [linear.outputs, pair.rank]) { sink in
          let rows = pair.up.values(pool)
          let ordered =
            isFolder
            ? RotaryOrder.gguf(rows, rows: linear.outputs, headCount: linear.weight.rotaryHeadCount) : rows
          try sink.append(type.encode(ordered, columns: pair.rank, pool))
        })
    }
    try writer.write(to: path)
    return writer.tensors.count
  }
}
