internal import CKernels

/// A model in memory: token ids in, log-probabilities out.
///
/// Not `Sendable`: a model belongs to the executor that runs it, together with its worker pool.
public final class LanguageModel {
  /// Where the weights come from; it keeps their file mapped.
  public let checkpoint: Checkpoint
  /// What generation computes in. Losses and scores take theirs as an argument or from here; training is always f32.
  public let precision: Precision
  /// What `serving` keeps keys and values in; to be chosen before the first pass, and before a cache is made for the model.
  public var cacheType = CacheType.f16
  /// The threads that this model's kernels run on.
  public let pool: WorkerPool
  let architecture: any Architecture
  let workspace = Workspace()
  /// Every parameter, in the family's order; shared ones once.
  public let parameters: [Parameter]
  /// Every linear map inside the blocks.
  let linears: [Linear]
  /// Counts changes of weights and adapters by training; keys and values computed before a change are void.
  var revision = 0
  /// For sequences outside of any `PrefixCache`, without a limit.
  private lazy var pages = PagePool(cacheShape, limit: .max)

  /// Loads a checkpoint whose family Hearth knows.
  ///
  /// - Parameter isForReading: Whether weights only are read, as an export does: they stay in the file, and no pass can be run before `prepare`.
  /// - Throws: `CheckpointError` when the family is unknown, or a setting or tensor is missing or misshapen.
  public init(
    _ checkpoint: Checkpoint, precision: Precision = .serving, pool: WorkerPool = WorkerPool(),
    isForReading: Bool = false
  ) throws(CheckpointError) {
    guard let family = architectures.first(where: { $0.names.contains(checkpoint.architecture) }) else {
      throw CheckpointError(
        .unsupported, file: checkpoint.path, "is of a family that Hearth does not know",
        expected: architectures.flatMap { $0.names }.joined(separator: ", "), found: checkpoint.architecture)
    }
    let weights = WeightLoader(checkpoint)
    architecture = try family.init(weights)
    try weights.requireAllClaimed()
    self.checkpoint = checkpoint
    self.precision = precision
    self.pool = pool
    parameters = weights.parameters
    linears = weights.linears
    if !isForReading { prepare() }
  }

  /// The matrices that passes multiply with: those of the blocks and the head.
  var servedMatrices: Set<ObjectIdentifier> {
    Set(linears.map { ObjectIdentifier($0.weight) } + [ObjectIdentifier(architecture.head.weight)])
  }

  /// Packs weights for serving, or holds them in f32; afterwards passes can be run.
  ///
  /// For a model that was opened `isForReading`, to look at it before its weights are read.
  public func prepare() {
    let matrices = servedMatrices
    for parameter in parameters {
      if precision == .serving, matrices.contains(ObjectIdentifier(parameter)) {
        parameter.pack(pool)
        if parameter.isPacked { continue }
      }
      // The token table is read row by row, so it stays as it is unless it is the head as well.
      if matrices.contains(ObjectIdentifier(parameter)) || parameter.rows == 1 || parameter.isTransposed {
        parameter.holdFloat32(pool)
      }
    }
  }

  /// The most memory that activations ever took, in bytes.
  public var workspacePeakBytes: Int { workspace.peakBytes }
  /// Gives back the memory of activations that nothing uses now.
  public func trimWorkspace() { workspace.trim() }

  /// The longest sequence the model was made for, in tokens.
  public var contextLength: Int { architecture.shape.contextLength }
  /// Rows of the token table; ids are 0 to one less.
  public var vocabularyCount: Int { architecture.shape.vocabularyCount }
  /// Blocks, one after the other.
  public var layerCount: Int { architecture.shape.layerCount }
  /// Numbers in all parameters together.
  public var parameterCount: Int { parameters.reduce(0) { $0 + $1.count } }

  /// How keys and values are cached.
  var cacheShape: CacheShape {
    let shape = architecture.shape
    return CacheShape(
      layerCount: shape.layerCount, keyValueHeadCount: shape.keyValueHeadCount, headWidth: shape.headWidth,
      type: precision == .reference ? HEARTH_CACHE_F32 : cacheType == .q8 ? HEARTH_CACHE_Q8 : HEARTH_CACHE_F16)
  }

  /// An empty sequence, to be continued by passes; its pages are limited by memory only.
  func sequence(adapter: Adapter?) -> TokenSequence {
    TokenSequence(cache: KVCache(pages), adapter: adapter, revision: revision)
  }

