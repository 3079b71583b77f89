import Foundation

/// What is done to text before anything else.
enum Normalizer: Equatable, Sendable {
  case none
  /// Canonical composition, Unicode Standard Annex 15.
  case composed

  /// `text` in the normal form.
  func normalize(_ text: String) -> String {
    switch self {
    case .none: text
    case .composed: Self.compose(text)
    }
  }

  /// Text below U+0300 is composed already.
  private static func compose(_ text: String) -> String {
    guard text.utf8.contains(where: { $0 >= 0xCC }) else { return text }
    return text.precomposedStringWithCanonicalMapping
  }
}
