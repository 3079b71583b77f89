internal import Foundation

/// How well an answer's text agrees with a reference.
public enum TextMetrics {
  /// The text as SQuAD compares answers: lower case, ASCII punctuation and the articles a, an, the removed, white space
  /// folded (Rajpurkar et al., arXiv:1606.05250, the evaluation script).
  public static func squadNormalized(_ text: String) -> String {
    squadTokens(text).joined(separator: " ")
  }

  /// Whether both are equal once normalised.
  public static func exactMatch(_ answer: String, _ reference: String) -> Bool {
    squadTokens(answer) == squadTokens(reference)
  }

  /// The harmonic mean of precision and recall of words, counted with repetition, as SQuAD does.
  ///
  /// Where either text has no words left, 1 if both have none, else 0.
  public static func tokenF1(_ answer: String, _ reference: String) -> Double {
    let found = squadTokens(answer)
    let wanted = squadTokens(reference)
    guard !found.isEmpty, !wanted.isEmpty else { return found == wanted ? 1 : 0 }
    var counts: [String: Int] = [:]
    for word in wanted { counts[word, default: 0] += 1 }
    var common = 0
    for word in found {
      if let left = counts[word], left > 0 {
        counts[word] = left - 1
        common += 1
      }
    }
    guard common > 0 else { return 0 }
    let precision = Double(common) / Double(found.count)
    let recall = Double(common) / Double(wanted.count)
    return 2 * precision * recall / (precision + recall)
  }

  /// `exp(loss)`, for a loss in nats per token.
  public static func perplexity(loss: Double) -> Double { exp(loss) }

  /// Bits per UTF-8 byte of the text that was predicted: comparable between tokenizers, as perplexity is not.
  ///
  /// - Parameters:
  ///   - totalLoss: the sum over tokens, in nats.
  ///   - byteCount: bytes of the text those tokens spell.
  public static func bitsPerByte(totalLoss: Double, byteCount: Int) -> Double {
    byteCount > 0 ? totalLoss / (Double(byteCount) * Double.log2) : .nan
  }

  private static func squadTokens(_ text: String) -> [String] {
    var kept = String.UnicodeScalarView()
    var word = String.UnicodeScalarView()
    // An article is one between any two characters that are not of words, so the runs of such characters are taken apart.
    func endWord() {
      kept.append(contentsOf: articles.contains(String(word)) ? " ".unicodeScalars : word)
      word = .init()
    }
    for scalar in text.lowercased().unicodeScalars where !asciiPunctuation.contains(scalar) {
      if isOfWord(scalar) {
        word.append(scalar)
      } else {
        endWord()
        kept.append(scalar)
      }
    }
    endWord()
    return String(kept).split(whereSeparator: \.isWhitespace).map(String.init)
  }

  /// What Python's `\w` takes for part of a word, underscores having gone with the punctuation.
  private static func isOfWord(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    default: scalar.properties.numericType != nil
    }
  }

  private static let articles: Set<String> = ["a", "an", "the"]

  /// Python's `string.punctuation`.
  private static let asciiPunctuation = Set(
    ##"!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~"##.unicodeScalars)
}

extension Double {
  /// The natural logarithm of 2.
  fileprivate static let log2 = 0.693_147_180_559_945_3
}
