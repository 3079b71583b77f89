import Foundation
import Testing
import Tokenizers

/// A Hugging Face folder: `tokenizer.json` and what stands beside it.
@Suite struct FolderTests {
  /// A folder with the tokenizer of a fixture and some more files, removed afterwards.
  private func withFolder(
    _ name: String, _ files: [String: String], _ body: (URL) throws -> Void
  ) throws {
    let folder = FileManager.default.temporaryDirectory
      .appending(path: "hearth-tokenizer-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try Fixtures.data(name).write(to: folder.appending(path: "tokenizer.json"))
    for (file, content) in files {
      try Data(content.utf8).write(to: folder.appending(path: file))
    }
    try body(folder)
  }

  @Test func tokensAreThoseOfTheConfiguration() throws {
    let files = [
      "tokenizer_config.json": """
      {"bos_token": {"content": "<|im_start|>"}, "eos_token": "<|im_end|>", "pad_token": "[PAD]",
       "chat_template": "{{ messages }}"}
      """,
      "special_tokens_map.json": #"{"bos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}"#,
      "generation_config.json": #"{"eos_token_id": [2, 0, 100000]}"#,
    ]
    try withFolder("llama3", files) { folder in
      let tokens = try Tokenizer(folder: folder).specialTokens
      #expect(tokens.beginningOfSequence == 1)
      #expect(tokens.endOfSequence == 2)
      #expect(tokens.padding == nil)
      #expect(tokens.unknown == 0)
      #expect(tokens.endOfGeneration == [0, 2])
      #expect(tokens.addsBeginningOfSequence == true)
      let templates = try TokenizerConfiguration(folder: folder).chatTemplates
      #expect(templates.map(\.name) == ["default"])
      #expect(templates.map(\.source) == ["{{ messages }}"])
    }
  }

  @Test func aTemplateFileCountsMoreThanTheConfiguration() throws {
    let files = [
      "tokenizer_config.json": """
      {"chat_template": [{"name": "rag", "template": "r"}, {"name": "default", "template": "old"}]}
      """,
      "chat_template.jinja": "new\n",
    ]
    try withFolder("gpt2", files) { folder in
      let templates = try TokenizerConfiguration(folder: folder).chatTemplates
      #expect(templates.map(\.name) == ["default", "rag"])
      #expect(templates.map(\.source) == ["new\n", "r"])
    }
  }

  @Test func aTokenNamedOnlyInTheConfigurationBecomesSpecial() throws {
    let files = [
      "tokenizer_config.json": """
      {"eos_token": "e", "added_tokens_decoder": {"700": {"content": "<new>", "special": true}}}
      """
    ]
    try withFolder("gpt2", files) { folder in
      let tokenizer = try Tokenizer(folder: folder)
      let end = try #require(tokenizer.specialTokens.endOfSequence)
      #expect(tokenizer.isSpecial(end))
      #expect(tokenizer.encode("<new>", special: true) == [700])
      #expect(tokenizer.vocabularyCount == 701)
    }
  }

  @Test(arguments: [
    ("tokenizer_config.json", #"{"eos_token": "<none>"}"#),
    ("tokenizer_config.json", #"{"eos_token": 7}"#),
    ("tokenizer_config.json", #"{"bos_token": {}}"#),
    ("tokenizer_config.json", #"{"chat_template": [{"name": "x"}]}"#),
    ("tokenizer_config.json", #"{"added_tokens_decoder": {"x": {"content": "y"}}}"#),
    ("tokenizer_config.json", #"{"added_tokens_decoder": {"5": {"content": "other"}}}"#),
    ("tokenizer_config.json", "[]"),
    ("tokenizer_config.json", ""),
    ("special_tokens_map.json", "{"),
    ("generation_config.json", #"{"eos_token_id": -1}"#),
    ("generation_config.json", #"{"eos_token_id": ["2"]}"#),
    ("chat_template.json", #"{"chat_template": 3}"#),
    ("tokenizer.json", "{}"),
  ])
  func whatIsWrongIsAnErrorThatNamesTheFolder(file: String, content: String) throws {
    try withFolder("gpt2", [file: content]) { folder in
      let error = #expect(throws: TokenizerError.self) { try Tokenizer(folder: folder) }
      #expect(error?.source.hasPrefix(folder.path) == true)
    }
  }
}
