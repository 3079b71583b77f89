internal import Glibc

/// A tensor as it lies in a checkpoint's file: a view of the mapping, which it keeps alive.
public struct StoredTensor: Sendable {
  /// The tensor's name in its file.
  public let name: String
  /// Its element type as a GGUF number: `hearth_format_for` knows those that can be computed with.
  /// Tensors of safetensors files have the number of the same type (F32 0, F16 1, BF16 30).
  public let formatNumber: UInt32
  /// Row-major, outermost first: a weight matrix is `[outputs, inputs]`.
  public let shape: [Int]
  /// The path of the file it lies in, for errors.
  public let file: String

  private let owner: SharedMapping
  private let offset: Int
  /// The tensor's size in the file.
  public let byteCount: Int

  /// A tensor whose range the reader of its file has checked.
  init(
    name: String, formatNumber: UInt32, shape: [Int], file: String, owner: SharedMapping,
    offset: Int, byteCount: Int
  ) {
    precondition(
      offset >= 0 && byteCount >= 0 && offset <= owner.file.byteCount - byteCount,
      "a tensor's range must lie inside its file")
    self.name = name
    self.formatNumber = formatNumber
    self.shape = shape
    self.file = file
    self.owner = owner
    self.offset = offset
    self.byteCount = byteCount
  }

  /// The type of the elements.
  public var type: GGMLType { GGMLType(number: formatNumber) }

  /// The number of elements, the product of the shape.
  public var elementCount: Int { shape.reduce(1, *) }

  /// Elements in a row: the last dimension, 1 for a scalar.
  public var rowWidth: Int { shape.last ?? 1 }

  /// The number of rows: the product of all dimensions but the last.
  public var rowCount: Int { shape.dropLast().reduce(1, *) }

  /// Bytes in a row.
  public var rowBytes: Int { type.rowBytes(width: rowWidth) ?? 0 }

  /// The stored bytes.
  public var span: RawSpan {
    @_lifetime(borrow self)
    get {
      let span = unsafe RawSpan(_unsafeBytes: bytes)
      return unsafe _overrideLifetime(span, borrowing: self)
    }
  }

  /// The stored bytes, for C. Valid only while this value, a copy of it, or its checkpoint lives.
  @unsafe public var bytes: UnsafeRawBufferPointer {
    unsafe UnsafeRawBufferPointer(rebasing: owner.file.unsafeBytes[offset..<offset + byteCount])
  }

  /// Tells the system that the bytes are not needed for now; reading them again reads the file again.
  func letGo() { owner.file.letGo(offset..<offset + byteCount) }

  /// Calls `body` with the stored bytes, keeping the file mapped until it returns.
  public func withBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    defer { extendLifetime(owner) }
    return unsafe try body(bytes)
  }
}
