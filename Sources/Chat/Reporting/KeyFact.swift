internal import Foundation

/// The one thing an answer must say, in any of several wordings: `"key": ["14 days", "two weeks"]`.
///
/// An answer is right when it contains one of the alternatives as whole words. Both are normalised first:
/// - compatibility-composed (NFKC), lower case; diacritics stay;
/// - digits of any script become 0–9; commas between groups of three go ("1,200" is "1200"); a decimal point or a colon
///   between digits stays ("17:30"), zeros that end a decimal part go ("2.50" is "2.5");
/// - number words from zero to twelve become digits;
/// - a number and its unit are two words, with or without a space ("14days", "5 kg"), units have one spelling
///   ("kilograms" is "kg", "days" is "day"), signs are words ("%" is "percent", "€5" is "5 euro");
/// - apostrophes inside words go; every other character that is neither letter nor digit separates words.
public struct KeyFact: Sendable, Equatable {
  /// The wordings, any of which will do.
  public let alternatives: [String]
  private let wanted: [[String]]

  /// A fact in these wordings. One that has no words in it never matches.
  public init(_ alternatives: [String]) {
    self.alternatives = alternatives
    wanted = alternatives.map(Self.words).filter { !$0.isEmpty }
  }

  /// Whether `answer` says it.
  public func isStated(in answer: String) -> Bool {
    let said = Self.words(answer)
    return wanted.contains { words in
      guard words.count <= said.count else { return false }
      return (0...(said.count - words.count)).contains { said[$0...].starts(with: words) }
    }
  }

  /// The words of `text`, normalised.
  static func words(_ text: String) -> [String] {
    let scalars = Array(text.precomposedStringWithCompatibilityMapping.lowercased().unicodeScalars)
    var words: [String] = []
    var position = 0
    while position < scalars.count {
      let scalar = scalars[position]
      if digit(scalar) != nil {
        words.append(number(scalars, &position))
      } else if let name = signs[scalar] {
        words.append(name)
        position += 1
      } else if scalar.properties.isAlphabetic {
        var word = String.UnicodeScalarView()
        while position < scalars.count, isLetter(scalars[position]) {
          if !isApostrophe(scalars[position]) { word.append(scalars[position]) }
          position += 1
        }
        words.append(canonical(String(word)))
      } else {
        position += 1
      }
    }
    return currencyBehindNumber(words)
  }

  /// Reads a number: groups of three joined, and a decimal part or the minutes of a time.
  private static func number(_ scalars: [Unicode.Scalar], _ position: inout Int) -> String {
    var digits = run(scalars, &position)
    if digits.count <= 3 {
      while position < scalars.count, scalars[position] == "," {
        var next = position + 1
        let group = run(scalars, &next)
        guard group.count == 3 else { break }
        digits += group
        position = next
      }
    }
    guard position + 1 < scalars.count, digit(scalars[position + 1]) != nil else { return digits }
    if scalars[position] == "." {
      position += 1
      var fraction = run(scalars, &position)
      while fraction.last == "0" { fraction.removeLast() }
      return fraction.isEmpty ? digits : digits + "." + fraction
    }
    if scalars[position] == ":" {
      position += 1
      return digits + ":" + run(scalars, &position)
    }
    return digits
  }

  private static func run(_ scalars: [Unicode.Scalar], _ position: inout Int) -> String {
    var digits = ""
    while position < scalars.count, let value = digit(scalars[position]) {
      digits += String(value)
      position += 1
    }
    return digits
  }

  private static func digit(_ scalar: Unicode.Scalar) -> Int? {
    guard scalar.properties.numericType == .decimal, let value = scalar.properties.numericValue
    else { return nil }
    return Int(value)
  }

  /// Letters, their combining marks, and apostrophes within a word.
  private static func isLetter(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .spacingMark: true
    default: scalar.properties.isAlphabetic || isApostrophe(scalar)
    }
  }

  private static func isApostrophe(_ scalar: Unicode.Scalar) -> Bool {
    scalar == "'" || scalar == "\u{2019}"
  }

  /// "$5" reads "5 dollar", as people say it.
  private static func currencyBehindNumber(_ words: [String]) -> [String] {
    var words = words
    for index in words.indices.dropLast() where currencies.contains(words[index]) {
      let isBehind = index > 0 && startsWithDigit(words[index - 1])
      if startsWithDigit(words[index + 1]), !isBehind { words.swapAt(index, index + 1) }
    }
    return words
  }

  private static func startsWithDigit(_ word: String) -> Bool {
    word.first.map { $0.isASCII && $0.isNumber } ?? false
  }

  private static let currencies: Set<String> = ["dollar", "euro", "pound", "yen"]

  private static let signs: [Unicode.Scalar: String] = [
    "%": "percent", "$": "dollar", "\u{20AC}": "euro", "\u{A3}": "pound", "\u{A5}": "yen",
    "\u{B0}": "degree", "&": "and",
  ]

  private static func canonical(_ word: String) -> String { spellings[word] ?? word }

  private static let spellings: [String: String] = {
    var spellings: [String: String] = [:]
    let numbers = [
      "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
      "eleven", "twelve",
    ]
    for (value, name) in numbers.enumerated() { spellings[name] = String(value) }
    let units: [String: [String]] = [
      "kg": ["kilogram", "kilograms", "kilo", "kilos"], "g": ["gram", "grams"],
      "km": ["kilometre", "kilometres", "kilometer", "kilometers"],
      "m": ["metre", "metres", "meter", "meters"],
      "cm": ["centimetre", "centimetres", "centimeter", "centimeters"],
      "mm": ["millimetre", "millimetres", "millimeter", "millimeters"],
      "l": ["litre", "litres", "liter", "liters"],
      "ml": ["millilitre", "millilitres", "milliliter", "milliliters"],
      "h": ["hour", "hours", "hr", "hrs"], "min": ["minute", "minutes", "mins"],
      "s": ["second", "seconds", "sec", "secs"], "day": ["days"], "week": ["weeks"],
      "month": ["months"], "year": ["years"], "dollar": ["dollars", "usd"],
      "euro": ["euros", "eur"], "pound": ["pounds", "gbp"], "degree": ["degrees"],
    ]
    for (name, others) in units {
      for other in others { spellings[other] = name }
    }
    return spellings
  }()
}
