/// A transformer family: how one kind of checkpoint turns token ids into hidden states and logits.
///
/// One file in `Models/` per family. It reads the family's configuration, names its tensors, and writes its forward pass
/// out of `Layers/`; gradients, adapters, caching, quantised weights and threads come with the layers and the pass.
protocol Architecture: SendableMetatype {
  /// `general.architecture` in a GGUF file and `model_type` in a `config.json`.
  static var names: [String] { get }
  /// Reads the configuration and claims the tensors; throws if one is missing or misshapen.
  init(_ weights: WeightLoader) throws(CheckpointError)

  var shape: ModelShape { get }
  /// The output head, `[vocabulary, width]`; with tied embeddings it shares its weight with the token table.
  var head: Linear { get }
  /// The states that the head turns into logits, `[tokens, width]`.
  func hiddenStates(_ tokens: [Int32], _ pass: Pass) -> Tensor
}

/// What everything outside a family's file needs to know about a model.
struct ModelShape: Sendable, Equatable {
  let layerCount: Int
  let width: Int
  let headCount: Int
  let keyValueHeadCount: Int
  let headWidth: Int
  let vocabularyCount: Int
  /// The longest sequence the model was made for, in tokens.
  let contextLength: Int
}

/// Every architecture the engine knows. Adding one: a file in this folder, and its type here.
let architectures: [any Architecture.Type] = [
  GPT2.self,
  Llama.self,
]
