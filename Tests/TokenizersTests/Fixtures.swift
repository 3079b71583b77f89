import Foundation
import Tokenizers

/// Small tokenizers trained by Scripts/fixtures/tokenizers_patterns.py, and what Hugging Face
/// `tokenizers` does with them.
enum Fixtures {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "Fixtures/tokenizers")

  /// A string, its ids with special tokens taken as text and recognised, and the latter decoded.
  struct Case: Decodable {
    var text: String
    var plain: [Int32]
    var special: [Int32]
    var decoded: String
  }

  private struct Cases: Decodable {
    var cases: [Case]
  }

  static let names = ["gpt2", "smollm", "llama3", "qwen2", "prefix", "unknown"]

  static func data(_ name: String) throws -> Data {
    try Data(contentsOf: folder.appending(path: "\(name).json"))
  }

  static func tokenizer(_ name: String) throws -> Tokenizer {
    try Tokenizer(tokenizerJSON: folder.appending(path: "\(name).json"))
  }

  static func cases(_ name: String) throws -> [Case] {
    try JSONDecoder().decode(Cases.self, from: data("\(name).cases")).cases
  }
}
