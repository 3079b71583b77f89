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
    (#"{"type": "string", "pattern": "(?=a)"}"#, "pattern"), (#"{"type": "string", "pattern": "a\\b"}"#, "pattern"),
    (#"{"type": "string", "pattern": "^a$", "minLength": 2}"#, "pattern"),
    (#"{"type": "string", "pattern": "a^b"}"#, "pattern"), (#"{"type": "string", "pattern": "(a)\\1"}"#, "pattern"),
    (#"{"type": "string", "pattern": "[b-a]"}"#, "pattern"), (#"{"type": "string", "pattern": "(a"}"#, "pattern"),
    (#"{"oneOf": [{"type": "string"}, {"enum": ["a"]}]}"#, "oneOf[1]"),
    (#"{"oneOf": [{"type": "integer", "minimum": 3}, {"type": "number", "maximum": 3}]}"#, "oneOf[1]"),
    (#"{"allOf": [{"type": "string"}, {"type": "integer"}]}"#, "allOf[1].type"),
    (#"{"allOf": [{"pattern": "a"}, {"pattern": "b"}]}"#, "allOf[1].pattern"),
    (#"{"allOf": [{"type": "string"}, {"not": {}}]}"#, "allOf[1].not"),
    (#"{"type": "integer", "minimum": 4, "exclusiveMaximum": 4}"#, ""),
    (#"{"type": "integer", "minimum": 1.2, "maximum": 1.8}"#, ""),
    (#"{"type": "string", "enum": [3]}"#, "enum"), (#"{"type": "number", "multipleOf": 0.3}"#, "multipleOf"),
    (##"{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a", "type": "string"}}}"##, ""),
    (#"{"type": "object", "properties": {"a": {"not": {}}}}"#, "properties.a.not"),
    (#"{"type": "array", "uniqueItems": true}"#, "uniqueItems"), (#"{"type": "thing"}"#, "type"), ("[]", ""),
    (##"{"$ref": "https://example.org/x"}"##, "$ref"), (##"{"$ref": "#/$defs/none"}"##, "$ref"),
    (#"{"type": "object", "required": ["a"], "properties": {"b": {}}}"#, "required"),
    (#"{"type": "array", "minItems": 10000, "items": {"type": "array", "minItems": 10000}}"#, ""),
    (#"{"type": "string", "format": "uri"}"#, "format"), (#"{"minimum": 3, "minLength": 3}"#, ""),
  ]) func refusesWhatItCannotEnforce(_ text: String, _ path: String) throws {
    do {
      _ = try schema(text)
      // Bounds within bounds are calls of one rule, so that two large ones still fit.
      #expect(text.contains("minItems"))
    } catch let error as GrammarError { #expect(error.path.hasSuffix(path), "\(error)") }
  }

  @Test(arguments: [
    (#"{"type": "integer", "minimum": 3}"#, ["3", "10", "3000"], ["2", "0", "-3", "03"]),
    (
      #"{"type": "integer", "minimum": -12, "maximum": 105}"#, ["-12", "-1", "0", "99", "105"],
      ["-13", "106", "1000", "-0"]
    ),
    (#"{"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10}"#, ["1", "9"], ["0", "10", "-1"]),
    (#"{"type": "integer", "minimum": 0, "maximum": 60, "multipleOf": 15}"#, ["0", "15", "60"], ["1", "75", "16"]),
    (
      #"{"type": "number", "minimum": 0.25, "maximum": 1.5}"#, ["0.25", "0.250", "0.3", "1", "1.49999", "1.5"],
      ["0.2", "0", "0.2499", "1.51", "2", "1.5001", "1e0"]
    ),
    (#"{"type": "number", "exclusiveMinimum": -1, "maximum": -0.5}"#, ["-0.5", "-0.99"], ["-1", "-1.0", "-0.4", "0"]),
    (#"{"type": "number", "exclusiveMaximum": 5, "minimum": 4}"#, ["4", "4.999"], ["5", "5.0", "3.9"]),
    (#"{"type": "number", "multipleOf": 0.01, "minimum": 0}"#, ["3", "3.1", "3.14"], ["3.141", "-1"]),
    (#"{"minimum": 1e2, "maximum": 1.5e2}"#, ["100", "150", "120.5"], ["99", "151"]),
    (
      #"{"type": "string", "pattern": "^[a-c]+\\d{2,3}$"}"#, [#""a12""#, #""abc123""#],
      [#""a1""#, #""12""#, #""a1234""#]
    ),
    (#"{"type": "string", "pattern": "b|^c$"}"#, [#""abc""#, #""b""#, #""c""#], [#""cc""#, #""""#]),
    (#"{"type": "string", "pattern": "^(a|b(?:c|d)*)?$"}"#, [#""""#, #""a""#, #""bcdc""#], [#""ab""#, #""c""#]),
    (#"{"type": "string", "pattern": "^\"\\\\\\n.$"}"#, [#""\"\\\nx""#], [#""\"\\\n\n""#]),
    (
      #"{"type": "string", "pattern": "^[^a-y\\s]$"}"#, [#""z""#, #""é""#, #""\u0001""#, #""€""#, "\"\u{1F525}\""],
      [#""a""#, #"" ""#]
    ),
    (#"{"type": "string", "pattern": "^[à-ï]{2}$"}"#, [#""àï""#], [#""ða""#, #""à""#]),
    (
      #"{"type": "string", "pattern": "^(ab)*$", "minLength": 3, "maxLength": 6}"#, [#""abab""#, #""ababab""#],
      [#""ab""#, #""abababab""#]
    ),
    (#"{"type": "string", "format": "ipv4", "maxLength": 7}"#, [#""1.2.3.4""#], [#""10.2.3.4""#, #""256.1.1""#]),
    (#"{"type": "string", "format": "email"}"#, [#""ann.b@example.org""#], [#""ann""#, #""@x.y""#, #""a@b""#]),
    (
      #"{"type": "string", "format": "date-time"}"#, [#""2026-02-28T23:59:59Z""#, #""2026-12-31T00:00:00+02:00""#],
      [#""2026-02-30T00:00:00Z""#]
    ),
    (
      #"{"allOf": [{"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}, {"properties": {"a": {"minimum": 2}, "b": {"type": "null"}}, "required": ["b"]}]}"#,
      [#"{"a": 2, "b": null}"#], [#"{"a": 1, "b": null}"#, #"{"a": 2}"#]
    ),
    (
      #"{"type": "object", "properties": {"k": {"type": "boolean"}}, "required": ["k"], "anyOf": [{"properties": {"x": {"const": 1}}, "required": ["x"]}, {"properties": {"y": {"const": 2}}, "required": ["y"]}]}"#,
      [#"{"k": true, "x": 1}"#, #"{"k": false, "y": 2}"#], [#"{"k": true}"#, #"{"x": 1}"#]
    ),
    (
      #"{"oneOf": [{"type": "object", "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer", "maximum": 9, "minimum": 0}}, "required": ["kind", "lives"]}, {"type": "object", "properties": {"kind": {"const": "dog"}}, "required": ["kind"]}, {"type": "null"}]}"#,
      [#"{"kind": "cat", "lives": 9}"#, #"{"kind": "dog"}"#, "null"],
      [#"{"kind": "dog", "lives": 9}"#, #"{"kind": "cow"}"#]
    ),
    (
      #"{"oneOf": [{"type": "integer", "minimum": 3}, {"type": "number", "exclusiveMaximum": 3}]}"#, ["3", "2.5"],
      ["3.5"]
    ),
    (#"{"type": "string", "enum": ["a", 3, "b"]}"#, [#""a""#, #""b""#], ["3"]),
    (#"{"enum": [1, 5, 9], "minimum": 4}"#, ["5", "9"], ["1"]),
    (
      ##"{"$ref": "#/$defs/n", "maximum": 5, "$defs": {"n": {"type": "integer", "minimum": 2}}}"##, ["2", "5"],
      ["1", "6"]
    ),
    (#"{"properties": {"a": {"type": "null"}}, "required": ["a"]}"#, [#"{"a": null}"#], ["{}", "3"]),
    (
      #"{"type": "array", "items": {"type": "null"}, "uniqueItems": true, "maxItems": 1}"#, ["[]", "[null]"],
      ["[null, null]"]
    ),
  ]) func acceptsWhatItsBoundsLetPass(_ text: String, _ valid: [String], _ invalid: [String]) throws {
    let grammar = try schema(text)
    for text in valid { #expect(accepts(grammar, text), "\(text)") }
    for text in invalid { #expect(!accepts(grammar, text), "\(text)") }
  }

  @Test(arguments: [
    ##"{"$ref": "#"}"##, ##"{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}"##,
    ##"{"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}"##,
    ##"{"type": "array", "items": {"$ref": "#"}, "minItems": 1}"##,
  ]) func aSchemaWithoutValuesIsRefused(_ text: String) throws {
    #expect(throws: GrammarError.self) { _ = try schema(text) }
  }

  @Test func nothingIsBegunThatCannotEnd() throws {
    let endless = ##"{"type": "array", "items": {"$ref": "#/$defs/a"}, "minItems": 1}"##
    let grammar = try schema(##"{"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}], "$defs": {"a": \##(endless)}}"##)
    #expect(accepts(grammar, "null"))
    var automaton = GrammarAutomaton(grammar)
    #expect(automaton.step(GrammarAutomaton.start, UInt8(ascii: "[")) < 0)
  }

  @Test func numbersAreThoseBetweenTheirBounds() throws {
    // Against arithmetic: every number of two digits before and one behind the point, under many bounds.
    for (low, high) in [(-21, 34), (-105, -3), (0, 0), (7, 8), (-1, 1), (95, 99)] as [(Int, Int)] {
      for (isLowOut, isHighOut) in [(false, false), (true, false), (false, true), (true, true)] {
        // In tenths.
        let bounds = (Double(low) / 10, Double(high) / 10)
        let names = (isLowOut ? "exclusiveMinimum" : "minimum", isHighOut ? "exclusiveMaximum" : "maximum")
        let text = #"{"type": "number", "\#(names.0)": \#(bounds.0), "\#(names.1)": \#(bounds.1), "multipleOf": 0.1}"#
        func isBetween(_ tenths: Int) -> Bool {
          (isLowOut ? tenths > low : tenths >= low) && (isHighOut ? tenths < high : tenths <= high)
        }
        guard let grammar = try? schema(text) else {
          #expect(!(-120...120).contains(where: isBetween), "\(text)")
          continue
        }
        for tenths in -120...120 {
          let (whole, rest) = (abs(tenths) / 10, abs(tenths) % 10)
          let spelled = (tenths < 0 ? "-" : "") + "\(whole)" + (rest == 0 ? "" : ".\(rest)")
          #expect(accepts(grammar, spelled) == isBetween(tenths), "\(spelled) by \(text)")
        }
      }
    }
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
