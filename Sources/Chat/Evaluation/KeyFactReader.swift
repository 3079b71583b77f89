internal import Foundation

/// The `"key"` fields of held-out examples: the accepted spellings of the fact that an answer must state.
struct KeyFactReader {
  private struct Line: Decodable {
    let key: [String]?
  }

  private var keys: [String: KeyFact] = [:]

  /// Reads JSONL files that the dataset reader has accepted already.
  ///
  /// - Throws: `RunError` naming file and line when a key is no list of strings.
  init(_ files: [String]) throws {
    for file in files {
      guard let data = FileManager.default.contents(atPath: file) else { continue }
      let lines = data.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      for (index, line) in lines.enumerated() where line.first(where: { $0 != 0x20 }) == UInt8(ascii: "{") {
        let found: Line
        do { found = try JSONDecoder().decode(Line.self, from: Data(line)) } catch {
          throw RunError("\(file):\(index + 1): key: expected a list of strings, the accepted spellings of the fact")
        }
        if let key = found.key, !key.isEmpty { keys["\(file):\(index + 1)"] = KeyFact(key) }
      }
    }
  }

  /// Each example's fact, nil where it has none.
  func facts(of examples: [Example]) -> [KeyFact?] { examples.map { keys["\($0.file):\($0.line)"] } }
}
