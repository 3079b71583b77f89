import Foundation
import TestSupport
import Testing

/// What a run says of its evaluations.
@Suite(.enabled(if: Program.path != nil), .timeLimit(.minutes(5))) struct FinetuneProgramTests {
  /// The lines on stderr of a run with these options.
  private func lines(_ options: [String]) throws -> String {
    var said = ""
    try Program.withModel { model in
      let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      defer { try? FileManager.default.removeItem(at: folder) }
      let data = folder.appending(path: "data.jsonl")
      try Data((0..<12).map { #"{"prompt": "ask \#($0)", "completion": "tell \#($0)"}"# + "\n" }.joined().utf8)
        .write(to: data)
      let end = try Program.run(
        [
          "finetune", "--model", model, "--data", data.path, "--output", folder.path + "/run", "--batch-size", "2",
          "--no-probe", "--threads", "1",
        ] + options, input: "")
      #expect(end.status == 0, "\(end.errors)")
      said = end.errors
    }
    return said
  }

  @Test func aCheckpointThatIsWorseThanTheBeginningIsNotCalledTheBest() throws {
    let said = try lines([
      "--learning-rate", "10", "--max-gradient-norm", "0", "--warmup-ratio", "0", "--max-steps", "1",
    ])
    #expect(said.contains("the best checkpoint so far, worse than before the first step"), "\(said)")
    #expect(said.contains("the base model was better"), "\(said)")
  }

  @Test func aRunOfOneStepAtRate0SaysThatNothingWasLearned() throws {
    let said = try lines(["--max-steps", "1"])
    #expect(said.contains("as before the first step"), "\(said)")
    #expect(said.contains("nothing was learned") && !said.contains("the base model was"), "\(said)")
  }
}
