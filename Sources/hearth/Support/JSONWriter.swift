internal import Foundation

/// JSON as it is made, for answers of many thousand numbers and strings: `JSONEncoder` boxes each of them.
///
/// Strings are spelled as `JSONOutput` spells them, so a reader cannot tell which of the two wrote a line.
struct JSONWriter {
  /// What was written.
  private(set) var bytes: [UInt8] = []

  /// Appends `text` as it is.
  mutating func verbatim(_ text: StaticString) {
    bytes.append(contentsOf: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  /// Appends a number in decimal.
  mutating func integer(_ value: Int32) {
    var digits: InlineArray<10, UInt8> = .init(repeating: 0)
    var (rest, count) = (value.magnitude, 0)
    repeat {
      digits[count] = UInt8(ascii: "0") + UInt8(rest % 10)
      rest /= 10
      count += 1
    } while rest > 0
    if value < 0 { bytes.append(UInt8(ascii: "-")) }
    for index in (0..<count).reversed() { bytes.append(digits[index]) }
  }

  /// Appends a string in quotes.
  mutating func string(_ text: String) {
    bytes.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      if byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
        bytes.append(byte)
      } else {
        escape(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }

  private mutating func escape(_ byte: UInt8) {
    bytes.append(UInt8(ascii: "\\"))
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes.append(byte)
    case 0x08: bytes.append(UInt8(ascii: "b"))
    case 0x09: bytes.append(UInt8(ascii: "t"))
    case 0x0A: bytes.append(UInt8(ascii: "n"))
    case 0x0C: bytes.append(UInt8(ascii: "f"))
    case 0x0D: bytes.append(UInt8(ascii: "r"))
    default:
      let digits = StaticString("0123456789abcdef")
      bytes.append(contentsOf: [
        UInt8(ascii: "u"), UInt8(ascii: "0"), UInt8(ascii: "0"), digits.utf8Start[Int(byte >> 4)],
        digits.utf8Start[Int(byte & 15)],
      ])
    }
  }

  /// Appends `values` in brackets.
  mutating func array<Values: Sequence>(_ values: Values, _ element: (inout JSONWriter, Values.Element) -> Void) {
    bytes.append(UInt8(ascii: "["))
    var isFirst = true
    for value in values {
      if !isFirst { bytes.append(UInt8(ascii: ",")) }
      isFirst = false
      element(&self, value)
    }
    bytes.append(UInt8(ascii: "]"))
  }
}

/// An answer that writes its own JSON, members in the order of their names.
protocol JSONWritable: Encodable {
  /// Appends the object.
  func write(to json: inout JSONWriter)
}
