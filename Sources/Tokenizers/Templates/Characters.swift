/// Python's views of characters, where they differ from Swift's.
///
/// Python's texts are code points: length, slices and comparison go by `Unicode.Scalar`, never by
/// grapheme clusters and never by canonical equivalence.
extension Unicode.Scalar {
  /// What `str.isspace`, `str.strip` and `\s` take as white space.
  var isPythonSpace: Bool {
    switch value {
    case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F,
      0x205F, 0x3000:
      true
    default: false
    }
  }

  /// What `str.splitlines` breaks at.
  var isPythonLineBreak: Bool {
    switch value {
    case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
    default: false
    }
  }

  var isDecimalDigit: Bool { value >= 0x30 && value <= 0x39 }

  /// What `\w` matches: letters, numbers and the underscore.
  var isWordCharacter: Bool {
    if value < 0x80 {
      return isDecimalDigit || value == 0x5F || (value | 0x20 >= 0x61 && value | 0x20 <= 0x7A)
    }
    return isPythonLetter || properties.numericType != nil
  }

  /// What `str.isalpha` takes as a letter: the general categories L….
  var isPythonLetter: Bool {
    switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    default: false
    }
  }

  /// Whether the character has case, so that `str.title` sees a word go on.
  var isPythonCased: Bool {
    properties.isUppercase || properties.isLowercase
      || properties.generalCategory == .titlecaseLetter
  }

  /// Value of a hexadecimal digit.
  var hexadecimalValue: UInt32? {
    switch value {
    case 0x30...0x39: value - 0x30
    case 0x41...0x46: value - 0x41 + 10
    case 0x61...0x66: value - 0x61 + 10
    default: nil
    }
  }
}

extension String {
  /// Equality by code points; `==` would call canonically equivalent texts equal.
  func isSameText(as other: String) -> Bool {
    utf8.count == other.utf8.count && utf8.elementsEqual(other.utf8)
  }

  /// Order by code points, which is the order of UTF-8 bytes.
  func precedes(_ other: String) -> Bool { utf8.lexicographicallyPrecedes(other.utf8) }

  init(scalars: some Sequence<Unicode.Scalar>) {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    self = String(view)
  }

  /// Python's `upper`.
  var pythonUppercase: String { uppercased() }

  /// Python's `lower`.
  var pythonLowercase: String {
    guard unicodeScalars.contains("\u{3A3}") else { return lowercased() }
    let scalars = Array(unicodeScalars)
    return scalars.indices.map { Self.lowercase($0, of: scalars) }.joined()
  }

  /// The lower case of the character at `index`: a capital sigma that ends a word becomes a final
  /// one.
  static func lowercase(_ index: Int, of scalars: [Unicode.Scalar]) -> String {
    let scalar = scalars[index]
    guard scalar == "\u{3A3}" else { return scalar.properties.lowercaseMapping }
    let before = scalars[..<index].last { !$0.properties.isCaseIgnorable }
    let after = scalars[(index + 1)...].first { !$0.properties.isCaseIgnorable }
    let isFinal = (before?.isPythonCased ?? false) && !(after?.isPythonCased ?? false)
    return isFinal ? "\u{3C2}" : "\u{3C3}"
  }

  /// Python's `capitalize`: the first character in title case, the rest in lower case.
  var pythonCapitalized: String {
    guard let first = unicodeScalars.first else { return self }
    let lower = String(scalars: unicodeScalars.dropFirst()).pythonLowercase
    return first.properties.titlecaseMapping + lower
  }
}
