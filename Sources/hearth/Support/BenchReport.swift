internal import Chat
internal import Engine
internal import Foundation

/// What `hearth bench` says, for programs and for people. The field names are those of the command's JSON.
struct BenchReport: Encodable {
  struct Prompt: Encodable {
    let tokens: Int
    let tokens_per_second: Double
  }
  struct Decode: Encodable {
    let sequences: Int
    let context: Int
    let tokens_per_second: Double
  }
  struct Ceiling: Encodable {
    let read_bandwidth_bytes_per_second: Double
    let decode_tokens_per_second: Double
  }
  let model: String
  let format: String
  let threads: Int
  let instruction_set: String
  let load_seconds: Double
  let peak_memory_bytes: Int
  let weight_bytes: Int
  let prompt: [Prompt]
  let decode: [Decode]
  let ceiling: Ceiling

  init(model: ChatModel, format: String, promptTokens: [Int], loadSeconds: Double, _ result: Benchmark.Result) {
    self.model = model.name
    self.format = format
    threads = model.engine.pool.threadCount
    instruction_set = Machine.instructionSet
    load_seconds = loadSeconds
    peak_memory_bytes = result.peakMemoryBytes
    weight_bytes = model.engine.footprint.weightBytes
    prompt = result.prompt.map { Prompt(tokens: $0.tokens, tokens_per_second: $0.tokensPerSecond) }
    decode = result.decode.map {
      Decode(sequences: $0.sequences, context: $0.context, tokens_per_second: $0.tokensPerSecond)
    }
    ceiling = Ceiling(
      read_bandwidth_bytes_per_second: result.readBandwidth, decode_tokens_per_second: result.decodeCeiling)
  }

  func table(decodeTokens: Int) -> String {
    var lines = [
      "\(model), \(format), \(threads) \(threads == 1 ? "thread" : "threads"), \(instruction_set)", "",
      String(format: "loaded in          %8.2f s", load_seconds),
      String(format: "peak memory        %8.2f GB", Double(peak_memory_bytes) / 1e9),
      String(format: "weights            %8.2f GB, read once a token", Double(weight_bytes) / 1e9), "",
    ]
    for prompt in prompt {
      lines.append(
        String(format: "prompt  %5d tokens                %8.1f tokens/s", prompt.tokens, prompt.tokens_per_second))
    }
    for decode in decode {
      let place = decode.context == 0 ? "" : "at \(decode.context)"
      lines.append(
        String(
          format: "decode  %5d tokens × %-3d %-9@ %8.1f tokens/s%@", decodeTokens, decode.sequences, place as NSString,
          decode.tokens_per_second, share(decode)))
    }
    lines += [
      "",
      String(
        format: "Memory is read at %.1f GB/s, which allows one sequence %.0f tokens/s at most.",
        ceiling.read_bandwidth_bytes_per_second / 1e9, ceiling.decode_tokens_per_second),
    ]
    return lines.joined(separator: "\n")
  }

  /// How much of the ceiling one sequence reaches, where the ceiling was taken.
  private func share(_ decode: Decode) -> String {
    guard decode.sequences == 1, decode.context == self.decode.first?.context, ceiling.decode_tokens_per_second > 0
    else { return "" }
    return String(
      format: "  (%.0f %% of what memory allows)", 100 * decode.tokens_per_second / ceiling.decode_tokens_per_second)
  }
}
