/// Values for the modules whose path ends in a pattern: PEFT's `rank_pattern` and `alpha_pattern`.
///
/// PEFT takes the first pattern that matches with `re.match("(.*\\.)?(PATTERN)$", path)`. Of regular expressions Hearth reads what
/// such patterns are made of: letters, `.`, `\.`, `.*`, `\d+`, `[0-9]+` and a leading `^`. Others are refused, not guessed at.
struct ModulePatterns<Value> {
  private var entries: [(pattern: ModulePattern, value: Value)] = []

  /// No patterns.
  init() {}

  /// The members of a JSON object; nil when a pattern or a value cannot be read.
  init?(_ object: JSONObject, _ read: (JSONValue) -> Value?) {
    for name in object.names {
      guard let pattern = ModulePattern(name), let value = object[name].flatMap(read) else { return nil }
      entries.append((pattern, value))
    }
  }

  /// The value of the first pattern that matches.
  func value(for path: String) -> Value? { entries.first { $0.pattern.matches(path) }?.value }
}

/// The end of a module's path.
struct ModulePattern: Equatable {
  private enum Element: Equatable {
    case character(UInt8)
    case anyCharacter
    /// Any number of any characters.
    case run
    /// One digit or more.
    case digits
  }

  private var elements: [Element] = []
  private var isAnchored = false

  /// nil for what is not read.
  init?(_ text: String) {
    var rest = Array(text.utf8)[...]
    func take(_ prefix: String) -> Bool {
      guard rest.starts(with: prefix.utf8) else { return false }
      rest = rest.dropFirst(prefix.utf8.count)
      return true
    }
    isAnchored = take("^")
    while let first = rest.first {
      if take("\\d+") || take("[0-9]+") {
        elements.append(.digits)
      } else if take("\\.") {
        elements.append(.character(UInt8(ascii: ".")))
      } else if take(".*") {
        elements.append(.run)
      } else if take(".") {
        elements.append(.anyCharacter)
      } else if Self.isPlain(first) {
        elements.append(.character(first))
        rest = rest.dropFirst()
      } else {
        return nil
      }
    }
    if elements.isEmpty { return nil }
  }

  private static func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
      true
    default: false
    }
  }

  /// Whether `path`, or what stands behind one of its dots, is what the pattern describes.
  ///
  /// All places in the pattern that a beginning of the path can have led to are followed at once, so time is at most the product
  /// of the two lengths.
  func matches(_ path: String) -> Bool {
    // Place i: elements before i are matched. In a run, and behind the first digit of a number, one may stay.
    var places: Set<Int> = [0]
    var isFirst = true
    for byte in path.utf8 {
      if !isAnchored, isFirst { places.insert(0) }
      isFirst = byte == UInt8(ascii: ".")
      var next: Set<Int> = []
      for place in closed(places) where place < elements.count {
        switch elements[place] {
        case .character(let wanted): if byte == wanted { next.insert(place + 1) }
        case .anyCharacter: next.insert(place + 1)
        case .run: next.insert(place)
        case .digits:
          if byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { next.formUnion([place, place + 1]) }
        }
      }
      places = next
    }
    return closed(places).contains(elements.count)
  }

  /// The places with those that are reached by leaving a run.
  private func closed(_ places: Set<Int>) -> Set<Int> {
    var closed = places
    for place in places {
      var place = place
      while place < elements.count, elements[place] == .run {
        place += 1
        closed.insert(place)
      }
    }
    return closed
  }
}
