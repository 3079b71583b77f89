/// Generates for several requests at once, one token of each a step.
///
/// An answer does not depend on what else is in the batch. Not `Sendable`: a decoder belongs to the executor of its
/// model.
public final class BatchDecoder {
  /// What a step decided for one request.
  public struct Event: Sendable {
    /// The number that `add` gave the request.
    public let request: Int
    /// The chosen token; an end token is reported too.
    public let token: SampledToken
    /// Set with the last token.
    public let finishReason: FinishReason?
  }

  private struct Running {
    let id: Int
    let request: GenerationRequest
    let sequence: TokenSequence
    var sampler: Sampler
    /// Tokens that the model has yet to see: the rest of the prompt, or the last choice.
    var pending: ArraySlice<Int32>
    var remaining: Int
  }

  /// The model that answers.
  public let model: LanguageModel
  /// The longest sequence, in tokens.
  public let contextLength: Int
  /// The most prompt tokens of one request in a step.
  private let chunkLength: Int
  private var running: [Running] = []
  /// Requests that the model gave no usable logits, until `step` has said so.
  private var failed: [(id: Int, error: SamplingError)] = []
  private var nextID = 0

  /// - Parameter contextLength: At most the model's; nil is the model's.
  public init(_ model: LanguageModel, contextLength: Int? = nil, chunkLength: Int = 512) {
    self.model = model
    self.contextLength = min(contextLength ?? model.contextLength, model.contextLength)
    self.chunkLength = max(1, chunkLength)
  }

  /// Whether nothing is left to do.
  public var isIdle: Bool { running.isEmpty && failed.isEmpty }

  /// The request that the last error of `step` was about; nil before the first.
  public private(set) var failedRequest: Int?

  /// Takes a request on.
  ///
  /// - Parameters:
  ///   - adapter: nil for the base model.
  ///   - past: A sequence of the same model and adapter; what it has in common with the prompt is not computed again.
  /// - Returns: The request's number in events, its sequence, and how many prompt tokens were reused.
  public func add(
    _ request: GenerationRequest, adapter: Adapter? = nil, continuing past: TokenSequence? = nil
  ) throws(GenerationError) -> (id: Int, sequence: TokenSequence, reused: Int) {
    let limit = try request.tokenLimit(contextLength, vocabularyCount: model.vocabularyCount)
    let sampler: Sampler
    do {
      try request.sampling.validate(vocabularyCount: model.vocabularyCount)
      sampler = try Sampler(request.sampling, prompt: request.prompt)
    } catch { throw .sampling(error) }
    let sequence: TokenSequence
    if let past, past.adapter === adapter {
      sequence = past.fork(commonWith: request.prompt)
    } else {
      sequence = model.sequence(adapter: adapter)
    }
    let reused = sequence.tokens.count
    running.append(
      Running(
        id: nextID, request: request, sequence: sequence, sampler: sampler,
        pending: request.prompt[reused...], remaining: limit))
    nextID += 1
    return (nextID - 1, sequence, reused)
  }

  /// Stops working on a request.
  public func cancel(_ id: Int) {
    running.removeAll { $0.id == id }
    failed.removeAll { $0.id == id }
  }

  /// Runs the model once and chooses a token for every request whose prompt is read.
  ///
  /// - Throws: `GenerationError.sampling` when the model gave a request no usable logits. That request, `failedRequest`, is
  ///   dropped; the others lose nothing and go on with the next step.
  public func step() throws(GenerationError) -> [Event] {
    try reportFailure()
    guard !running.isEmpty else { return [] }
    let inputs = running.map { request in
      let tokens = Array(request.pending.prefix(chunkLength))
      return (sequence: request.sequence, tokens: tokens, wantsLogits: tokens.count == request.pending.count)
    }
    var logits = model.step(inputs)[...]
    var (events, finished): ([Event], Set<Int>) = ([], [])
    for (index, input) in inputs.enumerated() {
      running[index].pending = running[index].pending.dropFirst(input.tokens.count)
      guard input.wantsLogits, var row = logits.popFirst() else { continue }
      do throws(SamplingError) {
        let event = try choose(&running[index], &row)
        if event.finishReason != nil { finished.insert(event.request) }
        events.append(event)
      } catch {
        finished.insert(running[index].id)
        failed.append((running[index].id, error))
      }
    }
    running.removeAll { finished.contains($0.id) }
    // What the others chose is handed over first, or it would be lost with the error.
    if events.isEmpty { try reportFailure() }
    return events
  }

  private func reportFailure() throws(GenerationError) {
    guard !failed.isEmpty else { return }
    let (id, error) = failed.removeFirst()
    failedRequest = id
    throw .sampling(error)
  }

  private func choose(_ request: inout Running, _ row: inout [Float]) throws(SamplingError) -> Event {
    var logits = row.mutableSpan
    let token: SampledToken
    if let count = request.request.listedTokenCount {
      token = try request.sampler.sample(&logits, listing: count)
    } else {
      let id = try request.sampler.sample(&logits)
      token = SampledToken(chosen: TokenLogProbability(id: id, logProbability: .nan), likeliest: [])
    }
    request.remaining -= 1
    request.pending = [token.chosen.id]
    var reason: FinishReason?
    if request.request.endTokens.contains(token.chosen.id) {
      reason = .stop
    } else if request.remaining == 0 {
      reason = .length
    }
    return Event(request: request.id, token: token, finishReason: reason)
  }

  /// Answers one request by beam search.
  ///
  /// Beams share the pages of their common past.
  ///
  /// - Returns: The best hypotheses, best first.
  public func search(
    _ request: GenerationRequest, _ options: BeamSearchOptions, adapter: Adapter? = nil
  ) throws(GenerationError) -> [BeamSearch.Hypothesis] {
    let limit = try request.tokenLimit(contextLength, vocabularyCount: model.vocabularyCount)
    var options = options
    options.maximumTokenCount = min(options.maximumTokenCount, limit)
    options.endTokens = request.endTokens
    do throws(SamplingError) {
      var search = try BeamSearch(options, prompt: request.prompt, vocabularyCount: model.vocabularyCount)
      var beams = [model.sequence(adapter: adapter)]
      var inputs = [request.prompt]
      while true {
        let rows = read(inputs, beams)
        switch try search.advance(rows.span) {
        case .finished: return search.results
        case .continue(let parents, let tokens):
          beams = parents.map { beams[$0].fork() }
          inputs = tokens.map { [$0] }
        }
      }
    } catch { throw .sampling(error) }
  }

  /// Logits after each beam's tokens, `[beams, vocabulary]`; long prompts are read a chunk at a time.
  private func read(_ inputs: [[Int32]], _ beams: [TokenSequence]) -> [Float] {
    var rest = inputs.map { $0[...] }
    while let longest = rest.map(\.count).max(), longest > chunkLength {
      _ = model.step(zip(beams, rest).map { ($0, Array($1.prefix(chunkLength)), false) })
      rest = rest.map { $0.dropFirst(chunkLength) }
    }
    return model.step(zip(beams, rest).map { ($0, Array($1), true) }).flatMap { $0 }
  }
}
