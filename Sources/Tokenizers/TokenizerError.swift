public import Foundation

/// A tokenizer that cannot be read, with what is needed to mend it.
///
/// Reads as one sentence: "tokenizer.json: model.merges[3]: expected two tokens, found one; …".
public struct TokenizerError: Error, Equatable, Sendable, CustomStringConvertible {
  /// The file, or the part of one, that was read: `tokenizer.json`, `GGUF vocabulary`.
  public var source: String
  /// Where in the source, as a path of keys (`model.merges[3]`), or empty.
  public var place: String
  /// What was expected and what was found.
  public var problem: String
  /// What a person can do about it, or empty.
  public var advice: String

  /// Describes a fault at `place` of `source`.
  public init(source: String, place: String, problem: String, advice: String = "") {
    self.source = source
    self.place = place
    self.problem = problem
    self.advice = advice
  }

  /// The message.
  public var description: String {
    let location = place.isEmpty ? source : "\(source): \(place)"
    return advice.isEmpty ? "\(location): \(problem)" : "\(location): \(problem); \(advice)"
  }
}

extension TokenizerError: LocalizedError {
  /// The same, where Foundation asks for it.
  public var errorDescription: String? { description }
}
