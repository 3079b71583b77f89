internal import Tokenizers

/// What text becomes before a model sees it, reduced to a few hashes that can be compared.
public struct TextFingerprint: Codable, Sendable, Equatable {
  /// Of all pieces of the vocabulary, and of a text that exercises the merges.
  public var tokenizer: String
  /// Of the template's source; "none" without one.
  public var template: String
  /// Ids that end an answer.
  public var endTokens: [Int32]

  private enum CodingKeys: String, CodingKey {
    case tokenizer, template, endTokens = "end_tokens"
  }

  /// - Throws: `RunError` that shows what differs.
  func require(_ recorded: TextFingerprint, of run: String, base: String) throws {
    var differences: [String] = []
    if tokenizer != recorded.tokenizer {
      differences.append("tokenizer \(tokenizer), trained with \(recorded.tokenizer)")
    }
    if template != recorded.template {
      differences.append("chat template \(template), trained with \(recorded.template)")
    }
    if endTokens != recorded.endTokens {
      differences.append("end tokens \(endTokens), trained with \(recorded.endTokens)")
    }
    guard differences.isEmpty else {
      throw RunError(
        "\(run): the text layer of \(base) is not the one this was trained with: "
          + differences.joined(separator: "; ") + ". Use the base it was trained on, or train again")
    }
  }
}

extension ChatModel {
  /// The fingerprint of this model's tokenizer, template and end tokens.
  public var fingerprint: TextFingerprint {
    var pieces = FNV1a()
    for id in 0..<Int32(clamping: tokenizer.vocabularyCount) {
      pieces.add(tokenizer.bytes(of: id))
      pieces.add([0xFF, tokenizer.isSpecial(id) ? 1 : 0])
    }
    let sample = "Hearth's 1234 tests: naïve café, Привет мир, 東京タワー, 🙂 <|im_end|>\n\n\tx = y + 3.14;"
    for id in tokenizer.encode(sample, special: true) {
      withUnsafeBytes(of: id.littleEndian) { pieces.add(Array($0)) }
    }
    var source = FNV1a()
    if let template { source.add(Array(template.template.source.utf8)) }
    return TextFingerprint(
      tokenizer: pieces.hex, template: template == nil ? "none" : source.hex, endTokens: endTokens.sorted())
  }
}

/// Fowler–Noll–Vo hash, 64 bits: enough to notice a difference, not to resist an attacker.
private struct FNV1a {
  private var state: UInt64 = 0xCBF2_9CE4_8422_2325

  mutating func add(_ bytes: some Sequence<UInt8>) {
    for byte in bytes { state = (state ^ UInt64(byte)) &* 0x100_0000_01B3 }
  }

  var hex: String {
    let digits = String(state, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}
