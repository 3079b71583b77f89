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
  }

  func run() throws {
    let started = ContinuousClock.now
    let opened = try options.open(model)
    let loadSeconds = (ContinuousClock.now - started).seconds
    let generator = RequestGenerator(
      model: opened, contextLength: options.context, defaults: generation.fields, loadSeconds: loadSeconds)
    if lines {
      return try LineProtocol.run(batch: batch, GenerationFields.self) { try generator.answer($0) }
    }

    var fields = GenerationFields()
    let text = prompt ?? String(decoding: FileHandle.standardInput.readDataToEndOfFile(), as: UTF8.self)
    if raw || opened.template == nil {
      if system != nil { throw ValidationError("--system needs a chat template; drop --raw") }
      fields.prompt = text
    } else {
      fields.messages =
        (system.map { [ChatMessage(role: "system", content: $0)] } ?? [])
        + [ChatMessage(role: "user", content: text)]
    }
    if json { return JSONOutput.write(try generator.answer([fields])[0]) }
    if generation.fields.num_beams ?? 1 > 1 {
      let result = try generator.answer([fields])[0]
      for beam in result.beams ?? [] {
        print((result.beams?.count ?? 1) > 1 ? String(format: "%8.4f  ", beam.score) + beam.text : beam.text)
      }
      return
    }
    let answer = try generator.stream(fields) { text in
      FileHandle.standardOutput.write(Data(text.utf8))
      return true
    }
    FileHandle.standardOutput.write(Data("\n".utf8))
    if options.verbose {
      FileHandle.standardError.write(
        Data(
          String(
            format: "%d prompt tokens at %.0f/s, %d answer tokens at %.1f/s, model loaded in %.2f s\n",
            answer.promptTokenCount, answer.promptTokensPerSecond, answer.tokens.count,
            answer.completionTokensPerSecond, loadSeconds
          ).utf8))
    }
  }
}
