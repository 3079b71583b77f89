import Engine
import Testing

@Suite struct SplitMix64Tests {
  /// The first outputs of the authors' C code for this seed, as widely published.
  @Test func matchesTheReference() {
    var generator = SplitMix64(seed: 1_234_567)
    #expect(
      (0..<5).map { _ in generator.next() } == [
        6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423,
        4_593_380_528_125_082_431, 16_408_922_859_458_223_821,
      ])
  }

  @Test func storedStateContinuesTheStream() {
    var whole = SplitMix64(seed: 7)
    _ = (0..<10).map { _ in whole.next() }
    var resumed = SplitMix64(seed: whole.state)
    #expect((0..<10).map { _ in whole.next() } == (0..<10).map { _ in resumed.next() })
  }

  @Test func unitsCoverTheirRangeEvenly() {
    var generator = SplitMix64(seed: 0)
    var counts = [Int](repeating: 0, count: 16)
    for _ in 0..<16_000 {
      let unit = generator.nextUnit()
      #expect((0..<1).contains(unit))
      counts[Int(unit * 16)] += 1
    }
    // 15 degrees of freedom: 37.7 is passed once in a thousand seeds.
    let statistic = counts.reduce(0) { $0 + Double(($1 - 1000) * ($1 - 1000)) / 1000 }
    #expect(statistic < 37.7)
  }
}
