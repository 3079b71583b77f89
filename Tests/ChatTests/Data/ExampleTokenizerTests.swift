import Testing
import Tokenizers

@testable import Chat
import Engine

/// A tokenizer of one token a character, besides its special tokens and the pairs it is told to merge.
struct CharacterTokenizer: Sendable {
  var special: [String: Int32] = ["<|im_start|>": 1, "<|im_end|>": 2, "<s>": 3, "<|user|>": 4, "<|x|>": 5]
  var merged: [String: Int32] = [:]

  func encode(_ text: String) -> [Int32] {
    var ids: [Int32] = []
    var rest = text[...]
    outer: while !rest.isEmpty {
      for (piece, id) in special.merging(merged, uniquingKeysWith: { $1 }) where rest.hasPrefix(piece) {
        ids.append(id)
        rest = rest.dropFirst(piece.count)
        continue outer
      }
      ids.append(Int32(rest.unicodeScalars.first?.value ?? 0) + 1_000)
      rest = String(rest.unicodeScalars.dropFirst())[...]
    }
    return ids
  }

  func decode(_ id: Int32) -> String {
    if let piece = special.first(where: { $0.value == id }) { return piece.key }
    if let piece = merged.first(where: { $0.value == id }) { return piece.key }
    return Unicode.Scalar(UInt32(max(id - 1_000, 0))).map { String(Character($0)) } ?? "?"
  }
}

/// A template given as a closure.
struct ClosureRenderer: ConversationRenderer {
  struct Refusal: Error {}
  let body: @Sendable ([Turn], Bool) throws -> String

  func render(_ turns: [Turn], addGenerationPrompt: Bool) throws -> RenderedText {
    RenderedText(try body(turns, addGenerationPrompt))
  }

  /// SmolLM2's: ChatML that adds a system prompt and fails on no messages.
  static let chatML = ClosureRenderer { turns, prompt in
    guard let first = turns.first else { throw Refusal() }
    var text = first.role == .system ? "" : "<|im_start|>system\nBe kind<|im_end|>\n"
    for turn in turns {
      text += "<|im_start|>\(turn.role.rawValue)\n\(turn.content)<|im_end|>\n"
    }
    return text + (prompt ? "<|im_start|>assistant\n" : "")
  }
}

struct ExampleTokenizerTests {
  private let tokenizer = CharacterTokenizer()
  private let tokens = MaskingTokens(begin: nil, end: 2, stops: [2], special: [1, 2, 3, 4, 5])

  private func tokenize(
    _ content: Example.Content, renderer: ClosureRenderer = .chatML, target: LossTarget = .responses,
    length: Int = .max, tokenizer: CharacterTokenizer? = nil, tokens: MaskingTokens? = nil
  ) throws -> TokenizedOutcome {
    let tokenizer = tokenizer ?? self.tokenizer
    return try ExampleTokenizer(
      renderer: renderer, tokens: tokens ?? self.tokens, target: target, maximumLength: length,
      encode: { text, _ in tokenizer.encode(text.text) }
    ).tokenize(Example(content, file: "chats.jsonl", line: 3))
  }

  /// The example with supervised tokens in braces.
  private func marked(_ example: TokenizedExample?, _ tokenizer: CharacterTokenizer? = nil) -> String {
    guard let example else { return "dropped" }
    var text = ""
    var isInside = false
    for (id, supervised) in zip(example.ids, example.supervised) {
      if supervised != isInside { text += supervised ? "{" : "}" }
      isInside = supervised
      text += (tokenizer ?? self.tokenizer).decode(id)
    }
    return text + (isInside ? "}" : "")
  }

