import Foundation
import TestSupport
import Testing

@testable import hearth

/// `--lines`, in the program itself.
@Suite(.enabled(if: Program.path != nil), .serialized, .timeLimit(.minutes(2))) struct LineProtocolTests {
  private func objects(_ text: String) throws -> [[String: Any]] {
    try text.split(separator: "\n").map { line in
      try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
    }
  }

  private func message(_ object: [String: Any]) -> String {
    (object["error"] as? [String: Any])?["message"] as? String ?? ""
  }

  @Test(arguments: ["1", "3", "16"])
  func writesOneLineForEachLine(batch: String) throws {
    try Program.withModel { folder in
      let good = #"{"ids": [5, 6, 7], "max_tokens": 3}"#
      let long = #"{"ids": [\#(Array(repeating: "5", count: 5000).joined(separator: ","))]}"#
      let lines = [
        good, "", "nonsense", "[1]", good, #"{"ids": [5], "temperature": -1}"#, "\"\\ud800\"", long,
        #"{"ids": [5], "stop": [""]}"#, #"{"ids": [5], "num_beams": 0}"#, #"{"ids": [5], "unknown": 1}"#,
        #"{"ids": [5], "prompt": "x"}"#, #"{"ids": [99999999999]}"#, #"{"prompt": "x", "system": "y"}"#, good,
      ]
      let (status, output, errors) = try Program.run(
        ["generate", folder, "--lines", "--batch", batch], input: lines.joined(separator: "\n"))
      #expect(status == 1)
      #expect(errors.isEmpty)
      let answers = try objects(output)
      #expect(answers.count == lines.count)
      let alone = try objects(Program.run(["generate", folder, "--lines"], input: good).output)
      for (index, answer) in answers.enumerated() {
        if lines[index] == good {
          #expect(answer["text"] as? String == alone[0]["text"] as? String)
          #expect(answer["tokens"] as? [Int] == alone[0]["tokens"] as? [Int])
        } else {
          #expect((answer["error"] as? [String: Any])?["line"] as? Int == index + 1)
          #expect(!message(answer).isEmpty)
        }
      }
      #expect(message(answers[7]).contains("5000 tokens"))
    }
  }

  @Test func answersInABatchAreThoseOfEachAlone() throws {
    try Program.withModel { folder in
      let lines = [
        #"{"ids": [5, 6], "max_tokens": 4, "temperature": 1, "seed": 3}"#,
        #"{"ids": [5, 6], "max_tokens": 4, "num_beams": 2}"#,
      ]
      let together = try objects(
        Program.run(["generate", folder, "--lines", "--batch", "2"], input: lines.joined(separator: "\n")).output)
      for (line, answer) in zip(lines, together) {
        let alone = try objects(Program.run(["generate", folder, "--lines"], input: line).output)
        #expect(alone[0]["tokens"] as? [Int] == answer["tokens"] as? [Int])
        #expect((alone[0]["beams"] == nil) == (answer["beams"] == nil))
      }
    }
  }

  @Test func saysThatALineIsNoUTF8() throws {
    try Program.withModel { folder in
      let process = Program.make(["tokenize", folder, "--lines"])
      let (input, output) = (Pipe(), Pipe())
      (process.standardInput, process.standardOutput) = (input, output)
      try process.run()
      try input.fileHandleForWriting.write(contentsOf: Data([0x22, 0xFF, 0x22, 0x0A]) + Data(#"{"text": "a"}"#.utf8))
      try input.fileHandleForWriting.close()
      let answers = try objects(
        String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self))
      process.waitUntilExit()
      #expect(process.terminationStatus == 1)
      #expect(answers.count == 2)
      #expect(message(answers[0]).contains("UTF-8"))
    }
  }

  /// Whoever waits for an answer before the next line must not wait for ever.
  @Test func answersBeforeABatchIsFull() throws {
    try Program.withModel { folder in
      let process = Program.make(["generate", folder, "--lines", "--batch", "8"])
      let (input, output) = (Pipe(), Pipe())
      (process.standardInput, process.standardOutput) = (input, output)
      try process.run()
      for _ in 0..<2 {
        try input.fileHandleForWriting.write(contentsOf: Data("{\"ids\": [5], \"max_tokens\": 1}\n".utf8))
        #expect(try objects(String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)).count == 1)
      }
      try input.fileHandleForWriting.close()
      process.waitUntilExit()
      #expect(process.terminationStatus == 0)
    }
  }

  @Test(arguments: [
    ["generate", "--lines"], ["tokenize", "--lines"], ["score", "--lines"], ["show", "--json"], ["show"],
    ["generate", "Hello", "--json"], ["generate", "Hello"], ["tokenize", "Hello"],
  ])
  func endsQuietlyWhenNobodyReads(command: [String]) throws {
    try Program.withModel { folder in
      let process = Program.make([command[0], folder] + command.dropFirst())
      let (input, output, errors) = (Pipe(), Pipe(), Pipe())
      (process.standardInput, process.standardOutput, process.standardError) = (input, output, errors)
      try output.fileHandleForReading.close()
      try process.run()
      if command.contains("--lines") {
        try? input.fileHandleForWriting.write(contentsOf: Data(#"{"text": "a"}"#.utf8))
      }
      try input.fileHandleForWriting.close()
      let said = errors.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      #expect(process.terminationReason == .exit)
      #expect(process.terminationStatus == 1)
      #expect(said.isEmpty, "\(String(decoding: said, as: UTF8.self))")
    }
  }

  @Test func saysThatADiskIsFull() throws {
    guard let full = FileHandle(forWritingAtPath: "/dev/full") else { return }
    try Program.withModel { folder in
      for arguments in [["show", folder, "--json"], ["show", folder]] {
        let (process, errors) = (Program.make(arguments), Pipe())
        (process.standardOutput, process.standardError) = (full, errors)
        try process.run()
        let said = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 1)
        #expect(said.contains("standard output: cannot be written"))
      }
    }
  }
}

@Suite struct CommandLineSpellingTests {
  @Test func letsModelAndPromptStandBehindABias() throws {
    #expect(
      try CommandLineSpelling.corrected([
        "generate", "--logit-bias", "5=1", "6=-2.5", "m", "7=x", "--logit-bias", "8=1",
      ])
        == ["generate", "--logit-bias", "5=1", "--logit-bias", "6=-2.5", "m", "7=x", "--logit-bias", "8=1"])
    #expect(
      try CommandLineSpelling.corrected(["generate", "m", "--", "--logit-bias", "5=1"]).suffix(2) == [
        "--logit-bias", "5=1",
      ])
  }

  @Test(arguments: [("genrate", "generate"), ("finetun", "finetune"), ("evalute", "evaluate"), ("ls", "list")])
  func suggestsACommand(written: String, meant: String) throws {
    let error = #expect(throws: (any Error).self) { try CommandLineSpelling.corrected([written, "x"]) }
    #expect("\(error.map { "\($0)" } ?? "")".contains("did you mean \(meant)?") || written == "ls")
  }
}
