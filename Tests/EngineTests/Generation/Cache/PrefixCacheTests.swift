import TestSupport
import Testing

@testable import Engine

/// What was computed is found again by whom it belongs to, and goes when its memory is needed.
@Suite struct PrefixCacheTests {
  private static func model() throws -> LanguageModel {
    try ContractCase(model: ContractCase.narrow[0], form: .gguf("Q4_1")).load(.serving)
  }

  /// Reads `tokens` with the model as far as the cache does not know them, and keeps them; nil if the pages do not suffice.
  @discardableResult private func read(
    _ tokens: [Int32], _ cache: PrefixCache, salt: String = "", adapter: Adapter? = nil, whole: Bool = true
  ) -> (logits: [Float], cached: Int, sequence: TokenSequence)? {
    let sequence = cache.sequence(for: tokens, salt: salt, adapter: adapter)
    let cached = sequence.tokens.count
    let rest = Array(tokens[cached...])
    cache.makeRoom(for: sequence.cache.pagesNeeded(adding: rest.count))
    guard sequence.cache.reserve(adding: rest.count) else { return nil }
    let logits = cache.model.step([(sequence, rest, true)])[0]
    cache.keep(sequence, salt: salt, whole: whole)
    return (logits, cached, sequence)
  }

  @Test func whatBeginsAlikeIsTakenToTheToken() throws {
    let model = try Self.model()
    let cache = PrefixCache(model)
    let tokens = model.tokens(90, seed: 1)
    #expect(read(tokens, cache)?.cached == 0)
    // All but the last token, whose logits are wanted.
    #expect(read(tokens, cache)?.cached == 89)
    #expect(cache.pageCount == 3)
    for count in [1, 2, 31, 32, 33, 64, 65, 89] {
      let other = Array(tokens.prefix(count)) + [tokens[count] ^ 1, 3]
      let found = try #require(read(other, cache))
      #expect(found.cached == count)
      #expect(areIdentical(found.logits, model.logits(after: other)), "\(count) tokens in common")
    }
    #expect(read(Array(tokens.prefix(64)), cache)?.cached == 63)
  }

  @Test func longerPagesReplaceShorterOnes() throws {
    let model = try Self.model()
    let cache = PrefixCache(model)
    let tokens = model.tokens(40, seed: 2)
    for count in [5, 9, 33, 40, 36] { read(Array(tokens.prefix(count)), cache) }
    #expect(cache.pageCount == 2)
    // The begun page of a sequence that goes on stays out.
    read(model.tokens(40, seed: 3), cache, whole: false)
    #expect(cache.pageCount == 3)
  }

  @Test func nobodyMeetsThePagesOfOthers() throws {
    let model = try Self.model()
    let cache = PrefixCache(model)
    let adapters = [nil, try model.randomAdapter(seed: 1), try model.randomAdapter(seed: 2)]
    let tokens = model.tokens(50, seed: 4)
    for salt in ["", "key 1", "key 2"] {
      for adapter in adapters {
        let found = try #require(read(tokens, cache, salt: salt, adapter: adapter))
        #expect(found.cached == 0)
        #expect(areIdentical(found.logits, model.logits(after: tokens, adapter: adapter)))
      }
    }
    #expect(read(tokens, cache, salt: "key 1", adapter: adapters[2])?.cached == 49)
    cache.discard(salt: "key 1")
    #expect(cache.pageCount == 12)
    #expect(read(tokens, cache, salt: "key 1", adapter: adapters[2])?.cached == 0)
  }

  @Test func trainingVoidsWhatWasComputedBefore() throws {
    let model = try Self.model()
    let cache = PrefixCache(model)
    let adapter = try model.randomAdapter(seed: 1)
    let tokens = model.tokens(50, seed: 5)
    let before = try #require(read(tokens, cache, adapter: adapter))
    var batch = TrainingBatch()
    batch.append(tokens, supervised: [Bool](repeating: true, count: 50))
    let trainer = Trainer(model, adapter: adapter, settings: .init(seed: 1))
    _ = try trainer.step([batch], learningRate: 0.1)
    trainer.finish()
    // A sequence that began before does not come back in either.
    cache.keep(before.sequence, salt: "", whole: true)
    let after = try #require(read(tokens, cache, adapter: adapter))
    #expect(after.cached == 0)
    #expect(!areIdentical(after.logits, before.logits))
    #expect(areIdentical(after.logits, model.logits(after: tokens, adapter: adapter)))
  }

  @Test func theLongestUnusedGoesFirst() throws {
    let model = try Self.model()
    // Room for six pages.
    let cache = PrefixCache(model, byteLimit: 6 * model.cacheShape.pageBytes)
    let texts = (0..<3).map { model.tokens(64, seed: UInt64(10 + $0)) }
    for text in texts { read(text, cache) }
    #expect(cache.pageCount == 6)
    // To compute the last token of the first again takes a page. The second is the oldest now; its end goes before its
    // beginning.
    #expect(read(texts[0], cache)?.cached == 63)
    #expect(read(texts[1], cache)?.cached == 32)
    #expect(read(texts[0], cache)?.cached == 63)
  }

  /// Against a plain list of all that was kept: what is found is what the list has, as long as nothing had to go.
  @Test(arguments: [UInt64](1...4)) func aRandomLifeOfATree(seed: UInt64) throws {
    let model = try Self.model()
    let pages = seed % 2 == 0 ? 1000 : 9
    let cache = PrefixCache(model, byteLimit: pages * model.cacheShape.pageBytes)
    var random = SplitMix64(seed: seed)
    var kept: [(salt: String, tokens: [Int32])] = []
    var running: [TokenSequence] = []
    for _ in 0..<150 {
      let salt = ["a", "b"].randomElement(using: &random) ?? ""
      // Two letters only, so that much begins alike.
      var tokens = (0..<Int.random(in: 1...80, using: &random)).map { _ in Int32.random(in: 0...1, using: &random) }
      if let stem = kept.randomElement(using: &random), Bool.random(using: &random) {
        tokens = Array(stem.tokens.prefix(Int.random(in: 0...stem.tokens.count, using: &random))) + tokens
        tokens = Array(tokens.prefix(95))
      }
      let longest = kept.filter { $0.salt == salt }.map { $0.tokens[...].commonCount(tokens.dropLast()) }.max() ?? 0
      let peek = cache.sharedPageCount(for: tokens, salt: salt, adapter: nil)
      #expect(peek <= longest / KVCache.pageTokens)
      guard let found = read(tokens, cache, salt: salt) else {
        // Out of pages: only because running sequences hold them.
        #expect(pages == 9 && !running.isEmpty)
        running.removeAll()
        continue
      }
      if pages == 1000 { #expect(found.cached == longest) } else { #expect(found.cached <= longest) }
      #expect(areIdentical(found.logits, model.logits(after: tokens)))
      kept.append((salt, tokens))
      if Int.random(in: 0..<4, using: &random) == 0 { running.append(found.sequence) }
      if running.count > 2 { running.removeFirst() }
      #expect(cache.pool.usedCount <= pages)
      #expect(cache.evictableCount <= cache.pageCount)
    }
    running.removeAll()
    #expect(cache.evictableCount == cache.pageCount)
    #expect(cache.pool.usedCount == cache.pageCount)
    cache.discardAll()
    #expect(cache.pool.usedCount == 0 && cache.pageCount == 0)
  }
}
