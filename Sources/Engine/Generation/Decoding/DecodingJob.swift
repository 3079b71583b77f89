/// A request on its way through a decoder.
final class DecodingJob {
  let id: Int
  let request: GenerationRequest
  let adapter: Adapter?
  /// Whose pages it may share.
  let salt: String
  /// The key it is served for.
  let key: String
  /// Where to go on from, if given by the caller.
  let past: TokenSequence?
  /// Prompt and answer so far.
  private(set) var tokens: [Int32]
  var sampler: Sampler
  /// Where its text is in a grammar, if it is held to one.
  var constraint: (any TokenConstraint)?
  /// Tokens the answer may still have.
  var remaining: Int
  /// Whether its last token is chosen.
  var isOver = false
  /// What is computed of it; nil while it waits.
  var sequence: TokenSequence?
  /// Prompt tokens that were there already when it first began; nil before.
  var cachedTokenCount: Int?
  /// The other answers to the same prompt, which begin when this one has read it.
  var followers: [DecodingJob] = []
  /// In place of a sampler, beams.
  var search: Search?
  /// nil when nothing is to be guessed.
  var lookup: PromptLookup?
  var draftLength = DraftLength()

  /// A beam search and its running sequences, with the token each of them has chosen last.
  struct Search {
    let options: BeamSearchOptions
    var state: BeamSearch
    var beams: [(sequence: TokenSequence, token: Int32)] = []
  }

  init(
    id: Int, _ request: GenerationRequest, sampler: Sampler, limit: Int, adapter: Adapter?, salt: String, key: String,
    past: TokenSequence? = nil, search: Search? = nil, drafts: Bool = false
  ) {
    self.id = id
    self.request = request
    self.sampler = sampler
    constraint = request.constraint
    self.adapter = adapter
    self.salt = salt
    self.key = key
    self.past = past
    self.search = search
    tokens = request.prompt
    remaining = limit
    // Beams leave nothing to guess: several tokens are right.
    if drafts, search == nil { lookup = PromptLookup(request.prompt) }
  }

  var laneCount: Int { search?.options.beamCount ?? 1 }
  /// Tokens whose keys and values are still to be computed.
  var unreadCount: Int { tokens.count - (sequence?.tokens.count ?? 0) }

  func append(_ token: Int32) {
    tokens.append(token)
    lookup?.append([token])
  }

  /// Guesses for the next tokens but one, at most `limit`.
  func drafts(_ limit: Int) -> [Int32] {
    // The last token of all is chosen, never read.
    Array(lookup?.guess(min(limit, draftLength.count, remaining - 1)) ?? [])
  }

  /// The most pages that the next `count` tokens take.
  func pagesNeeded(adding count: Int) -> Int {
    if let search, !search.beams.isEmpty {
      return search.beams.reduce(0) { $0 + $1.sequence.cache.pagesNeeded(adding: 1) }
    }
    return sequence?.cache.pagesNeeded(adding: count) ?? KVCache.pageCount(count)
  }
}
