import Foundation
import Testing

@testable import Chat

/// Files that must fail with the right kind of error at the right line.
struct MalformedDatasetTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let name: String
    let kind: DatasetError.Kind
    let line: Int?
    let bytes: [UInt8]

    init(_ name: String, _ kind: DatasetError.Kind, _ line: Int?, _ text: String) {
      self.init(name, kind, line, bytes: Array(text.utf8))
    }

    init(_ name: String, _ kind: DatasetError.Kind, _ line: Int?, bytes: [UInt8]) {
      self.name = name
      self.kind = kind
      self.line = line
      self.bytes = bytes
    }

    var testDescription: String { name }
  }

  private static let good = #"{"input": "Q", "output": "A"}"#
  private static let opening = Array(#"{"input": "Q", "output": ""#.utf8)
  private static let closing = Array(#""}"#.utf8)
  private static func message(_ message: String) -> String {
    #"{"messages": [{"role": "user", "content": "Q"}, \#(message)]}"#
  }

  static let cases: [Case] = [
    Case("empty", .emptyFile, nil, ""),
    Case("blank lines only", .emptyFile, nil, "\n \r\n\t\n"),
    Case("mark only", .emptyFile, nil, "\u{FEFF}"),
    Case("empty list", .emptyFile, nil, " [ ] "),
    Case("UTF-16 little", .wrongEncoding, nil, bytes: [0xFF, 0xFE, 0x7B, 0]),
    Case("UTF-16 big", .wrongEncoding, nil, bytes: [0xFE, 0xFF, 0, 0x7B]),
    Case("gzip", .compressed, nil, bytes: [0x1F, 0x8B, 8, 0]),
    Case("zip", .compressed, nil, bytes: [0x50, 0x4B, 3, 4, 0]),
    Case("zstd", .compressed, nil, bytes: [0x28, 0xB5, 0x2F, 0xFD]),
    Case("Parquet", .compressed, nil, "PAR1...."),
    Case("not UTF-8", .invalidUTF8, 2, bytes: Array((good + "\n").utf8) + opening + [0xFF] + closing),
    Case("overlong UTF-8", .invalidUTF8, 1, bytes: opening + [0xC0, 0x80] + closing),
    Case("surrogate in UTF-8", .invalidUTF8, 1, bytes: opening + [0xED, 0xA0, 0x80] + closing),
    Case("cut UTF-8", .invalidUTF8, 1, bytes: opening + [0xE2, 0x82]),
    Case("not UTF-8 in list", .invalidUTF8, nil, bytes: [0x5B] + opening + [0xFF] + closing + [0x5D]),
    Case("NUL in string", .nulCharacter, 1, bytes: opening + [0] + closing),
    Case("NUL between", .malformedJSON, 1, bytes: [0] + opening + closing),
    Case("NUL escaped", .nulCharacter, 1, #"{"text": "a\u0000b"}"#),
    Case("lone high", .loneSurrogate, 1, #"{"text": "\ud83d"}"#),
    Case("lone low", .loneSurrogate, 1, #"{"text": "\ude00"}"#),
    Case("two high", .loneSurrogate, 1, #"{"text": "\ud83d\ud83d"}"#),
    Case("high then n", .loneSurrogate, 1, #"{"text": "\ud83d\n"}"#),
    Case("cut in object", .truncated, 2, good + "\n" + #"{"input": "Q", "ou"#),
    Case("cut after comma", .truncated, 1, #"{"input": "Q","#),
    Case("cut in escape", .truncated, 1, #"{"text": "\u00"#),
    Case("cut in word", .truncated, 1, #"{"text": nul"#),
    Case("object over lines", .truncated, 1, "{\n\"text\": \"a\"\n}"),
    Case("cut list", .truncated, 2, "[\(good),\n\(good)"),
    Case("tab in string", .malformedJSON, 1, "{\"text\": \"a\tb\"}"),
    Case("single quotes", .malformedJSON, 1, "{'text': 'a'}"),
    Case("bare key", .malformedJSON, 1, "{text: 1}"),
    Case("trailing comma", .malformedJSON, 1, #"{"text": "a",}"#),
    Case("missing colon", .malformedJSON, 1, #"{"text" "a"}"#),
    Case("missing comma", .malformedJSON, 1, #"{"text": "a" "b": 1}"#),
    Case("two objects", .malformedJSON, 1, good + good),
    Case("comma after object", .malformedJSON, 1, good + ","),
    Case("bad escape", .malformedJSON, 1, #"{"text": "\x41"}"#),
    Case("bad hexadecimal", .malformedJSON, 1, #"{"text": "\u00g0"}"#),
    Case("leading zero", .malformedJSON, 1, #"{"text": "a", "n": 01}"#),
    Case("bare minus", .malformedJSON, 1, #"{"text": "a", "n": -}"#),
    Case("no fraction", .malformedJSON, 1, #"{"text": "a", "n": 1.}"#),
    Case("no exponent", .malformedJSON, 1, #"{"text": "a", "n": 1e+}"#),
    Case("NaN", .malformedJSON, 1, #"{"text": NaN}"#),
    Case("comment", .malformedJSON, 1, "// chats\n" + good),
    Case("CSV", .malformedJSON, 1, "input,output\nQ,A\n"),
    Case("after list", .malformedJSON, 2, "[\(good)]\n\(good)"),
    Case("list without comma", .malformedJSON, 2, "[\(good)\n\(good)]"),
    Case("unclosed nesting", .tooDeep, 1, #"{"text": "# + String(repeating: "[", count: 5_000)),
    Case("deep list", .tooDeep, 1, String(repeating: "[", count: 100_000)),
    Case("duplicate key", .duplicateKey, 1, #"{"input": "Q", "output": "A", "output": "B"}"#),
    Case("duplicate by escape", .duplicateKey, 1, #"{"text": "a", "te\u0078t": "b"}"#),
    Case("a string", .notAnObject, 1, #""hello""#),
    Case("a number", .notAnObject, 1, "42"),
    Case("list of lists", .notAnObject, 1, "[[\(good)]]"),
    Case("no keys", .unknownShape, 1, "{}"),
    Case("other keys", .unknownShape, 1, #"{"question": "Q", "answer": "A"}"#),
    Case("half a pair", .unknownShape, 2, good + "\n" + #"{"input": "Q"}"#),
    Case("half a preference", .unknownShape, 1, #"{"prompt": "Q", "chosen": "A"}"#),
    Case("a preference for nothing", .emptyAnswer, 1, #"{"prompt": "Q", "chosen": "A", "rejected": "A"}"#),
    Case("an empty rejected answer", .emptyAnswer, 1, #"{"prompt": "Q", "chosen": "A", "rejected": " "}"#),
    Case("a rejected answer that is no text", .notText, 1, #"{"prompt": "Q", "chosen": "A", "rejected": ["B"]}"#),
    Case(
      "an answered prompt", .unsupportedKey, 1,
      #"{"prompt": [{"role": "assistant", "content": "x"}], "chosen": "A", "rejected": "B"}"#),
    Case("two shapes in one", .ambiguousShape, 1, #"{"input": "", "output": "", "messages": []}"#),
    Case(
      "two system prompts", .ambiguousShape, 1,
      #"{"system": "S", "messages": [{"role": "system", "content": "T"}, {"role": "assistant", "content": "A"}]}"#),
    Case("mixed shapes", .mixedShapes, 3, good + "\n\n" + #"{"text": "a"}"#),
    Case("mixed shapes in list", .mixedShapes, 1, "[\(good), {\"text\": \"a\"}]"),
    Case(
      "history", .unsupportedKey, 1,
      #"{"instruction": "Q", "output": "A", "history": [["a", "b"]]}"#),
    Case(
      "tool calls", .unsupportedKey, 1,
      message(#"{"role": "assistant", "content": null, "tool_calls": [{"id": "x"}]}"#)),
    Case(
      "tools", .unsupportedKey, 1,
      #"{"messages": [{"role": "assistant", "content": "A"}], "tools": [{"type": "function"}]}"#),
    Case(
      "functions in a string", .unsupportedKey, 1,
      #"{"conversations": [{"from": "gpt", "value": "A"}], "functions": "[{}]"}"#),
    Case(
      "weight", .unsupportedKey, 1,
      message(#"{"role": "assistant", "content": "A", "weight": 0}"#)),
    Case("no role", .missingKey, 1, message(#"{"content": "A"}"#)),
    Case("no content", .missingKey, 1, message(#"{"role": "assistant"}"#)),
    Case("from in messages", .missingKey, 1, message(#"{"from": "gpt", "value": "A"}"#)),
    Case("number as output", .notText, 1, #"{"input": "Q", "output": 42}"#),
    Case("null as input", .notText, 1, #"{"input": null, "output": "A"}"#),
    Case(
      "list as content", .notText, 1,
      message(#"{"role": "assistant", "content": [{"type": "text", "text": "A"}]}"#)),
    Case("number as system", .notText, 1, #"{"input": "Q", "output": "A", "system": 1}"#),
    Case("number as role", .notText, 1, message(#"{"role": 1, "content": "A"}"#)),
    Case("messages as object", .notAList, 1, #"{"messages": {"role": "user", "content": "Q"}}"#),
    Case("messages as string", .notAList, 1, #"{"messages": "Q"}"#),
    Case("message as string", .notAnObject, 1, message(#""A""#)),
    Case("no messages", .emptyConversation, 1, #"{"messages": []}"#),
    Case("no conversation", .emptyConversation, 1, #"{"conversations": []}"#),
    Case("unknown role", .unknownRole, 1, message(#"{"role": "narrator", "content": "A"}"#)),
    Case("no assistant", .noAssistantTurn, 1, message(#"{"role": "user", "content": "A"}"#)),
    Case("empty output", .emptyAnswer, 1, #"{"input": "Q", "output": ""}"#),
    Case("blank output", .emptyAnswer, 2, good + "\n" + #"{"input": "Q", "output": " \n\u3000"}"#),
    Case("empty assistant", .emptyAnswer, 1, message(#"{"role": "assistant", "content": ""}"#)),
    Case("empty text", .emptyAnswer, 1, #"{"text": ""}"#),
  ]

  @Test(arguments: cases)
  func fails(with sample: Case) throws {
    try withFile(sample.bytes) { file in
      let error = #expect(throws: DatasetError.self) { try Dataset(files: [file]) }
      #expect(error?.kind == sample.kind)
      #expect(error?.line == sample.line)
      #expect(error?.file == file)
      let message = error.map { "\($0)" } ?? ""
      #expect(message.hasPrefix(sample.line.map { "\(file):\($0): expected " } ?? "\(file): expected "))
      #expect(message.contains(", found ") && message.contains("; ") && !message.contains("\n"))
      let problems = Dataset.problems(in: file)
      #expect(problems.first == error)
    }
  }

  @Test func placesThatAreNoFiles() throws {
    #expect(Dataset.problems(in: "/nonexistent/x.jsonl").map(\.kind) == [.cannotOpen])
    let folder = FileManager.default.temporaryDirectory.path
    #expect(Dataset.problems(in: folder).map(\.kind) == [.isFolder])
  }

  @Test func longLinesAreRefusedAndSkipped() throws {
    var limits = DatasetReader.Limits()
    limits.lineLength = 1_000
    let long = #"{"text": "\#(String(repeating: "x", count: 600_000))"}"#
    try withFile("{\"text\": \"a\"}\n\(long)\n{\"text\": \"b\"}\n\(long)") { file in
      let problems = Dataset.problems(in: file, limits: limits)
      #expect(problems.map(\.kind) == [.lineTooLong, .lineTooLong])
      #expect(problems.map(\.line) == [2, 4])
    }
    limits.listLength = 1_000
    try withFile("[\n\(long)]") { file in
      #expect(Dataset.problems(in: file, limits: limits).map(\.kind) == [.fileTooLong])
    }
  }

  @Test func problemsGoOnBehindABadLine() throws {
    try withFile("{\"text\": 1}\n{\"text\": \"a\"}\nnonsense\n{\"text\": \"\"}\n") { file in
      let problems = Dataset.problems(in: file)
      #expect(problems.map(\.kind) == [.notText, .malformedJSON, .emptyAnswer])
      #expect(problems.map(\.line) == [1, 3, 4])
      #expect(Dataset.problems(in: file, limit: 2).count == 2)
    }
  }
}
