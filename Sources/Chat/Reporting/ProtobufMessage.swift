/// A protocol-buffer message written field by field, for the few that TensorBoard needs.
///
/// Encoding as in protobuf.dev/programming-guides/encoding. Fields are written in the order given, which is how the
/// official writers order them too: by number.
struct ProtobufMessage {
  /// The encoded message.
  private(set) var bytes: [UInt8] = []

  /// A message built by `fill`.
  init(_ fill: (inout ProtobufMessage) -> Void = { _ in }) { fill(&self) }

  /// Appends an integer, enumeration or boolean field.
  mutating func varint(_ field: Int, _ value: Int64) {
    key(field, wireType: 0)
    appendVarint(UInt64(bitPattern: value))
  }

  /// Appends a double field.
  mutating func double(_ field: Int, _ value: Double) {
    key(field, wireType: 1)
    append(littleEndian: value.bitPattern)
  }

  /// Appends a float field.
  mutating func float(_ field: Int, _ value: Float) {
    key(field, wireType: 5)
    append(littleEndian: value.bitPattern)
  }

  /// Appends a string field.
  mutating func string(_ field: Int, _ text: String) { data(field, Array(text.utf8)) }

  /// Appends a message field.
  mutating func message(_ field: Int, _ fill: (inout ProtobufMessage) -> Void) {
    data(field, ProtobufMessage(fill).bytes)
  }

  /// Appends a bytes field.
  mutating func data(_ field: Int, _ content: [UInt8]) {
    key(field, wireType: 2)
    appendVarint(UInt64(content.count))
    bytes.append(contentsOf: content)
  }

  private mutating func key(_ field: Int, wireType: UInt64) {
    appendVarint(UInt64(truncatingIfNeeded: field) << 3 | wireType)
  }

  private mutating func appendVarint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }

  private mutating func append(littleEndian value: some FixedWidthInteger) {
    bytes.append(contentsOf: value.littleEndianBytes)
  }
}

extension FixedWidthInteger {
  /// The bytes, least significant first.
  var littleEndianBytes: [UInt8] {
    (0..<(Self.bitWidth / 8)).map { UInt8(truncatingIfNeeded: self >> ($0 * 8)) }
  }
}
