/// What a line that begins with a slash asks for.
enum ChatCommand: Equatable {
  case help
  /// nil shows the system message, an empty text removes it.
  case system(String?)
  case retry, undo, clear
  case save(String), load(String)
  case stats
  /// Without a name, shows all settings.
  case set(name: String?, value: String?)
  case exit

  /// A command's name, what follows it, and what it does.
  static let list: [(name: String, arguments: String, purpose: String)] = [
    ("/help", "", "show this"),
    ("/system", "[TEXT]", "show or set the system message (\"\" removes it)"),
    ("/retry", "", "answer the last question again"),
    ("/undo", "", "take back the last question and its answer"),
    ("/clear", "", "start anew; the system message stays"),
    ("/save", "FILE", "save the conversation, also as data for hearth finetune"),
    ("/load", "FILE", "go on with a saved one, or line N of a JSONL: FILE:N"),
    ("/stats", "", "tokens, speed and how full the context is"),
    ("/set", "[NAME VALUE]", "show or change how answers are sampled"),
    ("/exit", "", "leave (also /bye, /quit and Ctrl-D)"),
  ]

  /// Whether `text` is a command rather than a message: a slash and a word, not `//` or `/*` of pasted code.
  static func isCommand(_ text: String) -> Bool {
    guard text.first == "/" else { return false }
    guard let second = text.dropFirst().first else { return true }
    return second.isLetter || second == "?" || second.isWhitespace
  }

  /// Reads a command.
  ///
  /// - Throws: `CommandError` for a name that is none, or arguments that are missing.
  init(_ text: String) throws {
    let parts = text.split(maxSplits: 1, whereSeparator: \.isWhitespace).map(String.init)
    let name = parts.first ?? "/"
    let rest = parts.count > 1 ? parts[1].trimmed : nil
    func file() throws -> String {
      guard let rest, !rest.isEmpty else { throw CommandError("\(name) needs the name of a file: \(name) talk.json") }
      return rest.unquoted
    }
    switch name {
    case "/help", "/?": self = .help
    case "/system": self = .system(rest.map(\.unquoted))
    case "/retry": self = .retry
    case "/undo": self = .undo
    case "/clear": self = .clear
    case "/save": self = .save(try file())
    case "/load": self = .load(try file())
    case "/stats": self = .stats
    case "/set":
      let words = (rest ?? "").split(maxSplits: 1, whereSeparator: \.isWhitespace).map { String($0).trimmed }
      self = .set(name: words.first, value: words.count > 1 ? words[1].unquoted : nil)
    case "/exit", "/bye", "/quit": self = .exit
    default:
      let names = Self.list.map(\.name).joined(separator: " ")
      throw CommandError(
        "\(name) is no command. There are \(names)\nTo send it as a message, begin with a space.")
    }
  }
}

extension String {
  /// Without spaces and line ends around it.
  var trimmed: String {
    var text = self[...]
    while let first = text.first, first.isWhitespace { text = text.dropFirst() }
    while let last = text.last, last.isWhitespace { text = text.dropLast() }
    return String(text)
  }

  /// Without the quotes around it, if it has a pair of them.
  var unquoted: String {
    guard count >= 2, let first, first == last, first == "\"" || first == "'" else { return self }
    return String(dropFirst().dropLast())
  }
}
