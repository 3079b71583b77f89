import Engine
import Foundation
import Testing

@Suite struct SamplerTests {
  /// Samples from a copy of `logits`.
  static func sample(_ sampler: inout Sampler, _ logits: [Float]) throws -> Int32 {
    var logits = logits
    var span = logits.mutableSpan
    return try sampler.sample(&span)
  }

  @Test func greedyTakesTheLowestOfTheLikeliest() throws {
    var sampler = try Sampler(.greedy, prompt: [])
    #expect(try Self.sample(&sampler, [1, 3, 2, 3]) == 1)
    #expect(try Self.sample(&sampler, [-.infinity, -5]) == 1)
    #expect(try Self.sample(&sampler, [0]) == 0)
    // No number is drawn.
    #expect(sampler.generator == SplitMix64(seed: 0))
  }

  @Test func penaltiesSteerGreedyChoices() throws {
    var options = SamplingOptions.greedy
    options.penalties.frequency = 1
    var sampler = try Sampler(options, prompt: [0, 0, 0])
    // The prompt does not count; each use costs 1, ties go to the lower id.
    let chosen = try (0..<6).map { _ in try Self.sample(&sampler, [2, 1, 0.5]) }
    #expect(chosen == [0, 0, 1, 2, 0, 1])

    options.penalties = Penalties(presence: 1)
    sampler = try Sampler(options, prompt: [])
    #expect(try (0..<4).map { _ in try Self.sample(&sampler, [2, 1.5, 0]) } == [0, 1, 0, 0])

    options.penalties = Penalties(repetition: 2)
    sampler = try Sampler(options, prompt: [0])
    #expect(try (0..<3).map { _ in try Self.sample(&sampler, [3, 2, -1]) } == [1, 0, 0])
    sampler = try Sampler(options, prompt: [0])
    #expect(try Self.sample(&sampler, [-1, -1.5]) == 1)

    options.penalties = Penalties(logitBias: [0: -.infinity, 2: 5])
    sampler = try Sampler(options, prompt: [])
    #expect(try Self.sample(&sampler, [9, 1, 0]) == 2)
  }

  @Test func theSameSeedGivesTheSameTokens() throws {
    let model = HashModel(seed: 5, vocabulary: 300, scale: 6)
    func answer(_ options: SamplingOptions, count: Int) throws -> [Int32] {
      var sampler = try Sampler(options, prompt: [1])
      var ids: [Int32] = [1]
      for _ in 0..<count { ids.append(try Self.sample(&sampler, model.logits(after: ids))) }
      return ids
    }
    var options = SamplingOptions(
      temperature: 0.8, topK: 40, topP: 0.95, minP: 0.02,
      penalties: Penalties(repetition: 1.1, frequency: 0.3), seed: 42)
    let first = try answer(options, count: 50)
    #expect(try answer(options, count: 50) == first)
    options.seed = 43
    #expect(try answer(options, count: 50) != first)

    // An answer resumed in the middle goes on as if nothing had happened.
    options.seed = 42
    var half = try Sampler(options, prompt: [1])
    var ids: [Int32] = [1]
    for _ in 0..<20 { ids.append(try Self.sample(&half, model.logits(after: ids))) }
    var resumed = try Sampler(
      options, prompt: [1], generated: Array(ids.dropFirst()),
      generator: SplitMix64(seed: half.generator.state))
    for _ in 0..<30 { ids.append(try Self.sample(&resumed, model.logits(after: ids))) }
    #expect(ids == first)
  }

