internal import Engine
internal import Foundation

/// What `hearth show` says of a model. The field names are those of the command's JSON.
public struct ModelFacts: Encodable, Sendable {
  /// What the user calls it.
  public let name: String
  /// Where it lies.
  public let path: String
  /// "GGUF Q4_1", "safetensors BF16", "LoRA adapter".
  public let format: String
  /// The family: `general.architecture` of a GGUF file, `model_type` of a folder.
  public let architecture: String
  /// Numbers in all tensors of the base.
  public let parameters: Int
  /// The longest sequence the model was made for, in tokens; 0 when it does not say.
  public let context_length: Int
  /// Bytes on disk; for a fine-tuned model those of its checkpoint, without the base.
  public let size_bytes: Int
  /// The base of a fine-tuned model.
  public let parent: String?

  /// Reads headers only.
  ///
  /// - Throws: `CheckpointError` or `RunError` when the model cannot be opened.
  public init(_ location: ModelStore.Location) throws {
    let run = try TunedModel(location)
    let checkpoint = try Checkpoint.open(run?.base ?? location.path)
    var (bytes, count): ([String: Int], Int) = ([:], 0)
    for name in checkpoint.tensorNames {
      let tensor = try checkpoint.tensor(name)
      bytes[tensor.type.name, default: 0] += tensor.byteCount
      count += tensor.elementCount
    }
    let most = bytes.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key ?? "empty"
    let isGGUF: Bool
    switch checkpoint.source {
    case .gguf: isGGUF = true
    case .huggingFace: isGGUF = false
    }
    let architecture = checkpoint.architecture
    name = location.name
    path = location.path
    self.architecture = architecture
    parameters = count
    let key = isGGUF ? architecture + ".context_length" : "max_position_embeddings"
    context_length = try checkpoint.integerIfPresent(key) ?? checkpoint.integerIfPresent("n_positions") ?? 0
    parent = run?.baseName
    if let run, let folder = run.checkpointPath {
      format = run.method == "lora" ? "LoRA adapter on \(most)" : "fine-tuned F32 on \(most)"
      let files = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
      size_bytes = files.reduce(0) { $0 + ModelFacts.size(of: folder + "/" + $1) }
    } else {
      format = (isGGUF ? "GGUF " : "safetensors ") + most
      size_bytes = isGGUF ? ModelFacts.size(of: checkpoint.path) : bytes.values.reduce(0, +)
    }
  }

  private static func size(of path: String) -> Int {
    let attributes = try? FileManager.default.attributesOfItem(
      atPath: URL(filePath: path).resolvingSymlinksInPath().path)
    return (attributes?[.size] as? Int) ?? 0
  }
}
