internal import ArgumentParser
internal import Foundation

/// A local ChatGPT: run, fine-tune, evaluate and serve a chat model on your own machine.
@main
struct Hearth: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hearth",
    abstract: "Keep the conversation at home: chat with a model, teach it, measure it, serve it.",
    discussion: """
      First steps:
        hearth pull smollm2
        hearth chat smollm2
      """,
    subcommands: [
      Pull.self, List.self, Show.self, Remove.self,
      Chat.self,
      Generate.self, Tokenize.self, Score.self,
      Finetune.self, Evaluate.self,
      Promote.self, Rollback.self,
      Export.self, Quantize.self,
      Serve.self, Keys.self, Audit.self, Conversations.self, Backup.self,
      Bench.self, Doctor.self,
    ])

  /// Runs the command; failures end with status 1 and a message, wrong usage with 64.
  static func main() async {
    // A reader that went away (hearth … | head) is no reason to die of a signal in the middle of a write.
    signal(SIGPIPE, SIG_IGN)
    // Nor is a limit on file sizes: the write then fails, and what was there stays.
    signal(SIGXFSZ, SIG_IGN)
    StandardStreams.reserve()
    do {
      var command = try parseAsRoot(try CommandLineSpelling.corrected(Array(CommandLine.arguments.dropFirst())))
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
      try StandardOutput.finish()
    } catch is SilentFailure {
      Foundation.exit(1)
    } catch is OutputClosed {
      Foundation.exit(1)
    } catch  where exitCode(for: error) == .failure && !(error is ExitCode) {
      StandardError.write("hearth: \(error)\n")
      Foundation.exit(1)
    } catch {
      exit(withError: error)
    }
  }
}
