public import Engine
internal import Foundation
internal import Tokenizers

extension ChatModel {
  /// Loads a model from where it lies.
  ///
  /// - Parameters:
  ///   - path: A GGUF file, a Hugging Face folder, or a folder that `hearth finetune` wrote.
  ///   - name: What to call it; the path when nil.
  ///   - step: Of a run folder, the step whose checkpoint is meant; nil for the one that counts.
  ///   - room: The context that is wanted, and whether a model that does not fit into memory is refused before its weights are read.
  /// - Throws: `CheckpointError`, `TokenizerError`, `TemplateError`, `ChatModelError`, `RoomError` or `RunError`, each naming the
  ///   file.
  public static func open(
    path: String, name: String? = nil, step: Int? = nil, precision: Precision = .serving,
    pool: WorkerPool = WorkerPool(), room: Room = Room()
  ) throws -> ChatModel {
    let name = name ?? path
    defer { FreedMemory.giveBack() }
    if var run = try TunedModel(ifRunFolder: path) {
      run.step = step
      return try run.open(name: name, precision: precision, pool: pool, room: room)
    }
    let checkpoint = try Checkpoint.open(path)
    return switch checkpoint.source {
    case .gguf: try load(gguf: checkpoint, name: name, precision: precision, pool: pool, room: room)
    case .huggingFace: try load(folder: checkpoint, name: name, precision: precision, pool: pool, room: room)
    }
  }

  /// Loads a Hugging Face folder with its tokenizer and template.
  ///
  /// - Parameter room: nil for a model whose weights stay in their file.
  static func load(
    folder checkpoint: Checkpoint, name: String, precision: Precision, pool: WorkerPool, room: Room?
  ) throws -> ChatModel {
    try load(checkpoint, name: name, precision: precision, pool: pool, room: room) {
      let url = URL(filePath: checkpoint.path)
      let configuration = try TokenizerConfiguration(folder: url)
      let source = configuration.chatTemplates.first { $0.name == "default" } ?? configuration.chatTemplates.first
      let template = try source.map {
        try ChatTemplate(
          $0.source, bosToken: configuration.beginningOfSequence, eosToken: configuration.endOfSequence)
      }
      return (try TextLayer.tokenizer(folder: url), template)
    }
  }

  /// Builds the text layer while the weights are packed.
  ///
  /// - Parameter text: Makes tokenizer and template; runs on a thread of its own.
  static func load(
    _ checkpoint: Checkpoint, name: String, precision: Precision, pool: WorkerPool, room: Room?,
    text: @escaping @Sendable () throws -> (Tokenizer, ChatTemplate?)
  ) throws -> ChatModel {
    let pending = Background(text)
    // Whatever is wrong with the weights is said first, and does not wait for the text layer.
    let engine = try LanguageModel(checkpoint, precision: precision, pool: pool, isForReading: true)
    if let room {
      engine.cacheType = room.cacheType
      try room.require(engine.footprint, name: name)
      engine.prepare()
    }
    let (tokenizer, template) = try pending.value()
    if room != nil { checkpoint.letGo() }
    guard tokenizer.vocabularyCount <= engine.vocabularyCount else {
      throw ChatModelError.vocabulary(
        model: name, tokens: tokenizer.vocabularyCount, rows: engine.vocabularyCount)
    }
    return ChatModel(
      name: name, engine: engine, tokenizer: tokenizer, template: template, adapter: nil,
      endTokens: tokenizer.specialTokens.endOfGeneration)
  }
}

/// A value that another thread works out.
private final class Background<Value: Sendable>: @unchecked Sendable {
  // Sendable: `result` is written before the semaphore is signalled and read after it was waited for.
  private var result: Result<Value, any Error>?
  private let done = DispatchSemaphore(value: 0)

  init(_ work: @escaping @Sendable () throws -> Value) {
    let thread = Thread { [self] in
      result = Result { try work() }
      done.signal()
    }
    // Templates may nest; the main thread's usual stack.
    thread.stackSize = 8 << 20
    thread.start()
  }

  /// Waits for the value; once only.
  func value() throws -> Value {
    done.wait()
    guard let result else { preconditionFailure("the semaphore is signalled after the result is set") }
    return try result.get()
  }
}
