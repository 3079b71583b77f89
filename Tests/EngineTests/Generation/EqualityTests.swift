import CKernels
import Foundation
import TestSupport
import Testing

@testable import Engine

/// The contract that all of generation is built on: a request's tokens and log-probabilities are, to the bit, those it has
/// with the machine to itself, whatever happens around it.
///
/// A thousand requests; `HEARTH_REQUESTS` asks for another number (`make soak`).
@Suite struct EqualityTests {
  static let requestCount =
    ProcessInfo.processInfo.environment["HEARTH_REQUESTS"].flatMap { Int($0) } ?? 1000
  /// Requests that meet in one world.
  static let crowd = 25

  /// Both families, packed and dense weights.
  static let cases: [ContractCase] = [
    ContractCase(model: ContractCase.narrow[0], form: .gguf("Q4_1")),
    ContractCase(model: ContractCase.narrow[1], form: .gguf("Q8_0")),
    ContractCase(model: ContractCase.models[1], form: .folder),
    ContractCase(model: ContractCase.models[4], form: .folder),
    ContractCase(model: ContractCase.narrow[0], form: .gguf("Q4_1")),
  ]
  /// What the last of them keeps keys and values in; the others keep them in f16.
  static let lastCacheType = CacheType.q8

  /// What must not show.
  struct World: CustomStringConvertible {
    let threads: Int
    let isa: hearth_isa
    let lanes: Int
    let chunk: Int
    let draftRows: Int
    /// nil keeps nothing for others.
    let pages: Int?

    init(using random: inout SplitMix64) {
      threads = Int.random(in: 1...2, using: &random)
      isa = hearth_isa(
        rawValue: .random(in: HEARTH_ISA_SCALAR.rawValue...hearth_isa_best().rawValue, using: &random))
      lanes = [1, 2, 7, 16].randomElement(using: &random) ?? 1
      chunk = [1, 5, 32, 40, 512].randomElement(using: &random) ?? 1
      draftRows = [0, 2, 8, 24].randomElement(using: &random) ?? 0
      pages = [nil, 4, 12, 400].randomElement(using: &random) ?? nil
    }

    var description: String {
      "\(threads) threads, \(isa), \(lanes) lanes, chunks of \(chunk), \(draftRows) rows of guesses, "
        + "\(pages.map { "\($0) pages kept" } ?? "nothing kept")"
    }
  }

  enum Kind { case one, several(Int), beams(Int) }

  /// Everything that a request has led to.
  enum Outcome: Equatable {
    case answers([BatchDecoderTests.Answer])
    case beams([BeamSearch.Hypothesis])
    case error(GenerationError)
  }

  struct Guest {
    let visit: BatchDecoderTests.Visit
    let kind: Kind
    var answers: [BatchDecoderTests.Answer] = []
    var outcome: Outcome?
  }

  private static func alone(_ guest: Guest, _ model: LanguageModel) -> Outcome {
    switch guest.kind {
    case .one: return .answers([BatchDecoderTests.alone(guest.visit, model)])
    case .several(let count):
      return .answers(
        (0..<count).map { place in
          var request = guest.visit.request
          request.sampling.seed &+= UInt64(place)
          return BatchDecoderTests.alone(.init(request: request, adapter: guest.visit.adapter, patience: nil), model)
        })
    case .beams(let count):
      do throws(GenerationError) {
        let found = try BatchDecoder(model).search(
          guest.visit.request, options(guest, beams: count), adapter: guest.visit.adapter)
        return .beams(found)
      } catch { return .error(error) }
    }
  }

  private static func options(_ guest: Guest, beams: Int) -> BeamSearchOptions {
    BeamSearchOptions(
      beamCount: beams, returnCount: beams, maximumTokenCount: 6, endTokens: [],
      penalties: Penalties(repetition: guest.visit.request.sampling.penalties.repetition))
  }

  private static func guest(
    _ model: LanguageModel, _ adapters: [Adapter?], _ stems: [[Int32]], using random: inout SplitMix64
  ) -> Guest {
    let visit = BatchDecoderTests.visit(model, adapters, stems, using: &random)
    var request = visit.request
    // Log-probabilities of every token, so that their bits can be compared.
    request.listedTokenCount = Int.random(in: 0...2, using: &random)
    request.maximumTokenCount = min(request.maximumTokenCount ?? 20, 20)
    let kind: Kind
    switch Int.random(in: 0..<8, using: &random) {
    case 0: kind = .several(Int.random(in: 2...4, using: &random))
    case 1: kind = .beams(Int.random(in: 2...4, using: &random))
    default: kind = .one
    }
    if case .one = kind {
      return Guest(visit: .init(request: request, adapter: visit.adapter, patience: visit.patience), kind: kind)
    }
    return Guest(visit: .init(request: request, adapter: visit.adapter, patience: nil), kind: kind)
  }

