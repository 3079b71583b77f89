import TestSupport
import Testing

@testable import Engine

/// An answer is the same alone and in any company.
@Suite struct BatchDecoderTests {
  /// Everything that is reported of one answer.
  struct Answer: Equatable {
    var tokens: [SampledToken] = []
    var finishReason: FinishReason?
    var error: GenerationError?

    mutating func append(_ event: BatchDecoder.Event) {
      tokens.append(event.token)
      finishReason = event.finishReason
    }

    /// Compares what was chosen; without probabilities they are NaN, which equals nothing.
    static func == (a: Answer, b: Answer) -> Bool {
      let ids = { (answer: Answer) in answer.tokens.map(\.chosen.id) }
      let bits = { (answer: Answer) in answer.tokens.map(\.chosen.logProbability.bitPattern) }
      return ids(a) == ids(b) && bits(a) == bits(b) && a.tokens.map(\.likeliest) == b.tokens.map(\.likeliest)
        && a.finishReason == b.finishReason && a.error == b.error
    }
  }

  /// A request, the adapter it runs with, and when its client goes away.
  struct Visit {
    let request: GenerationRequest
    let adapter: Adapter?
    /// Cancelled after as many tokens; nil stays to the end.
    let patience: Int?
  }

  static func model() throws -> LanguageModel {
    try ContractCase(model: ContractCase.narrow[0], form: .gguf("Q4_1")).load(.serving)
  }

  /// Plausible and extreme requests, one in eight of them impossible.
  static func visit(
    _ model: LanguageModel, _ adapters: [Adapter?], _ prompts: [[Int32]], using random: inout SplitMix64
  ) -> Visit {
    func chance(_ n: Int) -> Bool { Int.random(in: 0..<n, using: &random) == 0 }
    func real(_ range: ClosedRange<Float>) -> Float { Float.random(in: range, using: &random) }
    let vocabulary = Int32(model.vocabularyCount)
    var penalties = Penalties()
    if chance(3) { penalties.repetition = real(0.8...1.5) }
    if chance(3) { penalties.presence = real(-1...1) }
    if chance(3) { penalties.frequency = real(-1...1) }
    if chance(4) { penalties.logitBias[Int32.random(in: 0..<vocabulary, using: &random)] = real(-5...5) }
    var sampling = SamplingOptions(
      temperature: chance(4) ? 0 : real(0.1...2), topK: chance(2) ? 0 : Int.random(in: 1...80, using: &random),
      topP: chance(2) ? 1 : real(0...1), minP: chance(2) ? 0 : real(0...0.5), penalties: penalties,
      seed: random.next())
    // Prompts that begin alike, so that there are pasts to continue.
    let stem = prompts.randomElement(using: &random) ?? []
    var prompt = Array(stem.prefix(Int.random(in: 0...stem.count, using: &random)))
    prompt += (0..<Int.random(in: 1...4, using: &random)).map { _ in Int32.random(in: 0..<vocabulary, using: &random) }
    switch Int.random(in: 0..<40, using: &random) {
    case 0: prompt = []
    case 1: prompt.append(vocabulary)
    case 2: prompt = [Int32](repeating: 1, count: model.contextLength)
    case 3: sampling.topP = .nan
    case 4:
      // Everything ruled out: found only when the logits are there.
      for token in 0..<vocabulary { sampling.penalties.logitBias[token] = -.infinity }
    default: break
    }
    let ends = (0..<Int.random(in: 0...4, using: &random)).map { _ in Int32.random(in: 0..<vocabulary, using: &random) }
    return Visit(
      request: GenerationRequest(
        prompt: prompt, sampling: sampling,
        maximumTokenCount: chance(10) ? nil : Int.random(in: 1...20, using: &random), endTokens: Set(ends),
        listedTokenCount: chance(2) ? Int.random(in: 0...5, using: &random) : nil),
      adapter: adapters.randomElement(using: &random) ?? nil,
      patience: chance(6) ? Int.random(in: 0...6, using: &random) : nil)
  }

  /// How many tokens `a` and `b` begin with alike.
  static func common(_ a: [Int32], _ b: [Int32]) -> Int { zip(a, b).prefix { $0 == $1 }.count }

  /// The answer with the machine to itself, the prompt read in one go.
  static func alone(_ visit: Visit, _ model: LanguageModel) -> Answer {
    var answer = Answer()
    do {
      let decoder = BatchDecoder(model)
      let id = try decoder.add(visit.request, adapter: visit.adapter)
      if visit.patience == 0 { decoder.cancel(id) }
      while !decoder.isIdle {
        for event in try decoder.step() { answer.append(event) }
        if answer.tokens.count == visit.patience { decoder.cancel(id) }
      }
    } catch { answer.error = error }
    return answer
  }

