internal import CKernels

/// What a gated feed-forward layer keeps of its gate and up for the gradient, `[rows, columns]` each: in bf16, or in 8 bits with a scale
/// for 32 numbers of a row, at little more than half of what that takes.
@safe
final class KeptGates {
  @safe
  private enum Storage {
    case halves(gate: HalfTensor, up: HalfTensor)
    case integers(UnsafeMutablePointer<Float>)
  }

  private let rows: Int
  private let columns: Int
  private let storage: Storage
  private let workspace: Workspace

  /// - Parameter inIntegers: Whether 8 bits are enough: where the gradients go back in 8 bits, which rounds as much.
  init(_ rows: Int, _ columns: Int, inIntegers: Bool, in workspace: Workspace) {
    (self.rows, self.columns, self.workspace) = (rows, columns, workspace)
    if inIntegers {
      let bytesOfRow = 2 * Int(HEARTH_BF16_GATE_LANES) + 2 * MemoryLayout<UInt16>.size
      storage = unsafe .integers(
        workspace.take(KeptGates.panels(columns) * rows * bytesOfRow / MemoryLayout<Float>.size))
    } else {
      storage = .halves(
        gate: HalfTensor(rows, columns, in: workspace), up: HalfTensor(rows, columns, in: workspace))
    }
  }

  deinit {
    if case .integers(let data) = storage { unsafe workspace.give(data) }
  }

  private static func panels(_ columns: Int) -> Int {
    (columns + Int(HEARTH_BF16_GATE_LANES) - 1) / Int(HEARTH_BF16_GATE_LANES)
  }

  /// Tells a product where to write them, or to read them.
  func place(in matrix: inout hearth_bf16_matrix) {
    switch storage {
    case .halves(let gate, let up): unsafe (matrix.gate, matrix.up) = (gate.data, up.data)
    case .integers(let data):
      let q = UnsafeMutableRawPointer(data)
      let count = KeptGates.panels(columns) * rows
      unsafe matrix.gates.q = q.assumingMemoryBound(to: Int8.self)
      unsafe matrix.gates.scales = (q + count * 2 * Int(HEARTH_BF16_GATE_LANES)).assumingMemoryBound(to: UInt16.self)
      unsafe matrix.gates.rows = rows
    }
  }

  /// Where their gradients go; in bf16 these are the places of what is kept, which is read for the last time then.
  func placesOfGradients() -> (gate: HalfTensor, up: HalfTensor) {
    if case .halves(let gate, let up) = storage { return (gate, up) }
    return (HalfTensor(rows, columns, in: workspace), HalfTensor(rows, columns, in: workspace))
  }
}
