internal import Chat
internal import Engine
internal import Foundation

/// Reads, answers, and does what commands ask, until there is nothing more to read.
struct ChatLoop {
  let session: ChatSession
  let console: any ChatConsole
  var settings: ChatSettings
  /// Whether to tell after each answer how fast it was.
  let isVerbose: Bool

  /// Where seeds begin when none is set.
  private let ownSeed = UInt64.random(in: 0 ... .max)
  /// Answers since the seed was set; each has its own seed, or /retry would say the same again.
  private var attempts: UInt64 = 0
  private var last: ChatSession.Reply?
  /// Of all answers of the session.
  private var totals = (answers: 0, tokens: 0)

  init(_ session: ChatSession, _ console: any ChatConsole, _ settings: ChatSettings, isVerbose: Bool = false) {
    self.session = session
    self.console = console
    self.settings = settings
    self.isVerbose = isVerbose
  }

  mutating func run() {
    while true {
      switch console.read() {
      case .endOfInput: return
      case .interrupt: console.say("To leave, type /exit or press Ctrl-D.")
      case .message(let typed):
        let text = MessageSyntax.message(typed).trimmed
        if text.isEmpty { continue }
        // A space before the slash makes it a message.
        guard ChatCommand.isCommand(MessageSyntax.message(typed)) else {
          console.remember(typed)
          session.conversation.ask(text)
          answer()
          continue
        }
        do {
          let command = try ChatCommand(text)
          if command == .exit { return }
          console.remember(typed)
          try run(command)
        } catch { console.complain("\(error)") }
      }
    }
  }

  // MARK: Answering

  private mutating func answer() {
    console.beginAnswer()
    do {
      let seed = (settings.seed ?? ownSeed) &+ attempts
      attempts += 1
      let console = console
      let reply = try session.answer(
        settings.answerOptions(seed: seed), isCancelled: { console.isInterrupted }, onText: { console.show($0) })
      last = reply
      totals = (totals.answers + 1, totals.tokens + reply.answer.tokens.count)
      let notes = [note(reply), isVerbose ? Self.speed(reply.answer) : nil].compactMap { $0 }
      console.endAnswer(note: notes.isEmpty ? nil : notes.joined(separator: "\n"))
    } catch GenerationError.promptTooLong(let tokens, let contextLength) {
      console.endAnswer(note: nil)
      console.complain(
        "The conversation with this question has \(tokens) tokens and the context holds \(contextLength), one of them "
          + "for the answer. Nothing was cut. Ask a shorter question, take the last one back with /undo, or start over "
          + "with /clear" + longerContext)
    } catch {
      console.endAnswer(note: nil)
      console.complain("\(error)")
    }
  }

  private var longerContext: String {
    let possible = session.model.engine.contextLength
    return session.contextLength < possible ? "; --context allows up to \(possible)." : "."
  }

  private func note(_ reply: ChatSession.Reply) -> String? {
    let isBlank = reply.answer.text.allSatisfy(\.isWhitespace)
    if reply.isInterrupted {
      return isBlank ? "(interrupted before the first word; /retry asks again)" : "(interrupted)"
    }
    if reply.fillsContext {
      return "(The answer ends here because the context is full: \(reply.usedTokenCount) of \(session.contextLength) "
        + "tokens. Take something back with /undo, or start over with /clear\(longerContext))"
    }
    if isBlank { return "(The model had nothing to say; /retry asks again.)" }
    if reply.answer.finishReason == .length { return "(cut after \(reply.answer.tokens.count) tokens: max-tokens)" }
    if reply.usedTokenCount > session.contextLength / 10 * 9 {
      return "(The context is nearly full: \(reply.usedTokenCount) of \(session.contextLength) tokens.)"
    }
    return nil
  }

  // MARK: Commands

  private mutating func run(_ command: ChatCommand) throws {
    switch command {
    case .exit: return
    case .help: console.say(Self.help)
    case .system(nil):
      console.say(session.conversation.system.map { "The system message is:\n\($0)" } ?? "There is no system message.")
    case .system(let text?):
      session.conversation.system = text.isEmpty ? nil : text
      console.say(text.isEmpty ? "The system message is removed." : "The system message is set.")
    case .retry:
      guard session.conversation.reopen() != nil else { throw CommandError("There is no question to answer again.") }
      answer()
    case .undo:
      guard let question = session.conversation.undo() else { throw CommandError("There is nothing to take back.") }
      console.say("Taken back: \(Self.excerpt(question))")
    case .clear:
      session.conversation.clear()
      console.say("The conversation starts anew.")
    case .save(let file): try save(Self.expanded(file))
    case .load(let file): try load(Self.expanded(file))
    case .stats: console.say(try statistics())
    case .set(let name, let value): try set(name, value)
    }
  }

