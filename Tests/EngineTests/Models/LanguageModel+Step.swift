@testable import Engine

extension LanguageModel {
  /// Continues sequences by some tokens each.
  ///
  /// - Parameter inputs: For each sequence its new tokens, at least one, and whether the logits after the last of them are wanted.
  /// - Returns: Logits, `[vocabulary]` for each sequence that wanted them, in order.
  func step(_ inputs: [(sequence: TokenSequence, tokens: [Int32], wantsLogits: Bool)]) -> [[Float]] {
    let logits = step(inputs.map { ($0.sequence, $0.tokens, logitCount: $0.wantsLogits ? 1 : 0) })
    return logits.map { logits in (0..<logits.rows).map(logits.row) } ?? []
  }
}
