/// Adapters as llama.cpp reads them: a GGUF file with the two matrices of each map, called after the base's tensor.
///
///     blk.0.attn_q.weight.lora_a   [rank, inputs]       blk.0.attn_q.weight.lora_b   [outputs, rank]
///
/// llama.cpp multiplies by `adapter.lora.alpha` / rank, rank being that of each map, or by 1 where α is 0. So α is written such that this
/// gives the adapter's own scale, and where maps differ in that, α is 0 and B holds the scale. Rows of B for query and key
/// maps are in the order of GGUF files. llama.cpp, `src/llama-adapter.cpp`.
public enum GGUFAdapter {
  /// Writes an adapter to the file at `path`.
  ///
  /// - Parameters:
  ///   - path: Its folder must exist; what is there is replaced.
  ///   - name: `general.name`.
  ///   - type: F32, F16 or BF16.
  /// - Returns: How many tensors were written.
  /// - Throws: `AdapterError` for DoRA, which the format cannot hold; `FileError` when it cannot be written. Nothing half-written is left
  ///   behind.
  public static func write(
    _ adapter: Adapter, of model: LanguageModel, to path: String, name: String, type: StorageType? = nil
  ) throws -> Int {
    guard !adapter.settings.isWeightDecomposed else {
      throw AdapterError("DoRA's lengths have no place in llama.cpp's adapter files: export the merged model instead")
    }
    let alphas = adapter.entries.map { $0.pair.scale * Float($0.pair.rank) }
    let alpha = alphas.first.flatMap { first in alphas.allSatisfy { $0 == first } ? first : nil }
    var writer = GGUFWriter(architecture: model.ggufArchitecture)
    writer.metadata["general.type"] = .string("adapter")
    writer.metadata["general.name"] = .string(name)
    writer.metadata["general.file_type"] = .uint32(StorageType.fileType(type?.type ?? .f32) ?? 0)
    writer.metadata["adapter.type"] = .string("lora")
    writer.metadata["adapter.lora.alpha"] = .float32(alpha ?? 0)
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
          let factor = alpha == nil ? pair.scale : 1
          let rows = pair.up.values(pool).map { $0 * factor }
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
