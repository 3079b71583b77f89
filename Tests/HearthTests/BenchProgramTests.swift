import Foundation
import TestSupport
import Testing

/// `hearth bench`, from outside.
@Suite(.enabled(if: Program.path != nil), .timeLimit(.minutes(2))) struct BenchProgramTests {
  private struct Report: Decodable {
    struct Prompt: Decodable { let tokens: Int, tokens_per_second: Double }
    struct Decode: Decodable { let sequences: Int, context: Int, tokens_per_second: Double }
    struct Ceiling: Decodable { let read_bandwidth_bytes_per_second: Double, decode_tokens_per_second: Double }
    let model: String, format: String, instruction_set: String
    let threads: Int, peak_memory_bytes: Int
    let load_seconds: Double
    let prompt: [Prompt]
    let decode: [Decode]
    let ceiling: Ceiling
  }

  @Test func measuresEverythingThatWasAsked() throws {
    try Program.withModel { folder in
      let (status, output, errors) = try Program.run(
        [
          "bench", folder, "--json", "--prompt-tokens", "8,32", "--decode-tokens", "4", "--sequences", "1,3",
          "--context", "0,64", "--repeat", "2", "--threads", "1",
        ], input: "")
      #expect(status == 0, "\(errors)")
      #expect(errors.isEmpty)
      let report = try JSONDecoder().decode(Report.self, from: Data(output.utf8))
      #expect(report.threads == 1)
      #expect(report.prompt.map(\.tokens) == [8, 32])
      #expect(report.decode.map(\.sequences) == [1, 3, 1, 3])
      #expect(report.decode.map(\.context) == [0, 0, 64, 64])
      let rates = report.prompt.map(\.tokens_per_second) + report.decode.map(\.tokens_per_second)
      #expect(rates.allSatisfy { $0 > 0 && $0.isFinite })
      #expect(report.load_seconds > 0 && report.peak_memory_bytes > 1_000_000)
      #expect(report.ceiling.read_bandwidth_bytes_per_second > 1e8)
      #expect(report.ceiling.decode_tokens_per_second > 0)
    }
  }

  @Test(
    "What does not fit is refused with both numbers",
    arguments: [
      (["--prompt-tokens", "128"], "--prompt-tokens 128"),
      (["--prompt-tokens", "8", "--context", "120", "--decode-tokens", "8"], "129 tokens"),
    ])
  func refusesWhatDoesNotFit(flags: [String], part: String) throws {
    try Program.withModel { folder in
      let (status, output, errors) = try Program.run(["bench", folder, "--json"] + flags, input: "")
      #expect(status == 1)
      #expect(output.isEmpty)
      #expect(errors.contains(part) && errors.contains("at most \(TinyChatFolder.contextLength)"), "\(errors)")
    }
  }

  @Test(arguments: [["--sequences", "0"], ["--sequences", "1,,2"], ["--repeat", "0"], ["--decode-tokens", "0"]])
  func wrongUsageEndsWith64(flags: [String]) throws {
    #expect(try Program.run(["bench", "nothing"] + flags, input: "").status == 64)
  }
}
