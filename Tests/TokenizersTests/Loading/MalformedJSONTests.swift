import Foundation
import Testing
import Tokenizers

/// A `tokenizer.json` that is damaged, contradicts itself or asks for what Hearth does not do is an
/// error that says what and where.
@Suite struct MalformedJSONTests {
  /// A fault, how to make it in the text of a good file, and what the message must hold.
  static let faults: [(name: String, from: String, to: String, message: String)] = [
    ("an unquoted key", #""version""#, "version", "byte 1"),
    ("a trailing comma", #""version":"1.0","#, #""version":"1.0",,"#, "expected"),
    ("a lone surrogate", #""1.0""#, #""\ud800""#, "surrogate"),
    ("a reversed surrogate", #""1.0""#, #""\udc00\ud800""#, "surrogate"),
    ("an unknown escape", #""1.0""#, #""\x41""#, "escape"),
    ("a control character", #""1.0""#, "\"1\n0\"", "control character"),
    ("a second value", "{\"version\"", "{}{\"version\"", "end of the file"),
    ("an unknown key", #""version""#, #""verse""#, "verse"),
    ("a key twice", #""version":"1.0""#, #""version":"1.0","version":"1.0""#, "twice"),
    ("no model", #""model":"#, #""padding":null,"model":null,"x":"#, "padding"),
    ("Unigram", #""type":"BPE""#, #""type":"Unigram""#, "Unigram"),
    ("WordPiece", #""type":"BPE""#, #""type":"WordPiece""#, "WordPiece"),
    ("a numeric type", #""type":"BPE""#, #""type":7"#, "model.type"),
    ("dropout", #""dropout":null"#, #""dropout":0.1"#, "dropout"),
    ("a suffix", #""end_of_word_suffix":null"#, #""end_of_word_suffix":"</w>""#, "end_of_word"),
    ("byte fallback", #""byte_fallback":false"#, #""byte_fallback":true"#, "byte_fallback"),
    ("an unknown setting", #""fuse_unk":false"#, #""fuse_all":false"#, "fuse_all"),
    ("an unknown unknown", #""unk_token":null"#, #""unk_token":"<none>""#, "<none>"),
    ("merges of a wrong type", #""merges":["#, #""merges":[7,"#, "model.merges[0]"),
    ("a merge of one", #""merges":["#, #""merges":["a","#, "model.merges[0]"),
    ("a merge of three", #""merges":["#, #""merges":[["a","b","c"],"#, "model.merges[0]"),
    ("a merge of unknown tokens", #""merges":["#, #""merges":["zq zq","#, "\"zq\""),
    ("an id twice", #""vocab":{"#, #""vocab":{"zzz":5,"#, "id 5"),
    ("a token twice", #""vocab":{"#, #""vocab":{"!":699999,"#, "\"!\""),
    ("a negative id", #""vocab":{"#, #""vocab":{"zzz":-1,"#, "zzz"),
    ("a huge id", #""vocab":{"#, #""vocab":{"zzz":4000000000,"#, "zzz"),
    ("an id beyond all numbers", #""vocab":{"#, #""vocab":{"zzz":1e999,"#, "zzz"),
    ("an id of many digits", #""vocab":{"#, #""vocab":{"zzz":99999999999999999999,"#, "zzz"),
    ("half an id", #""vocab":{"#, #""vocab":{"zzz":1.5,"#, "zzz"),
    ("an id as text", #""vocab":{"#, #""vocab":{"zzz":"1","#, "zzz"),
    ("a leading zero", #""vocab":{"#, #""vocab":{"zzz":007,"#, "leading zeros"),
    ("an added token elsewhere", #""id":0"#, #""id":9"#, "added_tokens[0]"),
    ("an added token's huge id", #""id":0"#, #""id":123456789012"#, "added_tokens[0].id"),
    ("an added token's negative id", #""id":0"#, #""id":-3"#, "added_tokens[0].id"),
    ("an added token's flag", #""special":true"#, #""special":1"#, "special"),
    ("an unknown flag", #""single_word":false"#, #""double_word":false"#, "double_word"),
    ("an unknown normalizer", #""normalizer":null"#, #""normalizer":{"type":"NFKC"}"#, "NFKC"),
    (
      "normalizers in a circle", #""normalizer":null"#,
      #""normalizer":{"type":"Sequence","normalizers":[{"type":"Sequence","normalizers":[]}]}"#,
      "normalizers[0]"
    ),
    ("a Metaspace", #"{"type":"ByteLevel","#, #"{"type":"Metaspace","#, "trim_offsets"),
    ("no pre-tokenizer", #""pre_tokenizer":{"#, #""pre_tokenizer":null,"x":{"#, "x"),
    ("no decoder", #""decoder":{"#, #""decoder":null,"y":{"#, "y"),
    (
      "an unknown post-processor", #""post_processor":null"#, #""post_processor":{"type":"?"}"#, "?"
    ),
    (
      "a template of an unknown id", #""post_processor":null"#,
      #""post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"a"}}],"pair":[],"special_tokens":{"a":{"ids":[99999]}}}"#,
      "99999"
    ),
  ]

  private func error(_ text: String) throws -> TokenizerError? {
    #expect(throws: TokenizerError.self) { try Tokenizer(tokenizerJSON: Data(text.utf8)) }
  }

  @Test(arguments: faults.indices)
  func isAnError(index: Int) throws {
    let fault = Self.faults[index]
    let good = String(decoding: try Fixtures.data("gpt2"), as: UTF8.self)
    let range = try #require(good.range(of: fault.from), "\(fault.name): no place to spoil")
    let error = try error(good.replacingCharacters(in: range, with: fault.to))
    #expect(
      error?.description.contains(fault.message) == true,
      "\(fault.name): \(String(describing: error))")
  }

  @Test func anUnknownPatternIsNamed() throws {
    var document = try TokenizerDocument("llama3")
    document.root["pre_tokenizer"] = [
      "type": "Sequence",
      "pretokenizers": [
        [
          "type": "Split", "pattern": ["Regex": "(a+)+$"], "behavior": "Isolated", "invert": false,
        ] as [String: Any],
        ["type": "ByteLevel", "use_regex": false, "add_prefix_space": false],
      ],
    ]
    let error = try error(String(decoding: document.data(), as: UTF8.self))
    #expect(error?.description.contains("(a+)+$") == true)
    #expect(error?.place == "pre_tokenizer.pretokenizers[0].pattern")
  }

  @Test(arguments: ["", " ", "{", "[]", "null", "1", "\"\"", "{}", "{\"model\":{}}", "nul", "-"])
  func soIsWhatIsNoTokenizer(text: String) throws { _ = try error(text) }

  @Test func soIsDeepNesting() throws {
    for opening in ["[", "{\"a\":"] {
      let error = try error(String(repeating: opening, count: 100_000))
      #expect(error?.description.contains("nested deeper") == true)
    }
  }

  @Test func soIsEveryTruncation() throws {
    let good = try Fixtures.data("prefix")
    for length in stride(from: 0, to: good.count - 1, by: 397) {
      #expect(throws: TokenizerError.self) {
        try Tokenizer(tokenizerJSON: good.prefix(length))
      }
    }
  }

  @Test func changedBytesNeverTrap() throws {
    let good = try Fixtures.data("prefix")
    var random = SeededGenerator(seed: 5)
    for _ in 0..<60 {
      var bad = good
      for _ in 0..<3 {
        bad[Int.random(in: 0..<bad.count, using: &random)] = .random(in: 0...255, using: &random)
      }
      if let tokenizer = try? Tokenizer(tokenizerJSON: bad) {
        _ = tokenizer.decode(tokenizer.encode("Any text, 123 <|im_end|>.", special: true))
      }
    }
  }

  @Test func aMissingFileIsNamed() throws {
    let url = Fixtures.folder.appending(path: "none.json")
    let error = #expect(throws: TokenizerError.self) { try Tokenizer(tokenizerJSON: url) }
    #expect(error?.source == url.path)
  }
}
