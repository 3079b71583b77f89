/// Generates for several requests at once.
///
/// Requests come and go at any time; `Scheduler` decides what each step computes. An answer does not depend on what else is
/// in the batch, on what was cached, or on guesses. Not `Sendable`: a decoder belongs to the executor of its model.
public final class BatchDecoder {
  /// What a step decided for one request.
  public struct Event: Sendable {
    /// The number that `add` gave the request.
    public let request: Int
    /// The chosen token; an end token is reported too.
    public let token: SampledToken
    /// Set with the last token.
    public let finishReason: FinishReason?
    /// Prompt tokens that were not computed for this request, because an earlier one had.
    public let cachedTokenCount: Int
  }

  /// How much is done at once.
  public struct Settings: Sendable {
    /// The longest sequence, in tokens; nil is the model's, and never is it more than the model's or than memory holds.
    public var contextLength: Int?
    /// Answers and prompt tokens in a step.
    public var scheduling: Scheduler.Settings
    /// The most rows of a pass, answers among them, that guesses may fill up; 0 guesses nothing. From four answers on a row more
    /// costs as much as it brings even if every guess is right.
    public var draftRowLimit: Int

    /// Settings; what is not given is right for answers on this machine.
    public init(
      contextLength: Int? = nil, scheduling: Scheduler.Settings = .init(maximumLaneCount: 64), draftRowLimit: Int = 4
    ) {
      self.contextLength = contextLength
      self.scheduling = scheduling
      self.draftRowLimit = draftRowLimit
    }
  }

  /// The model that answers.
  public let model: LanguageModel
  /// The longest sequence, in tokens.
  public let contextLength: Int
  let settings: Settings
  let cache: PrefixCache
  /// Whether what ended requests have computed stays for others.
  private let keepsPrefixes: Bool
  var scheduler: Scheduler
  /// All requests that have not ended, followers included.
  private(set) var jobs: [Int: DecodingJob] = [:]
  /// Requests that failed, until `step` has said so.
  var failed: [(id: Int, error: GenerationError)] = []
  /// What was decided while somebody else waited for a beam search.
  var undelivered: [Event] = []
  /// What ended beam searches have found.
  var found: [Int: [BeamSearch.Hypothesis]] = [:]
  private var nextID = 0
  /// Passes of the model.
  public private(set) var passCount = 0
  /// Prompt tokens that the last pass read.
  public internal(set) var lastPromptTokenCount = 0

  /// The most prompt tokens in a step; answers do not depend on it.
  public var chunkLength: Int {
    get { scheduler.settings.chunkLength }
    set { scheduler.settings.chunkLength = max(1, newValue) }
  }
  /// Requests that are computed.
  public var runningCount: Int { scheduler.runningCount }
  /// Requests that wait for their turn, or for another answer to the same prompt to have read it.
  public var waitingCount: Int { jobs.count - scheduler.runningCount }

  /// A decoder for `model`.
  ///
  /// - Parameter cache: Of the same model: the memory for keys and values, and what earlier decoders have left in it. Without one, a
  ///   decoder has memory of its own, in which nothing outlives a request.
  public init(_ model: LanguageModel, cache: PrefixCache?, settings: Settings = Settings()) {
    self.model = model
    self.settings = settings
    self.cache = cache ?? PrefixCache(model)
    precondition(self.cache.model === model, "a cache of another model")
    keepsPrefixes = cache != nil
    let longest = min(model.contextLength, self.cache.tokenLimit)
    contextLength = min(settings.contextLength ?? longest, longest)
    scheduler = Scheduler(settings.scheduling)
  }

  /// A decoder with memory of its own, that guesses nothing.
  public convenience init(_ model: LanguageModel, contextLength: Int? = nil, chunkLength: Int = 512) {
    let scheduling = Scheduler.Settings(maximumLaneCount: 64, chunkLength: chunkLength)
    self.init(
      model, cache: nil,
      settings: Settings(contextLength: contextLength, scheduling: scheduling, draftRowLimit: 0))
  }

  /// Whether nothing is left to do or to say.
  public var isIdle: Bool { jobs.isEmpty && failed.isEmpty && undelivered.isEmpty }

