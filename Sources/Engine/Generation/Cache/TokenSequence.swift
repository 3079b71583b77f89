/// A sequence that is being generated: its tokens so far, what is cached of them, and the adapter it runs with.
///
/// A reference, so that a pass can extend each of its sequences.
public final class TokenSequence {
  /// The tokens whose keys and values are cached.
  public internal(set) var tokens: [Int32] = []
  var cache: KVCache
  /// nil for the base model.
  public let adapter: Adapter?
  /// `LanguageModel.revision` when it began.
  let revision: Int

  init(cache: KVCache, adapter: Adapter?, revision: Int) {
    self.cache = cache
    self.adapter = adapter
    self.revision = revision
  }

  /// Another sequence with the same past, sharing its pages.
  func fork() -> TokenSequence {
    let copy = TokenSequence(cache: cache, adapter: adapter, revision: revision)
    copy.tokens = tokens
    return copy
  }

  /// A fork that keeps only what it has in common with `prompt`, less the last token, whose logits are still wanted.
  ///
  /// Results do not depend on how a prompt was cut, so continuing from here gives the same bytes as starting anew.
  func fork(commonWith prompt: [Int32]) -> TokenSequence {
    var common = 0
    while common < min(tokens.count, prompt.count - 1), tokens[common] == prompt[common] { common += 1 }
    let copy = fork()
    copy.truncate(to: common)
    return copy
  }

  /// Forgets all tokens from `count` on.
  func truncate(to count: Int) {
    cache.truncate(to: count)
    tokens.removeLast(tokens.count - count)
  }
}
