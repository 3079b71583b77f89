internal import ArgumentParser
internal import Chat
internal import Foundation

/// A conversation in the terminal.
struct Chat: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Talk with a model.",
    discussion: """
      Examples:
        hearth chat
        hearth chat smollm2 --system "Answer in one sentence." --temperature 0.2
        hearth chat --load talk.json
        printf 'Hello!\\n/save talk.json\\n' | hearth chat smollm2 --seed 7

      Type a message and press Enter; /help lists the commands, Ctrl-C stops an answer, Ctrl-D leaves. When stdin is \
      not a terminal, every line is a message or a command, answers go to stdout and everything else to stderr.

      Answers are sampled with temperature 0.7 and top-p 0.9, so that /retry says something else; --temperature 0 \
      always chooses the likeliest. What is typed is kept in Hearth's folder, readable by its owner only, unless \
      --no-history says otherwise. The environment's NO_COLOR turns colours off.
      """)

  @Argument(help: "A model's name or path.") var model = ModelCatalog.defaultName
  @Option(help: "A system message before the conversation.") var system: String?
  @Option(help: "Go on with a conversation that /save wrote, or with line N of a JSONL file: FILE:N.") var load: String?
  @Flag(help: "Neither read nor keep what was typed.") var noHistory = false
  @Flag(help: "Leave the breaking of long lines to the terminal.") var noWrap = false
  @OptionGroup(title: "Generation") var generation: ChatOptions
  @OptionGroup var options: ModelOptions

  func run() throws {
    guard let terminal = Terminal() else {
      let console = LineConsole()
      var loop = try loop(console, options.open(model))
      loop.run()
      if console.hasFailed { throw SilentFailure() }
      return
    }
    defer { terminal.close() }
    let history = noHistory ? nil : HistoryFile(path: ModelStore().home.appending(path: "chat_history").path)
    let console = TerminalConsole(terminal, history: history, breaksLines: !noWrap)
    console.sayBriefly("Loading \(model) …")
    let opened: ChatModel
    do { opened = try options.open(model) } catch {
      console.takeBack()
      throw error
    }
    console.takeBack()
    var loop = try loop(console, opened)
    if !options.quiet {
      console.say("\(opened.name) · \(loop.session.contextLength) tokens of context · /help shows what you can do")
    }
    loop.run()
  }

  private func loop(_ console: any ChatConsole, _ model: ChatModel) throws -> ChatLoop {
    guard model.template != nil else { throw ChatModelError.noTemplate(model: model.name) }
    let session = ChatSession(model, contextLength: options.context)
    let loop = ChatLoop(session, console, try generation.settings(), isVerbose: options.verbose)
    if let load { try loop.load(load) }
    if let system { session.conversation.system = system.isEmpty ? nil : system }
    return loop
  }
}
