import CKernels
import Testing

@testable import Engine

/// Penalties and filters against `transformers`' processors, step by step.
@Suite struct CandidatesTests {
  struct Case: Decodable {
    let seed: UInt32
    let vocabulary: Int
    let scale: Float
    let shift: Float
    let prompt: [Int32]
    let generated: [Int32]
    let bias: [String: Float]
    let repetition: Float
    let temperature: Float
    let topK: Int
    let topP: Float
    let minP: Float
    /// After penalties and temperature; nil if they are off.
    let scores: [Float]?
    /// Ids after each filter in use.
    let kept: [String: [Int32]]
    let probabilities: [Float]

    var logits: [Float] {
      HashModel(seed: seed, vocabulary: vocabulary, scale: scale)
        .logits(first: 0, second: 0, position: 0).map { $0 - shift }
    }

    var penalties: Penalties {
      Penalties(repetition: repetition, logitBias: tokenBiases(bias))
    }
  }

  static let cases = Result { try GenerationFixture<Case>.load("filters.json") }

  @Test func everyStepKeepsWhatTransformersKeeps() throws {
    let cases = try Self.cases.get()
    #expect(cases.count == 200)
    for test in cases {
      var scores = test.logits
      var history = TokenHistory(prompt: test.prompt, for: test.penalties)
      for token in test.generated { history.record(token) }
      var span = scores.mutableSpan
      history.apply(test.penalties, to: &span)
      scores = scores.map { $0 / test.temperature }
      if let golden = test.scores {
        for (score, golden) in zip(scores, golden) {
          #expect(abs(score - golden) <= 1e-6 * max(1, abs(golden)), "case \(test.seed)")
        }
      }

      let largest = try largestLogit(scores.span).logit
      var candidates = Candidates(scores.span, largest: largest, topK: test.topK)
      if let kept = test.kept["top_k"] { #expect(candidates.ids == kept, "case \(test.seed)") }
      candidates.keepNucleus(test.topP)
      if let kept = test.kept["top_p"] { #expect(candidates.ids == kept, "case \(test.seed)") }
      candidates.keepLikely(test.minP)
      if let kept = test.kept["min_p"] { #expect(candidates.ids == kept, "case \(test.seed)") }

      var probabilities = [Float](repeating: 0, count: test.vocabulary)
      let total = candidates.weights.reduce(0, +)
      for (id, weight) in zip(candidates.ids, candidates.weights) {
        probabilities[Int(id)] = weight / total
      }
      for (found, golden) in zip(probabilities, test.probabilities) {
        #expect(abs(found - golden) <= 2e-6, "case \(test.seed)")
      }
    }
  }

  /// The nucleus by sorting everything, as its definition reads.
  @Test func nucleusIsThatOfAFullSort() throws {
    var generator = SplitMix64(seed: 3)
    for round in 0..<300 {
      let count = 1 + Int(generator.next() % 200)
      let scale = [0.01, 1, 5, 40, 300][round % 5]
      // Coarse scores in every other round, so that many tie.
      let scores = (0..<count).map { _ in
        let score = Float(generator.nextUnit() * scale)
        return round % 2 == 0 ? score : (score * 4 / Float(scale)).rounded()
      }
      let topP = Float(generator.nextUnit())
      let largest = try largestLogit(scores.span).logit
      var candidates = Candidates(scores.span, largest: largest, topK: 0)
      candidates.keepNucleus(topP)

      let order = scores.indices.sorted {
        scores[$0] > scores[$1] || (scores[$0] == scores[$1] && $0 < $1)
      }
      let weights = exponentials(of: scores.span, minus: largest).map(Double.init)
      let target = weights.reduce(0, +) * Double(topP)
      var sum = 0.0
      var expected: [Int32] = []
      for i in order where expected.isEmpty || sum < target {
        expected.append(Int32(i))
        sum += weights[i]
      }
      #expect(candidates.ids == expected.sorted(), "round \(round)")
    }
  }

  @Test func topKKeepsTies() throws {
    let scores: [Float] = [1, 3, 2, 2, 0, 2, -.infinity]
    func kept(_ topK: Int) -> [Int32] { Candidates(scores.span, largest: 3, topK: topK).ids }
    #expect(kept(1) == [1])
    #expect(kept(2) == [1, 2, 3, 5])
    #expect(kept(4) == [1, 2, 3, 5])
    #expect(kept(5) == [0, 1, 2, 3, 5])
    #expect(kept(7) == [0, 1, 2, 3, 4, 5])
    #expect(kept(.max) == kept(0))
  }

  @Test func topSelectionIsThatOfAFullSort() {
    var generator = SplitMix64(seed: 9)
    for capacity in [0, 1, 2, 7, 50, 300] {
      let scores = (0..<200).map { _ in Float(generator.next() % 40) }
      var best = TopSelection(capacity: capacity)
      for (index, score) in scores.enumerated() { best.offer(score, at: index) }
      let expected = scores.indices.sorted {
        scores[$0] > scores[$1] || (scores[$0] == scores[$1] && $0 < $1)
      }
      #expect(best.sorted().map(\.index) == Array(expected.prefix(capacity)))
      #expect(best.worst?.index == expected.prefix(capacity).last)
    }
  }

  @Test func drawsByInverseDistributionInOrderOfIds() throws {
    // Probabilities 1/4, 1/2, 0, 1/4.
    let scores: [Float] = [0, 0.693147, -.infinity, 0]
    let candidates = Candidates(scores.span, largest: 0.693147, topK: 0)
    let draws = [0, 0.2499, 0.2501, 0.7499, 0.7501, 1.0.nextDown].map { candidates.token(at: $0) }
    #expect(draws == [0, 0, 1, 1, 3, 3])
  }

  /// Whole lanes and tails alike give what the kernel for one number gives.
  @Test func exponentialsDoNotDependOnTheirPlace() {
    for count in [0, 1, 15, 16, 17, 50] {
      let x = (0..<count).map { Float($0 * $0) * -0.37 }
      #expect(exponentials(of: x.span, minus: 0.25) == x.map { hearth_exp($0 - 0.25) })
    }
  }
}
