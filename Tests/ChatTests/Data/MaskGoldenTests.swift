import Chat
import Foundation
import Testing
import Tokenizers

/// Ids and masks against transformers, whose template was given the marks that its own mask needs.
struct MaskGoldenTests {
  private struct Golden: Decodable {
    struct Message: Decodable { let role, content: String }
    let messages: [Message]
    let ids: [Int32]
    let mask: [Int]
  }

  /// The fixture's template without the marks.
  private let template = """
    {% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}\
    {{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}\
    {{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}
    """

  @Test func masksEqualTransformers() throws {
    let tokenizer = try Tokenizer(tokenizerJSON: Fixture.url("data/tokenizer.json"))
    var tokens = MaskingTokens(tokenizer)
    tokens.stops = [2]
    let renderer = ChatTemplateRenderer(try ChatTemplate(template), now: .distantPast)
    let maker = ExampleTokenizer(renderer: renderer, tokens: tokens) {
      tokenizer.encode($0, special: true)
    }
    let goldens = try Fixture.content("data/masks.json", as: [Golden].self)
    #expect(goldens.count == 60)
    for golden in goldens {
      let turns = golden.messages.compactMap { message in
        Turn.Role(rawValue: message.role).map { Turn($0, message.content) }
      }
      let outcome = try maker.tokenize(Example(.conversation(turns), file: "x", line: 1))
      #expect(outcome.example?.ids == golden.ids)
      #expect(outcome.example?.supervised == golden.mask.map { $0 == 1 })
      #expect(outcome.warnings.isEmpty)
    }
  }
}