  @Test func oneTurn() throws {
    let outcome = try tokenize(.conversation([Turn(.user, "Hi"), Turn(.assistant, "Yo!")]))
    #expect(
      marked(outcome.example) == """
        <|im_start|>system
        Be kind<|im_end|>
        <|im_start|>user
        Hi<|im_end|>
        <|im_start|>assistant
        {Yo!<|im_end|>}

        """)
    #expect(outcome.warnings.isEmpty)
    let example = try #require(outcome.example)
    #expect(example.answers.map(\.turn) == [1])
    #expect(example.answers.map(\.range.count) == [4])
    #expect(example.supervisedCount == 4)
    #expect(outcome.fullLength == example.ids.count)
  }

  @Test func manyTurns() throws {
    let outcome = try tokenize(
      .conversation([
        Turn(.system, "S"), Turn(.user, "a"), Turn(.assistant, "b"), Turn(.user, "c"),
        Turn(.assistant, "d"), Turn(.user, "never answered"),
      ]))
    #expect(
      marked(outcome.example) == """
        <|im_start|>system
        S<|im_end|>
        <|im_start|>user
        a<|im_end|>
        <|im_start|>assistant
        {b<|im_end|>}
        <|im_start|>user
        c<|im_end|>
        <|im_start|>assistant
        {d<|im_end|>}

        """)
    #expect(outcome.warnings.isEmpty)
    #expect(outcome.example?.answers.map(\.turn) == [2, 4])
  }

  @Test func lossOnAll() throws {
    let outcome = try tokenize(
      .conversation([Turn(.system, "S"), Turn(.user, "a"), Turn(.assistant, "b")]), target: .all)
    let example = try #require(outcome.example)
    #expect(example.supervised[0] == false)
    #expect(example.supervisedCount == example.ids.count - 1)
    #expect(marked(example).hasSuffix("b<|im_end|>\n}"))
  }

  @Test func textCountsWholeWithItsEnds() throws {
    #expect(marked(try tokenize(.text("abc")).example) == "a{bc<|im_end|>}")
    #expect(marked(try tokenize(.text("abc<|im_end|>")).example) == "a{bc<|im_end|>}")
    let tokens = MaskingTokens(begin: 3, end: 2, stops: [2], special: [2, 3])
    #expect(marked(try tokenize(.text("abc"), tokens: tokens).example) == "<s>{abc<|im_end|>}")
    #expect(marked(try tokenize(.text("<s>abc"), tokens: tokens).example) == "<s>{abc<|im_end|>}")
    let none = MaskingTokens(begin: nil, end: nil, stops: [], special: [])
    #expect(marked(try tokenize(.text("abc"), tokens: none).example) == "a{bc}")
  }

  /// Llama 2's way: one token ends the turn, and spaces surround the content.
  @Test func contentWithinSpaces() throws {
    let renderer = ClosureRenderer { turns, _ in
      turns.map { $0.role == .user ? "<s>[INST] \($0.content) [/INST]" : " \($0.content) <|im_end|>" }
        .joined()
    }
    let outcome = try tokenize(
      .conversation([
        Turn(.user, "a"), Turn(.assistant, "b"), Turn(.user, "c"), Turn(.assistant, "d"),
      ]), renderer: renderer)
    #expect(marked(outcome.example) == "<s>[INST] a [/INST]{ b <|im_end|>}<s>[INST] c [/INST]{ d <|im_end|>}")
  }

  /// GLM's way: the next turn's opening token is the stop.
  @Test func stopBelongsToTheNextTurn() throws {
    let renderer = ClosureRenderer { turns, prompt in
      turns.map { $0.role == .user ? "<|user|>\($0.content)" : "<|x|>\($0.content)" }.joined()
        + (prompt ? "<|x|>" : "")
    }
    let tokens = MaskingTokens(begin: nil, end: 2, stops: [2, 4], special: [1, 2, 3, 4, 5])
    let turns = [Turn(.user, "a"), Turn(.assistant, "b"), Turn(.user, "c"), Turn(.assistant, "d")]
    let outcome = try tokenize(.conversation(turns), renderer: renderer, tokens: tokens)
    #expect(marked(outcome.example) == "<|user|>a<|x|>{b<|user|>}c<|x|>{d<|im_end|>}")
    #expect(outcome.warnings.map(\.kind) == [.stopTokenAdded(2)])
    #expect(outcome.example?.answers.map(\.range.count) == [2, 2])

    let endless = MaskingTokens(begin: nil, end: nil, stops: [], special: [])
    let second = try tokenize(.conversation(turns), renderer: renderer, tokens: endless)
    #expect(second.warnings.map(\.kind) == [.noStopToken])
  }

  /// A base model trained on ChatML whose settings still name another end.
  @Test func stopTokenThatIsNoEnd() throws {
    let tokens = MaskingTokens(begin: nil, end: 3, stops: [3], special: [1, 2, 3])
    let outcome = try tokenize(
      .conversation([Turn(.user, "a"), Turn(.assistant, "b")]), tokens: tokens)
    #expect(marked(outcome.example).hasSuffix("{b<|im_end|>}\n"))
    #expect(outcome.warnings.map(\.kind) == [.stopTokenNotAnEnd(2)])
  }

  @Test func specialTokenBeforeTheContent() throws {
    let renderer = ClosureRenderer { turns, prompt in
      turns.map { $0.role == .user ? $0.content + "\n" : "A:<|x|>\($0.content)<|im_start|>\n" }.joined()
        + (prompt ? "A:" : "")
    }
    let outcome = try tokenize(
      .conversation([Turn(.user, "a"), Turn(.assistant, "b")]), renderer: renderer)
    #expect(marked(outcome.example) == "a\nA:{<|x|>b<|im_start|>}\n")
    #expect(outcome.warnings.map(\.kind) == [.stopTokenNotAnEnd(1)])
  }

  /// Templates that strip earlier reasoning leave the last answer.
  @Test func rewrittenHistory() throws {
    let renderer = ClosureRenderer { turns, prompt in
      turns.enumerated().map { index, turn in
        let content = index + 1 < turns.count ? turn.content.replacing("(hm)", with: "") : turn.content
        return "<|im_start|>\(turn.role.rawValue)\n\(content)<|im_end|>\n"
      }.joined() + (prompt ? "<|im_start|>assistant\n" : "")
    }
    let outcome = try tokenize(
      .conversation([
        Turn(.user, "a"), Turn(.assistant, "(hm)b"), Turn(.user, "c"), Turn(.assistant, "(hm)d"),
      ]), renderer: renderer)
    #expect(outcome.warnings.map(\.kind) == [.onlyLastAnswerSupervised])
    #expect(marked(outcome.example).contains("assistant\nb<|im_end|>\n"))
    #expect(marked(outcome.example).hasSuffix("{(hm)d<|im_end|>}\n"))
  }

  @Test func promptThatIsNoPrefix() throws {
    let renderer = ClosureRenderer { turns, prompt in
      turns.map(\.content).joined(separator: "|") + (prompt ? "<think>" : "")
    }
    let error = #expect(throws: DatasetError.self) {
      try tokenize(.conversation([Turn(.user, "a"), Turn(.assistant, "b")]), renderer: renderer)
    }
    #expect(error?.kind == .templateNotPrefixStable)
    #expect("\(error.map { "\($0)" } ?? "")".contains("chats.jsonl:3: "))
  }

  /// Equal to the eye and to Swift's comparison, but other bytes.
  @Test func prefixesAreComparedByBytes() throws {
    #expect(RenderedText("e\u{301}x").remainder(after: RenderedText("\u{E9}")) == nil)
    #expect(RenderedText("e\u{301}x").remainder(after: RenderedText("e")) == RenderedText("\u{301}x"))
  }

  @Test func failuresOfOthersAreReported() throws {
    let refusing = ClosureRenderer { _, _ in throw ClosureRenderer.Refusal() }
    let turns = Example.Content.conversation([Turn(.user, "a"), Turn(.assistant, "b")])
    let error = #expect(throws: DatasetError.self) { try tokenize(turns, renderer: refusing) }
    #expect(error?.kind == .templateFailed)
  }

  @Test func openingAnswerIsContext() throws {
    let outcome = try tokenize(
      .conversation([
        Turn(.assistant, "Welcome"), Turn(.user, "a"), Turn(.assistant, "b"),
      ]))
    #expect(outcome.warnings.map(\.kind) == [.openingAnswerUnsupervised])
    #expect(
      marked(outcome.example).hasSuffix(
        "assistant\nWelcome<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n{b<|im_end|>}\n"))
    let alone = try tokenize(.conversation([Turn(.assistant, "Welcome")]))
    #expect(alone.example == nil)
  }

  /// A token across the border would be one the model never gets to produce.
  @Test func bordersAreNotMerged() throws {
    let merging = CharacterTokenizer(merged: ["\nH": 900])
    let outcome = try tokenize(
      .conversation([Turn(.user, "a"), Turn(.assistant, "Ho")]), tokenizer: merging)
    #expect(marked(outcome.example, merging).hasSuffix("assistant\n{Ho<|im_end|>}\n"))
    #expect(outcome.warnings.map(\.kind) == [.borderTokensDiffer])
  }

  @Test func truncationCountsWhatIsLost() throws {
    let turns = Example.Content.conversation([Turn(.user, "a"), Turn(.assistant, "bcd")])
    let whole = try #require(try tokenize(turns).example)
    let cut = try tokenize(turns, length: whole.ids.count - 3)
    #expect(cut.warnings.map(\.kind) == [.truncated(lost: 3, lostSupervised: 2)])
    #expect(marked(cut.example).hasSuffix("{bc}"))
    #expect(cut.example?.answers.map(\.range.count) == [2])
    #expect(cut.fullLength == whole.ids.count)
    for length in [0, 1, whole.ids.count - 5] {
      let dropped = try tokenize(turns, length: length)
      #expect(dropped.example == nil)
      #expect(dropped.warnings.last?.kind == .droppedNothingSupervised)
      #expect(dropped.warnings.last?.description.hasPrefix("chats.jsonl:3: dropped") == true)
    }
  }

  /// Whatever the turns: the ids are those of the whole rendering, each answer is its content and one stop token, and
  /// nothing else counts.
  @Test func masksCoverExactlyTheAnswers() throws {
    var random = SplitMix64(seed: 11)
    for _ in 0..<200 {
      var turns = [Turn(.user, "q")]
      for _ in 0..<random.index(below: 8) {
        let role = Turn.Role.allCases[random.index(below: 4)]
        let letters = (0..<(1 + random.index(below: 5))).map { _ in "ab é\n<"[random.index(below: 6)] }
        turns.append(Turn(role, String(letters)))
      }
      turns.append(Turn(.assistant, "end"))
      let example = try #require(try tokenize(.conversation(turns)).example)
      let text = try ClosureRenderer.chatML.render(turns, addGenerationPrompt: false)
      #expect(example.ids == tokenizer.encode(text.text))
      let spoken = example.answers.map { answer in
        example.ids[answer.range].map(tokenizer.decode).joined()
      }
      let expected = turns.filter { $0.role == .assistant }.map { $0.content + "<|im_end|>" }
      #expect(spoken == expected)
      let covered = Set(example.answers.flatMap(\.range))
      #expect(example.supervised.indices.allSatisfy { example.supervised[$0] == covered.contains($0) })
    }
  }
}

extension String {
  fileprivate subscript(offset: Int) -> Character { Array(self)[offset] }
}
