internal import Foundation

/// The `"key"` fields of held-out examples: the accepted spellings of the fact that an answer must state.
struct KeyFactReader {
  /// Each example's fact, in the order of the examples.
  private var keys: [KeyFact?] = []

  /// Reads files that the dataset reader has accepted already, JSONL or a JSON list.
  ///
  /// - Throws: `RunError` naming file, line and element when a key is no list of strings; `DatasetError`.
  init(_ files: [String]) throws {
    for file in files {
      var reader = try DatasetReader(file: file)
      var number = 0
      while let example = try reader.next() {
        number += 1
        keys.append(try KeyFactReader.fact(reader.element, at: example.place, element: reader.isList ? number : nil))
      }
    }
  }

  private static func fact(_ element: JSONElement?, at place: String, element number: Int?) throws -> KeyFact? {
    let field = element?["key"] ?? .null
    if case .null = field { return nil }
    var spellings: [String] = []
    if case .array(let values) = field {
      for case .string(let text) in values { spellings.append(text) }
      if spellings.count == values.count { return spellings.isEmpty ? nil : KeyFact(spellings) }
    }
    let element = number.map { "element \($0): " } ?? ""
    throw RunError(
      "\(place): \(element)key: expected a list of strings, the accepted spellings of the fact, found \(field.kindName)"
        + (spellings.count > 0 ? " that also holds other things" : ""))
  }

  /// Each example's fact, nil where it has none.
  ///
  /// - Throws: `RunError` when the files have changed since `examples` were read from them.
  func facts(of examples: [Example]) throws -> [KeyFact?] {
    guard keys.count == examples.count else {
      throw RunError("the data files changed while they were read: try again")
    }
    return keys
  }
}
