/// A model with what it learned, as it is to be written: a base, and an adapter or the parameters of full fine-tuning.
///
///     W′ = W + s·B·A      with DoRA each row of it scaled to its learned length
///
/// Values are made while they are written, some rows at a time, so a model of any size is exported in little memory. Load the base
/// with `isForReading`, so that its weights stay in their file.
public struct MergedModel {
  /// The base; its weights are read, nothing is computed with it.
  public let base: LanguageModel
  /// The adapter to merge.
  public let adapter: Adapter?
  /// What full fine-tuning made of the parameters: `[rows, columns]` in the base's own order, by Hugging Face name.
  let trained: SafetensorsFile?

  /// - Parameter trainedFolder: A checkpoint of full fine-tuning.
  /// - Throws: `CheckpointError` when its parameters are not those of the base.
  public init(
    base: LanguageModel, adapter: Adapter? = nil, trainedFolder: String? = nil
  ) throws(CheckpointError) {
    self.base = base
    self.adapter = adapter
    guard let trainedFolder else {
      trained = nil
      return
    }
    let file = try SafetensorsFile(path: trainedFolder + "/" + LanguageModel.parametersName)
    for parameter in base.parameters {
      let name = parameter.name.huggingFace
      guard let entry = file.entry(name), entry.shape == [parameter.rows, parameter.columns] else {
        throw CheckpointError(
          .mismatch, file: file.path, place: .tensor(name), "is missing or has the wrong shape",
          expected: "[\(parameter.rows), \(parameter.columns)]",
          found: file.entry(name).map { "\($0.shape)" }, advice: "The run was trained on another base model")
      }
    }
    trained = file
  }

  /// The order in which a file has rows of query and key maps, and whether it has linear maps transposed.
  enum Order {
    case gguf
    case huggingFace
  }

  /// Every parameter with its merged values, in the base's order.
  ///
  /// - Throws: `CheckpointError` when a tensor of full fine-tuning cannot be read.
  func tensors() throws(CheckpointError) -> [MergedTensor] {
    var tensors: [MergedTensor] = []
    let linears = Dictionary(
      base.linears.map { (ObjectIdentifier($0.weight), $0) }, uniquingKeysWith: { first, _ in first })
    let head = ObjectIdentifier(base.architecture.head.weight)
    for parameter in base.parameters {
      let linear = linears[ObjectIdentifier(parameter)]
      let pair = linear.flatMap { adapter?.pairs[ObjectIdentifier($0)] }
      tensors.append(
        MergedTensor(
          parameter: parameter,
          // A map that nothing was learned for is left alone, bytes and all.
          pair: pair.flatMap { $0.isZero(base.pool) ? nil : $0 },
          trained: try trained?.tensorIfPresent(parameter.name.huggingFace),
          isLinear: linear != nil, isHead: ObjectIdentifier(parameter) == head, isBaseGGUF: base.isGGUF,
          isTransposedInFolders: base.isGGUF
            ? linear != nil && base.transposesLinearMapsInFolders : parameter.isTransposed,
          pool: base.pool))
    }
    return tensors
  }
}

extension LanguageModel {
  /// Whether `transformers` keeps this family's linear maps as `[inputs, outputs]` (Conv1D).
  var transposesLinearMapsInFolders: Bool { (architecture as? any ExportedFamily)?.isConv1D ?? false }
}

extension LowRankPair {
  /// Whether the term changes nothing.
  func isZero(_ pool: WorkerPool) -> Bool {
    magnitude == nil && (scale == 0 || up.values(pool).allSatisfy { $0 == 0 })
  }
}
