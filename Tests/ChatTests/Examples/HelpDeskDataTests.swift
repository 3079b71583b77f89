import Foundation
import Testing

@testable import Chat

/// The committed examples, read as a user's data would be. `Examples/check.py` looks further into the wording.
struct HelpDeskDataTests {
  private static let examples = URL(filePath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Examples")

  private func file(_ name: String) -> String {
    Self.examples.appending(path: name).path(percentEncoded: false)
  }

  @Test func filesHoldWhatTheReadmeSays() throws {
    let training = try Dataset(files: [file("help-desk/train.jsonl")]).examples
    let validation = try Dataset(files: [file("help-desk/validation.jsonl")]).examples
    let heldOut = try Dataset(files: [file("help-desk/held-out.jsonl")]).examples
    let replay = try Dataset(files: [file("help-desk/replay.jsonl")]).examples
    #expect(training.count == 332)
    #expect(validation.count == 45)
    #expect(heldOut.count == 60)
    #expect(replay.count == 72)
    let prompts = (training + validation + heldOut + replay).map { $0.prompt.lowercased() }
    #expect(Set(prompts).count == prompts.count, "a question stands twice")
  }

  @Test(arguments: [
    ("input-output", DatasetShape.inputOutput), ("prompt-completion", .promptCompletion),
    ("instruction", .instruction), ("messages", .messages), ("conversations", .conversations),
    ("text", .text),
  ])
  func everyShapeIsRecognised(name: String, shape: DatasetShape) throws {
    var reader = try DatasetReader(file: file("shapes/\(name).jsonl"))
    var count = 0
    while try reader.next() != nil { count += 1 }
    #expect((3...5).contains(count))
    #expect(reader.shape == shape)
  }
}
