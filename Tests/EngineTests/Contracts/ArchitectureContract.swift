import Foundation
import TestSupport
import Testing

@testable import Engine

/// What holds for every family in every storage format and precision: an answer depends on its own tokens alone.
///
/// Equality is bit for bit, in the reference precision too: every sum has one fixed order.
@Suite struct ArchitectureContract {
  @Test func everyFamilyIsHeldToTheContract() {
    for family in architectures {
      for cases in [ContractCase.full, ContractCase.quantised] {
        #expect(
          cases.contains { family.names.contains($0.model.architecture) },
          "describe tiny models of \(family) in TestSupport and list them in ContractCase")
      }
    }
    // A format that is quantised in no case would be served untested.
    let tested = Set(ContractCase.quantised.map(\.form))
    #expect(TinyModel.formats.allSatisfy { $0 == "F32" || tested.contains(.gguf($0)) })
  }

  @Test(arguments: ContractCase.runs)
  func manyTokensAtOnceEqualOneByOne(_ run: ContractCase.Run) throws {
    let model = try run.load()
    // Over two borders between pages of the cache.
    let tokens = model.tokens(70, seed: 1)
    let oneByOne = model.logitsOneByOne(tokens, into: model.sequence(adapter: nil))
    for count in [1, 2, 31, 32, 33, 64, 65, 70] {
      let atOnce = model.logits(after: Array(tokens.prefix(count)))
      #expect(areIdentical(atOnce, oneByOne[count - 1]), "\(count) tokens")
    }
    #expect(oneByOne.joined().allSatisfy { $0.isFinite })
    #expect(Set(oneByOne.map { $0.firstIndex(of: $0.max() ?? 0) }).count > 5, "the model says one thing only")
  }

  @Test(arguments: ContractCase.runs)
  func cuttingAPromptChangesNothing(_ run: ContractCase.Run) throws {
    let model = try run.load()
    let tokens = model.tokens(81, seed: 2)
    let whole = model.logits(after: tokens)
    var random = SplitMix64(seed: 3)
    for _ in 0..<6 {
      let sequence = model.sequence(adapter: nil)
      var (rest, last) = (tokens[...], [Float]())
      while !rest.isEmpty {
        let chunk = rest.prefix(Int.random(in: 1...40, using: &random))
        rest = rest.dropFirst(chunk.count)
        last = model.step([(sequence, Array(chunk), rest.isEmpty)]).first ?? []
      }
      #expect(areIdentical(last, whole))
    }
  }

  @Test(arguments: ContractCase.runs)
  func strangersInTheBatchChangeNothing(_ run: ContractCase.Run) throws {
    let model = try run.load()
    var random = SplitMix64(seed: 4)
    // Prompts of very different lengths start at different steps; then each goes on by one token a step.
    let texts = [3, 50, 1, 33, 20].enumerated().map { model.tokens($1 + 6, seed: UInt64($0 + 10)) }
    let alone = texts.map { model.logitsOneByOne($0, into: model.sequence(adapter: nil)) }
    let runs = texts.map { _ in model.sequence(adapter: nil) }
    for round in 0..<30 {
      var inputs: [(sequence: TokenSequence, tokens: [Int32], wantsLogits: Bool)] = []
      var expected: [[Float]] = []
      for index in texts.indices.shuffled(using: &random) where round >= index {
        let done = runs[index].tokens.count
        let count = min(texts[index].count - done, done == 0 || round % 4 == 3 ? 17 : 1)
        guard count > 0 else { continue }
        let wants = Bool.random(using: &random)
        inputs.append((runs[index], Array(texts[index][done..<done + count]), wants))
        if wants { expected.append(alone[index][done + count - 1]) }
      }
      guard !inputs.isEmpty else { continue }
      let found = model.step(inputs)
      #expect(found.count == expected.count)
      #expect(zip(found, expected).allSatisfy { areIdentical($0, $1) }, "round \(round)")
    }
    #expect(zip(runs, texts).allSatisfy { $0.tokens == $1 })
  }

  /// What several threads and every instruction set must agree on: prompts, single tokens, whole texts and training.
  private func sample(_ run: ContractCase.Run, threads: Int) throws -> [[Float]] {
    let model = try run.load(threads: threads)
    let adapter = try model.randomAdapter(dropout: 0.2, seed: 5)
    var results: [[Float]] = []
    let runs = [adapter, nil, adapter].map { model.sequence(adapter: $0) }
    results += model.step(runs.enumerated().map { ($1, model.tokens(34 + $0, seed: UInt64($0)), true) })
    for token in model.tokens(3, seed: 6) { results += model.step(runs.map { ($0, [token], true) }) }
    model.logProbabilities(of: model.tokens(40, seed: 7)) { _, row in results.append(Array(row)) }
    var batch = TrainingBatch()
    for (index, count) in [1, 20, 35].enumerated() {
      batch.append(
        model.tokens(count, seed: UInt64(8 + index)), supervised: [Bool](repeating: true, count: count))
    }
    // Training is in f32 either way; once is enough for the slower part.
    for trained in run.precision == .reference ? [adapter, nil] : [adapter] {
      let trainer = Trainer(model, adapter: trained, settings: .init(seed: 9))
      let loss = trainer.accumulate(batch, scale: 1 / 53, pass: 1)
      results.append([Float(loss)])
      results += (trained?.parameters ?? model.parameters).map(\.gradientValues)
      trainer.finish()
    }
    return results
  }

  @Test(arguments: ContractCase.runs)
  func threadsAndInstructionSetsChangeNothing(_ run: ContractCase.Run) throws {
    let expected = try sample(run, threads: 1)
    let three = try sample(run, threads: 3)
    #expect(zip(three, expected).allSatisfy { areIdentical($0, $1) }, "three threads")
    try onEveryInstructionSet { isa in
      let two = try sample(run, threads: 2)
      #expect(two.count == expected.count)
      #expect(zip(two, expected).allSatisfy { areIdentical($0, $1) }, "\(isa), two threads")
    }
  }

  @Test(arguments: ContractCase.all)
  func servingIsCloseToTheReference(_ test: ContractCase) throws {
    let (serving, reference) = (try test.load(.serving), try test.load(.reference))
    let tokens = serving.tokens(60, seed: 11)
    let (found, expected) = (serving.logits(after: tokens), reference.logits(after: tokens))
    // Activations of 8 bits in blocks: some hundredths of logits that lie within ±4.
    #expect(largestGap(found, expected) < (test.form == .folder ? 5e-3 : 0.3))
    // Whole sequences side by side take another path through attention than cached ones.
    let maximum = expected.max() ?? 0
    let logSum = maximum + log(expected.reduce(0) { $0 + exp($1 - maximum) })
    for next in [0, 1, expected.firstIndex(of: maximum) ?? 0].map(Int32.init) {
      var batch = TrainingBatch()
      batch.append(tokens + [next], supervised: [Bool](repeating: false, count: 60) + [true])
      #expect(abs(reference.losses(batch)[0] - Double(logSum - expected[Int(next)])) < 2e-5)
    }
  }

  @Test(arguments: ContractCase.runs, [CacheType.f16, .q8])
  func scoringComputesWhatAnswersDo(_ run: ContractCase.Run, _ type: CacheType) throws {
    let model = try run.load()
    model.cacheType = type
    let tokens = model.tokens(70, seed: 12)
    let oneByOne = model.logitsOneByOne(tokens, into: model.sequence(adapter: nil))
    let pass = Pass(
      packed: PackedRows(lengths: [1]), adapter: nil, pool: model.pool, workspace: model.workspace,
      precision: run.precision)
    var seen: [Int] = []
    model.logProbabilities(of: tokens, rows: [0, 31, 32, 69]) { position, found in
      seen.append(position)
      let expected = pass.tensor(1, found.count)
      for (index, logit) in oneByOne[position].enumerated() { unsafe expected.data[index] = logit }
      pass.logSoftmax(expected)
      #expect(areIdentical(Array(found), expected.row(0)), "position \(position)")
    }
    #expect(seen == [0, 31, 32, 69])
  }
}
