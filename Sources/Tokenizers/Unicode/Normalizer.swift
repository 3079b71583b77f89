/// What is done to text before anything else.
enum Normalizer: Equatable, Sendable {
  case none
  /// Canonical composition, Unicode Standard Annex 15.
  case composed
  /// SentencePiece's: `▁` (U+2581) and the space are one character, inside Hearth the space; with one put before the text.
  case spaces(prepends: Bool)

  /// `text` in the normal form.
  func normalize(_ text: String) -> String {
    switch self {
    case .none: text
    case .composed: CanonicalComposition.shared.compose(text)
    case .spaces(let prepends):
      (prepends && !text.isEmpty ? " " : "") + (text.utf8.contains(0xE2) ? Self.spaced(text) : text)
    }
  }

  /// The same without what `normalize` puts before a text: for a text that goes on after another.
  var continued: Normalizer { self == .spaces(prepends: true) ? .spaces(prepends: false) : self }

  /// `text` with spaces for `▁`.
  static func spaced(_ text: String) -> String {
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars { result.append(scalar == "\u{2581}" ? " " : scalar) }
    return String(result)
  }
}
