import CKernels
import Testing

@Suite("Cross-entropy")
struct CrossEntropyTests {
  @Test("Losses, gradients and log-probabilities are torch's")
  func golden() throws {
    for golden in try GoldenCase.load("cross_entropy") {
      let (rows, vocabulary) = (golden.count("rows"), golden.count("vocabulary"))
      let targets = golden.integers("targets")
      let result = everywhere("cross-entropy") { pool in
        var losses = [Float](repeating: 9, count: rows), unscaled = losses
        var logits = golden["logits"], untouched = logits, logarithms = logits
        hearth_cross_entropy(
          pool, &losses, &logits, targets, rows, vocabulary, Float(golden.number("scale")))
        hearth_cross_entropy(pool, &unscaled, &untouched, targets, rows, vocabulary, 0)
        #expect(unscaled == losses && untouched == golden["logits"])
        hearth_log_softmax(pool, &logarithms, rows, vocabulary)
        return losses + logits + logarithms
      }
      let size = rows * vocabulary
      expectClose("losses", result[..<rows], golden["losses"], tolerance: 3e-7)
      expectClose("gradient", result[rows..<rows + size], golden["dlogits"], tolerance: 1e-7)
      expectClose("log softmax", result[(rows + size)...], golden["log_softmax"], tolerance: 3e-7)
    }
  }

  @Test("Targets outside the vocabulary never read outside the row")
  func outsiders() {
    withSteadyInstructionSet {
      var losses: [Float] = [0, 0, 0], logits: [Float] = [1, 2, 3, 1, 2, 3, 1, 2, .infinity]
      hearth_cross_entropy(nil, &losses, &logits, [3, -2, -1], 3, 3, 1)
      #expect(losses[0].isNaN && losses[1].isNaN && losses[2] == 0)
      #expect(logits == [Float](repeating: 0, count: 9))
    }
  }

  @Test("Work shared among workers gives the same bits")
  func shared() {
    var noise = RowNoise(9)
    let (rows, vocabulary) = (7, 3001)
    let logits = noise.array(rows * vocabulary, scale: 30)
    let targets: [Int32] = [0, 3000, 17, -1, 5, 6, 999]
    _ = everywhere("cross-entropy") { pool in
      var losses = [Float](repeating: 0, count: rows), gradient = logits, logarithms = logits
      hearth_cross_entropy(pool, &losses, &gradient, targets, rows, vocabulary, 0.3)
      hearth_log_softmax(pool, &logarithms, rows, vocabulary)
      return losses + gradient + logarithms
    }
  }
}