  private func save(_ file: String) throws {
    let count = session.conversation.messages.count
    guard count > 0 else { throw CommandError("There is nothing to save yet.") }
    try SavedConversation(model: session.model.name, session.conversation).write(to: file)
    console.say("Saved \(count) message\(count == 1 ? "" : "s") to \(file).")
  }

  /// Goes on with a saved conversation.
  ///
  /// - Throws: `ConversationError`; the conversation stays as it was.
  func load(_ file: String) throws {
    let saved = try SavedConversation(from: file)
    session.conversation = saved.conversation
    var text = "Loaded \(saved.conversation.messages.count) messages"
    if let model = saved.model, model != session.model.name { text += ", answered by \(model) so far" }
    if let question = saved.conversation.question { text += ". The last question was: \(Self.excerpt(question))" }
    if saved.conversation.hasOpenQuestion { text += "\nIt has no answer yet: /retry answers it." }
    console.say(text)
  }

  private mutating func set(_ name: String?, _ value: String?) throws {
    guard let name else {
      let width = ChatSettings.names.map(\.count).max() ?? 0
      return console.say(
        ChatSettings.names.map { name in
          name.padded(to: width + 2) + (settings.value(of: name) ?? "")
        }.joined(separator: "\n"))
    }
    guard let value else {
      guard let now = settings.value(of: name) else { return try settings.set(name, to: "") }
      return console.say("\(name) is \(now)")
    }
    try settings.set(name, to: value)
    if name == "seed" { attempts = 0 }
    console.say("\(name) is now \(settings.value(of: name) ?? value)")
  }

  private func statistics() throws -> String {
    var lines: [(String, String)] = []
    if let last {
      lines.append(("last answer", Self.speed(last.answer)))
      lines.append(
        (
          "its prompt",
          "\(last.answer.promptTokenCount) tokens, \(last.answer.cachedTokenCount) of them cached from before"
        ))
    }
    let used = try session.tokenCount()
    let share = used * 100 / session.contextLength
    lines.append(("context", "\(used) of \(session.contextLength) tokens used (\(share) %)"))
    lines.append(("session", "\(totals.answers) answer\(totals.answers == 1 ? "" : "s"), \(totals.tokens) tokens"))
    return lines.map { $0.0.padded(to: 13) + $0.1 }.joined(separator: "\n")
  }

  private static func speed(_ answer: Answer) -> String {
    String(
      format: "%d tokens at %.1f tokens/s, the first after %.2f s", answer.tokens.count,
      answer.completionTokensPerSecond, answer.firstTokenSeconds)
  }

  private static let help: String = {
    let commands = ChatCommand.list.map { ("\($0.name) \($0.arguments)", $0.purpose) }
    let keys = [
      ("Alt-Enter", "a new line (also Ctrl-J, or a backslash before Enter)"),
      ("\"\"\" … \"\"\"", "a message of several lines"),
      ("Up, Down", "what was typed before"),
      ("Ctrl-C", "stop the answer, or drop what is typed"),
    ]
    let width = (commands + keys).map(\.0.count).max() ?? 0
    func lines(_ entries: [(String, String)]) -> String {
      entries.map { $0.0.padded(to: width + 2) + $0.1 }.joined(separator: "\n")
    }
    return lines(commands) + "\n\n" + lines(keys)
  }()

  private static func excerpt(_ text: String) -> String {
    let line = text.split(whereSeparator: \.isWhitespace).joined(separator: " ")
    return line.count > 60 ? line.prefix(59) + "…" : line
  }

  /// A shell's `~` for the home folder.
  private static func expanded(_ path: String) -> String {
    path.hasPrefix("~/") ? FileManager.default.homeDirectoryForCurrentUser.path + path.dropFirst() : path
  }
}

extension String {
  fileprivate func padded(to width: Int) -> String {
    self + String(repeating: " ", count: max(0, width - count))
  }
}
