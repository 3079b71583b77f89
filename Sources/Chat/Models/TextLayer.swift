internal import Engine
internal import Foundation
public import Tokenizers

/// A model's text layer without its weights.
public enum TextLayer {
  /// The tokenizer of the model at `path`; weights stay unread.
  ///
  /// - Throws: As `ChatModel.open`.
  public static func tokenizer(at path: String) throws -> Tokenizer {
    if let run = try TunedModel(ifRunFolder: path) { return try tokenizer(at: run.base) }
    let name = URL(filePath: path).lastPathComponent
    if name.hasSuffix(".json") { return try Tokenizer(tokenizerJSON: URL(filePath: path)) }
    let checkpoint = try Checkpoint.open(path)
    return switch checkpoint.source {
    case .gguf: try Tokenizer(gguf: checkpoint)
    case .huggingFace: try tokenizer(folder: URL(filePath: path))
    }
  }

  /// The tokenizer of a Hugging Face folder.
  ///
  /// - Throws: `ChatModelError.noTokenizer` when the folder has none, else as `Tokenizer`.
  static func tokenizer(folder: URL) throws -> Tokenizer {
    do { return try Tokenizer(folder: folder) } catch {
      guard !FileManager.default.fileExists(atPath: folder.appending(path: "tokenizer.json").path) else { throw error }
      throw ChatModelError.noTokenizer(folder: folder.path)
    }
  }
}
