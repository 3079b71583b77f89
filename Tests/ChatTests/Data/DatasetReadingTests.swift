import Foundation
import Testing

@testable import Chat
import Engine

/// Well-formed files of every shape, in every dress.
struct DatasetReadingTests {
  private func contents(_ text: String) throws -> [Example.Content] {
    try withFile(text) { try Dataset(files: [$0]).examples.map(\.content) }
  }

  private let pair = Example.Content.conversation([Turn(.user, "Q"), Turn(.assistant, "A")])

  @Test(arguments: [
    #"{"input": "Q", "output": "A"}"#,
    #"{"prompt": "Q", "completion": "A"}"#,
    #"{"instruction": "Q", "output": "A"}"#,
    #"{"instruction": "Q", "input": "", "output": "A", "text": "rendered"}"#,
    #"{"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}"#,
    #"{"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}"#,
    #"{"id": 7, "input": "Q", "output": "A", "meta": {"tags": [true, null, -1.5e3]}}"#,
    "  {\"input\"\t:\"\\u0051\" , \"output\":\"A\"}  ",
  ])
  func shapesOfPairs(line: String) throws {
    #expect(try contents(line) == [pair])
  }

  @Test func otherShapes() throws {
    #expect(try contents(#"{"text": "Once"}"#) == [.text("Once")])
    #expect(
      try contents(#"{"instruction": "Sum", "input": "1 2", "output": "3"}"#) == [
        .conversation([Turn(.user, "Sum\n\n1 2"), Turn(.assistant, "3")])
      ])
    #expect(
      try contents(#"{"system": "S", "input": "Q", "output": "A"}"#) == [
        .conversation([Turn(.system, "S"), Turn(.user, "Q"), Turn(.assistant, "A")])
      ])
    #expect(
      try contents(
        #"{"messages": [{"role": "SYSTEM", "content": "S"}, {"role": "user", "content": ""}, {"role": "assistant", "content": "A"}, {"role": "tool", "content": "T"}, {"role": "assistant", "content": "B", "tool_calls": [], "weight": 1}]}"#
      ) == [
        .conversation([
          Turn(.system, "S"), Turn(.user, ""), Turn(.assistant, "A"), Turn(.tool, "T"),
          Turn(.assistant, "B"),
        ])
      ])
  }

  @Test func dressOfTheFile() throws {
    let line = #"{"input": "Q", "output": "A"}"#
    for text in [
      "\u{FEFF}\(line)\n\(line)", "\(line)\r\n\r\n\(line)\r\n", "\n\n \t\n\(line)\n\n\(line)\n\n",
      "[\(line),\(line)]", "\u{FEFF} \n[\n  \(line),\n  \(line)\n]\n", " [ \(line) , \(line) ] ",
    ] {
      #expect(try contents(text) == [pair, pair])
    }
  }

  @Test func linesAreCountedFromOne() throws {
    let line = #"{"input": "Q", "output": "A"}"#
    try withFile("\n\(line)\n\r\n\(line)") { file in
      let found = try Dataset(files: [file]).examples.map(\.line)
      #expect(found == [2, 4])
    }
    try withFile("[\n\(line),\n\n\(line)]") { file in
      let found = try Dataset(files: [file]).examples.map(\.line)
      #expect(found == [2, 4])
    }
  }

  @Test func escapesDecode() throws {
    let line = #"{"text": "\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00 é😀"}"#
    #expect(try contents(line) == [.text("\"\\/\u{8}\u{C}\n\r\té😀 é😀")])
  }

  @Test func linesCrossChunks() throws {
    let long = String(repeating: "x", count: 300_000)
    let line = #"{"text": "\#(long)"}"#
    let found = try contents("\(line)\n\(line)\n")
    #expect(found == [.text(long), .text(long)])
  }

  /// Every prefix of a valid file either reads or fails; nothing traps, and only whole examples come out.
  @Test func everyPrefixIsSafe() throws {
    for text in [
      #"{"messages": [{"role": "user", "content": "\ud83d\ude00é"}, {"role": "assistant", "content": "A\n"}]}"#,
      #"[{"input": "Q", "output": "-1"}, {"input": "R", "output": "é"}]"#,
    ] {
      let bytes = Array(text.utf8)
      for length in 0..<bytes.count {
        _ = try withFile(Array(bytes[..<length])) { file in
          _ = #expect(throws: DatasetError.self) { try Dataset(files: [file]) }
        }
      }
    }
  }

  /// Random bytes changed in a valid file never trap.
  @Test func mutationsAreSafe() throws {
    var random = SplitMix64(seed: 5)
    let text = #"{"input": "Q\u00e9 \ud83d\ude00", "output": "A", "x": [1.5e-3, {"y": null}]}"# + "\n"
    for _ in 0..<300 {
      var bytes = Array((text + text).utf8)
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let place = Int.random(in: 0..<bytes.count, using: &random)
        bytes[place] = UInt8.random(in: .min ... .max, using: &random)
      }
      _ = try withFile(bytes) { Dataset.problems(in: $0) }
    }
  }
}