  /// The request that the last error of `step` was about; nil before the first.
  public private(set) var failedRequest: Int?

  /// Takes a request on.
  ///
  /// - Parameters:
  ///   - adapter: nil for the base model.
  ///   - salt: Only requests of the same salt share what was computed.
  ///   - key: Whom it is for: steps are shared fairly between keys.
  ///   - past: A sequence of the same model and adapter; what it has in common with the prompt is not computed again.
  /// - Returns: The request's number in events.
  /// - Throws: When the prompt does not fit or an option makes no sense.
  @discardableResult public func add(
    _ request: GenerationRequest, adapter: Adapter? = nil, salt: String = "", key: String = "",
    continuing past: TokenSequence? = nil
  ) throws(GenerationError) -> Int {
    try add(request, count: 1, adapter: adapter, salt: salt, key: key, continuing: past)[0]
  }

  /// Takes on several answers to one prompt, which is read once. The answers are those of single requests whose seeds count up from
  /// the request's.
  ///
  /// - Returns: The answers' numbers in events.
  /// - Throws: When the prompt does not fit or an option makes no sense.
  public func add(
    _ request: GenerationRequest, count: Int, adapter: Adapter? = nil, salt: String = "", key: String = "",
    continuing past: TokenSequence? = nil
  ) throws(GenerationError) -> [Int] {
    let limit = try request.tokenLimit(contextLength, vocabularyCount: model.vocabularyCount)
    let past = past?.adapter === adapter ? past : nil
    let salt = keepsPrefixes ? salt : "request \(nextID)"
    var group: [DecodingJob] = []
    do {
      try request.sampling.validate(vocabularyCount: model.vocabularyCount)
      for place in 0..<max(1, count) {
        var request = request
        request.sampling.seed &+= UInt64(place)
        group.append(
          DecodingJob(
            id: nextID + place, request, sampler: try Sampler(request.sampling, prompt: request.prompt), limit: limit,
            adapter: adapter, salt: salt, key: key, past: past, drafts: settings.draftRowLimit > 1))
      }
    } catch { throw .sampling(error) }
    nextID += group.count
    for job in group { jobs[job.id] = job }
    schedule(group)
    return group.map(\.id)
  }

  /// Takes on a beam search; `hypotheses(of:)` has what it finds.
  func add(
    search options: BeamSearchOptions, _ request: GenerationRequest, adapter: Adapter?, salt: String, key: String
  ) throws(GenerationError) -> Int {
    let limit = try request.tokenLimit(contextLength, vocabularyCount: model.vocabularyCount)
    var options = options
    options.maximumTokenCount = min(options.maximumTokenCount, limit)
    options.endTokens = request.endTokens
    let job: DecodingJob
    do {
      let state = try BeamSearch(options, prompt: request.prompt, vocabularyCount: model.vocabularyCount)
      job = DecodingJob(
        id: nextID, request, sampler: try Sampler(.greedy, prompt: []), limit: limit, adapter: adapter,
        salt: keepsPrefixes ? salt : "request \(nextID)", key: key, search: .init(options: options, state: state))
    } catch { throw .sampling(error) }
    nextID += 1
    jobs[job.id] = job
    schedule([job])
    return job.id
  }

  /// Queues the first of a group; the others follow when it has read the prompt.
  private func schedule(_ group: [DecodingJob]) {
    guard let first = group.first else { return }
    first.followers = Array(group.dropFirst())
    scheduler.add(first.id, key: first.key, laneCount: first.laneCount)
  }

  /// Stops working on a request.
  public func cancel(_ id: Int) {
    failed.removeAll { $0.id == id }
    undelivered.removeAll { $0.request == id }
    found[id] = nil
    guard let job = jobs[id] else { return }
    for other in jobs.values { other.followers.removeAll { $0.id == id } }
    end(job)
  }

  /// Forgets a request that ended, however it did.
  func end(_ job: DecodingJob) {
    keep(job, whole: true)
    job.sequence = nil
    job.search = nil
    scheduler.remove(job.id)
    jobs[job.id] = nil
    // Those who waited for it to read their prompt have to do so themselves.
    schedule(job.followers)
    job.followers = []
    if !keepsPrefixes, !jobs.values.contains(where: { $0.salt == job.salt }) { cache.discard(salt: job.salt) }
  }

