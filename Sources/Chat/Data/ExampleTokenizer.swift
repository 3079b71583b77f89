public import Tokenizers

/// Turns examples into token ids and a mask of what counts in the loss.
///
/// The mask comes from positions, never from ids: a conversation is rendered up to each answer with the generation
/// prompt, then through the answer, and the difference is what the model must produce. Masking by id loses the stop
/// token wherever padding and end share one, and the model then never stops.
///
/// Prompt and answer are encoded apart. Serving encodes a prompt that ends with the generation prompt and lets the model
/// go on from there, so a token across that border would be one the model never gets to produce. Where encoding the
/// whole text at once gives other ids, the outcome says so (`borderTokensDiffer`).
///
/// Of an answer, everything through its stop token counts. What the template writes after it (the newline behind
/// `<|im_end|>`) opens the next prompt and does not count, nor does a system prompt that the template adds.
public struct ExampleTokenizer: Sendable {
  private let renderer: any ConversationRenderer
  private let encode: @Sendable (RenderedText, TextPlace) throws -> [Int32]
  private let tokens: MaskingTokens
  private let target: LossTarget
  private let maximumLength: Int

  /// A tokenizer for training examples.
  ///
  /// - Parameters:
  ///   - renderer: the chat template.
  ///   - tokens: the tokens with a meaning.
  ///   - target: what counts in the loss.
  ///   - maximumLength: tokens; longer examples are cut at the end, so that what remains is still a true beginning.
  ///   - encode: text to ids, the template's special tokens recognised, nothing added.
  public init(
    renderer: any ConversationRenderer, tokens: MaskingTokens, target: LossTarget = .responses,
    maximumLength: Int = .max,
    encode: @escaping @Sendable (_ text: RenderedText, _ place: TextPlace) throws -> [Int32]
  ) {
    self.renderer = renderer
    self.encode = encode
    self.tokens = tokens
    self.target = target
    self.maximumLength = maximumLength
  }

  /// Encodes `example` and says what counts.
  ///
  /// - Throws: `templateFailed`, `templateNotPrefixStable`, `tokenizerFailed`.
  public func tokenize(_ example: Example) throws(DatasetError) -> TokenizedOutcome {
    var draft = Draft(example: example)
    switch example.content {
    case .text(let text): try appendText(text, to: &draft)
    case .conversation(let turns):
      switch target {
      case .responses: try appendAnswers(turns, to: &draft)
      case .all: try appendWhole(turns, to: &draft)
      }
    }
    return finish(draft)
  }

  /// Ids and mask as they grow.
  private struct Draft {
    let example: Example
    var ids: [Int32] = []
    var supervised: [Bool] = []
    var answers: [TokenizedExample.Answer] = []
    var warnings: [ExampleWarning.Kind] = []
    /// True after an answer whose rendering held no stop token.
    var awaitsStop = false

    mutating func append(_ new: some Collection<Int32>, supervised isSupervised: Bool) {
      ids.append(contentsOf: new)
      supervised.append(contentsOf: repeatElement(isSupervised, count: new.count))
    }

    /// Some templates leave the stop to the next turn's opening token. Serving stops there, so it is the one to learn.
    mutating func settleStop(_ stops: Set<Int32>, at position: Int) {
      guard awaitsStop, let answer = answers.popLast() else { return }
      awaitsStop = false
      var range = answer.range
      if range.upperBound == position, ids.indices.contains(position), stops.contains(ids[position]) {
        supervised[position] = true
        range = range.lowerBound..<(position + 1)
      } else {
        warn(.noStopToken)
      }
      answers.append(.init(turn: answer.turn, range: range))
    }

    mutating func warn(_ kind: ExampleWarning.Kind) {
      if !warnings.contains(kind) { warnings.append(kind) }
    }
  }

  // MARK: Plain text

  /// Plain text counts whole; begin and end tokens are added unless the text spells them out.
  private func appendText(_ text: String, to draft: inout Draft) throws(DatasetError) {
    let ids = try encoded(RenderedText(text), draft)
    if let begin = tokens.begin, ids.first != begin { draft.append([begin], supervised: true) }
    draft.append(ids, supervised: true)
    if let end = tokens.end, ids.last != end { draft.append([end], supervised: true) }
  }

  /// The whole rendering counts, template text included.
  private func appendWhole(_ turns: [Turn], to draft: inout Draft) throws(DatasetError) {
    let text = try rendered(turns[...], prompt: false, draft)
    draft.append(try encoded(text, draft), supervised: true)
  }

