/// The reversible map between bytes and printable characters in which byte-level vocabularies are
/// written.
///
/// Bytes that are printable in Latin-1 stand for themselves; the other 68 are U+0100 onwards, in
/// order. So a space is `Ġ` (U+0120) and a line feed is `Ċ` (U+010A).
///
/// Radford et al., "Language Models are Unsupervised Multitask Learners" (2019), section 2.2.
enum ByteLevelAlphabet {
  /// The scalar that stands for each byte.
  static let scalars: [Unicode.Scalar] = {
    var scalars: [Unicode.Scalar] = []
    var moved: UInt8 = 0
    for byte in UInt8.min...UInt8.max {
      if isPrintable(byte) {
        scalars.append(Unicode.Scalar(byte))
      } else {
        // U+0100 has the low byte 0x00 and the next 67 follow it.
        scalars.append(Unicode.Scalar(0x0100 + UInt16(moved)) ?? Unicode.Scalar(byte))
        moved += 1
      }
    }
    return scalars
  }()

  /// The byte for each scalar below U+0144, or −1 where the alphabet has no such character.
  private static let bytes: [Int16] = {
    var bytes = [Int16](repeating: -1, count: 0x0144)
    for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar.value)] = Int16(byte) }
    return bytes
  }()

  private static func isPrintable(_ byte: UInt8) -> Bool {
    (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || byte >= 0xAE
  }

  /// The bytes that `text` spells, or nil if a character is not of the alphabet.
  static func bytes(of text: String) -> [UInt8]? {
    var result: [UInt8] = []
    result.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      let value = Int(scalar.value)
      guard value < bytes.count, bytes[value] >= 0 else { return nil }
      result.append(UInt8(bytes[value]))
    }
    return result
  }

  /// How `bytes` are spelled in a vocabulary.
  static func spelling(of bytes: some Sequence<UInt8>) -> String {
    var text = String.UnicodeScalarView()
    for byte in bytes { text.append(scalars[Int(byte)]) }
    return String(text)
  }
}
