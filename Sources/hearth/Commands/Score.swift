internal import ArgumentParser
internal import Chat
internal import Engine
internal import Foundation
internal import Tokenizers

/// How likely a model holds a text, token by token.
struct Score: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Log-probabilities of a text's tokens, perplexity, bits per byte.",
    discussion: """
      Examples:
        hearth score smollm2 "The capital of France is Paris."
        hearth score smollm2 --file essay.txt
        echo '{"text": "Hello"}' | hearth score smollm2 --lines --top 5
      """)

  @Argument(help: "A model's name or path.") var model: String
  @Argument(help: "The text.") var text: String?
  @Option(help: "Score a file with sliding windows.") var file: String?
  @Option(help: "Tokens that each window moves on (default: half the context).") var stride: Int?
  @Option(help: "List the K likeliest tokens at each place.") var top: Int?
  @Option(
    help:
      "Write the log-probability of every token at each place after the first to this file: f32, [places, vocabulary].")
  var distributions: String?
  @Flag(help: "One JSON object a line on stdin, one a line on stdout.") var lines = false
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var options: ModelOptions

  private struct Input: Decodable {
    var text: String?
    var ids: [Int32]?
    var messages: [ChatMessage]?
  }

  func validate() throws {
    if let top, top < 1 || top > 1000 { throw ValidationError("--top \(top): expected 1 to 1000") }
    if let stride, stride < 1 { throw ValidationError("--stride \(stride): expected at least 1") }
    if [text != nil, file != nil, lines].count(where: { $0 }) != 1 {
      throw ValidationError("give one of TEXT, --file and --lines")
    }
  }

  func run() throws {
    guard let distributions else { return try run { _ in } }
    try AtomicFile.write(to: distributions) { sink in
      try run { values in try sink.append(values.bytes) }
    }
  }

  private func run(visit: (Span<Float>) throws -> Void) throws {
    let model = try options.open(model)
    let scorer = Scorer(model, contextLength: options.context, stride: stride, listed: top ?? 0)
    if lines {
      return try LineProtocol.run(Input.self) { input in
        if let ids = input.ids { return try scorer.score(ids, visit: visit) }
        if let text = input.text { return try scorer.score(model.prompt(raw: text), visit: visit) }
        guard let messages = input.messages else {
          throw CommandError("expected one of the fields text, ids and messages")
        }
        return try scorer.score(messages, visit: visit)
      }
    }
    let content: String
    if let file {
      guard let data = FileManager.default.contents(atPath: file) else {
        throw CommandError("\(file): cannot be read: give the path of a text file")
      }
      content = String(decoding: data, as: UTF8.self)
    } else {
      content = text ?? ""
    }
    let score = try scorer.score(model.prompt(raw: content), visit: visit)
    if json { return try JSONOutput.write(score) }
    if file == nil {
      for (id, logProbability) in zip(score.ids, score.logprobs) {
        let piece = model.tokenizer.piece(of: id).debugDescription
        print(logProbability.map { String(format: "%9.4f  ", $0) + piece } ?? "          \(piece)")
      }
    }
    print(String(format: "perplexity %.4f, %.4f bits per byte", score.perplexity, score.bits_per_byte))
  }
}
