internal import ArgumentParser
internal import Chat
internal import Engine
internal import Foundation
internal import Tokenizers

/// One answer to one prompt, or many by `--lines`.
struct Generate: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Answer one prompt.",
    discussion: """
      Examples:
        hearth generate smollm2 "Why is the sky blue?"
        hearth generate smollm2 "Once upon a time" --raw --max-tokens 64 --temperature 0.8 --seed 7
        hearth generate smollm2 "Name three rivers." --num-beams 5 --early-stopping --num-return-sequences 2
        echo '{"messages": [{"role": "user", "content": "Hi"}]}' | hearth generate smollm2 --lines
      """)

  @Argument(help: "A model's name or path.") var model: String
  @Argument(help: "What to answer; stdin when absent.") var prompt: String?
  @Option(help: "A system message before the prompt.") var system: String?
  @Flag(help: "Continue the prompt as it is, without the chat template.") var raw = false
  @OptionGroup(title: "Generation") var generation: GenerationOptions
  @Option(help: "With --lines, answer this many lines together; answers do not change.") var batch = 1
  @Flag(help: "One JSON object a line on stdin, one a line on stdout.") var lines = false
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var options: ModelOptions

  func validate() throws {
    if batch < 1 || batch > 256 { throw ValidationError("--batch \(batch): expected 1 to 256") }
    if lines, prompt != nil { throw ValidationError("give either PROMPT or --lines") }
    if lines, json { throw ValidationError("--json: --lines writes JSON already: drop one of the two") }
    if !lines, batch > 1 {
      throw ValidationError("--batch \(batch): goes with --lines; one prompt is answered at once")
    }
    if raw, system != nil {
      throw ValidationError("--system: needs the chat template that --raw leaves out: drop one of the two")
    }
  }

  func run() throws {
    let text = lines ? "" : try promptText()
    let (opened, loadSeconds) = try Generate.timed { try options.open(model) }
    var defaults = generation.fields
    if lines { defaults.system = system }
    let generator = RequestGenerator(
      model: opened, contextLength: options.context, defaults: defaults, loadSeconds: loadSeconds)
    if lines {
      return try LineProtocol.run(batch: batch, GenerationFields.self) { requests in
        generator.answer(requests).map { result in result.map { $0 } }
      }
    }

    let fields = try request(text, for: opened)
    if json { return try JSONOutput.write(generator.answer([fields])[0].get()) }
    if generation.numBeams > 1 {
      let beams = try generator.answer([fields])[0].get().beams ?? []
      for beam in beams { print((beams.count > 1 ? String(format: "%8.4f  ", beam.score) : "") + beam.text) }
      return
    }
    var failure: (any Error)?
    let answer = try generator.stream(fields) { text in
      do { try StandardOutput.write(text) } catch { failure = error }
      return failure == nil
    }
    if let failure { throw failure }
    try StandardOutput.write("\n")
    if options.verbose {
      StandardError.write(
        String(
          format: "%d prompt tokens at %.0f/s, %d answer tokens at %.1f/s, model loaded in %.2f s\n",
          answer.promptTokenCount, answer.promptTokensPerSecond, answer.tokens.count,
          answer.completionTokensPerSecond, loadSeconds))
    }
  }

  /// The prompt, from the arguments or stdin.
  private func promptText() throws -> String {
    let text = try prompt ?? StandardInput.text()
    if prompt == nil, text.allSatisfy(\.isWhitespace) {
      throw CommandError(
        "the prompt on standard input is empty: pipe a text in, or give it as an argument: hearth generate \(model) \"…\""
      )
    }
    return text
  }

  private func request(_ text: String, for model: ChatModel) throws -> GenerationFields {
    var fields = GenerationFields()
    if raw || model.template == nil {
      if system != nil {
        throw CommandError("--system: \(model.name) has no chat template to put it in: write it into the prompt")
      }
      fields.prompt = text
    } else {
      fields.messages =
        (system.map { [ChatMessage(role: "system", content: $0)] } ?? [])
        + [ChatMessage(role: "user", content: text)]
    }
    return fields
  }

  private static func timed<Value>(_ body: () throws -> Value) rethrows -> (Value, seconds: Double) {
    let started = ContinuousClock.now
    return (try body(), (ContinuousClock.now - started).seconds)
  }
}
