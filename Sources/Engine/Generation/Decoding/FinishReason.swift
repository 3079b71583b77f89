/// Why a sequence ended.
public enum FinishReason: String, Sendable, Hashable, Codable {
  /// The model produced an end token, or the text a stop string.
  case stop
  /// The limit of new tokens or of the context was reached.
  case length
  /// The caller gave up waiting.
  case cancelled
}
