internal import Engine
internal import Foundation

/// A model that `hearth finetune` made, as its run folder records it: which base, which adapter or weights, which text layer.
///
/// The record is `model.json` in the run folder. It holds fingerprints of the base's weights and of its tokenizer and
/// template, so that what was learned is never put on a model, or run with a text layer, that it was not trained with.
public struct TunedModel: Codable, Sendable, Equatable {
  /// The path of the base model, absolute.
  public var base: String
  /// What the user called the base.
  public var baseName: String
  /// `lora` or `full`.
  public var method: String
  /// Of tokenizer, template and special tokens of the base.
  public var fingerprint: TextFingerprint
  /// Of the base's weights; nil in records of versions that kept none.
  public var weights: String?
  /// The run folder; not part of the record.
  public var folder: String = ""
  /// The step whose checkpoint is meant; nil for the one that counts. Not part of the record.
  var step: Int?

  private enum CodingKeys: String, CodingKey {
    case base, baseName = "base_name", method, fingerprint, weights
  }

  /// The record's file name; a folder that holds one is a run folder.
  public static let recordName = "model.json"

  /// A record to write into a run folder.
  public init(base: String, baseName: String, method: String, fingerprint: TextFingerprint, weights: String? = nil) {
    self.base = base
    self.baseName = baseName
    self.method = method
    self.fingerprint = fingerprint
    self.weights = weights
  }

  /// The record in the folder at `path`; nil when the folder has none.
  ///
  /// - Throws: `RunError` when the record is damaged.
  public init?(ifRunFolder path: String) throws {
    let file = path + "/" + TunedModel.recordName
    guard FileManager.default.fileExists(atPath: file) else { return nil }
    do {
      self = try JSONDecoder().decode(TunedModel.self, from: Data(contentsOf: URL(filePath: file)))
    } catch {
      throw RunError("\(file): is not a record of a fine-tuned model: \(error)")
    }
    folder = path
  }

  /// The record of where a model lies; nil when that is no run folder.
  ///
  /// - Throws: `RunError` when the record is damaged.
  init?(_ location: ModelStore.Location) throws {
    try self.init(ifRunFolder: location.path)
    step = location.step
  }

  /// The checkpoint that was asked for. Else the one that counts: the best one, or the latest when none was evaluated yet.
  public var checkpointPath: String? {
    if let step {
      let path = RunFolder(folder).checkpoint(step)
      return FileManager.default.fileExists(atPath: path) ? path : nil
    }
    for name in ["best", "latest"] {
      let path = folder + "/" + name
      if FileManager.default.fileExists(atPath: path) { return path }
    }
    return nil
  }

  /// - Throws: `RunError` when `model` is not the base that this was trained on, or has another text layer.
  func requireBase(_ model: ChatModel) throws {
    try BaseCheck.require(weights, in: model, learned: folder, trainedOn: baseName, path: base)
    try model.fingerprint.require(fingerprint, of: folder, base: baseName)
  }

  /// Loads the base and puts what was learned on top.
  ///
  /// - Throws: `RunError` when the run has no checkpoint yet, its base has gone, or the text layer has changed; `RoomError`.
  func open(name: String, precision: Precision, pool: WorkerPool, room: Room) throws -> ChatModel {
    guard FileManager.default.fileExists(atPath: base) else {
      throw RunError(
        "\(folder): was trained on \(baseName) at \(base), which is not there any more: put it back or pull it again")
    }
    _ = try requireCheckpoint()
    let model = try ChatModel.open(path: base, name: baseName, precision: precision, pool: pool, room: room)
    return try put(on: model, name: name)
  }

  private func requireCheckpoint() throws -> String {
    if let checkpointPath { return checkpointPath }
    if let step { throw RunError("\(folder): has no checkpoint of step \(step) any more: ask for another") }
    throw RunError("\(folder): the run has not written a checkpoint yet: continue it with hearth finetune --resume")
  }

  /// Whether what was learned is an adapter, which can share its base with others.
  var isAdapter: Bool { method == "lora" }

  /// Puts what was learned on a base that is loaded. An adapter leaves the base as it is; other weights take its place.
  ///
  /// - Throws: `RunError` when the run has no checkpoint yet or `model` is not the base it was trained on.
  func put(on model: ChatModel, name: String) throws -> ChatModel {
    let checkpointPath = try requireCheckpoint()
    try requireBase(model)
    let trainingDate = try trainingDate()
    if !isAdapter { try model.engine.readParameters(from: checkpointPath) }
    let adapter = isAdapter ? try PEFTAdapter.read(checkpointPath, for: model.engine) : nil
    return ChatModel(
      name: name, engine: model.engine, tokenizer: model.tokenizer, template: model.template, adapter: adapter,
      endTokens: model.endTokens, cache: model.cache, trainingDate: trainingDate)
  }

  /// What the run's recipe has as today.
  private func trainingDate() throws -> Date? {
    let recipe = folder + "/" + RunFolder.recipeName
    guard FileManager.default.fileExists(atPath: recipe) else { return nil }
    return try FineTuningRecipe(yaml: recipe).renderingDate
  }
}

/// Why a run folder cannot be used.
public struct RunError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What is wrong, where, and what to do about it.
  public let description: String
  /// An error with this message.
  public init(_ description: String) { self.description = description }
}
