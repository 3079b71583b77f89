import ArgumentParser

@main
struct Hearth: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "hearth",
    abstract: "Chat with, fine-tune and evaluate a language model on this machine.")
}
