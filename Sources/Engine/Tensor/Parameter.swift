internal import CKernels
internal import Glibc

/// What a parameter is called: in a GGUF file, and in a Hugging Face folder.
public struct ParameterName: Sendable, Hashable {
  /// As in GGUF, "blk.0.attn_q.weight".
  public let gguf: String
  /// As in `transformers`, "model.layers.0.self_attn.q_proj.weight".
  public let huggingFace: String
}

/// How finely a product reads its activations when serving.
///
/// Weights are read exactly as the file has them, so rounding activations is the only error of serving beside that of f32 sums. Eight
/// bits, as everybody uses, cost one integer dot product; sixteen cost two and leave an error too small to measure. Where weights are
/// numbers in bf16, whose significands have eight bits as well, `bits8` is bf16 and `bits16` is f32, at twice the cost.
enum ActivationPrecision {
  case bits8, bits16

  /// Terms of eight bits that an activation is a sum of.
  var terms: Int32 { self == .bits8 ? 1 : 2 }
}

/// A matrix (or vector, with one row) that belongs to a model or an adapter.
///
/// It holds up to three things: the bytes of the file it came from, its values in f32, and its packed form for serving. The
/// f32 values of a quantised parameter are exactly what its blocks stand for.
@safe
public final class Parameter {
  /// Its name in both kinds of checkpoint.
  public let name: ParameterName
  /// Output rows; 1 for a vector.
  public let rows: Int
  /// Inputs of a linear map; the width of a table's rows or of a vector.
  public let columns: Int
  /// Where the values come from; nil for parameters that training created.
  public let stored: StoredTensor?
  /// Whether the file has the transpose, `[columns, rows]`, as GPT-2's Conv1D in a Hugging Face folder.
  public let isTransposed: Bool
  /// Heads whose rows a GGUF file of this family stores in another order than a Hugging Face folder: the two elements that RoPE turns
  /// together are neighbours there and half a head apart here. 0 when the orders agree.
  public let rotaryHeadCount: Int

  /// How finely its products read their activations when serving.
  var activations = ActivationPrecision.bits8
  /// Whether training changes this parameter. Requires f32 values.
  var isTrainable = false
  /// Counts changes of the values, for what is computed from them and kept.
  private(set) var version = 0
  /// ∂loss/∂self, `[rows, columns]`, allocated and zeroed by the trainer; nil where it is kept in bf16.
  private(set) var gradient: UnsafeMutablePointer<Float>?
  /// The gradient of a matrix that is trained with its gradient in bf16.
  private(set) var halfGradient: HalfGradient?
  /// The f32 values, when they are held.
  private(set) var float32: UnsafeMutablePointer<Float>?
  /// The packed form of quantised blocks, when there is one; a `hearth_affine`.
  private(set) var packed: OpaquePointer?
  /// The packed form turned round, `[columns, rows]` in 8 bits, while integer products with gradients read it; a `hearth_int8`.
  private(set) var turned: OpaquePointer?
  /// Whether integer products of few rows with gradients read it turned round too.
  var isTurnedForFewRows = false
  /// The packed form of floats, when there is one; a `hearth_dense`.
  private(set) var dense: OpaquePointer?

  init(
    _ name: ParameterName, rows: Int, columns: Int, stored: StoredTensor?, isTransposed: Bool = false,
    rotaryHeadCount: Int = 0
  ) {
    self.name = name
    self.rows = rows
    self.columns = columns
    self.stored = stored
    self.isTransposed = isTransposed
    self.rotaryHeadCount = rotaryHeadCount
  }

  deinit {
    unsafe free(gradient)
    unsafe free(float32)
    unsafe hearth_affine_free(packed)
    unsafe hearth_int8_free(turned)
    unsafe hearth_dense_free(dense)
  }

  /// Numbers in it.
  public var count: Int { rows * columns }

  // MARK: f32 values

  private static func allocate(_ count: Int) -> UnsafeMutablePointer<Float> {
    let bytes = (max(1, count) * MemoryLayout<Float>.stride + 63) / 64 * 64
    guard let memory = unsafe aligned_alloc(64, bytes) else {
      preconditionFailure("out of memory: \(bytes) bytes for a parameter")
    }
    return unsafe memory.bindMemory(to: Float.self, capacity: count)
  }

