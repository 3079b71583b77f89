import Foundation
import TestSupport
import Testing

/// The program itself, in a pipe and at a pseudo-terminal.
@Suite(.enabled(if: Program.path != nil), .serialized, .timeLimit(.minutes(2))) struct ChatProgramTests {
  @Test func answersLineByLineInAPipe() throws {
    try Program.withModel { folder in
      let file = folder + "/talk.json"
      let (status, output, errors) = try Program.run(
        ["chat", folder, "--temperature", "0", "--max-tokens", "4"],
        input: "Hello\n/stats\n\"\"\"two\nlines\"\"\"\n/save \(file)\nlast\\\n")
      #expect(status == 0, "\(errors)")
      #expect(!output.contains("\u{1B}") && !errors.contains("\u{1B}"))
      #expect(output.filter { $0 == "\n" }.count >= 3)
      #expect(errors.contains("context") && errors.contains("Saved 4 messages"))
      let saved = try String(contentsOfFile: file, encoding: .utf8)
      #expect(saved.contains(#""content": "two\nlines""#))
    }
  }

  @Test func failsWhenALineFails() throws {
    try Program.withModel { folder in
      let (status, output, errors) = try Program.run(["chat", folder], input: "/nonsense\n")
      #expect(status == 1)
      #expect(output.isEmpty)
      #expect(errors.contains("/nonsense is no command"))
    }
  }

  @Test func editsStopsAndRestoresATerminal() throws {
    try Program.withModel { folder in
      let terminal = try PseudoTerminal(
        ["chat", folder, "--no-history", "--temperature", "0", "--stop", "\u{1}\u{1}\u{1}\u{1}"])
      try terminal.wait(for: ">>> ")
      #expect(terminal.localFlags & tcflag_t(ICANON | ECHO) == 0)
      terminal.type("/systen\u{7F}m\r")
      try terminal.wait(for: "There is no system message.")
      try terminal.wait(for: ">>> ")
      terminal.type("\u{1B}[200~one\ntwo\u{1B}[201~")
      try terminal.wait(for: "... ")
      terminal.type("\u{3}")
      try terminal.wait(for: "^C")
      terminal.type("\u{3}")
      try terminal.wait(for: "/exit")
      terminal.type("Hello\r")
      try terminal.wait(for: ">>> ")
      kill(terminal.process.processIdentifier, SIGTERM)
      try terminal.waitForExit()
      #expect(terminal.process.terminationReason == .uncaughtSignal)
      #expect(terminal.process.terminationStatus == SIGTERM)
      #expect(terminal.localFlags & tcflag_t(ICANON | ECHO | ISIG) == tcflag_t(ICANON | ECHO | ISIG))
    }
  }

  @Test func leavesATerminalAsItWas() throws {
    try Program.withModel { folder in
      let terminal = try PseudoTerminal(["chat", folder, "--no-history"])
      try terminal.wait(for: ">>> ")
      terminal.type("\u{4}")
      try terminal.waitForExit()
      #expect(terminal.process.terminationStatus == 0)
      try terminal.wait(for: "\u{1B}[?2004l")
      #expect(terminal.localFlags & tcflag_t(ICANON | ECHO | ISIG) == tcflag_t(ICANON | ECHO | ISIG))
    }
  }
}
