/// Shows which tokens of an example count in the loss.
public struct MaskPreview: Sendable {
  /// How supervised tokens are set off.
  public enum Style: Sendable {
    /// Green where tokens count, dim where they do not, for a terminal.
    case colored
    /// [In brackets] where tokens count, for a file or a pipe.
    case bracketed
    /// ⟦In double brackets⟧ where tokens count, for a file or a pipe and examples with brackets of their own.
    case doublyBracketed
  }

  private let style: Style
  private let bytes: @Sendable (Int32) -> [UInt8]

  /// A preview that spells tokens through `bytes`, which gives what an id stands for.
  public init(style: Style, bytes: @escaping @Sendable (Int32) -> [UInt8]) {
    self.style = style
    self.bytes = bytes
  }

  /// Whether an example spells a bracket, which would look like the preview's.
  public func hasBrackets(_ example: TokenizedExample) -> Bool {
    example.ids.contains { id in bytes(id).contains { $0 == UInt8(ascii: "[") || $0 == UInt8(ascii: "]") } }
  }

  /// The text of `example`, marked.
  ///
  /// Tokens of one kind are decoded together, so that characters of several tokens show whole; control characters other
  /// than line ends show as escapes, so that data cannot steer the terminal, and so do marks that reorder text.
  public func render(_ example: TokenizedExample) -> String {
    var text = ""
    var start = 0
    while start < example.ids.count {
      let counts = example.supervised[start]
      let end = example.supervised[start...].firstIndex { $0 != counts } ?? example.ids.count
      let piece = Self.visible(String(decoding: example.ids[start..<end].flatMap(bytes), as: UTF8.self))
      switch (style, counts) {
      case (.bracketed, true): text += "[\(piece)]"
      case (.doublyBracketed, true): text += "⟦\(piece)⟧"
      case (.bracketed, false), (.doublyBracketed, false): text += piece
      case (.colored, true): text += "\u{1B}[32m\(piece)\u{1B}[0m"
      case (.colored, false): text += "\u{1B}[2m\(piece)\u{1B}[0m"
      }
      start = end
    }
    return text
  }

  private static func visible(_ text: String) -> String {
    var shown = ""
    for scalar in text.unicodeScalars {
      let isControl = scalar.properties.generalCategory == .control && scalar != "\n"
      let reorders = ("\u{202A}"..."\u{202E}").contains(scalar) || ("\u{2066}"..."\u{2069}").contains(scalar)
      shown += isControl || reorders ? "\\u{\(String(scalar.value, radix: 16))}" : String(Character(scalar))
    }
    return shown
  }
}
