/// Runs a grammar's threads together, and remembers where each set of them leads: after a few tokens most steps are a look
/// into a table.
///
/// Stacks are shared from the bottom, so that a thread is two numbers and a set of threads a short list of them.
struct GrammarAutomaton: Sendable {
  /// A place in the program and the stack to return to, by its number; 0 is the empty one.
  private struct Thread: Hashable, Comparable {
    let place: Int32
    let stack: Int32
    static func < (left: Thread, right: Thread) -> Bool { (left.place, left.stack) < (right.place, right.stack) }
  }

  private struct Frame: Hashable {
    let place: Int32
    let below: Int32
  }

  /// A set of threads.
  private struct State {
    /// Those at an instruction that reads a byte.
    let threads: [Thread]
    /// Whether the text may end here.
    let mayEnd: Bool
    /// For each byte the state it leads to: −1 for none, −2 for not known yet.
    var next = [Int32](repeating: -2, count: 256)
  }

  private let grammar: Grammar
  private var frames: [Frame] = [Frame(place: -1, below: -1)]
  private var frameNumbers: [Frame: Int32] = [:]
  private var states: [State] = []
  private var stateNumbers: [[Thread]: [Bool: Int32]] = [:]

  init(_ grammar: Grammar) {
    self.grammar = grammar
    _ = number(of: [Thread(place: Int32(grammar.start), stack: 0)])
  }

  /// The state at the start of a text.
  static let start: Int32 = 0

  /// Whether a text may end in a state.
  func mayEnd(_ state: Int32) -> Bool { states[Int(state)].mayEnd }
  /// Whether a text can only end.
  func mustEnd(_ state: Int32) -> Bool { states[Int(state)].threads.isEmpty }

  /// Where a byte leads; −1 if it may not come.
  mutating func step(_ state: Int32, _ byte: UInt8) -> Int32 {
    let known = states[Int(state)].next[Int(byte)]
    if known != -2 { return known }
    var seeds: [Thread] = []
    for thread in states[Int(state)].threads {
      if case .byte(let set, let next) = grammar.instructions[Int(thread.place)], set.contains(byte) {
        seeds.append(Thread(place: Int32(next), stack: thread.stack))
      }
    }
    let found = seeds.isEmpty ? -1 : number(of: seeds)
    states[Int(state)].next[Int(byte)] = found
    return found
  }

  /// Whether bytes are a whole text.
  mutating func accepts(_ bytes: some Sequence<UInt8>) -> Bool {
    var state = GrammarAutomaton.start
    for byte in bytes {
      state = step(state, byte)
      if state < 0 { return false }
    }
    return mayEnd(state)
  }

  /// The number of the state that threads are in once they have gone as far as they can without reading.
  private mutating func number(of seeds: [Thread]) -> Int32 {
    var (reading, seen, open, mayEnd): ([Thread], Set<Thread>, [Thread], Bool) = ([], Set(seeds), seeds, false)
    func visit(_ place: Int, _ stack: Int32) {
      let thread = Thread(place: Int32(place), stack: stack)
      if seen.insert(thread).inserted { open.append(thread) }
    }
    while let thread = open.popLast() {
      switch grammar.instructions[Int(thread.place)] {
      case .byte: reading.append(thread)
      case .split(let places): for place in places { visit(place, thread.stack) }
      case .call(let target, let next): visit(target, push(Int32(next), thread.stack))
      case .leave:
        let frame = frames[Int(thread.stack)]
        if frame.place < 0 { mayEnd = true } else { visit(Int(frame.place), frame.below) }
      }
    }
    reading.sort()
    if let number = stateNumbers[reading]?[mayEnd] { return number }
    let number = Int32(states.count)
    states.append(State(threads: reading, mayEnd: mayEnd))
    stateNumbers[reading, default: [:]][mayEnd] = number
    return number
  }

  private mutating func push(_ place: Int32, _ stack: Int32) -> Int32 {
    // A call whose return is a return needs no frame: lists and texts of any length then have stacks of one.
    if case .leave = grammar.instructions[Int(place)] { return stack }
    let frame = Frame(place: place, below: stack)
    if let number = frameNumbers[frame] { return number }
    frames.append(frame)
    frameNumbers[frame] = Int32(frames.count - 1)
    return Int32(frames.count - 1)
  }
}
