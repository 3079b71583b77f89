import Foundation
import Testing
import Tokenizers

@testable import Chat

/// A template that writes the date: a run keeps its day, conversation takes today.
@Suite struct TemplateDateTests {
  private static let template = "{{ strftime_now('%d %b %Y') | lower | replace(' ', '') }}\n" + TinyRun.template

  private func day(_ text: String) throws -> Date { try #require(TemplateDate.noon(of: text)) }

  @Test func daysAreReadAndWritten() throws {
    for text in ["2026-01-31", "2024-02-29", "1999-12-31"] { #expect(TemplateDate.text(of: try day(text)) == text) }
    for text in ["", "2026", "2026-13-01", "2025-02-29", "26-01-01", "2026-1-1", "2026-01-01T00", "+026-01-01"] {
      #expect(TemplateDate.noon(of: text) == nil, "\(text)")
    }
  }

  @Test func aRunPinsItsDayAndIsEvaluatedWithIt() throws {
    let tiny = try TinyRun()
    let path = tiny.folder.appending(path: "dated")
    try TinyRun.writeModel(to: path, template: Self.template)
    var recipe = tiny.recipe
    recipe.model = path.path
    recipe.date = "2024-07-26"
    let output = try tiny.output("dated-run")
    try tiny.train(output, recipe, steps: 2, basePath: path.path)
    let kept = try FineTuningRecipe(yaml: output + "/recipe.yaml")
    #expect(kept.date == "2024-07-26")
    // The data's hash is that of the day, so resuming works only if the day is the run's.
    try tiny.train(output, kept, resume: true, basePath: path.path)
    let other = try tiny.output("other-day")
    var later = recipe
    later.date = "2024-07-27"
    try tiny.train(other, later, steps: 2, basePath: path.path)
    #expect(throws: RunError.self) { try tiny.train(other, recipe, resume: true, basePath: path.path) }

    let model = try tiny.model(output)
    #expect(model.date == nil)
    #expect(model.trainingDate == TemplateDate.noon(of: "2024-07-26"))
    let message = [ChatMessage(role: "user", content: "hi")]
    let evaluated = try model.rendering(on: model.trainingDate).rendered(message, addGenerationPrompt: true)
    #expect(evaluated.text.hasPrefix("26jul2024\n"))
    let spoken = try model.rendered(message, addGenerationPrompt: true)
    #expect(!spoken.text.hasPrefix("26jul2024\n"))
    let evaluator = try Evaluator(files: [tiny.dataPath], generates: false)
    let pinned = try evaluator.evaluate(model).evaluation.loss
    #expect(try evaluator.evaluate(model, date: day("2024-07-26")).evaluation.loss == pinned)
    #expect(try evaluator.evaluate(model, date: day("2031-01-02")).evaluation.loss != pinned)
  }

  @Test func theDayIsTodayAndOnlyWrittenWhereItMatters() throws {
    let tiny = try TinyRun()
    let path = tiny.folder.appending(path: "dated")
    try TinyRun.writeModel(to: path, template: Self.template)
    var dated = tiny.recipe
    dated.model = path.path
    let before = TemplateDate.text(of: Date())
    let output = try tiny.output("today")
    try tiny.train(output, dated, steps: 1, basePath: path.path)
    let kept = try #require(try FineTuningRecipe(yaml: output + "/recipe.yaml").date)
    #expect([before, TemplateDate.text(of: Date())].contains(kept))
    let plain = try tiny.output("plain")
    try tiny.train(plain, steps: 1)
    #expect(try FineTuningRecipe(yaml: plain + "/recipe.yaml").date == nil)
  }

  @Test func aDayThatIsNoneIsRefused() throws {
    let tiny = try TinyRun()
    var recipe = tiny.recipe
    recipe.date = "yesterday"
    let error = #expect(throws: RunError.self) { try recipe.validate() }
    #expect(error?.description.contains("--date yesterday") == true)
  }
}
