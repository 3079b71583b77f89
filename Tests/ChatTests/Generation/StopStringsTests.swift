import Chat
import Testing

@Suite struct StopStringsTests {
  /// What is shown of an answer that arrives in `pieces`.
  static func stream(_ pieces: [String], stops: [String]) throws -> (
    shown: String, isStopped: Bool
  ) {
    var watcher = try StopStrings(stops)
    var shown = ""
    for piece in pieces {
      let (emit, stopped) = watcher.append(piece)
      shown += emit
      #expect(stopped == watcher.isStopped)
      if stopped { break }
    }
    shown += watcher.finish()
    #expect(watcher.finish() == "")
    return (shown, watcher.isStopped)
  }

  /// The bytes before the first place where a stop string begins; nil if there is none.
  static func cut(_ text: [UInt8], stops: [[UInt8]]) -> [UInt8]? {
    for start in text.indices where stops.contains(where: { text[start...].starts(with: $0) }) {
      return Array(text[..<start])
    }
    return nil
  }

  /// Deterministic choices for the property tests.
  struct Choices {
    var state: UInt64
    mutating func below(_ count: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(count))
    }
  }

  @Test(arguments: [
    ("Well <call>a b</call>", "Well <call>a b</call>", false), ("a <call>", "", true), ("<call>a", "<call>a", false),
    ("Well a<call>", "Well ", true), ("x<cal", "x", true), ("<call", "", true), ("x <b", "x ", true),
    ("no", "no", false),
  ])
  func whatFollowsTheMarkerIsNotSearched(_ text: String, _ shown: String, _ isStopped: Bool) throws {
    for size in 1...text.count {
      var watcher = try StopStrings(["a", "<"], before: "<call>")
      var (rest, found) = (text[...], "")
      while !rest.isEmpty, !watcher.isStopped {
        found += watcher.append(String(rest.prefix(size))).emit
        rest = rest.dropFirst(size)
      }
      found += watcher.finish()
      #expect(found == shown && watcher.isStopped == isStopped, "in pieces of \(size)")
    }
  }

  @Test func cutsAtTheStopString() throws {
    #expect(try Self.stream(["Hello", " wor", "ld!"], stops: [" world"]) == ("Hello", true))
    #expect(try Self.stream(["a", "b", "c"], stops: ["bd"]) == ("abc", false))
    #expect(try Self.stream(["stop"], stops: ["stop"]) == ("", true))
    #expect(try Self.stream([], stops: ["stop"]) == ("", false))
    #expect(try Self.stream(["anything"], stops: []) == ("anything", false))
  }

  @Test func holdsBackOnlyWhatMayBecomeAStopString() throws {
    var watcher = try StopStrings(["</s>", "\nUser:"])
    #expect(watcher.append("Hi <") == ("Hi ", false))
    #expect(watcher.append("/") == ("", false))
    #expect(watcher.append("b>\n") == ("</b>", false))
    #expect(watcher.append("\nUse") == ("\n", false))
    #expect(watcher.append("r") == ("", false))
    #expect(watcher.match == nil)
    #expect(watcher.append(": x") == ("", true))
    #expect(watcher.match == "\nUser:")
    #expect(watcher.append("more") == ("", true))
    #expect(watcher.finish() == "")
  }

  @Test func repeatedBeginningsAreHeldAsLongAsNeeded() throws {
    var watcher = try StopStrings(["aab"])
    #expect(watcher.append("aaa") == ("a", false))
    #expect(watcher.append("a") == ("a", false))
    #expect(watcher.append("b") == ("", true))
  }

  @Test func ofOverlappingStopStringsTheOneThatBeginsFirstCounts() throws {
    #expect(try Self.stream(["xabcd"], stops: ["bc", "abcd"]) == ("x", true))
    #expect(try Self.stream(["xabc", "d"], stops: ["bc", "abcd"]) == ("x", true))
    #expect(try Self.stream(["xabc", "e"], stops: ["bc", "abcd"]) == ("xa", true))
    // The longer one never completes: the end of the answer settles it.
    #expect(try Self.stream(["xabc"], stops: ["bc", "abcd"]) == ("xa", true))
    #expect(try Self.stream(["ab"], stops: ["abc", "ab"]) == ("", true))
  }

  @Test func comparesScalarsNotCharacters() throws {
    // "é" as one scalar and as two are different strings to a stop rule.
    #expect(try Self.stream(["cafe", "\u{301}!"], stops: ["\u{E9}"]).isStopped == false)
    #expect(try Self.stream(["cafe", "\u{301}!"], stops: ["e\u{301}"]) == ("caf", true))
    let accented = try Self.stream(["cafe\u{301}"], stops: ["e"])
    #expect(Array(accented.shown.utf8) == Array("caf".utf8))
    let combining = try Self.stream(["cafe\u{301}x"], stops: ["\u{301}"])
    #expect(Array(combining.shown.utf8) == Array("cafe".utf8))
    #expect(try Self.stream(["a\r", "\nb"], stops: ["\n"]) == ("a\r", true))
    #expect(try Self.stream(["👩‍👩", "‍👧"], stops: ["👧"]).isStopped)
    // One family's scalars share first bytes with another's, which must not cut a scalar in two.
    #expect(try Self.stream(["€", "₭"], stops: ["₭"]) == ("€", true))
  }

  @Test func emptyStopStringsAreErrors() {
    #expect(throws: StopStrings.ValidationError.empty(index: 1)) { try StopStrings(["a", ""]) }
    #expect(
      "\(StopStrings.ValidationError.empty(index: 1))"
        == "stop string 2 is empty, expected at least one character")
  }

  /// Random answers in random pieces against a search of the whole text.
  @Test func agreesWithASearchOfTheWholeText() throws {
    let alphabets = [
      ["a", "b"], ["a", "b", "c", "\n"], ["e", "\u{301}", "\u{E9}", "ë"],
      ["€", "₭", "\u{20}", "👩", "\u{200D}", "👧"],
    ]
    var choices = Choices(state: 11)
    var stoppedCount = 0
    for round in 0..<6_000 {
      let alphabet = alphabets[round % alphabets.count]
      func random(_ count: Int) -> [String] {
        (0..<count).map { _ in alphabet[choices.below(alphabet.count)] }
      }
      let stops = (0..<choices.below(4)).map { _ in random(1 + choices.below(5)).joined() }
      let letters = random(choices.below(24))
      var pieces = [""]
      for letter in letters {
        if choices.below(3) == 0 { pieces.append("") }
        pieces[pieces.count - 1] += letter
      }

      let text = Array(letters.joined().utf8)
      let stopBytes = stops.map { Array($0.utf8) }
      let expected = Self.cut(text, stops: stopBytes)
      if expected != nil { stoppedCount += 1 }

      var watcher = try StopStrings(stops)
      var shown: [UInt8] = []
      var seen: [UInt8] = []
      for piece in pieces where !watcher.isStopped {
        seen += piece.utf8
        shown += watcher.append(piece).emit.utf8
        guard !watcher.isStopped else { break }
        // Nothing shown may be part of a stop string, nothing held back that cannot be.
        let held = seen[shown.count...]
        #expect(
          held.isEmpty || stopBytes.contains { $0.count > held.count && $0.starts(with: held) }
            || Self.cut(Array(held), stops: stopBytes) != nil, "round \(round)")
      }
      shown += watcher.finish().utf8
      #expect(shown == expected ?? text, "round \(round): \(pieces), \(stops)")
      #expect(watcher.isStopped == (expected != nil), "round \(round)")
    }
    #expect(stoppedCount > 1_000)
  }
}
