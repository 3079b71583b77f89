internal import Crypto
internal import Engine

extension ChatModel {
  /// A hash that tells this model's weights from those of another: of the settings that decide what is computed, and
  /// of each tensor's name, type, shape and a sample of its bytes.
  ///
  /// It reads a few megabytes of a model of any size. Training touches every tensor, so other weights show; a single
  /// byte that was changed on purpose need not. An adapter in force, and weights trained in memory, do not count: it is
  /// the files that are hashed.
  ///
  /// - Throws: `CheckpointError` when a tensor cannot be read.
  public func weightsFingerprint() throws -> String {
    let checkpoint = engine.checkpoint
    var hash = SHA256()
    func add(_ text: String) { hash.update(data: Array(text.utf8) + [0]) }
    add(checkpoint.architecture)
    for setting in settings(of: checkpoint) { add(setting) }
    for name in checkpoint.tensorNames.sorted() {
      let tensor = try checkpoint.tensor(name)
      add("\(name) \(tensor.formatNumber) \(tensor.shape)")
      tensor.withBytes { bytes in
        for range in WeightsSample.ranges(of: bytes.count) { hash.update(bufferPointer: .init(rebasing: bytes[range])) }
      }
    }
    // What was sampled draws most of the file into memory with it.
    checkpoint.letGo()
    return hash.finalize().prefix(16).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
  }

  /// What a family reads beside tensors, in a fixed order.
  private func settings(of checkpoint: Checkpoint) -> [String] {
    switch checkpoint.source {
    case .gguf(let file):
      return file.metadata.keys.filter { $0.hasPrefix(checkpoint.architecture + ".") }.sorted().compactMap { key in
        if case .array? = file.metadata[key] { return nil }
        return file.metadata[key].map { "\(key) \($0)" }
      }
    case .huggingFace:
      // Not the whole config.json: each version of transformers writes it in its own way.
      let keys = [
        "num_attention_heads", "num_key_value_heads", "head_dim", "rms_norm_eps", "layer_norm_epsilon", "rope_theta",
        "rope_parameters.rope_theta", "rope_parameters.factor", "rope_scaling.factor",
      ]
      return keys.compactMap { key in (try? checkpoint.realIfPresent(key)).flatMap { $0 }.map { "\(key) \($0)" } }
    }
  }
}

/// Which bytes of a tensor are looked at.
enum WeightsSample {
  /// All of a small one, eight pieces of a large one, at even distances from the first byte to the last.
  static func ranges(of count: Int) -> [Range<Int>] {
    let (pieces, length) = (8, 1024)
    guard count > pieces * length else { return [0..<count] }
    return (0..<pieces).map { piece in
      let start = (count - length) / (pieces - 1) * piece
      return piece == pieces - 1 ? count - length..<count : start..<start + length
    }
  }
}

/// Whether what was learned and the base it is put on belong together.
enum BaseCheck {
  /// Under which name an adapter's file says what it was trained on.
  static let metadataKey = "hearth.base_weights"

  /// - Parameters:
  ///   - recorded: Of the base that was trained on; nil in what other programs and earlier versions wrote, which is
  ///     taken as it is.
  ///   - learned: The run folder or adapter, for the message.
  ///   - trainedOn: What its base was called, if that is known.
  ///   - path: Where the base lies.
  /// - Throws: `RunError` when the base holds other weights.
  static func require(
    _ recorded: String?, in base: ChatModel, learned: String, trainedOn: String?, path: String
  ) throws {
    guard let recorded else { return }
    let found = try base.weightsFingerprint()
    guard found != recorded else { return }
    throw RunError(
      "\(learned): was trained on \(trainedOn ?? "a base") with the weights \(recorded.prefix(12)), but \(path) holds "
        + "other weights, \(found.prefix(12)): put back the model it was trained on, or train again on this one")
  }
}
