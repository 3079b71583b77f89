/// Puts programs together from their ends: each part is told where to go on.
struct GrammarBuilder {
  typealias Failure = GrammarError
  private(set) var grammar = Grammar()
  /// Parts of JSON that are the same everywhere, and rules of schemas: where they begin, each ending in `leave`.
  private var rules: [String: Int] = [:]

  mutating func add(_ instruction: Grammar.Instruction) throws(Failure) -> Int { try grammar.add(instruction) }
  mutating func set(_ place: Int, _ instruction: Grammar.Instruction) { grammar.set(place, instruction) }

  /// The grammar whose texts begin at `place`.
  func built(from place: Int) -> Grammar {
    var grammar = grammar
    grammar.begin(at: place)
    return grammar
  }

  /// Exactly this text.
  mutating func literal(_ text: String, _ next: Int) throws(Failure) -> Int {
    var place = next
    for byte in text.utf8.reversed() { place = try add(.byte(ByteSet(byte...byte), next: place)) }
    return place
  }

  /// One byte of a set.
  mutating func one(_ set: ByteSet, _ next: Int) throws(Failure) -> Int { try add(.byte(set, next: next)) }

  /// From `least` to `most` bytes of a set.
  mutating func several(_ set: ByteSet, _ least: Int, _ most: Int, _ next: Int) throws(Failure) -> Int {
    var place = next
    for count in stride(from: most, to: 0, by: -1) {
      let read = try one(set, place)
      place = count > least ? try add(.split([read, next])) : read
    }
    return place
  }

  /// A rule by its name, made the first time it is asked for; it may contain itself.
  mutating func rule(
    _ name: String, _ make: (inout GrammarBuilder, _ leave: Int) throws(Failure) -> Int
  ) throws(Failure) -> Int {
    if let place = rules[name] { return place }
    let entry = try add(.split([]))
    rules[name] = entry
    let leave = try add(.leave)
    set(entry, .split([try make(&self, leave)]))
    return entry
  }

  /// A rule, and then what follows.
  mutating func call(_ rule: Int, _ next: Int) throws(Failure) -> Int { try add(.call(rule, next: next)) }

  /// Elements in brackets or braces with commas: `from` least to most.
  ///
  /// - Parameter most: nil for any number.
  mutating func list(
    _ open: String, _ close: String, least: Int, most: Int?,
    _ element: (inout GrammarBuilder, _ next: Int) throws(Failure) -> Int, _ next: Int
  ) throws(Failure) -> Int {
    let end = try literal(close, next)
    guard most != 0 else { return try literal(open, end) }
    // After an element: another one, or the end.
    var after: Int
    if let most {
      after = end
      for count in stride(from: most - 1, to: 0, by: -1) {
        let another = try comma(try element(&self, after))
        after = count >= least ? try add(.split([another, end])) : another
      }
    } else {
      let loop = try add(.split([]))
      set(loop, .split([try comma(try element(&self, loop)), end]))
      after = loop
      for _ in stride(from: 1, to: least, by: 1) { after = try comma(try element(&self, after)) }
    }
    let first = try element(&self, after)
    return try literal(open, least == 0 ? try add(.split([first, end])) : first)
  }

  /// A comma with a space behind it or none: layouts of any other width would be room for wandering.
  mutating func comma(_ next: Int) throws(Failure) -> Int {
    try literal(",", try add(.split([next, try literal(" ", next)])))
  }

  /// A key, a colon with a space behind it or none.
  mutating func key(_ text: String, _ next: Int) throws(Failure) -> Int {
    try literal(text + ":", try add(.split([next, try literal(" ", next)])))
  }
}

