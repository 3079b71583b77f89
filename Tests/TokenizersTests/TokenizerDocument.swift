import Foundation

/// A fixture's `tokenizer.json` taken apart, to be changed and put together again.
struct TokenizerDocument {
  var root: [String: Any]

  init(_ name: String) throws {
    root = try JSONSerialization.jsonObject(with: Fixtures.data(name)) as? [String: Any] ?? [:]
  }

  var model: [String: Any] {
    get { root["model"] as? [String: Any] ?? [:] }
    set { root["model"] = newValue }
  }

  /// The vocabulary's spellings in the order of their ids.
  var tokens: [String] {
    let vocabulary = model["vocab"] as? [String: Int] ?? [:]
    return vocabulary.sorted { $0.value < $1.value }.map(\.key)
  }

  /// The merges as `left right`.
  var merges: [String] {
    if let merges = model["merges"] as? [String] { return merges }
    return (model["merges"] as? [[String]] ?? []).map { $0.joined(separator: " ") }
  }

  func data() throws -> Data { try JSONSerialization.data(withJSONObject: root) }
}