  /// Holds the values in f32 from now on.
  func holdFloat32(_ pool: WorkerPool) {
    guard unsafe float32 == nil else { return }
    let values = unsafe Parameter.allocate(count)
    if stored == nil {
      unsafe values.update(repeating: 0, count: count)
    } else if isTransposed {
      let across = unsafe Parameter.allocate(count)
      unsafe dequantise(into: across, pool)
      for row in 0..<rows {
        for column in 0..<columns {
          unsafe values[row * columns + column] = across[column * rows + row]
        }
      }
      unsafe free(across)
    } else {
      unsafe dequantise(into: values, pool)
    }
    // The file's copy is not needed while this one is; what is needed again is read again.
    stored?.letGo()
    unsafe float32 = values
  }

  /// Gives the f32 values up; those of a trained parameter stay.
  func releaseFloat32() {
    guard stored != nil, !isTrainable, !isTransposed else { return }
    unsafe free(float32)
    unsafe float32 = nil
  }

  /// Runs `body` with all values in f32, dequantised into the workspace if they are not held.
  func withFloat32<Result>(
    _ workspace: Workspace, _ pool: WorkerPool, _ body: (UnsafePointer<Float>) -> Result
  ) -> Result {
    if isTransposed { holdFloat32(pool) }
    if let float32 = unsafe float32 { return unsafe body(float32) }
    let scratch = unsafe workspace.take(count)
    defer { unsafe workspace.give(scratch) }
    unsafe dequantise(into: scratch, pool)
    return unsafe body(scratch)
  }

