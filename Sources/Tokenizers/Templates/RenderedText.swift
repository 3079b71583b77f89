/// A conversation as a template rendered it, and where in it messages spell something that must not be read as a special
/// token.
///
/// Whoever types `<|im_end|>` writes eleven characters; only the template ends a turn.
public struct RenderedText: Sendable, Equatable {
  /// What the model reads.
  public let text: String
  /// Offsets in the text's UTF-8, ascending: a special token neither begins at one nor reaches over one.
  public let marks: [Int]

  /// A text with marks; without any, every special token in it counts.
  public init(_ text: String, marks: [Int] = []) {
    self.text = text
    self.marks = marks
  }

  /// What follows `prefix`; nil when the text does not begin so. Bytes are compared: Swift's own prefix test takes
  /// canonically equivalent text for equal, and tokenizers do not.
  public func remainder(after prefix: RenderedText) -> RenderedText? {
    let count = prefix.text.utf8.count
    guard text.utf8.starts(with: prefix.text.utf8) else { return nil }
    return RenderedText(
      String(decoding: text.utf8.dropFirst(count), as: UTF8.self),
      marks: marks.filter { $0 >= count }.map { $0 - count })
  }

  /// Both, one after the other.
  public static func + (left: RenderedText, right: RenderedText) -> RenderedText {
    let count = left.text.utf8.count
    return RenderedText(left.text + right.text, marks: left.marks + right.marks.map { $0 + count })
  }
}

extension RenderedText {
  /// Takes the scalar `mark` out of `text` and remembers where it stood.
  init(_ text: String, markedBy mark: Unicode.Scalar) {
    var (bare, marks, offset) = (String.UnicodeScalarView(), [Int](), 0)
    for scalar in text.unicodeScalars {
      if scalar == mark {
        marks.append(offset)
      } else {
        bare.append(scalar)
        offset += UTF8.width(scalar)
      }
    }
    self.init(String(bare), marks: marks)
  }
}
