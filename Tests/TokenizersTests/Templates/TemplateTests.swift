import Foundation
import Testing
import Tokenizers

@Suite("Chat templates")
struct TemplateTests {
  @Test("ChatML renders a conversation")
  func rendersChatML() throws {
    let template = try ChatTemplate(ChatTemplate.chatML, bosToken: "<s>", eosToken: "</s>")
    let messages = [
      ChatMessage(role: "system", content: "Be brief."), ChatMessage(role: "user", content: "Hi"),
    ]
    let text = try template.render(messages: messages, addGenerationPrompt: true)
    #expect(
      text
        == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )
  }

  @Test("Fixtures render as Jinja2 does", arguments: ["expressions", "constructs", "families"])
  func rendersFixtures(_ name: String) throws {
    let cases = try TemplateCase.read(TemplateCase.folder.appending(path: "\(name).json"))
    #expect(!cases.isEmpty)
    for difference in cases.compactMap(\.difference) { Issue.record("\(difference)") }
  }

  /// The other half of `Scripts/compare-templates.py`, which names a file of cases made from real
  /// models' templates and where to write the differences.
  @Test(
    "Cases named by HEARTH_TEMPLATE_CASES render as Jinja2 does",
    .enabled(if: ProcessInfo.processInfo.environment["HEARTH_TEMPLATE_CASES"] != nil))
  func rendersNamedCases() throws {
    let path = ProcessInfo.processInfo.environment["HEARTH_TEMPLATE_CASES"] ?? ""
    let cases = try TemplateCase.read(URL(filePath: path))
    #expect(!cases.isEmpty)
    let differences = cases.compactMap(\.difference)
    for difference in differences.prefix(100) { print(difference) }
    print("compared \(cases.count) renderings, \(differences.count) differ")
    #expect(differences.count == 0)
  }
}
