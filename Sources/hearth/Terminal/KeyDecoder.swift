/// Turns the bytes of a terminal into keys, however they were cut into reads.
///
/// Understands UTF-8, xterm's cursor keys with modifiers, the variants of Linux consoles and rxvt, CSI u for Shift-Enter,
/// and bracketed paste (xterm, "ctlseqs", sections "PC-Style Function Keys" and "Bracketed Paste Mode").
struct KeyDecoder {
  private enum State: Equatable {
    case ground
    case escape
    case control(parameters: [UInt8])
    case singleShift
    case paste
    case scalar(remaining: Int)
  }

  private var state = State.ground
  private var bytes: [UInt8] = []

  /// Whether an escape sequence has begun that might also be a lone Escape key; `timeOut` decides.
  var isWaiting: Bool {
    switch state {
    case .escape, .control, .singleShift: true
    default: false
    }
  }

  /// Takes bytes as they were read.
  mutating func decode(_ input: some Sequence<UInt8>) -> [Key] {
    input.flatMap { take($0) }
  }

  /// No byte followed for a while.
  mutating func timeOut() -> [Key] {
    guard isWaiting else { return [] }
    defer { state = .ground }
    return state == .escape ? [.escape] : []
  }

  private mutating func take(_ byte: UInt8) -> [Key] {
    switch state {
    case .ground: return ground(byte)
    case .escape: return escape(byte)
    case .control(let parameters):
      if (0x20...0x3F).contains(byte), parameters.count < 32 {
        state = .control(parameters: parameters + [byte])
        return []
      }
      state = .ground
      return controlSequence(String(decoding: parameters, as: UTF8.self), byte)
    case .singleShift:
      state = .ground
      return [Self.cursorKey(byte, modifier: 1) ?? .unknown]
    case .paste:
      bytes.append(byte)
      guard bytes.suffix(Self.pasteEnd.count).elementsEqual(Self.pasteEnd) else { return [] }
      let text = String(decoding: bytes.dropLast(Self.pasteEnd.count), as: UTF8.self)
      (state, bytes) = (.ground, [])
      return [.paste(Self.plain(text))]
    case .scalar(let remaining):
      guard (0x80...0xBF).contains(byte) else {
        (state, bytes) = (.ground, [])
        return [.text("\u{FFFD}")] + ground(byte)
      }
      bytes.append(byte)
      if remaining > 1 {
        state = .scalar(remaining: remaining - 1)
        return []
      }
      defer { (state, bytes) = (.ground, []) }
      return [.text(String(decoding: bytes, as: UTF8.self))]
    }
  }

  private mutating func ground(_ byte: UInt8) -> [Key] {
    switch byte {
    case 0x1B: state = .escape
    case 0x0D: return [.enter]
    case 0x0A: return [.newline]
    case 0x09: return [.tab]
    case 0x08, 0x7F: return [.backspace]
    case 0x01: return [.home]
    case 0x02: return [.left]
    case 0x05: return [.end]
    case 0x06: return [.right]
    case 0x0E: return [.down]
    case 0x10: return [.up]
    case 0x17: return [.deleteWordLeft]
    case 0x01...0x1A: return [.control(Character(UnicodeScalar(byte + 0x60)))]
    case 0x00, 0x1C...0x1F: return [.unknown]
    case 0x20...0x7E: return [.text(String(UnicodeScalar(byte)))]
    case 0xC2...0xDF: begin(byte, following: 1)
    case 0xE0...0xEF: begin(byte, following: 2)
    case 0xF0...0xF4: begin(byte, following: 3)
    default: return [.text("\u{FFFD}")]
    }
    return []
  }

  private mutating func begin(_ byte: UInt8, following: Int) {
    (state, bytes) = (.scalar(remaining: following), [byte])
  }

  private mutating func escape(_ byte: UInt8) -> [Key] {
    state = .ground
    switch byte {
    case UInt8(ascii: "["): state = .control(parameters: [])
    case UInt8(ascii: "O"): state = .singleShift
    case 0x1B: state = .escape
    case 0x0D, 0x0A: return [.newline]
    case 0x08, 0x7F: return [.deleteWordLeft]
    case UInt8(ascii: "b"), UInt8(ascii: "B"): return [.wordLeft]
    case UInt8(ascii: "f"), UInt8(ascii: "F"): return [.wordRight]
    case UInt8(ascii: "d"), UInt8(ascii: "D"): return [.deleteWordRight]
    default: return [.unknown]
    }
    return []
  }

  private mutating func controlSequence(_ parameters: String, _ final: UInt8) -> [Key] {
    let numbers = parameters.split(separator: ";", omittingEmptySubsequences: false).map { Int($0) ?? 1 }
    // One more than the sum of Shift (1), Alt (2) and Ctrl (4).
    let modifier = numbers.count > 1 ? numbers[1] : 1
    switch (final, numbers.first ?? 1) {
    case (UInt8(ascii: "~"), 200):
      (state, bytes) = (.paste, [])
      return []
    case (UInt8(ascii: "~"), 1), (UInt8(ascii: "~"), 7): return [.home]
    case (UInt8(ascii: "~"), 4), (UInt8(ascii: "~"), 8): return [.end]
    case (UInt8(ascii: "~"), 3): return [modifier > 2 ? .deleteWordRight : .delete]
    case (UInt8(ascii: "~"), 27) where numbers.count > 2 && numbers[2] == 13: return [.newline]
    case (UInt8(ascii: "u"), 13): return [modifier > 1 ? .newline : .enter]
    default: return [Self.cursorKey(final, modifier: modifier) ?? .unknown]
    }
  }

  private static func cursorKey(_ final: UInt8, modifier: Int) -> Key? {
    let movesByWord = modifier > 2
    switch UnicodeScalar(final) {
    case "A": return .up
    case "B": return .down
    case "C": return movesByWord ? .wordRight : .right
    case "D": return movesByWord ? .wordLeft : .left
    case "H": return .home
    case "F": return .end
    case "M": return .enter
    default: return nil
    }
  }

  private static let pasteEnd = Array("\u{1B}[201~".utf8)

  /// Pasted text with line ends of every kind as `\n`, and nothing that could command a terminal.
  private static func plain(_ text: String) -> String {
    var scalars = String.UnicodeScalarView()
    var afterReturn = false
    for scalar in text.unicodeScalars {
      if scalar == "\r" || (scalar == "\n" && !afterReturn) { scalars.append("\n") }
      if scalar == "\t" || (scalar.value >= 0x20 && !(0x7F...0x9F).contains(scalar.value)) { scalars.append(scalar) }
      afterReturn = scalar == "\r"
    }
    return String(scalars)
  }
}
