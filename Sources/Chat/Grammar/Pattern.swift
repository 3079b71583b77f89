/// A regular expression of JSON Schema's `pattern`: the part of ECMA-262's that has to do with nothing but the characters it
/// reads. What looks around, remembers, or depends on a place inside of the text is refused.
indirect enum Pattern: Equatable {
  case set(ScalarSet)
  case sequence([Pattern])
  case choice([Pattern])
  case repeated(Pattern, least: Int, most: Int?)
  /// `^` and `$`.
  case start, end

  /// - Throws: `GrammarError` without a path, with the character where it is no expression or none that can be enforced.
  static func parse(_ text: String) throws(GrammarError) -> Pattern {
    guard text.unicodeScalars.count <= 1000 else { throw GrammarError("", "has more than 1000 characters") }
    var parser = PatternParser(text)
    let pattern = try parser.choice()
    guard parser.isAtEnd else { throw parser.failure("an end, found \")\"") }
    return pattern
  }

  /// The expression of all texts that hold a match somewhere, without anchors.
  ///
  /// - Throws: `GrammarError` when an anchor stands elsewhere than at an end of the whole or of one of its alternatives.
  func matchingWhole() throws(GrammarError) -> Pattern {
    if case .choice(let options) = self {
      var whole: [Pattern] = []
      for option in options { whole.append(try option.matchingWhole()) }
      return .choice(whole)
    }
    var parts = [self]
    if case .sequence(let inner) = self { parts = inner }
    // A group that is the whole may hold alternatives with anchors of their own.
    if parts.count == 1, case .choice = parts[0] { return try parts[0].matchingWhole() }
    let anything = Pattern.repeated(.set(.all), least: 0, most: nil)
    if parts.first == .start { parts.removeFirst() } else { parts.insert(anything, at: 0) }
    if parts.last == .end { parts.removeLast() } else { parts.append(anything) }
    if parts.contains(where: \.hasAnchor) {
      throw GrammarError("", "^ and $ can be enforced at the ends of the pattern and of its alternatives only")
    }
    return .sequence(parts)
  }

  private var hasAnchor: Bool {
    switch self {
    case .set: false
    case .start, .end: true
    case .sequence(let parts), .choice(let parts): parts.contains(where: \.hasAnchor)
    case .repeated(let inner, _, _): inner.hasAnchor
    }
  }

  static let digits = ScalarSet(0x30...0x39)
  static let wordCharacters = ScalarSet(0x30...0x39, 0x41...0x5A, 0x5F...0x5F, 0x61...0x7A)
  /// White space and line terminators, ECMA-262 sections 12.2 and 12.3.
  static let spaces = ScalarSet(
    0x09...0x0D, 0x20...0x20, 0xA0...0xA0, 0x1680...0x1680, 0x2000...0x200A, 0x2028...0x2029, 0x202F...0x202F,
    0x205F...0x205F, 0x3000...0x3000, 0xFEFF...0xFEFF)
  static let notLineEnd = ScalarSet(0x0A...0x0A, 0x0D...0x0D, 0x2028...0x2029).inverted
}

/// Reads a pattern, ECMA-262 section 22.2.1.
private struct PatternParser {
  private let text: [Unicode.Scalar]
  private var place = 0
  private var depth = 0

  init(_ text: String) { self.text = Array(text.unicodeScalars) }

  var isAtEnd: Bool { place == text.count }
  private var next: Unicode.Scalar? { place < text.count ? text[place] : nil }

  func failure(_ expected: String) -> GrammarError {
    GrammarError("", "character \(place + 1) of the pattern: expected \(expected)")
  }

