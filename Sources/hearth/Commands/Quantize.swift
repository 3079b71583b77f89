internal import ArgumentParser
internal import Chat
internal import Engine
internal import Foundation

/// Stores a model's weights in another type.
struct Quantize: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Store a model's weights in another type, and measure what that costs.",
    discussion: """
      Writes one GGUF file; a fine-tuned model is merged first. Prints the relative root-mean-square error of each kind \
      of tensor, and the perplexity on a short text that ships with Hearth before and after. A fine-tuned model is also \
      checked as by hearth export, and not written if it lost what was learned.

      Example:
        hearth quantize smollm2 --type Q8_0 --output smollm2-q8.gguf
      """)

  @Argument(help: "A model's name or path.") var model: String
  @Option(help: "How to store matrices.") var type: StorageType
  @Option(help: "The .gguf file to write.") var output: String
  @Flag(help: "Replace what is there.") var force = false
  @Flag(inversion: .prefixedNo, help: "Compare perplexities.") var measure = true
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var checking: ExportCheckOptions
  @OptionGroup var options: ModelOptions

  func run() throws {
    let location = try ModelStore().locate(model)
    let quantization = Quantization(
      location, precision: options.precision, pool: WorkerPool(threadCount: options.threads))
    let report = try quantization.run(
      type, to: output, measures: measure, replaces: force, check: checking.request(location, options))
    if !options.quiet, let check = report.check { StandardError.write(check.summary) }
    if json { return try JSONOutput.write(report) }
    print(
      "\(report.output)  \(ByteText.of(report.size_bytes)), was \(ByteText.of(report.size_bytes_before))")
    if options.quiet { return }
    let width = (report.classes.map(\.tensor.count) + [8]).max() ?? 8
    func row(_ name: String, _ types: String, _ error: Double) {
      let padding = String(repeating: " ", count: width - name.count)
      print("  \(name)\(padding)  \(String(format: "%8.5f", error))  \(types)")
    }
    print("relative root-mean-square error of")
    for kind in report.classes { row(kind.tensor, kind.types.joined(separator: ", "), kind.relative_rms_error) }
    row("all", "", report.relative_rms_error)
    if let before = report.perplexity_before, let after = report.perplexity, let tokens = report.tokens {
      print(
        String(
          format: "perplexity of a text of %d tokens  %.4f → %.4f (%+.2f %%)", tokens, before, after,
          100 * (after / before - 1)))
    }
  }
}
