import Foundation
import TestSupport
import Testing

@testable import Chat
@testable import hearth

/// What commands say, and how soon.
@Suite(.enabled(if: Program.path != nil), .serialized, .timeLimit(.minutes(5))) struct CommandCheckTests {
  private struct Mistake {
    let arguments: [String]
    let status: Int32
    let words: [String]
    init(_ status: Int32, _ arguments: [String], _ words: [String]) {
      (self.status, self.arguments, self.words) = (status, arguments, words)
    }
  }

  /// The model does not exist, and yet it is not what these are about: they are found before it is looked for.
  @Test func mistakesAreFoundBeforeAModelIsLoaded() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString).path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let data = folder + "/data.jsonl"
    try Data(#"{"prompt": "a", "completion": "b"}"#.utf8).write(to: URL(filePath: data))
    let yaml = folder + "/broken.yaml"
    try Data("rank: 4\nalpha: [\n".utf8).write(to: URL(filePath: yaml))
    let (full, lora) = (folder + "/full.yaml", folder + "/lora.yaml")
    try Data("method: full\n".utf8).write(to: URL(filePath: full))
    try Data("method: lora\n".utf8).write(to: URL(filePath: lora))
    let tune = ["finetune", "--model", "no-model", "--data", data, "--output", folder + "/run"]
    let evaluate = ["evaluate", "no-model", "--data", data]
    let mistakes = [
      Mistake(
        1, ["finetune", "--model", "m", "--data", folder + "/none", "--output", folder + "/run"], ["/none", "--data"]),
      Mistake(1, ["finetune", "--model", "m", "--data", folder, "--output", folder + "/run"], ["is a folder"]),
      Mistake(1, tune + ["--validation", folder + "/none"], ["/none", "--validation"]),
      Mistake(1, tune.dropLast() + [data], ["is a file", "--output"]),
      Mistake(1, tune.dropLast() + [folder], ["is not empty", "--output"]),
      Mistake(1, tune.dropLast() + [""], ["--output", "expected a folder's name"]),
      Mistake(1, tune + ["--logdir", data + "/x"], ["is a file", "--logdir"]),
      Mistake(
        64, tune + ["--validation", data, "--validation-fraction", "0.2"], ["--validation-fraction", "drop one"]),
      Mistake(64, tune + ["--method", "full", "--rank", "4"], ["--rank", "--method full"]),
      Mistake(1, tune + ["--learning-rate", "-1"], ["--learning-rate", "-1", "expected"]),
      Mistake(1, tune + ["--learning-rate", "50"], ["--learning-rate", "at most 10"]),
      Mistake(64, ["finetune", "--output", folder, "--resume", "--rank", "4"], ["--resume", "drop --rank"]),
      Mistake(64, ["finetune", "--output", folder, "--resume", "--date", "2026-01-01"], ["drop --date"]),
      Mistake(64, tune + ["--recipe", full, "--rank", "4"], ["--rank", "--method full"]),
      Mistake(64, tune + ["--recipe", lora, "--beta", "0.2"], ["--beta", "--objective dpo"]),
      Mistake(64, tune + ["--recipe", lora, "--replay-fraction", "0.2"], ["--replay-fraction", "--replay FILE"]),
      Mistake(1, ["finetune", "--output", folder, "--resume"], ["holds no run"]),
      Mistake(1, ["evaluate", "m", "--data", folder + "/none"], ["/none", "--data"]),
      Mistake(1, tune + ["--replay", folder + "/none"], ["/none", "--replay"]),
      Mistake(1, tune + ["--replay", folder + "/none", "--preview"], ["/none", "--replay"]),
      Mistake(64, tune + ["--replay-fraction", "0.2"], ["--replay-fraction", "--replay FILE"]),
      Mistake(64, tune + ["--beta", "0.2"], ["--beta", "--objective dpo"]),
      Mistake(64, tune + ["--method", "full", "--dora"], ["--dora", "--method full"]),
      Mistake(1, tune + ["--objective", "dpo", "--beta", "0"], ["--beta 0", "above 0"]),
      Mistake(64, ["promote", "m", "--as", "m", "--data", data], ["--as m", "itself"]),
      Mistake(64, ["promote", "m", "--as", "bad name", "--data", data], ["--as bad name", "letters"]),
      Mistake(1, ["promote", "no-model", "--as", "x", "--data", folder + "/none"], ["/none", "--data"]),
      Mistake(1, ["promote", "no-model", "--as", "x", "--data", data], ["no-model", "no model of this name"]),
      Mistake(64, ["promote", "--data", data, "no-model"], ["MODEL", "before --data"]),
      Mistake(1, ["rollback", "no-alias"], ["no-alias", "no alias of this name"]),
      Mistake(
        64, ["export", "m", "--format", "peft", "--output", "x", "--allow-loss"], ["--allow-loss", "--format gguf"]),
      Mistake(
        64, ["export", "m", "--format", "gguf", "--output", "x", "--no-check", "--data", data],
        ["--no-check", "--data"]),
      Mistake(1, evaluate + ["--report", folder + "/x/y.html"], ["/x", "does not exist"]),
      Mistake(1, evaluate + ["--report", folder], ["is a folder", "--report"]),
      Mistake(64, evaluate + ["--max-tokens", "0"], ["--max-tokens 0"]),
      Mistake(64, evaluate + ["--against", "no-model"], ["--against", "itself"]),
      Mistake(64, ["generate", "m", "x", "--temperature", "-1"], ["--temperature -1", "0 (always"]),
      Mistake(64, ["generate", "m", "x", "--top-p", "2"], ["--top-p 2", "0 to 1"]),
      Mistake(64, ["generate", "m", "x", "--num-beams", "2", "--temperature", "1"], ["temperature", "beam"]),
      Mistake(64, ["generate", "m", "x", "--batch", "4"], ["--batch 4", "--lines"]),
      Mistake(64, ["generate", "m", "x", "--logit-bias", "a=b"], ["a=b", "ID=BIAS"]),
      Mistake(1, ["generate", "m"], ["standard input is empty"]),
      Mistake(1, ["score", "m", "--file", folder + "/none"], ["/none", "--file"]),
      Mistake(64, ["finetune", "--output", folder + "/run"], ["--model: is missing", "--resume"]),
      Mistake(64, tune + ["--name", "bad name"], ["--name bad name", "letters"]),
      Mistake(64, ["evaluate", "--data", data, "no-model"], ["MODEL", "before --data"]),
      Mistake(1, ["finetune", "--recipe", yaml, "--output", folder + "/run"], [yaml, "is not YAML", "line 3"]),
      Mistake(64, ["genrate", "m"], ["did you mean generate?"]),
      Mistake(1, ["generate", "no-model", "x"], ["no-model", "no model of this name"]),
    ]
    for mistake in mistakes {
      let (status, output, errors) = try Program.run(mistake.arguments, input: "")
      #expect(status == mistake.status, "\(mistake.arguments): \(errors)")
      #expect(output.isEmpty)
      for word in mistake.words { #expect(errors.contains(word), "\(mistake.arguments): \(errors)") }
    }
  }

  @Test func theVerdictSaysWhichModelIsBetter() throws {
    func comparison(_ tuned: [Double], _ base: [Double]) -> EvaluationComparison {
      func figures(_ name: String, _ sums: [Double]) -> (evaluation: Evaluation, detail: EvaluationDetail) {
        let losses = HeldOutLoss.Measurement(sums: sums, counts: sums.map { _ in 1 })
        return (
          Evaluation(
            model: name, loss: losses.perToken, perplexity: 1, bits_per_byte: 1, supervised_tokens: sums.count,
            examples: sums.count, truncated_examples: nil, exact_match: nil, token_f1: nil, key_fact: nil),
          EvaluationDetail(losses: losses, answers: [])
        )
      }
      return EvaluationComparison(figures("tuned", tuned), against: figures("base", base))
    }
    let low = (0..<40).map { 1 + Double($0 % 5) / 10 }
    let (better, worse, same) = (
      comparison(low, low.map { $0 + 1 }), comparison(low.map { $0 + 1 }, low), comparison(low, low)
    )
    let difference = try #require(better.difference)
    #expect(abs(difference.loss + 1) < 1e-9 && difference.confidence_interval_95[1] < 0)
    #expect(better.verdict(difference) == "tuned is better than base on this data.")
    #expect(try worse.verdict(#require(worse.difference)).hasPrefix("base was better than tuned on this data"))
    #expect(try same.verdict(#require(same.difference)).contains("contains 0"))
  }
}
