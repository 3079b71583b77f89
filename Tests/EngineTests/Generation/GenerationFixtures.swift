import Foundation

/// A language model without weights: logits are a hash of the last two tokens and the position.
///
/// `Scripts/fixtures/generation.py` computes the same, so hundreds of searches compare without a checkpoint.
struct HashModel: Decodable {
  let seed: UInt32
  let vocabulary: Int
  /// Logits lie in [0, scale).
  let scale: Float

  func logits(first: Int32, second: Int32, position: Int) -> [Float] {
    let start =
      seed &* 0x9E37_79B1 &+ UInt32(bitPattern: first) &* 0x85EB_CA77
      &+ UInt32(bitPattern: second) &* 0xC2B2_AE3D &+ UInt32(position) &* 0x27D4_EB2F
    var logits: [Float] = []
    logits.reserveCapacity(vocabulary)
    for id in 0..<UInt32(vocabulary) {
      var h = start &+ id &* 0x1656_67B1
      h ^= h >> 16
      h = h &* 0x85EB_CA6B
      h ^= h >> 13
      h = h &* 0xC2B2_AE35
      h ^= h >> 16
      logits.append(Float(h >> 8) * (scale / 0x1p24))
    }
    return logits
  }

  /// The logits that follow `ids`.
  func logits(after ids: [Int32]) -> [Float] {
    logits(
      first: ids[ids.count - 1], second: ids.count > 1 ? ids[ids.count - 2] : 0, position: ids.count
    )
  }
}

/// A file of golden cases.
struct GenerationFixture<Case: Decodable>: Decodable {
  let cases: [Case]

  static func load(_ name: String) throws -> [Case] {
    let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent()
    let file = tests.appending(path: "Fixtures/generation/\(name)")
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    return try decoder.decode(Self.self, from: Data(contentsOf: file)).cases
  }
}

/// Token ids as keys of a JSON object.
func tokenBiases(_ biases: [String: Float]) -> [Int32: Float] {
  var result: [Int32: Float] = [:]
  for (token, bias) in biases {
    if let token = Int32(token) { result[token] = bias }
  }
  return result
}
