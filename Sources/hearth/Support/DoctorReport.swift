internal import Chat
internal import Engine
internal import Foundation

/// What `hearth doctor` says, for programs and for people.
struct DoctorReport: Encodable {
  let checkup: Checkup
  let measured: Benchmark.Result?

  private enum CodingKeys: String, CodingKey {
    case measured
  }
  private struct Measured: Encodable {
    let prompt_tokens_per_second: Double
    let decode_tokens_per_second: Double
  }

  func encode(to encoder: any Encoder) throws {
    try checkup.encode(to: encoder)
    guard let measured else { return }
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(
      Measured(
        prompt_tokens_per_second: measured.prompt.first?.tokensPerSecond ?? 0,
        decode_tokens_per_second: measured.decode.first?.tokensPerSecond ?? 0), forKey: .measured)
  }

  var text: String {
    ([machine] + [table] + [speed, findings].compactMap { $0 }).joined(separator: "\n\n")
  }

  private var machine: String {
    let c = checkup
    var lines = [
      "Processor    \(c.processor), \(c.processors) logical processors",
      "Kernels      \(c.instruction_set), \(c.threads) \(c.threads == 1 ? "thread" : "threads")"
        + (c.quota_threads.map { " (the control group allows \($0))" } ?? ""),
    ]
    if let memory = c.memory {
      let whose =
        switch memory.limited_by {
        case .machine: "of the machine's"
        case .controlGroup: "of the control group's"
        case .addressSpace: "of what ulimit -v allows:"
        }
      lines.append("Memory       \(size(memory.available_bytes)) available \(whose) \(size(memory.total_bytes))")
    }
    lines.append(
      String(
        format: "             read at %.1f GB/s; decoding gets through %.1f GB/s of weights",
        c.read_bandwidth_bytes_per_second / 1e9, c.decode_bytes_per_second / 1e9))
    let disk = c.disk_free_bytes.map { ", \(size($0)) free" } ?? ""
    lines.append("Store        \(c.home)\(disk)")
    return lines.joined(separator: "\n")
  }

  private var table: String {
    var rows = [["Model", "Format", "Download", "Memory", "Speed, at most", "Fits"]]
    var problems: [String] = []
    for model in checkup.models {
      if let problem = model.problem {
        problems.append("\(model.name) cannot be used: \(problem)")
        continue
      }
      rows.append([
        model.name, model.format, model.download_bytes.map(size) ?? "here", size(model.needed_bytes),
        "\(model.expected_tokens_per_second < 10 ? String(format: "%.1f", model.expected_tokens_per_second) : String(format: "%.0f", model.expected_tokens_per_second)) tokens/s",
        fit(model),
      ])
    }
    let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
    let lines = rows.map { row in
      zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(separator: "  ")
        .trimmingCharacters(in: .whitespaces)
    }
    return (lines + problems).joined(separator: "\n")
  }

  private func fit(_ model: Checkup.Model) -> String {
    if let free = checkup.disk_free_bytes, let download = model.download_bytes, download > free {
      return "no: the disk has \(size(free)) free"
    }
    if model.fits {
      return model.largest_context < model.context_length
        ? "yes, with --context up to \(model.largest_context)"
        : "yes, with its whole context of \(model.context_length)"
    }
    return model.largest_context >= 256 ? "only with --context \(model.largest_context)" : "no"
  }

  private var speed: String? {
    guard let measured, let model = checkup.models.first else { return nil }
    return String(
      format: "Measured: %@ reads a prompt at %.0f tokens/s and answers at %.0f.", model.name,
      measured.prompt.first?.tokensPerSecond ?? 0, measured.decode.first?.tokensPerSecond ?? 0)
  }

  private var findings: String? {
    if checkup.findings.isEmpty { return "Nothing is missing." }
    return checkup.findings.map { "To do: \($0.what); \($0.remedy)." }.joined(separator: "\n")
  }

  private func size(_ bytes: Int) -> String {
    bytes < 1_000_000_000
      ? String(format: "%.0f MB", Double(bytes) / 1e6) : String(format: "%.1f GB", Double(bytes) / 1e9)
  }
}
