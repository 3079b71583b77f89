import CKernels
import Testing

@Suite("Dropout")
struct DropoutTests {
  @Test("The generator gives the published words")
  func knownAnswers() {
    // Random123's known-answer tests of philox4x32-10.
    let answers: [(counter: [UInt32], key: [UInt32], words: [UInt32])] = [
      ([0, 0, 0, 0], [0, 0], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
      (
        [UInt32](repeating: .max, count: 4), [.max, .max],
        [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
      ),
      (
        [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0],
        [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
      ),
    ]
    for answer in answers {
      var words = [UInt32](repeating: 0, count: 4)
      hearth_philox(&words, answer.counter, answer.key)
      #expect(words == answer.words)
    }
  }

  @Test("Element i follows from seed, stream and i alone")
  func elements() {
    let count = 40_037
    let seed: UInt64 = 0x0123_4567_89ab_cdef, stream: UInt64 = 0xfedc_ba98_7654_3210
    let probability: Float = 0.3
    let result = everywhere("dropout") { pool in
      var x = [Float](repeating: 2, count: count)
      hearth_dropout(pool, &x, count, probability, seed, stream)
      return x
    }
    let kept = 2 * (1 / (1 - probability))
    let key = [UInt32(truncatingIfNeeded: seed), UInt32(seed >> 32)]
    var words = [UInt32](repeating: 0, count: 4), mistakes = 0, dropped = 0
    for i in 0..<count {
      if i % 4 == 0 {
        let counter = [
          UInt32(i / 4), 0, UInt32(truncatingIfNeeded: stream), UInt32(stream >> 32),
        ]
        hearth_philox(&words, counter, key)
      }
      let keeps = Double(words[i % 4]) >= (Double(probability) * 0x1p32).rounded(.down)
      if result[i] != (keeps ? kept : 0) { mistakes += 1 }
      if !keeps { dropped += 1 }
    }
    #expect(mistakes == 0)
    // Three standard deviations.
    #expect(abs(Double(dropped) / Double(count) - 0.3) < 0.007)
  }

  @Test("Probabilities 0 and 1")
  func extremes() {
    withSteadyInstructionSet {
      var x: [Float] = [1, 2, 3]
      hearth_dropout(nil, &x, 3, 0, 1, 1)
      #expect(x == [1, 2, 3])
      hearth_dropout(nil, &x, 3, 1, 1, 1)
      #expect(x == [0, 0, 0])
    }
  }
}
