public import ArgumentParser
public import Chat
public import Engine
internal import Foundation

/// Writes a model in the format of other programs.
struct Export: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Write a model, or what it learned, in the formats of other programs.",
    discussion: """
      peft          a folder for Hugging Face PEFT: the adapter alone
      gguf-adapter  a file for llama.cpp (--lora): the adapter alone
      gguf          one file for llama.cpp and Hearth: base and adapter merged, tokenizer and template
      safetensors   a folder for transformers: base and adapter merged, tokenizer and template

      Without --type, gguf keeps what training left alone byte for byte; quantised matrices that it changed become F16, as
      quantising them again would cost about as much as the first time. safetensors keeps the base's type, F32 if it was quantised.
      With --type, all matrices take that type (the output head of small types: Q6_K, as llama.cpp does).

      Examples:
        hearth export help-desk --format peft --output help-desk-adapter
        hearth export help-desk --format gguf --output help-desk.gguf --type Q8_0
        hearth export smollm2 --format safetensors --output smollm2-hf
      """)

  @Argument(help: "A model's name or path.") var model: String
  @Option(help: "peft, gguf-adapter, gguf or safetensors.") var format: ExportFormat
  @Option(help: "The file (gguf, gguf-adapter) or folder (peft, safetensors) to write.") var output: String
  @Option(help: "How to store weights: F32, F16, BF16, and for gguf Q8_0, Q4_1, …") var type: StorageType?
  @Option(help: "What PEFT is to call the base (default: its repository, or its path).") var base: String?
  @Flag(help: "Replace what is there.") var force = false
  @Flag(help: "Print JSON.") var json = false
  @OptionGroup var options: ModelOptions

  func validate() throws {
    if base != nil, format != .peft { throw ValidationError("--base: only goes with --format peft") }
    if let type, !format.types.contains(type.name) {
      throw ValidationError(
        format.types.isEmpty
          ? "--type \(type.name): \(format.rawValue) is always F32: leave --type out"
          : "--type \(type.name): \(format.rawValue) holds \(format.types.joined(separator: ", "))")
    }
  }

  func run() throws {
    let exporter = Exporter(try ModelStore().locate(model), pool: WorkerPool(threadCount: options.threads))
    let result = try exporter.export(format, to: output, type: type, replaces: force, baseName: base)
    for note in result.notes { StandardError.write("hearth: \(note)\n") }
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

extension ExportFormat: ExpressibleByArgument {}

extension StorageType: ExpressibleByArgument {
  public init?(argument: String) { self.init(name: argument) }
  public static var allValueStrings: [String] { names }
}
