/// What is done to text before anything else.
enum Normalizer: Equatable, Sendable {
  case none
  /// Canonical composition, Unicode Standard Annex 15.
  case composed

  /// `text` in the normal form.
  func normalize(_ text: String) -> String {
    switch self {
    case .none: text
    case .composed: CanonicalComposition.shared.compose(text)
    }
  }
}
