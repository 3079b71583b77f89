import Engine
import Foundation
import Testing

/// Beam search against `transformers`, and its own rules.
@Suite struct BeamSearchTests {
  struct Answer: Decodable {
    let tokens: [Int32]
    let score: Float
  }

  struct Case: Decodable {
    let seed: UInt32
    let prompt: [Int32]
    let vocabulary: Int
    let scale: Float
    let beams: Int
    let returns: Int
    let lengthPenalty: Double
    let earlyStopping: String
    let maximum: Int
    let endTokens: Set<Int32>
    let endBias: Float
    let repetition: Float
    let bias: [String: Float]
    let answers: [Answer]

    var options: BeamSearchOptions {
      get throws {
        let stopping: [String: BeamSearchOptions.EarlyStopping] = [
          "whenFull": .whenFull, "whenUnlikely": .whenUnlikely, "whenImpossible": .whenImpossible,
        ]
        return BeamSearchOptions(
          beamCount: beams, returnCount: returns, lengthPenalty: lengthPenalty,
          earlyStopping: try #require(stopping[earlyStopping]), maximumTokenCount: maximum,
          endTokens: endTokens,
          penalties: Penalties(repetition: repetition, logitBias: tokenBiases(bias)))
      }
    }
  }

  /// One step, with the logits of all rows.
  static func advance(
    _ search: inout BeamSearch, _ logits: [Float]
  ) throws -> BeamSearch.Action {
    try search.advance(logits.span)
  }

  /// Runs a search to its end.
  static func run(_ search: inout BeamSearch, _ test: Case) throws {
    let model = HashModel(seed: test.seed, vocabulary: test.vocabulary, scale: test.scale)
    var rows = [test.prompt]
    while true {
      var logits: [Float] = []
      for row in rows {
        var next = model.logits(after: row)
        for token in test.endTokens { next[Int(token)] += test.endBias }
        logits += next
      }
      #expect(search.rowCount == rows.count)
      guard case .continue(let parents, let tokens) = try Self.advance(&search, logits) else {
        return
      }
      rows = zip(parents, tokens).map { rows[$0] + [$1] }
      #expect(rows.map { Array($0.dropFirst(test.prompt.count)) } == search.running.map(\.tokens))
    }
  }

