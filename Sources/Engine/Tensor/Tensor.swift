internal import CKernels

/// A dense row-major matrix of activations, `[rows, columns]`, with undefined contents until written.
///
/// Its buffer goes back to the workspace with the last reference.
@safe
public final class Tensor {
  /// Rows: usually tokens.
  public let rows: Int
  /// Columns: usually the width of a layer.
  public let columns: Int

  let data: UnsafeMutablePointer<Float>
  private let workspace: Workspace

  /// Where its gradient is gathered; there is one only if somebody asked.
  private(set) lazy var slot = GradientSlot(rows, columns, in: workspace)
  /// How to compute it again, for outputs that are not worth keeping; set by the operation that made it.
  var recipe: Remembered?

  init(_ rows: Int, _ columns: Int, in workspace: Workspace) {
    self.rows = rows
    self.columns = columns
    self.workspace = workspace
    unsafe data = workspace.take(rows * columns)
  }

  deinit { unsafe workspace.give(data) }

  var count: Int { rows * columns }

  func fill(_ value: Float) { unsafe data.update(repeating: value, count: count) }

  func copy(from other: Tensor) {
    precondition(count == other.count, "copying \(other.count) elements into \(count)")
    unsafe data.update(from: other.data, count: count)
  }

  /// What a backward step that reads this tensor's values has to hold.
  var remembered: Remembered { recipe ?? Remembered(self) }

  /// Whether anything that trains lies upstream, so that `backward` has to come through here.
  var requiresGradient: Bool {
    get { slot.isRequired }
    set { slot.isRequired = newValue }
  }

  /// ∂loss/∂self, `[rows, columns]`, once something downstream has added to it.
  var gradient: Tensor? {
    get { slot.gradient }
    set { slot.gradient = newValue }
  }

  /// The gradient to add to, zero at first.
  func gradientForAdding() -> Tensor { slot.forAdding() }

  /// The elements, row by row.
  public var values: [Float] { unsafe Array(UnsafeBufferPointer(start: data, count: count)) }

  /// The elements of some rows, one after the other.
  @_lifetime(borrow self)
  func span(ofRows rows: Range<Int>) -> Span<Float> {
    precondition(rows.lowerBound >= 0 && rows.upperBound <= self.rows, "rows \(rows) of \(self.rows)")
    let span = unsafe Span(_unsafeStart: data + rows.lowerBound * columns, count: rows.count * columns)
    return unsafe _overrideLifetime(span, borrowing: self)
  }

  /// Calls `body` with the elements of one row, to be changed in place.
  func withMutableRow<Result, Failure: Error>(
    _ index: Int, _ body: (inout MutableSpan<Float>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    precondition(index >= 0 && index < rows, "row \(index) of \(rows)")
    var row = unsafe MutableSpan(_unsafeStart: data + index * columns, count: columns)
    return try body(&row)
  }

  /// The elements of one row.
  public func row(_ index: Int) -> [Float] {
    precondition(index >= 0 && index < rows, "row \(index) of \(rows)")
    return unsafe Array(UnsafeBufferPointer(start: data + index * columns, count: columns))
  }
}