  /// Frequencies of draws against the probabilities `transformers` gives, by Pearson's χ².
  @Test func drawsFollowTheDistributionOfTransformers() throws {
    let drawCount = 500
    var tested = 0
    for test in try CandidatesTests.cases.get()
    where test.vocabulary <= 33 && test.probabilities.count(where: { $0 > 0.01 }) > 1 {
      let options = SamplingOptions(
        temperature: test.temperature, topK: test.topK, topP: test.topP, minP: test.minP,
        penalties: test.penalties, seed: UInt64(test.seed))
      var counts = [Int](repeating: 0, count: test.vocabulary)
      var generator = SplitMix64(seed: options.seed)
      for _ in 0..<drawCount {
        // Each draw begins anew, so that penalties of one do not reach the next.
        var sampler = try Sampler(
          options, prompt: test.prompt, generated: test.generated, generator: generator)
        counts[Int(try Self.sample(&sampler, test.logits))] += 1
        generator = sampler.generator
      }

      // Cells of less than five expected draws are pooled, as the approximation asks for.
      var statistic = 0.0
      var freedom = -1
      var pooled = (expected: 0.0, found: 0.0)
      for (count, probability) in zip(counts, test.probabilities) {
        if probability == 0, count != 0 {
          Issue.record("case \(test.seed): impossible token drawn")
        }
        pooled.expected += Double(probability) * Double(drawCount)
        pooled.found += Double(count)
        guard pooled.expected >= 5 else { continue }
        statistic +=
          (pooled.found - pooled.expected) * (pooled.found - pooled.expected)
          / pooled.expected
        freedom += 1
        pooled = (0, 0)
      }
      guard freedom > 0 else { continue }
      tested += 1
      // Wilson and Hilferty's approximation of the quantile at 1 − 10⁻⁴.
      let f = Double(freedom)
      let limit = f * pow(1 - 2 / (9 * f) + 3.72 * (2 / (9 * f)).squareRoot(), 3)
      #expect(
        statistic < limit, "case \(test.seed): χ² \(statistic), \(freedom) degrees of freedom")
    }
    #expect(tested >= 50)
  }

  @Test func logProbabilitiesAreTheModelsOwn() throws {
    let logits: [Float] = [1, 3, 2, 3, -.infinity]
    let options = SamplingOptions(
      temperature: 0.5, topK: 1, penalties: Penalties(logitBias: [2: 50]))
    var sampler = try Sampler(options, prompt: [])
    var copy = logits
    var span = copy.mutableSpan
    let result = try sampler.sample(&span, listing: 3)
    let logSum = Float(log(exp(1.0) + 2 * exp(3.0) + exp(2.0)))
    #expect(result.chosen.id == 2)
    #expect(abs(result.chosen.logProbability - (2 - logSum)) < 1e-6)
    #expect(result.likeliest.map(\.id) == [1, 3, 2])
    for (listed, logit) in zip(result.likeliest, [3, 3, 2] as [Float]) {
      #expect(abs(listed.logProbability - (logit - logSum)) < 1e-6)
    }

    copy = logits
    span = copy.mutableSpan
    #expect(try sampler.sample(&span, listing: 0).likeliest.isEmpty)
    copy = logits
    span = copy.mutableSpan
    #expect(try sampler.sample(&span, listing: .max).likeliest.count == 5)
  }

  @Test(arguments: [SamplingOptions.greedy, SamplingOptions(), SamplingOptions(topK: 2, topP: 0.5)])
  func damagedLogitsAreErrors(_ options: SamplingOptions) throws {
    var sampler = try Sampler(options, prompt: [])
    for place in 0..<3 {
      var logits: [Float] = [1, 2, 3]
      logits[place] = .nan
      #expect {
        try Self.sample(&sampler, logits)
      } throws: { error in
        guard case SamplingError.logitNotFinite(Int32(place), let found) = error else {
          return false
        }
        return found.isNaN
      }
    }
    #expect(throws: SamplingError.logitNotFinite(token: 1, found: .infinity)) {
      try Self.sample(&sampler, [0, .infinity])
    }
    #expect(throws: SamplingError.nothingPossible) {
      try Self.sample(&sampler, [-.infinity, -.infinity])
    }
    #expect(throws: SamplingError.nothingPossible) { try Self.sample(&sampler, []) }
    // A failed call draws nothing.
    #expect(sampler.generator == SplitMix64(seed: 0))
  }

  @Test func extremesDoNotTrap() throws {
    let largest = Float.greatestFiniteMagnitude
    for options in [
      SamplingOptions(temperature: .leastNonzeroMagnitude, topP: 0.9),
      SamplingOptions(temperature: largest, topP: 0.5, minP: 1),
      SamplingOptions(topP: 0), SamplingOptions(topK: .max, minP: 1),
    ] {
      var sampler = try Sampler(options, prompt: [-1, 99, .max, .min])
      for logits: [Float] in [
        [largest, -largest], [0, -0.0], [-largest, -largest], [.leastNonzeroMagnitude, 0],
      ] {
        let token = try Self.sample(&sampler, logits)
        #expect((0..<2).contains(token))
      }
    }
    var sampler = try Sampler(SamplingOptions(temperature: 1e-38), prompt: [])
    #expect(try Self.sample(&sampler, [1e6, 2e6, -3e38]) == 1)
    // Ids a head does not reach, or that are no ids, are no business of the penalties.
    let penalties = Penalties(repetition: 2, presence: 1, frequency: 1)
    sampler = try Sampler(
      SamplingOptions(penalties: penalties), prompt: [-1, 99, .max], generated: [-5, .min, 7],
      generator: SplitMix64(seed: 1))
    #expect((0..<2).contains(try Self.sample(&sampler, [0, 0])))
  }

  @Test func optionsOutOfRangeAreNamed() throws {
    func field(_ change: (inout SamplingOptions) -> Void) -> String? {
      var options = SamplingOptions()
      change(&options)
      do {
        _ = try Sampler(options, prompt: [])
      } catch SamplingError.invalidOption(let field, let expected, let found) {
        #expect(!expected.isEmpty && !found.isEmpty)
        return field
      } catch {
        return "\(error)"
      }
      return nil
    }
    #expect(field { _ in } == nil)
    for bad: Float in [-1, .nan, .infinity] {
      #expect(field { $0.temperature = bad } == "temperature")
      #expect(field { $0.penalties.repetition = bad } == "repetition penalty")
    }
    for bad: Float in [-0.1, 1.1, .nan] {
      #expect(field { $0.topP = bad } == "top-p")
      #expect(field { $0.minP = bad } == "min-p")
    }
    #expect(field { $0.topK = -1 } == "top-k")
    #expect(field { $0.penalties.presence = .nan } == "presence penalty")
    #expect(field { $0.penalties.frequency = .infinity } == "frequency penalty")
    #expect(field { $0.penalties.logitBias = [3: .nan] } == "logit bias of token 3")
    #expect(field { $0.penalties.logitBias = [3: .infinity] } == "logit bias of token 3")
    #expect(field { $0.penalties.logitBias = [-1: 0] } == "logit bias")

    var sampler = try Sampler(
      SamplingOptions(penalties: Penalties(logitBias: [3: 1])), prompt: [])
    #expect(
      throws: SamplingError.invalidOption(
        field: "logit bias", expected: "token ids from 0 to 2", found: "3")
    ) {
      try Self.sample(&sampler, [0, 0, 0])
    }
    #expect(
      SamplingError.invalidOption(field: "top-p", expected: "0 to 1", found: "2.0").description
        == "top-p is 2.0, expected 0 to 1")
  }
}
