import ArgumentParser
import Testing

@testable import hearth

/// What `--help` shows on a terminal of eighty columns.
@Suite struct HelpTests {
  static let commands = Hearth.configuration.subcommands

  @Test(arguments: commands.indices) func everyCommandHasAnExampleThatFitsALine(_ index: Int) {
    let command = Self.commands[index]
    let name = command._commandName
    let lines = command.configuration.discussion.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.contains { $0.hasPrefix("  ") && $0.contains("hearth \(name)") }, "hearth \(name): has no example")
    for (line, next) in zip(lines, lines.dropFirst() + [""]) {
      if line.hasPrefix("  ") {
        #expect(line.count <= 80, "hearth \(name): this line would wrap: \(line)")
      } else if line.count > 80 {
        // The parser wraps paragraphs; one with breaks of its own comes out ragged.
        #expect(next.isEmpty, "hearth \(name): a paragraph with breaks of its own: \(line)")
      }
    }
  }

  @Test(arguments: commands.indices) func flagsFitEightyColumns(_ index: Int) {
    let help = Self.commands[index].helpMessage(columns: 80)
    for line in help.split(separator: "\n") where line.hasPrefix("  --") { #expect(line.count <= 80) }
  }

  @Test func pullNamesEverySource() {
    let help = Pull.helpMessage(columns: 200)
    for word in ["hf:org/repo", "https://", "file or folder", "smollm2"] { #expect(help.contains(word)) }
  }
}
