import Foundation
import TestSupport
import Testing

@testable import Engine

/// The tiny models of Tests/Fixtures/models, exported and opened again.
struct TinyExport {
  static let families = ["llama", "llama3", "gpt2"]
  static let tokens: [Int32] = [1, 17, 4, 60, 33, 8, 8, 25, 59, 2, 40]

  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  static func base(_ family: String) throws -> LanguageModel {
    try open(Fixtures.path("models/\(family)"))
  }

  static func open(_ path: String) throws -> LanguageModel {
    try LanguageModel(Checkpoint.open(path), precision: .reference, pool: WorkerPool(threadCount: 2))
  }

  /// The model as an export opens it: weights stay in the file.
  static func reading(_ path: String) throws -> LanguageModel {
    try LanguageModel(Checkpoint.open(path), pool: WorkerPool(threadCount: 2), isForReading: true)
  }

  static func reading(family: String) throws -> LanguageModel {
    try reading(Fixtures.path("models/\(family)"))
  }

  static func adapter(_ family: String, for model: LanguageModel) throws -> Adapter {
    try PEFTAdapter.read(Fixtures.path("models/\(family)/adapter"), for: model)
  }

  /// Log-probabilities after every token.
  static func answers(_ model: LanguageModel, _ adapter: Adapter? = nil) -> [[Float]] {
    var rows: [[Float]] = []
    model.logProbabilities(of: tokens, adapter: adapter) { _, row in rows.append(Array(row)) }
    return rows
  }

  static func gap(_ a: [[Float]], _ b: [[Float]]) -> Float {
    zip(a.joined(), b.joined()).map { abs($0 - $1) }.max() ?? .infinity
  }

  /// Writes a GGUF file and opens it.
  func gguf(_ model: MergedModel, type: String? = nil, errors: QuantizationError? = nil) throws -> LanguageModel {
    let path = "\(folder.path)/\(UUID().uuidString).gguf"
    let type = try type.map { try #require(StorageType(name: $0)) }
    _ = try model.writeGGUF(to: path, name: "tiny", type: type, errors: errors)
    return try TinyExport.open(path)
  }

  /// Writes a Hugging Face folder and returns its path.
  func huggingFace(
    _ model: MergedModel, type: String? = nil, shardByteCount: Int = MergedModel.shardByteCount
  ) throws -> String {
    let path = "\(folder.path)/\(UUID().uuidString)"
    let type = try type.map { try #require(StorageType(name: $0)) }
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    _ = try model.writeSafetensors(to: path, type: type, shardByteCount: shardByteCount)
    try AtomicFile.write(
      JSONText.pretty(.object(try model.huggingFaceConfig(type, tokens: []))), to: path + "/config.json")
    return path
  }
}