/// The parts of JSON (RFC 8259).
extension GrammarBuilder {
  /// Characters of a string, without its quotes: valid UTF-8, no lone surrogates.
  ///
  /// The Unicode Standard, table 3-7 "Well-Formed UTF-8 Byte Sequences".
  mutating func character() throws(Failure) -> Int {
    try rule("character") { (builder: inout GrammarBuilder, leave: Int) throws(Failure) -> Int in
      let rest = ByteSet(0x80...0xBF)
      let last = try builder.one(rest, leave)
      let lastTwo = try builder.one(rest, last)
      var plain = ByteSet(0x20...0x7F)
      plain.remove(UInt8(ascii: "\""))
      plain.remove(UInt8(ascii: "\\"))
      let hex = ByteSet("0123456789abcdefABCDEF")
      let h1 = try builder.one(hex, leave)
      let h2 = try builder.one(hex, h1)
      let h3 = try builder.one(hex, h2)
      let code = try builder.add(
        .split([
          try builder.one(ByteSet("0123456789abcefABCEF"), h3),
          // Surrogates begin with d8 to df.
          try builder.one(ByteSet("dD"), try builder.one(ByteSet("01234567"), h2)),
        ]))
      let escape = try builder.add(
        .split([try builder.one(ByteSet("\"\\/bfnrt"), leave), try builder.literal("u", code)]))
      return try builder.add(
        .split([
          try builder.one(plain, leave), try builder.literal("\\", escape),
          try builder.one(ByteSet(0xC2...0xDF), last),
          try builder.one(ByteSet(0xE0...0xE0), try builder.one(ByteSet(0xA0...0xBF), last)),
          try builder.one(ByteSet(0xE1...0xEC, 0xEE...0xEF), lastTwo),
          try builder.one(ByteSet(0xED...0xED), try builder.one(ByteSet(0x80...0x9F), last)),
          try builder.one(ByteSet(0xF0...0xF0), try builder.one(ByteSet(0x90...0xBF), lastTwo)),
          try builder.one(ByteSet(0xF1...0xF3), try builder.one(rest, lastTwo)),
          try builder.one(ByteSet(0xF4...0xF4), try builder.one(ByteSet(0x80...0x8F), lastTwo)),
        ]))
    }
  }

  /// A string of `least` to `most` characters.
  mutating func string(least: Int = 0, most: Int? = nil, _ next: Int) throws(Failure) -> Int {
    let character = try character()
    let end = try literal("\"", next)
    var place: Int
    if let most {
      place = end
      for count in stride(from: most, to: 0, by: -1) {
        let read = try call(character, place)
        place = count > least ? try add(.split([read, end])) : read
      }
    } else {
      place = try add(.split([]))
      set(place, .split([try call(character, place), end]))
      for _ in 0..<least { place = try call(character, place) }
    }
    return try literal("\"", place)
  }

  /// A whole number of at most sixteen digits, so that every reader has it exactly.
  mutating func integer(_ next: Int) throws(Failure) -> Int {
    let digits = ByteSet("0123456789")
    let rest = try several(digits, 0, 15, next)
    let magnitude = try add(.split([try literal("0", next), try one(ByteSet("123456789"), rest)]))
    return try add(.split([magnitude, try literal("-", magnitude)]))
  }

  /// A number that no reader takes for infinite.
  mutating func number(_ next: Int) throws(Failure) -> Int {
    let digits = ByteSet("0123456789")
    let power = try several(digits, 1, 2, next)
    let signed = try add(.split([power, try one(ByteSet("+-"), power)]))
    let exponent = try one(ByteSet("eE"), signed)
    let end = try add(.split([next, exponent]))
    let fraction = try literal(".", try several(digits, 1, 16, end))
    return try integer(try add(.split([end, fraction])))
  }

  /// Any value.
  mutating func value() throws(Failure) -> Int {
    try rule("value") { (builder: inout GrammarBuilder, leave: Int) throws(Failure) -> Int in
      try builder.add(
        .split([
          try builder.string(leave), try builder.number(leave), try builder.literal("true", leave),
          try builder.literal("false", leave), try builder.literal("null", leave),
          try builder.call(try builder.object(), leave),
          try builder.list(
            "[", "]", least: 0, most: nil,
            { (builder: inout GrammarBuilder, next: Int) throws(Failure) -> Int in
              try builder.call(try builder.value(), next)
            }, leave),
        ]))
    }
  }

  /// Any object.
  mutating func object() throws(Failure) -> Int {
    try rule("object") { (builder: inout GrammarBuilder, leave: Int) throws(Failure) -> Int in
      try builder.map(
        { (builder: inout GrammarBuilder, next: Int) throws(Failure) -> Int in
          try builder.call(try builder.value(), next)
        }, leave)
    }
  }

  /// An object of any keys with values of one sort.
  mutating func map(
    _ value: (inout GrammarBuilder, _ next: Int) throws(Failure) -> Int, _ next: Int
  ) throws(Failure) -> Int {
    try list(
      "{", "}", least: 0, most: nil,
      { (builder: inout GrammarBuilder, next: Int) throws(Failure) -> Int in
        let value = try value(&builder, next)
        return try builder.string(try builder.key("", value))
      }, next)
  }
}
