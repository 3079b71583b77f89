import TestSupport
import Testing

@testable import Engine

/// Sequences of every family: forks do not disturb each other, and each runs with its own adapter.
@Suite struct SequenceContract {
  @Test(arguments: ContractCase.runs)
  func forksDoNotDisturbEachOther(_ run: ContractCase.Run) throws {
    let model = try run.load()
    // The fork is in the middle of a page, so the first to write must copy it.
    let past = model.tokens(45, seed: 1)
    let futures = (0..<4).map { model.tokens(25, seed: UInt64(2 + $0)) }
    let expected = futures.map { future in
      Array(model.logitsOneByOne(past + future, into: model.sequence(adapter: nil)).suffix(25))
    }
    let parent = model.sequence(adapter: nil)
    _ = model.step([(parent, past, false)])
    let children = (0..<3).map { _ in parent.fork() }
    let shorter = parent.fork(commonWith: Array(past.prefix(40)) + [0])
    #expect(shorter.tokens == Array(past.prefix(40)))
    for place in 0..<25 {
      let runs = [parent] + children
      let found = model.step(runs.enumerated().map { ($1, [futures[$0][place]], true) })
      for (index, logits) in found.enumerated() {
        #expect(areIdentical(logits, expected[index][place]), "sequence \(index), token \(place)")
      }
    }
    // The shortened fork saw nothing of what its relatives wrote behind its end.
    let rest = Array((past + futures[3])[shorter.tokens.count...])
    let found = model.step([(shorter, rest, true)])[0]
    #expect(areIdentical(found, expected[3][24]))
  }

  @Test(arguments: ContractCase.runs)
  func adaptersInOneBatchEqualEachAlone(_ run: ContractCase.Run) throws {
    let model = try run.load()
    let adapters = [
      try model.randomAdapter(rank: 1, seed: 1), nil, try model.randomAdapter(rank: 5, seed: 2),
      try model.randomAdapter(rank: 1, isRankStabilised: true, seed: 1), nil,
      try model.randomAdapter(rank: 2, isWeightDecomposed: true, seed: 5),
    ]
    let texts = adapters.indices.map { model.tokens(12 + 9 * $0, seed: 77) }
    let alone = zip(texts, adapters).map { model.logits(after: $0, adapter: $1) }
    // The last two prompts begin alike; a sequence may stand next to one with the same adapter or another.
    for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [1, 4, 0, 5, 0, 2, 2, 5, 5, 3]] {
      let found = model.step(order.map { (model.sequence(adapter: adapters[$0]), texts[$0], true) })
      for (logits, index) in zip(found, order) { #expect(areIdentical(logits, alone[index]), "\(order)") }
    }
    #expect(!areIdentical(model.logits(after: texts[0]), alone[0]))
  }

  @Test(arguments: ContractCase.runs)
  func anAdapterOfZerosChangesNothing(_ run: ContractCase.Run) throws {
    let model = try run.load()
    let tokens = model.tokens(40, seed: 3)
    let plain = model.logits(after: tokens)
    // As training begins: A random, B zero.
    let fresh = try model.makeAdapter(.init(rank: 4), seed: 1)
    #expect(areIdentical(model.logits(after: tokens, adapter: fresh), plain))
    let empty = try model.emptyAdapter(.init(rank: 4))
    #expect(areIdentical(model.logits(after: tokens, adapter: empty), plain))
    var batch = TrainingBatch()
    batch.append(tokens, supervised: [Bool](repeating: true, count: 40))
    #expect(model.losses(batch, adapter: fresh) == model.losses(batch))
  }

  @Test(arguments: ContractCase.runs.filter { $0.test.model.name != ContractCase.wide.name })
  func theContextLimitIsKept(_ run: ContractCase.Run) throws {
    let model = try run.load()
    #expect(model.contextLength == 96)
    let prompt = model.tokens(96, seed: 4)
    #expect(throws: GenerationError.promptTooLong(tokens: 96, contextLength: 96)) {
      try BatchDecoder(model).add(GenerationRequest(prompt: prompt))
    }
    #expect(throws: GenerationError.promptTooLong(tokens: 8, contextLength: 8)) {
      try BatchDecoder(model, contextLength: 8).add(GenerationRequest(prompt: Array(prompt.prefix(8))))
    }
    // More than the model was made for is not to be had.
    #expect(BatchDecoder(model, contextLength: 1000).contextLength == 96)
    for (count, limit, wanted, expected) in [(95, 96, nil, 1), (80, 96, nil, 16), (5, 12, 100, 7), (5, 12, 3, 3)] {
      let decoder = BatchDecoder(model, contextLength: limit, chunkLength: 30)
      let request = GenerationRequest(prompt: Array(prompt.prefix(count)), maximumTokenCount: wanted)
      let id = try decoder.add(request)
      var events: [BatchDecoder.Event] = []
      while !decoder.isIdle { events += try decoder.step() }
      #expect(events.count == expected)
      #expect(events.map(\.finishReason) == [FinishReason?](repeating: nil, count: expected - 1) + [.length])
      #expect(events.allSatisfy { $0.request == id })
      let beams = try decoder.search(
        request, BeamSearchOptions(beamCount: 2, maximumTokenCount: wanted ?? .max, endTokens: []))
      #expect(beams.first?.tokens.count == expected)
    }
  }
}
