internal import CKernels

/// How weights are multiplied.
public enum Precision: String, Sendable, CaseIterable {
  /// Integer kernels on the packed blocks, activations in int8: fast, the same bytes every time.
  case serving
  /// f32 from dequantised weights: the yardstick for the rest.
  case reference
  /// Products in bf16 with sums in f32, everything else in f32: for training, and for losses of whole sequences. A model is not
  /// loaded in it.
  case bf16
  /// `bf16`, but gradients go back through the blocks' packed matrices in integers: both in int8 with a scale for 32 numbers, the
  /// matrices turned round and quantised again. The forward pass and the output head are those of `bf16`.
  case int8

  /// Whether activations between products are in bf16.
  var usesHalves: Bool { self == .bf16 || self == .int8 }

  /// Those a model can be loaded in.
  public static let allCases: [Precision] = [.serving, .reference]

  /// Whether this CPU has instructions for products in bf16; others compute the same bits, slower than f32.
  public static var hasFastBF16: Bool { hearth_isa_best() == HEARTH_ISA_AVX512BF16 }
}

/// One run of a model over some tokens: where its activations live, what it caches, which adapters
/// are in force and, in training, what it remembers.
///
/// All circumstances of a forward pass travel in this one argument, so a model file is written once for
/// inference, training, quantised weights and adapters. A pass belongs to the executor that runs it.
@safe
public final class Pass {
  /// Where the rows of the pass sit in their sequences.
  enum Layout {
    /// Each run of rows continues a sequence whose earlier keys and values are cached.
    case cached([CachedRun])
    /// Whole sequences side by side: sequence s covers places `starts[s]..<starts[s + 1]`, which are the rows unless they share some.
    case packed(starts: [Int32], folding: PackedRows.Folding?)
  }

  /// Consecutive rows that continue one sequence.
  struct CachedRun {
    let rows: Range<Int>
    let sequence: TokenSequence
  }

  let pool: WorkerPool
  let workspace: Workspace
  let precision: Precision
  let layout: Layout
  /// Each row's position in its sequence, `[tokens]`.
  let positions: [Int32]
  /// One more than the farthest of them.
  let positionLimit: Int
  /// Which adapter works on which rows; rows of no segment run on the base alone.
  let adapters: [AdapterSegment]
  /// The rows that whoever runs the pass looks at, some perhaps more than once; all when nil.
  let wanted: [Int]?
  /// Whether the last hidden states are those of `wanted` already.
  var hasSelected = false
  /// Remembers operations for `backward`; nil when nothing is trained.
  let tape: Tape?
  /// Decides which inputs of adapters are dropped; nil outside training.
  let dropout: DropoutSource?
  /// Addresses of the pages of all cached sequences, one sequence after the other; set by `prepareCaches`.
  var pageAddresses: [UnsafeMutableRawPointer?] = unsafe []

  /// An adapter and the rows it works on.
  struct AdapterSegment {
    let rows: Range<Int>
    let adapter: Adapter
  }

  /// A pass that continues cached sequences: generation.
  ///
  /// - Parameter runs: For each sequence, how many rows it has in this pass, in order.
  init(
    continuing runs: [(sequence: TokenSequence, count: Int)], pool: WorkerPool, workspace: Workspace,
    precision: Precision
  ) {
    var (cached, positions, segments): ([CachedRun], [Int32], [AdapterSegment]) = ([], [], [])
    var row = 0
    for (sequence, count) in runs {
      let rows = row..<row + count
      cached.append(CachedRun(rows: rows, sequence: sequence))
      positions += (0..<count).map { Int32(sequence.cache.tokenCount + $0) }
      if let adapter = sequence.adapter {
        if let last = segments.last, last.adapter === adapter, last.rows.upperBound == row {
          segments[segments.count - 1] = AdapterSegment(
            rows: last.rows.lowerBound..<rows.upperBound, adapter: adapter)
        } else {
          segments.append(AdapterSegment(rows: rows, adapter: adapter))
        }
      }
      row += count
    }
    self.pool = pool
    self.workspace = workspace
    self.precision = precision
    self.positions = positions
    positionLimit = Int(positions.max() ?? -1) + 1
    layout = .cached(cached)
    adapters = segments
    wanted = nil
    tape = nil
    dropout = nil
  }

  /// A pass over whole sequences: training and scoring.
  ///
  /// - Parameters:
  ///   - wanted: The rows of the last hidden states that are looked at.
  ///   - tape: Given in training; then products are in f32 where `precision` does not say bf16.
  init(
    packed rows: PackedRows, adapter: Adapter?, pool: WorkerPool, workspace: Workspace, precision: Precision,
    wanted: [Int]? = nil, tape: Tape? = nil, dropout: DropoutSource? = nil
  ) {
    self.pool = pool
    self.workspace = workspace
    self.precision = tape == nil || precision.usesHalves ? precision : .reference
    positions = rows.positions
    positionLimit = Int(positions.max() ?? -1) + 1
    layout = .packed(starts: rows.starts, folding: rows.folding())
    adapters = adapter.map { [AdapterSegment(rows: 0..<rows.positions.count, adapter: $0)] } ?? []
    self.wanted = wanted
    self.tape = tape
    self.dropout = dropout
  }

  /// A new activation matrix, undefined until written.
  func tensor(_ rows: Int, _ columns: Int) -> Tensor { Tensor(rows, columns, in: workspace) }

  /// The wanted rows of the last hidden states, where a family has not left the others out.
  func wantedRows(of hidden: Tensor) -> Tensor {
    guard let wanted, !hasSelected else { return hidden }
    return select(wanted, of: hidden)
  }

  /// Records `backward` if there is a tape and any of `inputs` or `parameters` needs a gradient.
  func record(
    _ output: Tensor, inputs: [Tensor], parameters: [Parameter?] = [], force: Bool = false,
    _ backward: @escaping (_ gradient: Tensor) -> Void
  ) {
    guard let tape,
      force || inputs.contains(where: { $0.requiresGradient })
        || parameters.contains(where: { $0?.isTrainable == true })
    else { return }
    output.requiresGradient = true
    // The values of the output are not needed here; what needs them holds them itself.
    let slot = output.slot
    tape.record {
      // An output that nothing downstream used has no gradient, so neither have its inputs.
      guard let gradient = slot.gradient else { return }
      backward(gradient)
      slot.gradient = nil
    }
  }
}

/// The counter that dropout draws from: the same step of the same run always drops the same elements.
final class DropoutSource {
  let seed: UInt64
  private var stream: UInt64

  /// - Parameters:
  ///   - seed: Of the run.
  ///   - step: Number of the forward pass since the run began; passes never share streams.
  init(seed: UInt64, step: Int) {
    self.seed = seed
    stream = UInt64(step) << 24
  }

  /// The next operation's stream.
  func next() -> UInt64 {
    stream += 1
    return stream
  }
}
