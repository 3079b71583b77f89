/// A model's files, whichever form they come in: what model families read their settings and
/// weights from.
///
/// Opening reads and checks headers only; weights stay in the mapped files. Every `StoredTensor`
/// handed out keeps its file mapped by itself.
///
/// Keys are the source's own: `llama.block_count` in a GGUF file, `num_hidden_layers` in
/// `config.json`, with dots between levels (`rope_parameters.rope_theta`). A JSON `null` counts as
/// absent.
public final class Checkpoint: Sendable {
  /// Where the model comes from.
  public enum Source: Sendable {
    case gguf(GGUFFile)
    case huggingFace(HuggingFaceFolder)
  }

  /// The opened files.
  public let source: Source
  /// The path, as it was given, for errors.
  public let path: String
  /// The family: `general.architecture` of a GGUF file, `model_type` of `config.json`.
  public let architecture: String

  /// A checkpoint over an opened GGUF file.
  ///
  /// - Throws: `CheckpointError` if the file does not name its architecture.
  public init(_ file: GGUFFile) throws(CheckpointError) {
    source = .gguf(file)
    path = file.path
    architecture = try Checkpoint.string(of: source, "general.architecture")
  }

  /// A checkpoint over an opened Hugging Face folder.
  ///
  /// - Throws: `CheckpointError` if `config.json` does not name the model type.
  public init(_ folder: HuggingFaceFolder) throws(CheckpointError) {
    source = .huggingFace(folder)
    path = folder.path
    architecture = try Checkpoint.string(of: source, "model_type")
  }

  private static func string(
    of source: Source, _ key: String
  ) throws(CheckpointError) -> String {
    let fields = Fields(source)
    guard let value = fields[key] else { throw fields.missing(key) }
    guard case .string(let text) = value else { throw fields.mismatch(key, "a string", value) }
    return text
  }

  /// Tells the system that the files' bytes are not needed for now, as after the weights were packed; reading them again reads
  /// the files again.
  public func letGo() {
    switch source {
    case .gguf(let file): file.letGo()
    case .huggingFace(let folder): folder.letGo()
    }
  }

  // MARK: Tensors

  /// The names of all tensors, in the order of the file; shards one after another.
  public var tensorNames: [String] {
    switch source {
    case .gguf(let file): file.tensors.map(\.name)
    case .huggingFace(let folder): folder.tensorNames
    }
  }

  /// The tensor called `name`, nil if there is none.
  ///
  /// - Throws: `CheckpointError` if it has a type that cannot be read.
  public func tensorIfPresent(_ name: String) throws(CheckpointError) -> StoredTensor? {
    switch source {
    case .gguf(let file): try file.tensorIfPresent(name)
    case .huggingFace(let folder): try folder.tensorIfPresent(name)
    }
  }

  /// The tensor called `name`.
  ///
  /// - Throws: `CheckpointError` if it is missing or has a type that cannot be read.
  public func tensor(_ name: String) throws(CheckpointError) -> StoredTensor {
    if let tensor = try tensorIfPresent(name) { return tensor }
    throw CheckpointError(
      .missing, file: path, place: .tensor(name), "is missing",
      advice: "The file is incomplete, or belongs to another kind of model than \(architecture)")
  }

  /// The tensor called `name`, which must have `shape`.
  ///
  /// - Throws: `CheckpointError` if it is missing, has another shape or a type that cannot be read.
  public func tensor(_ name: String, shape: [Int]) throws(CheckpointError) -> StoredTensor {
    let tensor = try tensor(name)
    guard tensor.shape == shape else {
      throw CheckpointError(
        .mismatch, file: tensor.file, place: .tensor(name), "has the wrong shape",
        expected: "\(shape)", found: "\(tensor.shape)",
        advice: "The file is damaged, or its settings belong to another model")
    }
    return tensor
  }
}