  /// Lets the guests come and go.
  private static func receive(
    _ guests: inout [Guest], _ model: LanguageModel, _ world: World, using random: inout SplitMix64
  ) throws {
    let cache = world.pages.map { PrefixCache(model, byteLimit: $0 * model.cacheShape.pageBytes) }
    let decoder = BatchDecoder(
      model, cache: cache,
      settings: .init(
        scheduling: .init(maximumLaneCount: world.lanes, chunkLength: world.chunk), draftRowLimit: world.draftRows))
    var places: [Int: (guest: Int, answer: Int)] = [:]
    var arrivals = guests.indices[...]
    while !arrivals.isEmpty || !decoder.isIdle {
      while let place = arrivals.first, Int.random(in: 0..<3, using: &random) > 0 {
        arrivals = arrivals.dropFirst()
        let guest = guests[place]
        let (salt, key) = (place % 4 == 0 ? "other" : "", "\(place % 3)")
        do throws(GenerationError) {
          switch guest.kind {
          case .one:
            let id = try decoder.add(guest.visit.request, adapter: guest.visit.adapter, salt: salt, key: key)
            guests[place].answers = [.init()]
            places[id] = (place, 0)
            if guest.visit.patience == 0 { decoder.cancel(id) }
          case .several(let count):
            let ids = try decoder.add(
              guest.visit.request, count: count, adapter: guest.visit.adapter, salt: salt, key: key)
            guests[place].answers = .init(repeating: .init(), count: count)
            for (answer, id) in ids.enumerated() { places[id] = (place, answer) }
          case .beams(let count):
            guests[place].outcome = .beams(
              try decoder.search(
                guest.visit.request, options(guest, beams: count), adapter: guest.visit.adapter, salt: salt, key: key))
          }
        } catch {
          if case .beams = guest.kind {
            guests[place].outcome = .error(error)
          } else {
            // Alone, each of several meets the same error.
            var count = 1
            if case .several(let all) = guest.kind { count = all }
            guests[place].answers = .init(repeating: .init(error: error), count: count)
          }
        }
      }
      do throws(GenerationError) {
        for event in try decoder.step() {
          guard let (guest, answer) = places[event.request] else { continue }
          guests[guest].answers[answer].append(event)
          if guests[guest].answers[answer].tokens.count == guests[guest].visit.patience {
            decoder.cancel(event.request)
            places[event.request] = nil
          }
        }
      } catch {
        let (guest, answer) = try #require(decoder.failedRequest.flatMap { places[$0] })
        guests[guest].answers[answer].error = error
      }
    }
    if let cache {
      #expect(cache.pool.peakCount <= world.pages ?? 0)
      #expect(cache.pool.usedCount == cache.pageCount)
    }
    for place in guests.indices where guests[place].outcome == nil {
      guests[place].outcome = .answers(guests[place].answers)
    }
  }

  @Test(arguments: cases.indices) func everyRequestIsAnsweredAsIfAlone(_ index: Int) throws {
    let test = Self.cases[index]
    let models = try [1, 2].map { try test.load(.serving, threads: $0) }
    if index == Self.cases.count - 1 { models.forEach { $0.cacheType = Self.lastCacheType } }
    // Adapters belong to a model.
    let adapters = try models.map { [nil, nil, try $0.randomAdapter(seed: 1), try $0.randomAdapter(rank: 1, seed: 2)] }
    let stems = (0..<4).map { models[0].tokens(15 + 18 * $0, seed: UInt64($0)) }
    let worlds = max(1, Self.requestCount / Self.cases.count / Self.crowd)
    var (finished, refused) = (0, 0)
    for number in 0..<worlds {
      var random = SplitMix64(seed: UInt64(index * 1_000_000 + number))
      let world = World(using: &random)
      let seed = random.next()
      let crowds = (0..<2).map { place in
        var random = SplitMix64(seed: seed)
        return (0..<Self.crowd).map { _ in Self.guest(models[place], adapters[place], stems, using: &random) }
      }
      let expected = crowds[0].map { Self.alone($0, models[0]) }
      var guests = crowds[world.threads - 1]
      try instructionSetLock.withLock {
        hearth_isa_force(world.isa)
        defer { hearth_isa_force(hearth_isa_best()) }
        try Self.receive(&guests, models[world.threads - 1], world, using: &random)
      }
      for (place, (guest, expected)) in zip(guests, expected).enumerated() {
        // Four pages are not enough for beams of any length; who is refused says so.
        if case .error(.cacheFull)? = guest.outcome, world.pages == 4 {
          refused += 1
          continue
        }
        #expect(guest.outcome == expected, "request \(place) of world \(number), \(world): \(guest.visit.request)")
        finished += 1
      }
    }
    #expect(finished > 10 * refused)
  }
}