  // MARK: Conversations

  private func appendAnswers(_ turns: [Turn], to draft: inout Draft) throws(DatasetError) {
    guard let last = turns.lastIndex(where: { $0.role == .assistant }) else { return }
    // What follows the last answer is never learned from.
    let turns = turns[...last]
    let steps = try answerSteps(turns, draft: &draft)
    var whole = RenderedText("")
    for step in steps {
      let context = try encoded(step.context, draft, at: place(in: draft))
      let start = draft.ids.count
      draft.append(context, supervised: false)
      draft.settleStop(tokens.stops, at: start)
      try appendAnswer(step, to: &draft)
      whole = whole + step.context + step.response
    }
    let joint = try encoded(whole, draft)
    if joint != draft.ids { draft.warn(.borderTokensDiffer) }
    if draft.awaitsStop {
      if let stop = tokens.end {
        draft.append([stop], supervised: true)
        draft.warn(.stopTokenAdded(stop))
      }
      draft.settleStop(tokens.stops, at: draft.ids.count - 1)
    }
  }

  /// The new text of one answer: what comes before it, and what the rendering adds for it.
  private struct Step {
    let turn: Int
    let content: String
    let context: RenderedText
    let response: RenderedText
  }

  /// Renders up to and through each answer and takes the differences.
  ///
  /// A template that renders a past answer otherwise than it was produced leaves only the last one trainable.
  private func answerSteps(_ turns: ArraySlice<Turn>, draft: inout Draft) throws(DatasetError)
    -> [Step]
  {
    var steps: [Step] = []
    var done = RenderedText("")
    for index in turns.indices where turns[index].role == .assistant {
      guard index > turns.startIndex else {
        draft.warn(.openingAnswerUnsupervised)
        continue
      }
      let prompt = try rendered(turns[..<index], prompt: true, draft)
      let through = try rendered(turns[...index], prompt: false, draft)
      guard let context = prompt.remainder(after: done),
        let response = through.remainder(after: prompt)
      else { return try lastStep(turns, draft: &draft) }
      steps.append(
        Step(turn: index, content: turns[index].content, context: context, response: response))
      done = through
    }
    return steps
  }

  private func lastStep(_ turns: ArraySlice<Turn>, draft: inout Draft) throws(DatasetError) -> [Step] {
    let last = turns.endIndex - 1
    let prompt = try rendered(turns[..<last], prompt: true, draft)
    let through = try rendered(turns, prompt: false, draft)
    guard let response = through.remainder(after: prompt) else {
      let common = zip(prompt.text.utf8, through.text.utf8).prefix { $0 == $1 }.count
      throw problem(
        .templateNotPrefixStable, draft,
        "the conversation rendered through its last answer to begin with the prompt for that answer",
        "a difference at byte \(common): \(Self.excerpt(prompt.text, from: common)) against "
          + Self.excerpt(through.text, from: common),
        "use a chat template whose generation prompt is what it writes before an answer")
    }
    let count = turns.count { $0.role == .assistant }
    if count > 1 { draft.warn(.onlyLastAnswerSupervised) }
    return [Step(turn: last, content: turns[last].content, context: prompt, response: response)]
  }

  /// Appends an answer, supervised through its stop token.
  private func appendAnswer(_ step: Step, to draft: inout Draft) throws(DatasetError) {
    let ids = try encoded(step.response, draft, at: place(in: draft))
    let start = draft.ids.count
    // What contents spell is text (`RenderedText`), so the first stop token is the template's.
    var end = ids.firstIndex { tokens.stops.contains($0) }
    if end == nil, let special = try endingSpecialToken(ids, step, draft) {
      draft.warn(.stopTokenNotAnEnd(ids[special]))
      end = special
    }
    let stop = end.map { $0 + 1 } ?? ids.count
    draft.append(ids[..<stop], supervised: true)
    draft.append(ids[stop...], supervised: false)
    draft.answers.append(.init(turn: step.turn, range: start..<(start + stop)))
    draft.awaitsStop = end == nil
  }

  /// Where the template ends the answer with a special token that the model does not list as a stop.
  ///
  /// Special tokens before the content (a channel or reasoning mark) open the answer and are passed over.
  private func endingSpecialToken(_ ids: [Int32], _ step: Step, _ draft: Draft)
    throws(DatasetError) -> Int?
  {
    let suffix = Self.suffix(of: step.response, after: step.content)
    let behind = try encoded(suffix, draft, at: .continued).count { tokens.special.contains($0) }
    guard behind > 0 else { return nil }
    return ids.indices.filter { tokens.special.contains(ids[$0]) }.suffix(behind).first
  }