  /// Leaves what a request has computed to those who begin alike.
  func keep(_ job: DecodingJob, whole: Bool) {
    if let sequence = job.sequence { cache.keep(sequence, salt: job.salt, whole: whole) }
  }

  /// The prompt of `job` is read: its followers can begin.
  func releaseFollowers(of job: DecodingJob) {
    keep(job, whole: !job.followers.isEmpty)
    for follower in job.followers { scheduler.add(follower.id, key: follower.key) }
    job.followers = []
  }

  /// Runs the model once and chooses tokens for every request whose prompt is read.
  ///
  /// - Throws: `GenerationError.sampling` when the model gave a request no usable logits, `.cacheFull` when it outgrew the
  ///   memory for keys and values. That request, `failedRequest`, is dropped; the others lose nothing and go on with the next
  ///   step.
  public func step() throws(GenerationError) -> [Event] {
    if !undelivered.isEmpty {
      defer { undelivered = [] }
      return undelivered
    }
    try reportFailure()
    let events = advance()
    // What the others chose is handed over first, or it would be lost with the error.
    if events.isEmpty { try reportFailure() }
    return events
  }

  private func reportFailure() throws(GenerationError) {
    guard !failed.isEmpty else { return }
    let (id, error) = failed.removeFirst()
    failedRequest = id
    throw error
  }

  /// Carries out what the scheduler says until the model has run once or nothing is left to do.
  func advance() -> [Event] {
    while true {
      switch scheduler.next(DecoderMemory(self)) {
      case .admit(let id):
        guard let job = jobs[id] else { continue }
        begin(job)
        scheduler.begin(id, unread: job.unreadCount)
      case .preempt(let id):
        guard let job = jobs[id] else { continue }
        keep(job, whole: true)
        job.sequence = nil
        // A search begins anew; nobody has seen anything of it.
        if let search = job.search,
          let state = try? BeamSearch(
            search.options, prompt: job.request.prompt, vocabularyCount: model.vocabularyCount)
        {
          job.search = .init(options: search.options, state: state)
        }
      case .fail(let id):
        if let job = jobs[id] { fail(job, .cacheFull(tokens: job.tokens.count, limit: cache.tokenLimit)) }
      case .run(let shares):
        passCount += 1
        return run(shares)
      case .idle: return []
      }
    }
  }

  private func begin(_ job: DecodingJob) {
    let sequence = cache.sequence(for: job.tokens, salt: job.salt, adapter: job.adapter)
    let past = job.past?.fork(commonWith: job.tokens)
    job.sequence = past.flatMap { $0.tokens.count > sequence.tokens.count ? $0 : nil } ?? sequence
    if job.cachedTokenCount == nil { job.cachedTokenCount = job.sequence?.tokens.count }
  }

  func fail(_ job: DecodingJob, _ error: GenerationError) {
    failed.append((job.id, error))
    end(job)
  }
}

/// The pages of a decoder, as its scheduler sees them.
private struct DecoderMemory: SchedulerMemory {
  let decoder: BatchDecoder
  let freePageCount: Int

  init(_ decoder: BatchDecoder) {
    self.decoder = decoder
    // What nobody could ask for in this step need not be counted.
    let bound = decoder.jobs.values.reduce(0) { $0 + KVCache.pageCount($1.unreadCount) + $1.laneCount + 1 }
    let free = decoder.cache.pool.freeCount
    freePageCount = free >= bound ? free : free + decoder.cache.evictableCount
  }

  func pagesToStart(_ id: Int) -> Int {
    guard let job = decoder.jobs[id] else { return 0 }
    let shared = decoder.cache.sharedPageCount(for: job.tokens, salt: job.salt, adapter: job.adapter)
    return KVCache.pageCount(job.tokens.count + 1) - shared
  }

  func pagesToExtend(_ id: Int, by tokens: Int) -> Int { decoder.jobs[id]?.pagesNeeded(adding: tokens) ?? 0 }
}
