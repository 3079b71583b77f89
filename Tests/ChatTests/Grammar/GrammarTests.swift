import Engine
import Foundation
import TestSupport
import Testing
import Tokenizers

@testable import Chat

@Suite struct GrammarTests {
  private func schema(_ text: String) throws -> Grammar {
    var reader = JSONReader(Array(text.utf8))
    return try Grammar.schema(try reader.value())
  }

  private func accepts(_ grammar: Grammar, _ text: String) -> Bool {
    var (automaton, state) = (GrammarAutomaton(grammar), GrammarAutomaton.start)
    for byte in text.utf8 {
      state = automaton.step(state, byte)
      if state < 0 { return false }
    }
    return automaton.mayEnd(state)
  }

  @Test(arguments: [
    (
      #"{"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["b"]}"#,
      [#"{"a": 1, "b": "x"}"#, #"{"b":""}"#, #"{"a":-20,"b":"\"\u00e9"}"#],
      [#"{"a": 1}"#, #"{"b": "x", "a": 1}"#, #"{"a": 01, "b": ""}"#, #"{"b": "x",}"#, "{}", "", #"{"b": "x"} "#]
    ),
    (
      #"{"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 2}"#,
      ["[true]", "[true, false]", "[true,false]"], ["[]", "[true, true, true]", "[1]", "[true,]"]
    ),
    (
      #"{"type": "array", "items": {"type": "null"}, "minItems": 2}"#, ["[null,null]", "[null,null,null,null]"],
      ["[null]", "[]"]
    ),
    (#"{"enum": ["red", 3, null]}"#, [#""red""#, "3", "null"], ["red", "4", #""re""#]),
    (#"{"type": "string", "minLength": 2, "maxLength": 3}"#, [#""ab""#, #""äöü""#, #""a\n""#], [#""a""#, #""abcd""#]),
    (#"{"type": ["integer", "null"]}"#, ["12", "null", "0"], ["1.5", "true"]),
    (#"{"type": "number"}"#, ["-0.5", "1e5", "12.25E-3"], [".5", "1.", "+1", "1e", "1e400"]),
    (#"{"anyOf": [{"type": "null"}, {"const": {"a": [1]}}]}"#, ["null", #"{"a":[1]}"#], ["{}"]),
    (#"{"type": "string", "format": "date"}"#, [#""2026-02-28""#], [#""2026-13-01""#, #""26-01-01""#]),
    (
      ##"{"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}}}}}"##,
      ["{}", #"{"left": {"left": {}}}"#], [#"{"left": 1}"#, #"{"left": {"left": {}}"#]
    ),
    (#"{}"#, [#"{"x": [1, {"y": null}]}"#, "[]", "7", #""s""#], ["", "[1", "nul"]),
    (
      #"{"type": "object", "additionalProperties": {"type": "integer"}}"#, ["{}", #"{"k": 1, "l": 2}"#],
      [#"{"k": "v"}"#]
    ),
    (
      #"{"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": false, "minItems": 2}"#,
      [#"["a", 1]"#], ["[]", #"["a"]"#, #"["a", 1, 2]"#]
    ),
  ]) func acceptsWhatIsValid(_ text: String, _ valid: [String], _ invalid: [String]) throws {
    let grammar = try schema(text)
    for text in valid { #expect(accepts(grammar, text), "\(text)") }
    for text in invalid { #expect(!accepts(grammar, text), "\(text)") }
  }

  @Test(arguments: [
    (#"{"type": "integer", "minimum": 3}"#, "minimum"), (#"{"type": "string", "pattern": "a+"}"#, "pattern"),
    (#"{"oneOf": [{}]}"#, "oneOf"), (#"{"type": "object", "properties": {"a": {"not": {}}}}"#, "properties.a.not"),
    (#"{"type": "array", "uniqueItems": true}"#, "uniqueItems"), (#"{"type": "thing"}"#, "type"), ("[]", ""),
    (##"{"$ref": "https://example.org/x"}"##, "$ref"), (##"{"$ref": "#/$defs/none"}"##, "$ref"),
    (#"{"type": "object", "required": ["a"], "properties": {"b": {}}}"#, "required"),
    (#"{"type": "array", "minItems": 10000, "items": {"type": "array", "minItems": 10000}}"#, ""),
    (#"{"type": "string", "format": "hostname"}"#, "format"), (#"{"minimum": 3}"#, "minimum"),
  ]) func refusesWhatItCannotEnforce(_ text: String, _ path: String) throws {
    do {
      let grammar = try schema(text)
      // Bounds within bounds are calls of one rule, so that two large ones still fit.
      #expect(path.isEmpty && !grammar.instructions.isEmpty)
    } catch let error as GrammarError { #expect(error.path == path, "\(error)") }
  }

  @Test func stringsAreUTF8WithoutLoneSurrogates() throws {
    let grammar = try schema(#"{"type": "string"}"#)
    for text in [#""\ud800""#, #""\uDFFF""#, "\"\u{1}\"", #""\x""#] { #expect(!accepts(grammar, text), "\(text)") }
    for text in [#""\ud7ff\uE000""#, "\"\u{10FFFF}€é\u{7F}\""] { #expect(accepts(grammar, text), "\(text)") }
    var (automaton, state) = (GrammarAutomaton(grammar), GrammarAutomaton.start)
    // An overlong slash, a surrogate in UTF-8, a byte beyond Unicode.
    for bytes in [[0x22, 0xC0, 0xAF], [0x22, 0xED, 0xA0], [0x22, 0xF4, 0x90], [0x22, 0xFF]] as [[UInt8]] {
      state = GrammarAutomaton.start
      for byte in bytes where state >= 0 { state = automaton.step(state, byte) }
      #expect(state < 0)
    }
  }

  @Test func aModelThatTalksNonsenseWritesValidJSON() throws {
    let folder = try TinyChatFolder.make()
    defer { try? FileManager.default.removeItem(at: folder) }
    let model = try ChatModel.open(path: folder.path, pool: WorkerPool(threadCount: 1))
    let vocabulary = TokenVocabulary(model.tokenizer)
    let grammar = try schema(
      #"{"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}, "ok": {"type": "boolean"}, "tags": {"type": "array", "items": {"enum": ["a", "b"]}, "maxItems": 2}}, "required": ["name", "ok", "tags"]}"#
    )
    var whole = 0
    for seed in 0..<30 {
      var options = AnswerOptions(sampling: SamplingOptions(seed: UInt64(seed)), maximumTokenCount: 90)
      options.constraint = GrammarConstraint(grammar, vocabulary, endTokens: model.endTokens)
      options.listedTokenCount = seed % 2 == 0 ? 1 : nil
      let answer = try model.answer(model.tokenizer.encode("x"), options)
      guard answer.finishReason == .stop else { continue }
      whole += 1
      let value = try JSONSerialization.jsonObject(with: Data(answer.text.utf8)) as? [String: Any]
      #expect(value.map { Set($0.keys) } == ["name", "ok", "tags"])
      #expect((value?["name"] as? String)?.unicodeScalars.count ?? 99 <= 8)
    }
    #expect(whole > 20)
  }

  @Test func callsOfToolsAreFoundAgain() throws {
    var reader = JSONReader(
      Array(#"{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}"#.utf8))
    let tools = [
      ToolDescription(name: "weather", description: nil, parameters: try reader.value()),
      ToolDescription(name: "now", description: "the time", parameters: nil),
    ]
    let auto = try Grammar.toolCalls(tools, mustCall: false, severalCalls: true)
    let forced = try Grammar.toolCalls(tools, mustCall: true, severalCalls: false)
    let call = ToolCallText.text("weather", .object([.init(key: "city", value: .string("Bergen"))]))
    #expect(accepts(auto, call) && accepts(forced, call))
    #expect(accepts(auto, "Let me see <tool <<tool_cal.\n" + call + "\n" + ToolCallText.text("now", .object([]))))
    #expect(accepts(auto, "just words < and >") && !accepts(forced, "just words"))
    #expect(!accepts(auto, call + "more words") && !accepts(forced, call + call))
    #expect(!accepts(auto, "<tool_call>{\"name\": \"weather\", \"arguments\": {}}</tool_call>"))
    let parsed = ToolCallText.parse("Well.\n" + call)
    #expect(parsed.content == "Well." && parsed.calls.map(\.name) == ["weather"])
  }
}