  @Test func findsWhatTransformersFinds() throws {
    let cases = try GenerationFixture<Case>.load("beams.json")
    #expect(cases.count == 590)
    for test in cases {
      var search = try BeamSearch(
        test.options, prompt: test.prompt, vocabularyCount: test.vocabulary)
      try Self.run(&search, test)
      let found = search.results
      #expect(found.map(\.tokens) == test.answers.map(\.tokens), "case \(test.seed)")
      for (found, answer) in zip(found, test.answers) {
        #expect(
          abs(found.score - answer.score) <= 1e-5 * max(1, abs(answer.score)), "case \(test.seed)")
        let ended = found.tokens.last.map(test.endTokens.contains) ?? false
        #expect(found.finishReason == (ended ? .stop : .length))
        #expect(ended || found.tokens.count == test.maximum)
      }
      #expect(search.rowCount == 0)
      #expect(try Self.advance(&search, []) == .finished)
    }
  }

  /// With more beams than there are sequences, the search is exhaustive.
  @Test func enoughBeamsFindTheBestOfAll() throws {
    for seed in 0..<20 as Range<UInt32> {
      let model = HashModel(seed: seed, vocabulary: 4, scale: 4)
      let options = BeamSearchOptions(
        beamCount: 64, returnCount: 64, lengthPenalty: 0, earlyStopping: .whenImpossible,
        maximumTokenCount: 3, endTokens: [])
      var search = try BeamSearch(options, prompt: [1], vocabularyCount: 4)
      var rows: [[Int32]] = [[1]]
      while case .continue(let parents, let tokens) = try Self.advance(
        &search, rows.flatMap { model.logits(after: $0) })
      {
        rows = zip(parents, tokens).map { rows[$0] + [$1] }
      }

      #expect(search.results.count == 64)
      #expect(Set(search.results.map(\.tokens)).count == 64)
      let total = search.results.reduce(0) { $0 + exp(Double($1.logProbability)) }
      #expect(abs(total - 1) < 1e-5)
      #expect(search.results.map(\.score) == search.results.map(\.score).sorted(by: >))
    }
  }

  @Test func tiesGoToTheEarlierBeamThenTheLowerToken() throws {
    let options = BeamSearchOptions(beamCount: 3, maximumTokenCount: 2, endTokens: [])
    var search = try BeamSearch(options, prompt: [0], vocabularyCount: 5)
    let equal = [Float](repeating: 1, count: 15)
    #expect(
      try Self.advance(&search, Array(equal.prefix(5)))
        == .continue(parents: [0, 0, 0], tokens: [0, 1, 2]))
    #expect(try Self.advance(&search, equal) == .finished)
    #expect(search.results.map(\.tokens) == [[0, 0]])
  }

  @Test func impossibleTokensAreNeverTaken() throws {
    let options = BeamSearchOptions(
      beamCount: 4, returnCount: 4, maximumTokenCount: 3, endTokens: [2],
      penalties: Penalties(logitBias: [1: -.infinity]))
    var search = try BeamSearch(options, prompt: [0], vocabularyCount: 4)
    let row: [Float] = [0.5, 9, 0, -.infinity]
    var action = try Self.advance(&search, row)
    #expect(action == .continue(parents: [0], tokens: [0]))
    action = try Self.advance(&search, row)
    #expect(action == .continue(parents: [0], tokens: [0]))
    #expect(try Self.advance(&search, row) == .finished)
    #expect(search.results.map(\.tokens) == [[0, 0, 0], [0, 0, 2], [0, 2], [2]])
  }

  @Test func nothingLeftToRunOnEndsTheSearch() throws {
    let options = BeamSearchOptions(beamCount: 2, maximumTokenCount: 9, endTokens: [1])
    var search = try BeamSearch(options, prompt: [], vocabularyCount: 2)
    let row: [Float] = [-.infinity, 0]
    #expect(try Self.advance(&search, row) == .finished)
    #expect(search.results.map(\.tokens) == [[1]])
    #expect(search.results.first?.score == 0)
  }

  @Test func damagedLogitsAreErrorsAndChangeNothing() throws {
    let options = BeamSearchOptions(beamCount: 2, maximumTokenCount: 4, endTokens: [0])
    var search = try BeamSearch(options, prompt: [1], vocabularyCount: 3)
    #expect(throws: SamplingError.logitNotFinite(token: 1, found: .infinity)) {
      try Self.advance(&search, [0, .infinity, 0])
    }
    #expect(throws: SamplingError.nothingPossible) {
      try Self.advance(&search, [-.infinity, -.infinity, -.infinity])
    }
    #expect(throws: SamplingError.wrongLogitCount(expected: 3, found: 4)) {
      try Self.advance(&search, [0, 0, 0, 0])
    }
    #expect {
      try Self.advance(&search, [0, .nan, 0])
    } throws: { error in
      guard case SamplingError.logitNotFinite(token: 1, let found) = error else { return false }
      return found.isNaN
    }
    #expect(search.rowCount == 1)
    #expect(try Self.advance(&search, [1, 2, 3]) == .continue(parents: [0, 0], tokens: [2, 1]))
  }

  @Test func optionsOutOfRangeAreNamed() {
    func field(_ change: (inout BeamSearchOptions) -> Void) -> String? {
      var options = BeamSearchOptions(
        beamCount: 2, maximumTokenCount: 2, endTokens: [0])
      change(&options)
      do {
        _ = try BeamSearch(options, prompt: [], vocabularyCount: 8)
      } catch SamplingError.invalidOption(let field, _, _) {
        return field
      } catch {
        return "\(error)"
      }
      return nil
    }
    #expect(field { _ in } == nil)
    #expect(field { $0.beamCount = 0 } == "number of beams")
    #expect(field { $0.beamCount = .max } == "number of beams")
    #expect(field { $0.returnCount = 3 } == "number of returned sequences")
    #expect(field { $0.returnCount = 0 } == "number of returned sequences")
    #expect(field { $0.lengthPenalty = .nan } == "length penalty")
    #expect(field { $0.maximumTokenCount = 0 } == "maximum of new tokens")
    #expect(field { $0.penalties.repetition = 0 } == "repetition penalty")
    #expect(field { $0.penalties.logitBias = [8: 1] } == "logit bias")
  }

  /// Extreme lengths and penalties may give scores of 0 or infinity, but no trap.
  @Test(arguments: [-1e300, -400, 400, 1e300])
  func extremeLengthPenaltiesDoNotTrap(_ penalty: Double) throws {
    let options = BeamSearchOptions(
      beamCount: 3, lengthPenalty: penalty, maximumTokenCount: .max, endTokens: [3])
    var search = try BeamSearch(options, prompt: [0], vocabularyCount: 8)
    let row: [Float] = [0, 1, 2, 3, 2, 1, 0, 1]
    for _ in 0..<20 {
      let rows = Array(repeatElement(row, count: max(1, search.rowCount)).joined())
      if try Self.advance(&search, rows) == .finished { break }
    }
    #expect(search.results.count == 1)
  }
}
