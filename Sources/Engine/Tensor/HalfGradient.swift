internal import CKernels

/// The gradient of a matrix in bf16, `[rows, columns]`: added to in f32, rounded to nearest, ties to even, at each addition.
///
/// PyTorch's autocast rounds the gradients of weights likewise. Half the memory of f32, and half of what an optimiser step has to read. It
/// lies among the activations, from the first product that is added to it until the optimiser's step: when the most of those are held, between
/// a pass forward and its way back, the gradients of a step's first part take nothing yet.
@safe
final class HalfGradient {
  let rows: Int
  let columns: Int
  private let workspace: Workspace
  private var buffer: UnsafeMutablePointer<Float>?

  var count: Int { rows * columns }

  /// What it takes now.
  var bytes: Int { isZero ? 0 : count * MemoryLayout<UInt16>.stride }

  /// Whether nothing was added to it yet.
  var isZero: Bool { unsafe buffer == nil }

  /// The elements; nil where all are zero.
  var data: UnsafeMutablePointer<UInt16>? {
    unsafe buffer.map { unsafe UnsafeMutableRawPointer($0).assumingMemoryBound(to: UInt16.self) }
  }

  init(_ rows: Int, _ columns: Int, in workspace: Workspace) {
    (self.rows, self.columns, self.workspace) = (rows, columns, workspace)
  }

  deinit { clear() }

  /// The elements, for whoever adds to all of them, or writes all of them where they are new, whatever the memory holds.
  func forAdding() -> (data: UnsafeMutablePointer<UInt16>, isNew: Bool) {
    if let data = unsafe data { return unsafe (data, false) }
    let fresh = unsafe workspace.take((count + 1) / 2)
    unsafe buffer = fresh
    return unsafe (UnsafeMutableRawPointer(fresh).assumingMemoryBound(to: UInt16.self), true)
  }

  /// The elements, for whoever adds to a part of them or reads zeros too.
  func materialized() -> UnsafeMutablePointer<UInt16> {
    let (data, isNew) = unsafe forAdding()
    if isNew { unsafe data.update(repeating: 0, count: count) }
    return unsafe data
  }

  /// Makes it zero, and takes nothing.
  func clear() {
    if let buffer = unsafe buffer { unsafe workspace.give(buffer) }
    unsafe buffer = nil
  }

  /// Adds rows of `values`, `[indices, columns]`, those of the same row together before they are rounded, in their order.
  func add(_ values: Tensor, toRows indices: [Int32]) {
    let data = unsafe materialized()
    var sums: [Int32: [Float]] = [:]
    for (source, index) in indices.enumerated() {
      unsafe sums[index, default: [Float](repeating: 0, count: columns)].withUnsafeMutableBufferPointer {
        guard let base = $0.baseAddress else { return }
        unsafe hearth_add_scaled(nil, base, values.data + source * columns, 1, columns)
      }
    }
    for (index, sum) in sums { unsafe hearth_bf16_add(data + Int(index) * columns, sum, columns) }
  }

  /// The elements in f32.
  var values: [Float] { values(0..<count) }

  /// Some of them.
  func values(_ range: Range<Int>) -> [Float] {
    var values = [Float](repeating: 0, count: range.count)
    if let data = unsafe data { unsafe hearth_bf16_widen(&values, data + range.lowerBound, range.count) }
    return values
  }

  /// Replaces elements from `start` on by what `values` are when rounded.
  func set(_ values: ArraySlice<Float>, from start: Int) {
    let data = unsafe materialized()
    unsafe values.withUnsafeBufferPointer {
      guard let base = $0.baseAddress else { return }
      unsafe (data + start).update(repeating: 0, count: $0.count)
      unsafe hearth_bf16_add(data + start, base, $0.count)
    }
  }
}
