internal import CKernels

/// Hands a checkpoint's settings and tensors to a family's initialiser, and remembers what was claimed.
///
/// Settings and tensors have two names, that of GGUF and that of Hugging Face folders; the loader uses the one that the
/// checkpoint speaks.
final class WeightLoader {
  /// Whether a linear map has a bias.
  enum Bias {
    case ifPresent
    case required
    /// It has none; one among the tensors is not the family's.
    case absent
  }

  let checkpoint: Checkpoint
  /// Every parameter claimed, in the order of claiming; shared ones once.
  private(set) var parameters: [Parameter] = []
  /// Every linear map inside the blocks, in the order of claiming: what adapters may adapt.
  private(set) var linears: [Linear] = []
  private let tensorNames: Set<String>
  private var claimed: Set<String> = []

  init(_ checkpoint: Checkpoint) {
    self.checkpoint = checkpoint
    tensorNames = Set(checkpoint.tensorNames)
  }

  // MARK: Settings

  /// Whether the checkpoint speaks GGUF's names rather than those of Hugging Face.
  var isGGUF: Bool {
    if case .gguf = checkpoint.source { true } else { false }
  }

  /// Whether there is a tensor of this name; one that cannot be read counts as there.
  func hasTensor(_ name: String) -> Bool { tensorNames.contains(name) }

  private func key(_ gguf: String, _ huggingFace: String) -> String {
    isGGUF ? gguf : huggingFace
  }

  /// A positive number of something. A key that is absent or null gives the default, if there is one.
  func count(
    _ gguf: String, _ huggingFace: String, default other: Int? = nil
  ) throws(CheckpointError) -> Int {
    let key = key(gguf, huggingFace)
    if let other, !checkpoint.contains(key) { return other }
    let value = try checkpoint.integer(key)
    guard value > 0, value <= 1 << 31 else {
      throw CheckpointError(
        .mismatch, file: checkpoint.path, place: .key(key), "is not a sensible size", expected: "1 to \(1 << 31)",
        found: "\(value)")
    }
    return value
  }

  /// A finite number.
  func real(
    _ gguf: String, _ huggingFace: String, default other: Float? = nil
  ) throws(CheckpointError) -> Float {
    let key = key(gguf, huggingFace)
    if let other, !checkpoint.contains(key) { return other }
    return Float(try checkpoint.real(key))
  }

  func string(
    _ gguf: String, _ huggingFace: String, default other: String
  ) throws(CheckpointError) -> String {
    let key = key(gguf, huggingFace)
    return checkpoint.contains(key) ? try checkpoint.string(key) : other
  }

  /// Rows of the token table, which say how large the vocabulary is.
  func vocabularyCount(_ gguf: String, _ huggingFace: String) throws(CheckpointError) -> Int {
    let tensor = try checkpoint.tensor(key(gguf, huggingFace))
    guard tensor.shape.count == 2, tensor.shape[0] > 0, tensor.shape[0] <= 1 << 28 else {
      throw wrongShape(tensor, expected: "[vocabulary, width]")
    }
    return tensor.shape[0]
  }

  /// Settings that contradict each other or that Hearth does not know.
  func contradiction(_ found: String, expected: String) -> CheckpointError {
    CheckpointError(
      .unsupported, file: checkpoint.path, "has a configuration that cannot be run", expected: expected, found: found)
  }

  // MARK: Tensors

  private func wrongShape(_ tensor: StoredTensor, expected: String) -> CheckpointError {
    CheckpointError(
      .mismatch, file: tensor.file, place: .tensor(tensor.name), "has the wrong shape", expected: expected,
      found: "\(tensor.shape)", advice: "The configuration and the weights belong to different models")
  }

  private func parameter(
    _ name: ParameterName, rows: Int, columns: Int, isVector: Bool = false, isTransposed: Bool = false,
    rotaryHeadCount: Int = 0
  ) throws(CheckpointError) -> Parameter {
    let tensor = try checkpoint.tensor(key(name.gguf, name.huggingFace))
    let expected = isVector ? [columns] : isTransposed ? [columns, rows] : [rows, columns]
    guard tensor.shape == expected else { throw wrongShape(tensor, expected: "\(expected)") }
    guard let format = unsafe hearth_format_for(tensor.formatNumber) else {
      throw CheckpointError(
        .unsupported, file: tensor.file, place: .tensor(tensor.name), "is stored in a way Hearth does not know",
        expected: knownFormats, found: "\(tensor.type)", advice: "Get the model in another quantisation")
    }
    guard unsafe tensor.rowWidth % Int(format.pointee.block_elements) == 0 else {
      throw wrongShape(tensor, expected: unsafe "rows of a multiple of \(format.pointee.block_elements)")
    }
    claimed.insert(tensor.name)
    let parameter = Parameter(
      name, rows: rows, columns: columns, stored: tensor, isTransposed: isTransposed,
      rotaryHeadCount: rotaryHeadCount)
    parameters.append(parameter)
    return parameter
  }

