import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Engine

/// One tiny model in one form, which must keep the contract of all architectures.
///
/// To bring a new family under the contract, describe tiny models of it in `TestSupport/TinyModel+Families.swift` and list
/// them here; `everyFamilyIsHeldToTheContract` fails until then.
struct ContractCase: Sendable, CustomTestStringConvertible {
  /// What the model is read from.
  enum Form: Sendable, Hashable {
    case folder
    /// A GGUF file, its matrices in this storage format.
    case gguf(String)
  }

  let model: TinyModel
  let form: Form

  var testDescription: String {
    switch form {
    case .folder: "\(model.name), folder"
    case .gguf(let format): "\(model.name), \(format)"
    }
  }

  /// Tiny models of every family, and what is peculiar about each.
  static let models: [TinyModel] = [
    .llama("llama 4:2, tied", seed: 1),
    .llama(
      "llama 3:3, heads of 14, untied, Llama 3's RoPE",
      .init {
        ($0.heads, $0.keyValueHeads, $0.headWidth, $0.width) = (3, 3, 14, 40)
      }, isTied: false, scaling: .llama3(factor: 8, originalContext: 24), seed: 2),
    .llama(
      "llama 6:1, heads of 6, biases, linear RoPE",
      .init { ($0.heads, $0.keyValueHeads, $0.headWidth, $0.hiddenWidth) = (6, 1, 6, 33) }, hasBiases: true,
      scaling: .linear(4), seed: 3),
    .gpt2("gpt2 4 heads, tied", seed: 4),
    .gpt2(
      "gpt2 5 heads of 7, untied", .init { ($0.heads, $0.width, $0.hiddenWidth) = (5, 35, 51) }, isTied: false,
      seed: 5),
  ]

  /// Models wide enough for the formats whose blocks hold 32 elements.
  static let narrow: [TinyModel] = [
    .llama(
      "llama 8:2, width 64", .init { ($0.width, $0.heads, $0.hiddenWidth) = (64, 8, 96) }, hasBiases: true, seed: 6),
    .gpt2("gpt2, width 64", .init { ($0.width, $0.hiddenWidth) = (64, 96) }, seed: 7),
  ]

  /// For the formats of 256, and large enough that every kernel is shared between threads.
  static let wide = TinyModel.llama(
    "llama 4:1, width 256",
    .init { ($0.layers, $0.width, $0.hiddenWidth, $0.keyValueHeads, $0.headWidth) = (1, 256, 256, 1, 64) },
    isTied: false, seed: 8)

  static let full: [ContractCase] =
    models.map { ContractCase(model: $0, form: .folder) }
    + [models[2], models[4]].map { ContractCase(model: $0, form: .gguf("F32")) }

  static let quantised: [ContractCase] =
    [("Q4_1", 0), ("Q8_0", 0), ("F16", 0), ("Q4_0", 1), ("BF16", 1)].map {
      ContractCase(model: narrow[$0.1], form: .gguf($0.0))
    }
    + TinyModel.formats.filter { $0.contains("_K") || $0.hasPrefix("IQ") || $0.hasPrefix("Q5") }.map {
      ContractCase(model: wide, form: .gguf($0))
    }

  static let all = full + quantised

  /// A case and how it is computed.
  struct Run: Sendable, CustomTestStringConvertible {
    let test: ContractCase
    let precision: Precision
    var testDescription: String { "\(test.testDescription), \(precision)" }

    func load(threads: Int = 2) throws -> LanguageModel { try test.load(precision, threads: threads) }
  }

  /// Every case in both precisions. What the reference makes of quantised weights is the same for all formats, so it is
  /// enough to run it on some.
  static let runs: [Run] = Precision.allCases.flatMap { precision in
    all.filter { precision == .serving || $0.model.name != wide.name }.map { Run(test: $0, precision: precision) }
  }

  private static let opened = Mutex<[String: Checkpoint]>([:])

  /// The model's files, written once a process; they stay mapped after their folder is gone.
  func checkpoint() throws -> Checkpoint {
    try ContractCase.opened.withLock { opened in
      if let checkpoint = opened[testDescription] { return checkpoint }
      let folder = try TemporaryFolder()
      let checkpoint: Checkpoint
      switch form {
      case .folder:
        try model.writeFolder(to: folder.path)
        checkpoint = try Checkpoint.open(folder.path)
      case .gguf(let format):
        try model.writeGGUF(to: folder.path + "/model.gguf", format: format)
        checkpoint = try Checkpoint.open(folder.path + "/model.gguf")
      }
      opened[testDescription] = checkpoint
      return checkpoint
    }
  }

  func load(_ precision: Precision, threads: Int = 2) throws -> LanguageModel {
    try LanguageModel(checkpoint(), precision: precision, pool: WorkerPool(threadCount: threads))
  }
}

extension LanguageModel {
  /// Random token ids of this model.
  func tokens(_ count: Int, seed: UInt64) -> [Int32] {
    var random = SplitMix64(seed: seed)
    return (0..<count).map { _ in Int32.random(in: 0..<Int32(vocabularyCount), using: &random) }
  }

  /// The logits after `tokens`, read all at once.
  func logits(after tokens: [Int32], adapter: Adapter? = nil) -> [Float] {
    step([(sequence(adapter: adapter), tokens, true)])[0]
  }

  /// The logits after each of `tokens`, read one at a time into `run`.
  func logitsOneByOne(_ tokens: [Int32], into run: TokenSequence) -> [[Float]] {
    tokens.map { step([(run, [$0], true)])[0] }
  }

  /// A new adapter in which both A and B are random, so that it changes every map.
  func randomAdapter(
    rank: Int = 3, dropout: Float = 0, isRankStabilised: Bool = false, isWeightDecomposed: Bool = false, seed: UInt64
  ) throws -> Adapter {
    let adapter = try makeAdapter(
      .init(
        rank: rank, alpha: 4, dropout: dropout, isRankStabilised: isRankStabilised,
        isWeightDecomposed: isWeightDecomposed), seed: seed)
    var random = SplitMix64(seed: seed ^ 0xB)
    for (_, pair) in adapter.entries {
      pair.up.setValues((0..<pair.up.count).map { _ in Float(random.nextUnit() - 0.5) * 0.4 })
      if let lengths = pair.magnitude?.lengths {
        lengths.setValues(lengths.values(pool).map { $0 * Float(0.7 + 0.6 * random.nextUnit()) })
      }
    }
    return adapter
  }
}

/// The same numbers, bit for bit.
func areIdentical(_ a: [Float], _ b: [Float]) -> Bool {
  a.withUnsafeBytes { a in
    b.withUnsafeBytes { b in
      guard a.count == b.count, let a = a.baseAddress, let start = b.baseAddress else {
        return a.count == b.count
      }
      return memcmp(a, start, b.count) == 0
    }
  }
}

/// The largest distance between two elements; infinite if the lengths differ or something is not a number.
func largestGap(_ a: [Float], _ b: [Float]) -> Float {
  guard a.count == b.count else { return .infinity }
  return zip(a, b).reduce(0) { largest, pair in
    let gap = abs(pair.0 - pair.1)
    return gap.isNaN ? .infinity : max(largest, gap)
  }
}