  private func refusal(_ what: String) -> GrammarError {
    GrammarError("", "character \(place + 1) of the pattern: \(what) cannot be enforced")
  }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard next == scalar else { return false }
    place += 1
    return true
  }

  mutating func choice() throws(GrammarError) -> Pattern {
    depth += 1
    defer { depth -= 1 }
    guard depth <= 50 else { throw refusal("more than 50 groups inside of each other") }
    var options = [try sequence()]
    while take("|") { options.append(try sequence()) }
    return options.count == 1 ? options[0] : .choice(options)
  }

  private mutating func sequence() throws(GrammarError) -> Pattern {
    var parts: [Pattern] = []
    while let scalar = next, scalar != "|", scalar != ")" {
      let part = try atom()
      parts.append(try quantified(part))
    }
    return .sequence(parts)
  }

  private mutating func quantified(_ part: Pattern) throws(GrammarError) -> Pattern {
    let (least, most): (Int, Int?)
    switch next {
    case "*": (least, most) = (0, nil)
    case "+": (least, most) = (1, nil)
    case "?": (least, most) = (0, 1)
    case "{":
      place += 1
      least = try number()
      if take(",") { most = next == "}" ? nil : try number() } else { most = least }
      guard next == "}" else { throw failure("}") }
      if let most, most < least { throw failure("a maximum that is not below the minimum") }
    default: return part
    }
    place += 1
    if part == .start || part == .end { throw refusal("a repeated anchor") }
    // How greedy a repetition is does not change which texts match.
    _ = take("?")
    return .repeated(part, least: least, most: most)
  }

  private mutating func number() throws(GrammarError) -> Int {
    var digits = ""
    while let scalar = next, Pattern.digits.ranges[0].contains(scalar.value), digits.count < 5 {
      digits.unicodeScalars.append(scalar)
      place += 1
    }
    guard let number = Int(digits), number <= 10_000 else { throw failure("a number up to 10000") }
    return number
  }

  private mutating func atom() throws(GrammarError) -> Pattern {
    guard let scalar = next else { throw failure("a character") }
    place += 1
    switch scalar {
    case "^": return .start
    case "$": return .end
    case ".": return .set(Pattern.notLineEnd)
    case "[": return .set(try characterClass())
    case "\\": return .set(try escape().set)
    case "(":
      if take("?") {
        if take("<") {
          guard next != "=", next != "!" else { throw refusal("a look behind") }
          while let scalar = next, scalar != ">" {
            _ = scalar
            place += 1
          }
          guard take(">") else { throw failure(">") }
        } else if !take(":") {
          throw refusal("a look ahead or a modifier")
        }
      }
      let inner = try choice()
      guard take(")") else { throw failure(")") }
      return inner
    case "*", "+", "?", "{", "}", "]", ")":
      place -= 1
      throw failure("\\ before \(scalar) where the character itself is meant")
    default: return .set(ScalarSet(scalar.value...scalar.value))
    }
  }

  private mutating func characterClass() throws(GrammarError) -> ScalarSet {
    let isInverted = take("^")
    var set = ScalarSet()
    while let scalar = next, scalar != "]" {
      let first = try classAtom()
      guard next == "-", place + 1 < text.count, text[place + 1] != "]" else {
        set = set.union(first.set)
        continue
      }
      place += 1
      let last = try classAtom()
      guard let low = first.scalar, let high = last.scalar, low <= high else { throw failure("a range of characters") }
      set.insert(low...high)
    }
    guard take("]") else { throw failure("]") }
    // Surrogates are no characters.
    set = set.inverted.inverted
    return isInverted ? set.inverted : set
  }

  private mutating func classAtom() throws(GrammarError) -> (set: ScalarSet, scalar: UInt32?) {
    guard let scalar = next else { throw failure("]") }
    place += 1
    if scalar == "\\" {
      if take("b") { return (ScalarSet(8...8), 8) }
      if take("-") { return (ScalarSet(0x2D...0x2D), 0x2D) }
      return try escape()
    }
    return (ScalarSet(scalar.value...scalar.value), scalar.value)
  }

  /// What follows a backslash.
  private mutating func escape() throws(GrammarError) -> (set: ScalarSet, scalar: UInt32?) {
    guard let scalar = next else { throw failure("a character behind \\") }
    func one(_ value: UInt32) -> (set: ScalarSet, scalar: UInt32?) { (ScalarSet(value...value), value) }
    place += 1
    switch scalar {
    case "d": return (Pattern.digits, nil)
    case "D": return (Pattern.digits.inverted, nil)
    case "w": return (Pattern.wordCharacters, nil)
    case "W": return (Pattern.wordCharacters.inverted, nil)
    case "s": return (Pattern.spaces, nil)
    case "S": return (Pattern.spaces.inverted, nil)
    case "t": return one(0x09)
    case "n": return one(0x0A)
    case "v": return one(0x0B)
    case "f": return one(0x0C)
    case "r": return one(0x0D)
    case "0": return one(0)
    case "x": return one(try hexadecimal(2))
    case "u":
      guard take("{") else { return one(try hexadecimal(4)) }
      var digits = 0
      while place + digits < text.count, text[place + digits] != "}", digits < 7 { digits += 1 }
      let value = try hexadecimal(digits)
      guard take("}") else { throw failure("}") }
      return one(value)
    default:
      guard scalar.isASCII, !Pattern.wordCharacters.ranges.contains(where: { $0.contains(scalar.value) }) else {
        place -= 1
        throw refusal("\\\(scalar)")
      }
      return one(scalar.value)
    }
  }

  private mutating func hexadecimal(_ count: Int) throws(GrammarError) -> UInt32 {
    guard count > 0, place + count <= text.count else { throw failure("\(count) hexadecimal digits") }
    var digits = String.UnicodeScalarView()
    digits.append(contentsOf: text[place..<(place + count)])
    guard let value = UInt32(String(digits), radix: 16), Unicode.Scalar(value) != nil, String(digits).first != "+"
    else {
      throw failure("\(count) hexadecimal digits of a character that is no surrogate")
    }
    place += count
    return value
  }
}
