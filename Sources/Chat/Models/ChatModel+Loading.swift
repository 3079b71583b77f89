public import Engine
internal import Foundation
internal import Tokenizers

extension ChatModel {
  /// Loads a model from where it lies.
  ///
  /// - Parameters:
  ///   - path: A GGUF file, a Hugging Face folder, or a folder that `hearth finetune` wrote.
  ///   - name: What to call it; the path when nil.
  /// - Throws: `CheckpointError`, `TokenizerError`, `TemplateError`, `ChatModelError` or `RunError`, each naming the file.
  public static func open(
    path: String, name: String? = nil, precision: Precision = .serving, pool: WorkerPool = WorkerPool()
  ) throws -> ChatModel {
    let name = name ?? path
    if let run = try TunedModel(ifRunFolder: path) {
      return try run.open(name: name, precision: precision, pool: pool)
    }
    let checkpoint = try Checkpoint.open(path)
    return switch checkpoint.source {
    case .gguf: try load(gguf: checkpoint, name: name, precision: precision, pool: pool)
    case .huggingFace: try load(folder: checkpoint, name: name, precision: precision, pool: pool)
    }
  }

  /// Loads a Hugging Face folder with its tokenizer and template.
  static func load(
    folder checkpoint: Checkpoint, name: String, precision: Precision, pool: WorkerPool, isForReading: Bool = false
  ) throws -> ChatModel {
    let url = URL(filePath: checkpoint.path)
    let tokenizer = try TextLayer.tokenizer(folder: url)
    let configuration = try TokenizerConfiguration(folder: url)
    let source = configuration.chatTemplates.first { $0.name == "default" } ?? configuration.chatTemplates.first
    let template = try source.map {
      try ChatTemplate(
        $0.source, bosToken: configuration.beginningOfSequence, eosToken: configuration.endOfSequence)
    }
    let engine = try LanguageModel(checkpoint, precision: precision, pool: pool, isForReading: isForReading)
    guard tokenizer.vocabularyCount <= engine.vocabularyCount else {
      throw ChatModelError.vocabulary(
        model: name, tokens: tokenizer.vocabularyCount, rows: engine.vocabularyCount)
    }
    return ChatModel(
      name: name, engine: engine, tokenizer: tokenizer, template: template, adapter: nil,
      endTokens: tokenizer.specialTokens.endOfGeneration)
  }
}
