/// A language of byte strings: instructions of a machine that reads a byte at a time, with a stack for rules that contain
/// each other.
///
/// Thompson, "Regular Expression Search Algorithm" (CACM 1968), with calls: a thread is a place in the program and a stack of
/// places to return to. What the threads of a text have in common is found by `GrammarAutomaton`.
public struct Grammar: Sendable {
  enum Instruction: Sendable {
    /// Reads one byte of a set, then goes on at `next`.
    case byte(ByteSet, next: Int)
    /// Goes on at all of these.
    case split([Int])
    /// Goes on at `target` and then, after `leave`, at `next`.
    case call(Int, next: Int)
    /// Returns from a call; at the end of the whole, the text may end.
    case leave
  }

  /// The program; it begins at `start`.
  private(set) var instructions: [Instruction] = []
  private(set) var start = 0
  /// The most instructions; what needs more is refused.
  static let instructionLimit = 100_000

  init() {}

  /// Adds an instruction.
  ///
  /// - Returns: Its place.
  /// - Throws: `GrammarError` when the program becomes too long.
  mutating func add(_ instruction: Instruction) throws(GrammarError) -> Int {
    guard instructions.count < Grammar.instructionLimit else {
      throw GrammarError("", "the schema is too large: bounds such as maxItems and maxLength are written out")
    }
    instructions.append(instruction)
    return instructions.count - 1
  }

  /// Replaces an instruction, when what it leads to is known.
  mutating func set(_ place: Int, _ instruction: Instruction) { instructions[place] = instruction }

  mutating func begin(at place: Int) { start = place }

  /// The grammar without the ways that never come to an end: rules that contain themselves whatever is chosen, and sets without a
  /// byte. A text that went into one could go on for ever, or not at all.
  ///
  /// As useless symbols are taken out of a context-free grammar: from the ends back, what leads to something that can end can end.
  ///
  /// - Throws: `GrammarError` when no text can end.
  func withoutDeadEnds() throws(GrammarError) -> Grammar {
    var users = [[Int]](repeating: [], count: instructions.count)
    var canEnd = [Bool](repeating: false, count: instructions.count)
    var open: [Int] = []
    for (place, instruction) in instructions.enumerated() {
      switch instruction {
      case .byte(let set, let next): if !set.isEmpty { users[next].append(place) }
      case .split(let places): for next in places { users[next].append(place) }
      case .call(let target, let next):
        users[target].append(place)
        users[next].append(place)
      case .leave:
        canEnd[place] = true
        open.append(place)
      }
    }
    while let place = open.popLast() {
      for user in users[place] where !canEnd[user] {
        if case .call(let target, let next) = instructions[user], !canEnd[target] || !canEnd[next] { continue }
        canEnd[user] = true
        open.append(user)
      }
    }
    guard canEnd[start] else {
      throw GrammarError("", "no value is valid: what the schema requires contains itself, or has no values")
    }
    var grammar = self
    for (place, instruction) in instructions.enumerated() {
      if case .split(let places) = instruction { grammar.instructions[place] = .split(places.filter { canEnd[$0] }) }
    }
    return grammar
  }
}

/// Why no grammar can be made.
public struct GrammarError: Error, Sendable, Equatable, CustomStringConvertible {
  /// Where in the schema, "properties.age.minimum".
  public let path: String
  /// What is wrong there.
  public let message: String

  init(_ path: String, _ message: String) {
    self.path = path
    self.message = message
  }

  /// Place and message.
  public var description: String { path.isEmpty ? message : "\(path): \(message)" }
}

/// A set of bytes.
struct ByteSet: Sendable, Hashable {
  private var words = SIMD4<UInt64>()

  init(_ ranges: ClosedRange<UInt8>...) { for range in ranges { for byte in range { insert(byte) } } }
  init(_ characters: String) { for byte in characters.utf8 { insert(byte) } }

  static let all = ByteSet(0...255)

  var isEmpty: Bool { words == SIMD4() }

  mutating func insert(_ byte: UInt8) { words[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }
  mutating func remove(_ byte: UInt8) { words[Int(byte >> 6)] &= ~(1 << UInt64(byte & 63)) }
  func contains(_ byte: UInt8) -> Bool { words[Int(byte >> 6)] >> UInt64(byte & 63) & 1 == 1 }
}
