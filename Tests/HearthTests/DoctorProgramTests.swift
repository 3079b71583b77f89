import Foundation
import TestSupport
import Testing

/// `hearth doctor`, from outside.
@Suite(.enabled(if: Program.path != nil), .timeLimit(.minutes(2))) struct DoctorProgramTests {
  private struct Report: Decodable {
    struct Model: Decodable {
      let name: String
      let needed_bytes: Int, largest_context: Int
      let fits: Bool, is_stored: Bool
      let expected_tokens_per_second: Double
    }
    struct Memory: Decodable { let available_bytes: Int, total_bytes: Int, limited_by: String }
    struct Measured: Decodable { let prompt_tokens_per_second: Double, decode_tokens_per_second: Double }
    let instruction_set: String
    let threads: Int
    let memory: Memory?
    let read_bandwidth_bytes_per_second: Double, decode_bytes_per_second: Double
    let models: [Model]
    let measured: Measured?
  }

  private func report(_ arguments: [String]) throws -> Report {
    let (status, output, errors) = try Program.run(["doctor", "--json", "--threads", "1"] + arguments, input: "")
    #expect(status == 0, "\(errors)")
    #expect(errors.isEmpty)
    return try JSONDecoder().decode(Report.self, from: Data(output.utf8))
  }

  @Test func judgesUsualSizesBeforeAnyIsDownloaded() throws {
    let report = try report([])
    let usual = report.models.filter { !$0.is_stored }
    #expect(usual.count == 4)
    #expect(report.read_bandwidth_bytes_per_second > 1e8 && report.decode_bytes_per_second > 1e7)
    for (smaller, larger) in zip(usual, usual.dropFirst()) {
      #expect(smaller.needed_bytes < larger.needed_bytes)
      #expect(smaller.expected_tokens_per_second > larger.expected_tokens_per_second)
    }
    if let memory = report.memory {
      for model in usual { #expect(model.fits == (model.needed_bytes <= memory.available_bytes)) }
    }
  }

  @Test func measuresAModelThatIsNamed() throws {
    try Program.withModel { folder in
      let report = try report([folder])
      #expect(report.models.first?.name == folder)
      #expect(report.models.first?.largest_context == TinyChatFolder.contextLength)
      let measured = try #require(report.measured)
      #expect(measured.prompt_tokens_per_second > 0 && measured.decode_tokens_per_second > 0)
    }
  }

  @Test func aModelThatIsNotThereEndsWithWhatThereIs() throws {
    let (status, output, errors) = try Program.run(["doctor", "no-such-model"], input: "")
    #expect(status == 1)
    #expect(output.isEmpty)
    #expect(errors.contains("no-such-model"))
  }
}
