internal import Engine
internal import Foundation

/// What `hearth show` says of a model. The field names are those of the command's JSON.
public struct ModelFacts: Encodable, Sendable {
  public let name: String
  public let path: String
  /// "GGUF Q4_1", "safetensors BF16", "LoRA adapter".
  public let format: String
  public let architecture: String
  /// Numbers in all tensors of the base.
  public let parameters: Int
  public let context_length: Int
  public let size_bytes: Int
  public let parent: String?

  /// Reads headers only.
  ///
  /// - Throws: `CheckpointError` or `RunError` when the model cannot be opened.
  public init(_ location: ModelStore.Location) throws {
    let run = try TunedModel(ifRunFolder: location.path)
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
