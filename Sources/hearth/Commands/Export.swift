public import ArgumentParser
public import Chat
public import Engine
internal import Foundation

/// Writes a model in the format of other programs.
struct Export: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write a model, or what it learned, in the formats of other programs.",
    discussion: """
      Formats:
        peft          a folder for Hugging Face PEFT: the adapter alone
        gguf-adapter  a file for llama.cpp (--lora): the adapter alone
        gguf          a file for llama.cpp and Hearth: everything, merged
        safetensors   a folder for transformers: everything, merged

      Everything is base and adapter merged, with tokenizer and template. Without --type, gguf keeps what training left \
      alone byte for byte; quantised matrices that it changed become F16, as quantising them again would cost about as \
      much as the first time. safetensors keeps the base's type, F32 if it was quantised. With --type, all matrices take \
      that type (the output head of small types: Q6_K, as llama.cpp does).

      A merged model is read back and compared with the one it was made of, on examples that the run kept aside, or those of --data: what lost more than a tenth of what was learned is not written. Figures go to standard error.

      Examples:
        hearth export help-desk --format peft --output help-desk-adapter
        hearth export help-desk --format gguf --type Q8_0 --output h.gguf
        hearth export smollm2 --format safetensors --output smollm2-hf
      """)

  @Argument(help: "A model's name or path.") var model: String
  @Option(help: "peft, gguf-adapter, gguf or safetensors.") var format: ExportFormat
  @Option(help: "The file (gguf, gguf-adapter) or folder (peft, safetensors) to write.") var output: String
  @Option(help: "How to store weights: F32, F16, BF16, and for gguf Q8_0, Q4_1, …") var type: StorageType?
  @Option(help: "What PEFT is to call the base (default: its repository, or its path).") var base: String?
  @Flag(help: "Replace what is there.") var force = false
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var checking: ExportCheckOptions
  @OptionGroup var options: ModelOptions

  func validate() throws {
    if !format.isMerged, let flag = checking.given {
      throw ValidationError("\(flag): only goes with --format gguf or safetensors")
    }
    if base != nil, format != .peft { throw ValidationError("--base: only goes with --format peft") }
    if let type, !format.types.contains(type.name) {
      throw ValidationError(
        format.types.isEmpty
          ? "--type \(type.name): \(format.rawValue) is always F32: leave --type out"
          : "--type \(type.name): \(format.rawValue) holds \(format.types.joined(separator: ", "))")
    }
  }

  func run() throws {
    let location = try ModelStore().locate(model)
    let exporter = Exporter(location, pool: WorkerPool(threadCount: options.threads))
    let result = try exporter.export(
      format, to: output, type: type, replaces: force, baseName: base, check: checking.request(location, options))
    for note in result.notes { StandardError.write("hearth: \(note)\n") }
    if !options.quiet, let check = result.check { StandardError.write(check.summary) }
    if json { return try JSONOutput.write(result) }
    result.show(isBrief: options.quiet)
  }
}

extension ExportResult {
  /// Says what was written.
  func show(isBrief: Bool) {
    print("\(output)  \(ByteText.of(size_bytes)), mostly \(type)")
    if isBrief { return }
    if files.count > 1 {
      let width = files.map(\.name.count).max() ?? 0
      for file in files {
        let padding = String(repeating: " ", count: width - file.name.count)
        print("  \(file.name)\(padding)  \(ByteText.of(file.bytes))")
      }
    }
    if tensors_copied > 0 {
      print("\(tensors_copied) tensors as they were, \(tensors_converted) written anew")
    }
  }
}

extension ExportCheck {
  /// A table for people.
  var summary: String {
    func row(_ name: String, _ loss: Double, _ figures: Figures?) -> String {
      let padded = name + String(repeating: " ", count: max(1, 28 - name.count))
      let rest = figures.map { String(format: "  KL %.5f  top-1 %.1f %%", $0.mean_kl, 100 * $0.top1_agreement) } ?? ""
      return padded + String(format: "%.4f", loss) + rest + "\n"
    }
    var text = "held-out loss of \(examples) examples (\(tokens) tokens)\n"
    if let base_loss { text += row("  base", base_loss, nil) }
    text += row(base_loss == nil ? "  the model" : "  base and what it learned", tuned_loss, nil)
    if let merged { text += row("  merged, f32", merged.loss, merged) }
    text += row("  as written", written.loss, written)
    if let learned, let allowed_loss {
      text += String(
        format: "%.4f were learned, %.4f of them lost (%.4f is allowed)\n", learned, max(0, lost), allowed_loss)
      if !isPassed { text += "warning: it lost what was learned; written all the same, as --allow-loss was given\n" }
    }
    return text
  }
}

extension ExportFormat: ExpressibleByArgument {}

extension StorageType: ExpressibleByArgument {
  public init?(argument: String) { self.init(name: argument) }
  public static var allValueStrings: [String] { names }
}