  /// Writes what the file's blocks stand for, in the file's own order, rows shared between the workers.
  private func dequantise(into values: UnsafeMutablePointer<Float>, _ pool: WorkerPool) {
    guard let stored, let format = unsafe hearth_format_for(stored.formatNumber) else {
      preconditionFailure("\(name.gguf): no values and no format to read them from")
    }
    let (storedRows, storedColumns) = isTransposed ? (columns, rows) : (rows, columns)
    let rowBytes = unsafe storedColumns / Int(format.pointee.block_elements) * Int(format.pointee.block_bytes)
    unsafe stored.withBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      pool.run { index, workers in
        for row in storedRows * index / workers..<storedRows * (index + 1) / workers {
          unsafe format.pointee.dequantize(
            values + row * storedColumns, base + row * rowBytes, storedColumns)
        }
      }
    }
  }

  /// Writes the values of one row in f32.
  func readRow(_ row: Int, into values: UnsafeMutablePointer<Float>) {
    if let float32 = unsafe float32 {
      unsafe values.update(from: float32 + row * columns, count: columns)
      return
    }
    // The same numbers as in the file, whose pages would otherwise come back into memory beside the packed ones.
    if let packed = unsafe packed {
      unsafe hearth_affine_dequantize_rows(packed, values, columns, row, 1)
      return
    }
    guard let stored, let format = unsafe hearth_format_for(stored.formatNumber) else {
      preconditionFailure("\(name.gguf): no values and no format to read them from")
    }
    let rowBytes = unsafe columns / Int(format.pointee.block_elements) * Int(format.pointee.block_bytes)
    unsafe stored.withBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      unsafe format.pointee.dequantize(values, base + row * rowBytes, columns)
    }
  }

  /// All values in f32, in this parameter's own order.
  public func values(_ pool: WorkerPool) -> [Float] {
    unsafe withFloat32(Workspace(), pool) { unsafe Array(UnsafeBufferPointer(start: $0, count: count)) }
  }

  /// Replaces the f32 values, `[rows, columns]`.
  func setValues(_ values: [Float]) {
    precondition(values.count == count, "\(name.gguf): \(values.count) values for \(count)")
    if unsafe float32 == nil { unsafe float32 = Parameter.allocate(count) }
    unsafe values.withUnsafeBufferPointer { source in
      if let base = source.baseAddress, let float32 = unsafe float32 {
        unsafe float32.update(from: base, count: count)
      }
    }
    dropPacked()
    noteChange()
  }

  /// Replaces the f32 values by those of a tensor of this parameter's shape, whose format is known.
  func setValues(_ tensor: StoredTensor) {
    precondition(tensor.elementCount == count, "\(name.gguf): \(tensor.elementCount) values for \(count)")
    if unsafe float32 == nil { unsafe float32 = Parameter.allocate(count) }
    if let float32 = unsafe float32 { unsafe tensor.writeFloat32(to: float32) }
    dropPacked()
    noteChange()
  }

  /// To be called by whoever changes the f32 values in place.
  func noteChange() { version += 1 }

  // MARK: Serving

  /// Whether serving has a packed form to multiply with.
  var isPacked: Bool { unsafe packed != nil || dense != nil }

  /// Packs the stored elements for serving: quantised blocks for the integer kernels, floats for theirs.
  func pack(_ pool: WorkerPool) {
    guard !isPacked, !isTransposed, !isTrainable, let stored else { return }
    packBlocks(stored, pool)
    packFloats(stored, pool)
    // The file's copy is not needed while the packed one is; what is needed again is read again.
    if isPacked { stored.letGo() }
  }

  private func packFloats(_ stored: StoredTensor, _ pool: WorkerPool) {
    let types: [UInt32: hearth_dense_type] = [
      0: HEARTH_DENSE_F32, 1: HEARTH_DENSE_F16,
      30: activations == .bits8 ? HEARTH_DENSE_BF16_ROUNDED : HEARTH_DENSE_BF16,
    ]
    guard let type = types[stored.formatNumber] else { return }
    unsafe dense = stored.withBytes { bytes in
      unsafe hearth_dense_pack(
        pool.pointer, type, bytes.baseAddress, columns * (type == HEARTH_DENSE_F32 ? 4 : 2), rows, columns)
    }
  }

  private func packBlocks(_ stored: StoredTensor, _ pool: WorkerPool) {
    guard columns % 32 == 0, let format = unsafe hearth_format_for(stored.formatNumber),
      unsafe format.pointee.affine_bits > 0
    else { return }
    let rowBytes = unsafe columns / Int(format.pointee.block_elements) * Int(format.pointee.block_bytes)
    unsafe packed = stored.withBytes { bytes in
      unsafe hearth_affine_pack(
        pool.pointer, format, bytes.baseAddress, rowBytes, rows, columns, activations.terms)
    }
  }

  /// Whether there are packed blocks to turn round.
  var canTurn: Bool { unsafe packed != nil }

  /// What it takes to hold them turned round.
  var turnedBytes: Int { canTurn ? hearth_int8_bytes(columns, rows) : 0 }

  /// Turns the packed blocks round, for integer products with gradients; nothing where there are none.
  func packTurned(_ pool: WorkerPool) {
    guard canTurn, let packed = unsafe packed, unsafe turned == nil else { return }
    unsafe turned = hearth_int8_turn(pool.pointer, packed)
  }

  func dropTurned() {
    unsafe hearth_int8_free(turned)
    unsafe turned = nil
  }

  func dropPacked() {
    unsafe hearth_affine_free(packed)
    unsafe hearth_dense_free(dense)
    unsafe (packed, dense) = (nil, nil)
    dropTurned()
  }

  // MARK: Training

  /// Makes room for a gradient and lets training change the values.
  ///
  /// - Parameter workspace: Where the gradient is kept in bf16; whoever adds to it then does so by `halfGradient`. Nil: it is in f32.
  func startTraining(_ pool: WorkerPool, halvesIn workspace: Workspace? = nil) {
    holdFloat32(pool)
    dropPacked()
    isTrainable = true
    if let workspace {
      if halfGradient == nil { halfGradient = HalfGradient(rows, columns, in: workspace) }
    } else if unsafe gradient == nil {
      unsafe gradient = Parameter.allocate(count)
    }
    zeroGradient()
  }

  func stopTraining() {
    isTrainable = false
    unsafe free(gradient)
    unsafe gradient = nil
    halfGradient = nil
  }

  func zeroGradient() {
    halfGradient?.clear()
    if let gradient = unsafe gradient { unsafe gradient.update(repeating: 0, count: count) }
  }

  /// The gradient's elements, for tests.
  package var gradientValues: [Float] {
    if let halfGradient { return halfGradient.values }
    guard let gradient = unsafe gradient else { return [] }
    return unsafe Array(UnsafeBufferPointer(start: gradient, count: count))
  }
}