  private var knownFormats: String {
    (0..<hearth_format_count()).compactMap { index in
      unsafe hearth_format_at(index).map { unsafe String(cString: $0.pointee.name) }
    }.joined(separator: ", ")
  }

  func matrix(
    _ gguf: String, _ huggingFace: String, _ rows: Int, _ columns: Int
  ) throws(CheckpointError) -> Parameter {
    try parameter(ParameterName(gguf: gguf, huggingFace: huggingFace), rows: rows, columns: columns)
  }

  /// A linear map of a block; `name` lacks ".weight" and ".bias".
  ///
  /// - Parameter activations: Sixteen bits where the map is small and what follows it sensitive.
  func linear(
    _ name: ParameterName, _ outputs: Int, _ inputs: Int, bias: Bias = .ifPresent, isTransposed: Bool = false,
    rotaryHeadCount: Int = 0, activations: ActivationPrecision = .bits8
  ) throws(CheckpointError) -> Linear {
    let weight = try parameter(
      name.with(".weight"), rows: outputs, columns: inputs, isTransposed: isTransposed,
      rotaryHeadCount: rotaryHeadCount)
    weight.activations = activations
    let biasName = name.with(".bias")
    var biasParameter: Parameter?
    if bias == .required || (bias == .ifPresent && hasTensor(key(biasName.gguf, biasName.huggingFace))) {
      biasParameter = try parameter(
        biasName, rows: 1, columns: outputs, isVector: true, rotaryHeadCount: rotaryHeadCount)
    }
    let linear = Linear(weight: weight, bias: biasParameter)
    linears.append(linear)
    return linear
  }

  func rmsNorm(
    _ name: ParameterName, _ width: Int, _ epsilon: Float
  ) throws(CheckpointError) -> RMSNorm {
    RMSNorm(
      weight: try parameter(name.with(".weight"), rows: 1, columns: width, isVector: true), epsilon: epsilon)
  }

  func layerNorm(
    _ name: ParameterName, _ width: Int, _ epsilon: Float
  ) throws(CheckpointError) -> LayerNorm {
    LayerNorm(
      weight: try parameter(name.with(".weight"), rows: 1, columns: width, isVector: true),
      bias: try parameter(name.with(".bias"), rows: 1, columns: width, isVector: true), epsilon: epsilon)
  }

  /// The output head: a matrix of its own, or the token table again.
  ///
  /// It reads its activations in sixteen bits: nothing after it evens an error out, and it runs for one position of a prompt.
  func head(
    _ gguf: String, _ huggingFace: String, tiedTo embedding: Parameter, _ vocabularyCount: Int, _ width: Int
  ) throws(CheckpointError) -> Linear {
    let tied: Bool
    if !isGGUF, checkpoint.contains("tie_word_embeddings") {
      // Folders may hold a copy of the tied head; the configuration decides.
      tied = try checkpoint.bool("tie_word_embeddings", default: true)
      if tied { claimed.insert(huggingFace) }
    } else {
      tied = !hasTensor(key(gguf, huggingFace))
    }
    let weight = tied ? embedding : try matrix(gguf, huggingFace, vocabularyCount, width)
    weight.activations = .bits16
    return Linear(weight: weight)
  }

  /// The values of a small tensor that is not trained.
  func vectorIfPresent(_ name: String, _ count: Int) throws(CheckpointError) -> [Float]? {
    guard hasTensor(name) else { return nil }
    let tensor = try checkpoint.tensor(name)
    guard tensor.elementCount == count, let format = unsafe hearth_format_for(tensor.formatNumber),
      unsafe count % Int(format.pointee.block_elements) == 0
    else { throw wrongShape(tensor, expected: "[\(count)]") }
    claimed.insert(name)
    var values = [Float](repeating: 0, count: count)
    unsafe tensor.withBytes { unsafe format.pointee.dequantize(&values, $0.baseAddress, count) }
    return values
  }

  /// Tensors that the family did not ask for: a sign that the file is of another, similar family.
  ///
  /// Buffers that older libraries saved along with the weights do not count.
  func requireAllClaimed() throws(CheckpointError) {
    let harmless = ["rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias", "rope_freqs.weight"]
    for name in tensorNames.sorted() where !claimed.contains(name) {
      if harmless.contains(where: name.hasSuffix) { continue }
      throw CheckpointError(
        .unsupported, file: checkpoint.path, place: .tensor(name),
        "is not part of the architecture \(checkpoint.architecture) as Hearth runs it",
        advice: "The file may be of a related family; running it without this tensor would give wrong answers")
    }
  }
}

extension ParameterName {
  /// Both names with `suffix` appended.
  func with(_ suffix: String) -> ParameterName {
    ParameterName(gguf: gguf + suffix, huggingFace: huggingFace + suffix)
  }
}
