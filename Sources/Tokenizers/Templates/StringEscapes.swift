/// Backslash escapes in a template's string literals, as Python's `unicode-escape` reads them.
enum StringEscapes {
  /// The text that a literal's inside stands for. An unknown escape stays as written.
  ///
  /// - Throws: kind `syntax` for `\x`, `\u` and `\U` without their digits, for code points that
  ///   are no characters (lone surrogates among them), and for `\N{…}`.
  static func decode(_ source: ArraySlice<Unicode.Scalar>) throws(TemplateError) -> String {
    var result = String.UnicodeScalarView()
    var index = source.startIndex
    while index < source.endIndex {
      let scalar = source[index]
      index += 1
      guard scalar == "\\", index < source.endIndex else {
        result.append(scalar)
        continue
      }
      let escape = source[index]
      index += 1
      if let plain = single[escape] {
        result.append(plain)
        continue
      }
      switch escape {
      case "\n": break
      case "x": result.append(try hexadecimal(source, &index, count: 2))
      case "u": result.append(try hexadecimal(source, &index, count: 4))
      case "U": result.append(try hexadecimal(source, &index, count: 8))
      case "N":
        throw TemplateError(.syntax, "named characters (\\N{…}) in a text are not supported")
      case "0"..."7":
        var value = escape.value - 0x30
        var count = 1
        while count < 3, index < source.endIndex, ("0"..."7").contains(source[index]) {
          value = value * 8 + source[index].value - 0x30
          index += 1
          count += 1
        }
        result.append(try character(value))
      default:
        result.append("\\")
        // Python turns characters beyond ASCII into escapes first, so a backslash before one
        // meets that escape's own backslash and leaves its letters standing.
        if escape.value < 0x80 {
          result.append(escape)
        } else {
          let digits = String(escape.value, radix: 16)
          let (letter, width) =
            escape.value < 0x100 ? ("x", 2) : escape.value < 0x10000 ? ("u", 4) : ("U", 8)
          let zeros = String(repeating: "0", count: max(0, width - digits.utf8.count))
          result.append(contentsOf: (letter + zeros + digits).unicodeScalars)
        }
      }
    }
    return String(result)
  }

  private static let single: [Unicode.Scalar: Unicode.Scalar] = [
    "\\": "\\", "'": "'", "\"": "\"", "a": "\u{07}", "b": "\u{08}", "f": "\u{0C}", "n": "\n",
    "r": "\r", "t": "\t", "v": "\u{0B}",
  ]

  private static func hexadecimal(
    _ source: ArraySlice<Unicode.Scalar>, _ index: inout Int, count: Int
  ) throws(TemplateError) -> Unicode.Scalar {
    var value: UInt32 = 0
    for _ in 0..<count {
      guard index < source.endIndex, let digit = source[index].hexadecimalValue else {
        throw TemplateError(.syntax, "expected \(count) hexadecimal digits in the text's escape")
      }
      value = value << 4 | digit
      index += 1
    }
    return try character(value)
  }

  private static func character(_ value: UInt32) throws(TemplateError) -> Unicode.Scalar {
    guard let scalar = Unicode.Scalar(value) else {
      throw TemplateError(
        .syntax, "U+\(String(value, radix: 16)) in the text's escape is not a character")
    }
    return scalar
  }
}
