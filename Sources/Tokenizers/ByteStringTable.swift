/// Byte strings by number, and the number of a byte string: a vocabulary, both ways.
///
/// All strings lie in one buffer; the way back is a hash table with open addressing, at most half
/// full. Equality is of bytes: Swift's `String` would take canonically equivalent tokens for one.
struct ByteStringTable: Sendable {
  /// Every string, one after another.
  private(set) var bytes: [UInt8] = []
  /// Where each string begins, `[count + 1]`.
  private var offsets: [UInt32] = [0]
  /// The number of the string that hashed here, or −1; a power of two.
  private var slots: [Int32]
  /// The longest string that can be looked up, in bytes.
  private(set) var longest = 0

  /// How many strings there are.
  var count: Int { offsets.count - 1 }

  /// An empty table with room for `capacity` strings.
  init(capacity: Int) {
    var slotCount = 16
    while slotCount < capacity * 2 { slotCount *= 2 }
    slots = [Int32](repeating: -1, count: slotCount)
    offsets.reserveCapacity(capacity + 1)
  }

  /// Appends a string under the next number.
  ///
  /// - Parameter isIndexed: whether `number(of:)` shall find it.
  /// - Returns: nil, or the number of an equal indexed string, which then stays the one found.
  @discardableResult
  mutating func append(_ string: [UInt8], isIndexed: Bool) -> Int32? {
    let start = bytes.count
    bytes.append(contentsOf: string)
    // A vocabulary of four gigabytes would not have been read.
    offsets.append(UInt32(bytes.count))
    guard isIndexed else { return nil }
    precondition(count * 2 <= slots.count, "more strings than the table has room for")
    longest = max(longest, bytes.count - start)
    var slot = slot(of: bytes.span, start, bytes.count)
    while slots[slot] >= 0 {
      if equals(slots[slot], bytes.span, start, bytes.count) { return slots[slot] }
      slot = (slot + 1) & (slots.count - 1)
    }
    slots[slot] = Int32(count - 1)
    return nil
  }

  /// Where string `number` lies in `bytes`.
  @inline(__always)
  func range(of number: Int) -> Range<Int> { Int(offsets[number])..<Int(offsets[number + 1]) }

  /// String `number`.
  func string(_ number: Int) -> ArraySlice<UInt8> { bytes[range(of: number)] }

  /// The number of the indexed string equal to `text[start..<end]`, or −1.
  @inline(__always)
  func number(of text: Span<UInt8>, _ start: Int, _ end: Int) -> Int32 {
    guard end - start <= longest else { return -1 }
    var slot = slot(of: text, start, end)
    while slots[slot] >= 0 {
      if equals(slots[slot], text, start, end) { return slots[slot] }
      slot = (slot + 1) & (slots.count - 1)
    }
    return -1
  }

  /// The number of the indexed string equal to `text`, or nil.
  func number(of text: [UInt8]) -> Int32? {
    let found = number(of: text.span, 0, text.count)
    return found < 0 ? nil : found
  }

  /// FNV-1a with a final mix, since only the low bits choose the slot.
  @inline(__always)
  private func slot(of text: Span<UInt8>, _ start: Int, _ end: Int) -> Int {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for index in start..<end { hash = (hash ^ UInt64(text[index])) &* 0x0000_0100_0000_01B3 }
    return Int(truncatingIfNeeded: hash ^ (hash >> 29)) & (slots.count - 1)
  }

  @inline(__always)
  private func equals(_ number: Int32, _ text: Span<UInt8>, _ start: Int, _ end: Int) -> Bool {
    let range = range(of: Int(number))
    guard range.count == end - start else { return false }
    for offset in 0..<range.count where bytes[range.lowerBound + offset] != text[start + offset] {
      return false
    }
    return true
  }
}
