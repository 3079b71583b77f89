/// Decides which tokens may come next in an answer, by what it holds so far.
///
/// A value that belongs to one answer; only the executor of its model calls it.
public protocol TokenConstraint: Sendable {
  /// Sets the logits, `[vocabulary]`, of tokens that may not come to −∞.
  mutating func restrict(_ logits: inout MutableSpan<Float>)
  /// Takes note of the token that was chosen.
  mutating func accept(_ token: Int32)
}