  // MARK: Cutting to length

  private func finish(_ draft: Draft) -> TokenizedOutcome {
    var kinds = draft.warnings
    let length = min(draft.ids.count, max(maximumLength, 0))
    var supervised = draft.supervised
    // Nothing comes before the first token, so nothing predicts it.
    if !supervised.isEmpty { supervised[0] = false }
    if length < draft.ids.count {
      let lost = supervised[length...].count { $0 }
      kinds.append(.truncated(lost: draft.ids.count - length, lostSupervised: lost))
    }
    let answers = draft.answers.compactMap { answer -> TokenizedExample.Answer? in
      let range = answer.range.clamped(to: 0..<length)
      return range.isEmpty ? nil : .init(turn: answer.turn, range: range)
    }
    let example = TokenizedExample(
      ids: Array(draft.ids[..<length]), supervised: Array(supervised[..<length]),
      answers: answers, file: draft.example.file, line: draft.example.line)
    let isEmpty = example.supervisedCount == 0
    if isEmpty { kinds.append(.droppedNothingSupervised) }
    return TokenizedOutcome(
      example: isEmpty ? nil : example, fullLength: draft.ids.count,
      warnings: kinds.map { ExampleWarning(kind: $0, place: draft.example.place) })
  }

  // MARK: Calling out

  private func rendered(_ turns: ArraySlice<Turn>, prompt: Bool, _ draft: Draft)
    throws(DatasetError) -> RenderedText
  {
    do {
      return try renderer.render(Array(turns), addGenerationPrompt: prompt)
    } catch {
      throw problem(
        .templateFailed, draft, "the chat template to render the first \(turns.count) turns",
        "\(error)", "check the order of roles, or use another template")
    }
  }

  /// What the next text of a draft stands after.
  private func place(in draft: Draft) -> TextPlace {
    guard let last = draft.ids.last else { return .start }
    return tokens.added.contains(last) ? .afterToken : .continued
  }

  private func encoded(
    _ text: RenderedText, _ draft: Draft, at place: TextPlace = .start
  ) throws(DatasetError) -> [Int32] {
    do {
      return try encode(text, place)
    } catch {
      throw problem(
        .tokenizerFailed, draft, "text the tokenizer can encode", "\(error)",
        "check the text and the model's tokenizer")
    }
  }

  private func problem(
    _ kind: DatasetError.Kind, _ draft: Draft, _ expected: String, _ found: String,
    _ remedy: String
  ) -> DatasetError {
    DatasetError(
      kind, file: draft.example.file, line: draft.example.line, expected: expected, found: found,
      remedy: remedy)
  }

  // MARK: Text by bytes

  /// What follows the last occurrence of `content`, or of `content` trimmed as many templates do; all of `text` when
  /// the template changed it beyond that.
  static func suffix(of text: RenderedText, after content: String) -> RenderedText {
    let bytes = text.text.utf8
    for candidate in [content, content.trimmingWhitespace()] {
      if let range = bytes.lastRange(of: Array(candidate.utf8)) {
        let head = RenderedText(String(decoding: bytes[..<range.upperBound], as: UTF8.self))
        return text.remainder(after: head) ?? text
      }
    }
    return text
  }

  private static func excerpt(_ text: String, from byte: Int) -> String {
    let rest = String(decoding: text.utf8.dropFirst(byte).prefix(24), as: UTF8.self)
    return "\(rest.debugDescription)"
  }
}

extension String {
  /// The text without white space at its ends.
  fileprivate func trimmingWhitespace() -> String {
    let start = firstIndex { !$0.isWhitespace } ?? endIndex
    let end = lastIndex { !$0.isWhitespace }.map { index(after: $0) } ?? start
    return String(self[start..<end])
  }
}

extension String.UTF8View {
  /// The last place where `bytes` occur, nil when they do not or are empty.
  fileprivate func lastRange(of bytes: [UInt8]) -> Range<Index>? {
    guard !bytes.isEmpty, bytes.count <= count else { return nil }
    var start = index(endIndex, offsetBy: -bytes.count)
    while true {
      if self[start...].starts(with: bytes) {
        return start..<index(start, offsetBy: bytes.count)
      }
      guard start > startIndex else { return nil }
      start = index(before: start)
    }
  }
}