  /// Continues sequences by some tokens each; their caches grow. Where the pages are of a limited pool, they are reserved before.
  ///
  /// - Parameter inputs: For each sequence its new tokens, at least one, and after how many of them, the last ones, logits are wanted.
  /// - Returns: Logits, `[places where they were wanted, vocabulary]`, the places in order; nil when there are none.
  func step(_ inputs: [(sequence: TokenSequence, tokens: [Int32], logitCount: Int)]) -> Tensor? {
    let pass = Pass(
      continuing: inputs.map { ($0.sequence, $0.tokens.count) }, pool: pool, workspace: workspace,
      precision: precision)
    defer { workspace.endStep() }
    pass.prepareCaches()
    let hidden = architecture.hiddenStates(inputs.flatMap(\.tokens), pass)
    pass.advanceCaches()
    for input in inputs { input.sequence.tokens += input.tokens }
    var (wanted, row): ([Int], Int) = ([], 0)
    for input in inputs {
      row += input.tokens.count
      wanted += row - input.logitCount..<row
    }
    return wanted.isEmpty ? nil : headLogits(pass, pass.select(wanted, of: hidden))
  }

  private func headLogits(_ pass: Pass, _ hidden: Tensor) -> Tensor {
    // Adapters never touch the head, so its segments must not be looked up against selected rows.
    Pass(
      packed: PackedRows(lengths: [hidden.rows]), adapter: nil, pool: pool, workspace: workspace, precision: precision
    )
    .apply(architecture.head, hidden)
  }

  /// Log-probabilities of every next token of a sequence, as answers are computed: through the cache of keys and values, in the type
  /// that it has. `visit` receives them one position after the other.
  ///
  /// - Parameters:
  ///   - tokens: Of one sequence, at most `contextLength`.
  ///   - rows: After which positions the next token is wanted, ascending; all when nil.
  ///   - visit: Receives the position and its log-probabilities, `[vocabulary]`.
  public func logProbabilities(
    of tokens: [Int32], rows: [Int]? = nil, adapter: Adapter? = nil,
    _ visit: (_ position: Int, _ logProbabilities: UnsafeBufferPointer<Float>) -> Void
  ) {
    let sequence = sequence(adapter: adapter)
    let wanted = rows ?? Array(0..<tokens.count)
    var next = wanted.startIndex
    for start in stride(from: 0, to: tokens.count, by: LanguageModel.scoringChunk) where next < wanted.endIndex {
      let part = Array(tokens[start..<min(start + LanguageModel.scoringChunk, tokens.count)])
      let pass = Pass(
        continuing: [(sequence: sequence, count: part.count)], pool: pool, workspace: workspace, precision: precision)
      pass.prepareCaches()
      let hidden = architecture.hiddenStates(part, pass)
      pass.advanceCaches()
      sequence.tokens += part
      while next < wanted.endIndex, wanted[next] < start + part.count {
        // So many at a time that their logits stay small.
        let end = wanted[next...].prefix(64).prefix { $0 < start + part.count }.endIndex
        let logits = headLogits(pass, pass.select(wanted[next..<end].map { $0 - start }, of: hidden))
        pass.logSoftmax(logits)
        for row in 0..<logits.rows {
          unsafe visit(
            wanted[next + row],
            UnsafeBufferPointer(start: logits.data + row * logits.columns, count: logits.columns))
        }
        next = end
      }
    }
  }

  /// Tokens of a pass that scores; what they are has no influence on the result.
  private static let scoringChunk = 512

  /// Sum of −log p over the supervised tokens of each sequence of a batch, without gradients.
  ///
  /// - Parameter precision: f32, as training computes it, unless said otherwise.
  public func losses(
    _ batch: TrainingBatch, adapter: Adapter? = nil, precision: Precision = .reference
  ) -> [Double] {
    batch.sums(
      batch.packed(isSharing: true).flatMap { part in
        let pass = Pass(
          packed: part.rows, adapter: adapter, pool: pool, workspace: workspace, precision: precision,
          wanted: part.wanted)
        let hidden = architecture.hiddenStates(part.rows.tokens, pass)
        return pass.crossEntropy(
          pass.wantedRows(of: hidden), architecture.head, targets: part.targets, scale: 0)
      })
  }
}
