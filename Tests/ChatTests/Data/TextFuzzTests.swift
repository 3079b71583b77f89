import Foundation
import TestSupport
import Testing
import Tokenizers

@testable import Chat

/// Random damage to what holds text ends in an error that names the file, or in something that can be used.
@Suite("Damaged text files never trap") struct TextFuzzTests {
  @Test func dataFiles() throws {
    let lines = [
      #"{"messages": [{"role": "user", "content": "Q \\ud83d\\ude00"}, {"role": "assistant", "content": "A"}]}"#,
      #"{"prompt": "é\\n", "completion": "x"}"#, #"[{"input": "a", "output": "b"}, {"input": "c", "output": "d"}]"#,
      #"{"text": "日本", "n": -1.5e3}"#,
    ]
    var random = Damage(seed: 5)
    for round in Damage.rounds(1000) {
      let bytes = random.damaged(Array("\(lines[round % lines.count])\n".utf8))
      try withFile(bytes) { file in
        do { _ = try Dataset(files: [file]) } catch { #expect("\(error)".hasPrefix(file)) }
      }
    }
  }

  @Test func tokenizers() throws {
    let seed = [UInt8](try Data(contentsOf: Fixture.url("data/tokenizer.json")))
    var random = Damage(seed: 6)
    for _ in Damage.rounds(150) {
      do {
        let tokenizer = try Tokenizer(tokenizerJSON: Data(random.damaged(seed)), source: "tokenizer.json")
        _ = tokenizer.decode(tokenizer.encode("Hello, world 123 <|im_end|> é", special: true))
      } catch { #expect(error.description.hasPrefix("tokenizer.json")) }
    }
  }

  @Test func templates() throws {
    let seeds = [
      TinyRun.template, ChatTemplate.chatML,
      "{% macro m(a) %}{{ a|upper }}{% endmacro %}{% for x in messages %}{{ m(x.role)[1:] ~ loop.index }}{% endfor %}",
    ]
    let limits = TemplateLimits(steps: 5000, outputBytes: 1 << 16, depth: 100)
    let context: [String: TemplateValue] = ["messages": [["role": "user", "content": "Hi"]]]
    var random = Damage(seed: 7)
    for round in Damage.rounds(500) {
      let text = String(decoding: random.damaged(Array(seeds[round % seeds.count].utf8)), as: UTF8.self)
      do { _ = try Template(text).render(context, limits: limits) } catch {
        #expect("\(error)".contains("chat_template"))
      }
    }
  }
}
