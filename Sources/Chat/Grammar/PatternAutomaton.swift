/// The texts of a pattern as a machine that reads a character at a time.
///
/// Thompson, "Regular Expression Search Algorithm" (CACM 1968). Where texts are bounded in length too, places are counted
/// together with the characters read so far, so that both hold.
struct PatternAutomaton {
  private enum Node {
    case set(ScalarSet, next: Int)
    case split([Int])
    case end
  }

  private var nodes: [Node] = []
  private var start = 0
  /// Before lengths are counted.
  private static let nodeLimit = 20_000

  /// - Throws: `GrammarError` without a path when the pattern is too large.
  init(_ pattern: Pattern) throws(GrammarError) {
    let end = try add(.end)
    start = try add(pattern, end)
  }

  private mutating func add(_ node: Node) throws(GrammarError) -> Int {
    guard nodes.count < PatternAutomaton.nodeLimit else {
      throw GrammarError("", "the pattern is too large: bounds of repetitions are written out")
    }
    nodes.append(node)
    return nodes.count - 1
  }

  private mutating func add(_ pattern: Pattern, _ next: Int) throws(GrammarError) -> Int {
    switch pattern {
    case .set(let set): return try add(.set(set, next: next))
    // They are taken away before.
    case .start, .end: return next
    case .sequence(let parts):
      var place = next
      for part in parts.reversed() { place = try add(part, place) }
      return place
    case .choice(let options):
      var places: [Int] = []
      for option in options { places.append(try add(option, next)) }
      return try add(.split(places))
    case .repeated(let inner, let least, let most):
      var place = next
      if let most {
        for _ in least..<max(least, most) { place = try add(.split([try add(inner, place), next])) }
      } else {
        place = try add(.split([]))
        nodes[place] = .split([try add(inner, place), next])
      }
      for _ in 0..<least { place = try add(inner, place) }
      return place
    }
  }

  private struct Place: Hashable {
    let node: Int
    let count: Int
  }

  /// Writes the machine into a grammar.
  ///
  /// - Parameters:
  ///   - least: Characters that a text has at least.
  ///   - most: And at most; nil is any number.
  ///   - next: Where the grammar goes on behind the text.
  /// - Throws: `GrammarError` without a path when no text matches, or the program becomes too long.
  func write(
    into builder: inout GrammarBuilder, least: Int, most: Int?, _ next: Int
  ) throws(GrammarError) -> Int {
    // Counting ends where it makes no difference any more.
    let limit = most.map { $0 + 1 } ?? least
    func followers(_ place: Place) -> [Place] {
      switch nodes[place.node] {
      case .end: return []
      case .split(let places): return places.map { Place(node: $0, count: place.count) }
      case .set(let set, let next):
        let count = min(limit, place.count + 1)
        return set.isEmpty || (most.map { count > $0 } ?? false) ? [] : [Place(node: next, count: count)]
      }
    }
    func isEnd(_ place: Place) -> Bool {
      if case .end = nodes[place.node] { return place.count >= least && (most.map { place.count <= $0 } ?? true) }
      return false
    }
    var found = [Place(node: start, count: 0)]
    var numbers: [Place: Int] = [found[0]: 0]
    var leading: [Int: [Int]] = [:]
    var index = 0
    while index < found.count {
      for follower in followers(found[index]) {
        let number = numbers[follower] ?? found.count
        if number == found.count {
          guard found.count < Grammar.instructionLimit else {
            throw GrammarError("", "the pattern is too large together with the bounds of its length")
          }
          numbers[follower] = number
          found.append(follower)
        }
        leading[number, default: []].append(index)
      }
      index += 1
    }
    // Only places from which the end is reached: an answer must never come to where nothing goes on.
    var alive = Set<Int>()
    var open = found.indices.filter { isEnd(found[$0]) }
    while let place = open.popLast() {
      if alive.insert(place).inserted { open += leading[place] ?? [] }
    }
    guard alive.contains(0) else {
      throw GrammarError("", "no text is as the pattern and the bounds of its length want")
    }
    var written: [Int: Int] = [:]
    for place in alive { written[place] = try builder.add(.split([])) }
    for place in alive {
      guard let entry = written[place] else { continue }
      if isEnd(found[place]) {
        builder.set(entry, .split([next]))
        continue
      }
      let targets = followers(found[place]).compactMap { numbers[$0].flatMap { written[$0] } }
      if case .set(let set, _) = nodes[found[place].node], let target = targets.first {
        builder.set(entry, .split([try builder.character(of: set, target)]))
      } else {
        builder.set(entry, .split(targets))
      }
    }
    guard let entry = written[0] else { return next }
    return entry
  }
}

extension GrammarBuilder {
  /// One character of a set, as JSON strings write it.
  mutating func character(of set: ScalarSet, _ next: Int) throws(Failure) -> Int {
    let spellings = set.spellings
    if spellings.count == 1, spellings[0].count == 1 { return try one(ByteSet(spellings[0][0]), next) }
    // One rule for all places where such a character may stand.
    let rule = try rule("character of \(set.ranges)") {
      (builder: inout GrammarBuilder, leave: Int) throws(Failure) -> Int in
      var (single, places) = (ByteSet(), [Int]())
      for spelling in spellings {
        if spelling.count == 1 {
          for byte in spelling[0] { single.insert(byte) }
          continue
        }
        var place = leave
        for range in spelling.reversed() { place = try builder.one(ByteSet(range), place) }
        places.append(place)
      }
      if single != ByteSet() { places.append(try builder.one(single, leave)) }
      return try builder.add(.split(places))
    }
    return try call(rule, next)
  }
}