  @Test(arguments: 0..<4) func twoHundredRequestsInRandomCompany(_ round: Int) throws {
    let model = try Self.model()
    let adapters = [nil, try model.randomAdapter(seed: 1), try model.randomAdapter(rank: 1, seed: 2)]
    var random = SplitMix64(seed: UInt64(round) + 1)
    let prompts = (0..<5).map { model.tokens(12 + 16 * $0, seed: UInt64($0)) }
    let visits = (0..<50).map { _ in Self.visit(model, adapters, prompts, using: &random) }
    let expected = visits.map { Self.alone($0, model) }
    let options = BeamSearchOptions(beamCount: 3, returnCount: 2, maximumTokenCount: 8, endTokens: [])
    var searches = visits.prefix(6).map { visit in
      (visit: visit, found: try? BatchDecoder(model).search(visit.request, options, adapter: visit.adapter))
    }

    // Memory for all, for three of the longest, for hardly more than one.
    let pages = [1000, 9, 5, 1000][round]
    let cache = PrefixCache(model, byteLimit: pages * model.cacheShape.pageBytes)
    let decoder = BatchDecoder(
      model, cache: cache,
      settings: .init(
        scheduling: .init(maximumLaneCount: [9, 16, 4, 9][round], chunkLength: [1, 7, 32, 512][round]),
        draftRowLimit: [0, 8, 4, 16][round]))
    var answers = [Answer](repeating: Answer(), count: visits.count)
    var places: [Int: Int] = [:]
    var (arrivals, reusedCount) = (Array(visits.indices), 0)
    while !decoder.isIdle || !arrivals.isEmpty {
      // Up to nine at once, in bursts.
      while let place = arrivals.first, places.count < 9, Int.random(in: 0..<3, using: &random) > 0 {
        arrivals.removeFirst()
        let visit = visits[place]
        do {
          let id = try decoder.add(
            visit.request, adapter: visit.adapter, salt: place % 3 == 0 ? "other" : "", key: "\(place % 4)")
          places[id] = place
          if visit.patience == 0 {
            decoder.cancel(id)
            places[id] = nil
          }
        } catch { answers[place].error = error }
      }
      do throws(GenerationError) {
        for event in try decoder.step() {
          // A client that has left may still have had tokens of the same step.
          guard let place = places[event.request] else { continue }
          reusedCount += answers[place].tokens.isEmpty ? event.cachedTokenCount : 0
          answers[place].append(event)
          let isLeaving = answers[place].tokens.count == visits[place].patience
          if isLeaving { decoder.cancel(event.request) }
          if isLeaving || event.finishReason != nil { places[event.request] = nil }
        }
      } catch {
        let id = try #require(decoder.failedRequest)
        answers[try #require(places[id])].error = error
        places[id] = nil
      }
      // A beam search in between uses the same model and its workspace.
      if Int.random(in: 0..<8, using: &random) == 0, let search = searches.popLast() {
        do throws(GenerationError) {
          let found = try decoder.search(search.visit.request, options, adapter: search.visit.adapter)
          #expect(found == search.found)
        } catch {
          // Five pages are not enough for three beams of any length.
          guard case .cacheFull = error, pages == 5 else {
            #expect(search.found == nil, "\(error)")
            continue
          }
        }
      }
    }
    #expect(searches.isEmpty)
    for (place, (found, expected)) in zip(answers, expected).enumerated() {
      #expect(found == expected, "request \(place) of round \(round): \(visits[place].request)")
    }
    // The round was worth it: answers of all kinds, and pasts continued.
    #expect(Set(expected.map(\.finishReason)) == [nil, .stop, .length])
    #expect(expected.contains { $0.error != nil })
    #expect(reusedCount > 20)
    #expect(cache.pool.peakCount <= pages)
    #expect(cache.pool.usedCount == cache.pageCount)
  }

  private func finish(_ decoder: BatchDecoder) throws -> [Int: Answer] {
    var answers: [Int: Answer] = [:]
    while !decoder.isIdle {
      for event in try decoder.step() { answers[event.request, default: Answer()].append(event) }
    }
    return answers
  }

  @Test func severalAnswersReadTheirPromptOnce() throws {
    let model = try Self.model()
    let cache = PrefixCache(model)
    for (cache, draftRows) in [(nil, 0), (cache, 8), (cache, 0)] {
      let decoder = BatchDecoder(
        model, cache: cache, settings: .init(scheduling: .init(maximumLaneCount: 3), draftRowLimit: draftRows))
      var request = GenerationRequest(
        prompt: model.tokens(45, seed: 1), sampling: SamplingOptions(seed: 100), maximumTokenCount: 12,
        listedTokenCount: 2)
      let ids = try decoder.add(request, count: 5)
      #expect(ids.count == 5)
      // Who is to read the prompt goes away; another one does.
      decoder.cancel(ids[0])
      var cached: [Int: Int] = [:]
      var answers: [Int: Answer] = [:]
      while !decoder.isIdle {
        for event in try decoder.step() {
          answers[event.request, default: Answer()].append(event)
          cached[event.request] = event.cachedTokenCount
        }
      }
      #expect(answers[ids[0]] == nil)
      for place in 1..<5 {
        request.sampling.seed = UInt64(100 + place)
        #expect(answers[ids[place]] == Self.alone(Visit(request: request, adapter: nil, patience: nil), model))
        if place > 1 { #expect(cached[ids[place]] == 44) }
      }
    }
  }

  @Test func whenPagesRunOutRequestsWaitAndLoseNothing() throws {
    let model = try Self.model()
    let cache = PrefixCache(model, byteLimit: 4 * model.cacheShape.pageBytes)
    let decoder = BatchDecoder(model, cache: cache, settings: .init())
    #expect(decoder.contextLength == 96)
    let requests = (0..<6).map {
      GenerationRequest(prompt: model.tokens(30, seed: UInt64($0)), maximumTokenCount: 60, listedTokenCount: 0)
    }
    let ids = try requests.map { try decoder.add($0) }
    let answers = try finish(decoder)
    for (id, request) in zip(ids, requests) {
      #expect(answers[id] == Self.alone(Visit(request: request, adapter: nil, patience: nil), model))
    }
    #expect(cache.pool.peakCount == 4)
    // Less than the model's longest sequence: said before anything is computed.
    let small = BatchDecoder(
      model, cache: PrefixCache(model, byteLimit: 2 * model.cacheShape.pageBytes), settings: .init())
    #expect(small.contextLength == 64)
    #expect(throws: GenerationError.promptTooLong(tokens: 64, contextLength: 64)) {
      try small.add(GenerationRequest(prompt: model.tokens(64, seed: 1)))
    }
  }

  @Test func beamsThatOutgrowTheMemoryEndAlone() throws {
    let model = try Self.model()
    let cache = PrefixCache(model, byteLimit: 4 * model.cacheShape.pageBytes)
    let decoder = BatchDecoder(model, cache: cache, settings: .init())
    let request = GenerationRequest(prompt: model.tokens(20, seed: 1), maximumTokenCount: 20, listedTokenCount: 0)
    let id = try decoder.add(request)
    let options = BeamSearchOptions(beamCount: 6, maximumTokenCount: 40, endTokens: [])
    let error = #expect(throws: GenerationError.self) { try decoder.search(request, options) }
    guard case .cacheFull(_, limit: 128)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(try finish(decoder)[id] == Self.alone(Visit(request: request, adapter: nil, patience: nil), model))
    #expect(cache.pool.usedCount == cache.pageCount)
  }

  @Test func guessesThatAreRightSavePasses() throws {
    let model = try Self.model()
    // What a tiny model repeats for ever once it has begun.
    let request = GenerationRequest(prompt: [1, 2, 3], maximumTokenCount: 80, listedTokenCount: 1)
    let expected = Self.alone(Visit(request: request, adapter: nil, patience: nil), model)
    var passes: [Int] = []
    for rows in [0, 8] {
      let decoder = BatchDecoder(model, cache: PrefixCache(model), settings: .init(draftRowLimit: rows))
      let id = try decoder.add(request)
      #expect(try finish(decoder)[id] == expected)
      passes.append(decoder.passCount)
    }
    #expect(passes[0] == 80)
    #expect(passes[1] < 60, "\(passes[1]) passes for 80 tokens")
  }

  @Test func aRequestThatFailsTakesNobodyWithIt() throws {
    let model = try Self.model()
    let decoder = BatchDecoder(model)
    let impossible = SamplingOptions(
      penalties: Penalties(
        logitBias: Dictionary(uniqueKeysWithValues: (0..<Int32(model.vocabularyCount)).map { ($0, -.infinity) })))
    func add(_ sampling: SamplingOptions) throws -> Int {
      try decoder.add(GenerationRequest(prompt: [1, 2, 3], sampling: sampling, maximumTokenCount: 4))
    }
    let (first, bad, last) = (try add(.greedy), try add(impossible), try add(.greedy))
    #expect(try decoder.step().map(\.request) == [first, last])
    #expect(!decoder.isIdle)
    #expect(throws: GenerationError.sampling(.nothingPossible)) { try decoder.step() }
    #expect(decoder.failedRequest == bad)
    for _ in 0..<3 { #expect(try decoder.step().map(\.request) == [first, last]) }
    #expect(decoder.isIdle)
    // With nobody else there, the error comes at once.
    let lonely = try add(impossible)
    #expect(throws: GenerationError.sampling(.nothingPossible)) { try decoder.step() }
    #expect(decoder.failedRequest == lonely)
    #expect(decoder.isIdle)
  }
}
