internal import Foundation

/// Numbers written and read as Python does.
enum PythonNumber {
  /// `repr` of a float: the shortest digits that read back the same, with an exponent below 1e-4
  /// and from 1e16 on.
  static func representation(_ value: Double) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    let sign = value.sign == .minus ? "-" : ""
    if value == 0 { return sign + "0.0" }
    let (digits, point) = shortestDigits(value.magnitude)
    if point > -4, point <= 16 {
      if point <= 0 {
        return sign + "0." + String(repeating: "0", count: -point) + digits
      }
      if digits.count <= point {
        return sign + digits + String(repeating: "0", count: point - digits.count) + ".0"
      }
      return sign + digits.prefix(point) + "." + digits.dropFirst(point)
    }
    let exponent = point - 1
    let fraction = digits.count > 1 ? "." + digits.dropFirst() : ""
    let magnitude = String(exponent.magnitude)
    let padded = magnitude.count < 2 ? "0" + magnitude : magnitude
    return sign + digits.prefix(1) + fraction + "e" + (exponent < 0 ? "-" : "+") + padded
  }

  /// The shortest digits of a positive number, and how many of them stand before the point.
  private static func shortestDigits(_ value: Double) -> (digits: String, point: Int) {
    // Swift prints the shortest digits too, only laid out otherwise.
    let text = "\(value)"
    let parts = text.split(separator: "e", maxSplits: 1)
    let mantissa = parts[0].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
    let exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
    var digits = mantissa.joined()
    var point = mantissa[0].count + exponent
    while digits.hasPrefix("0"), digits.count > 1 {
      digits.removeFirst()
      point -= 1
    }
    while digits.hasSuffix("0"), digits.count > 1 { digits.removeLast() }
    return (digits, point)
  }

  /// `float(text)`, or nil where Python raises.
  static func float(_ text: String) -> Double? {
    let trimmed = trimmed(text)
    switch trimmed.lowercased() {
    case "inf", "+inf", "infinity", "+infinity": return .infinity
    case "-inf", "-infinity": return -.infinity
    case "nan", "+nan", "-nan": return .nan
    default: break
    }
    guard let plain = withoutUnderscores(trimmed),
      plain.utf8.allSatisfy({ byte in
        (byte >= 0x30 && byte <= 0x39) || byte == 0x2E || byte == 0x2B || byte == 0x2D
          || byte | 0x20 == 0x65
      })
    else { return nil }
    // Swift accepts neither ".5" nor "5." in every release; Python does.
    var text = plain
    if let point = text.firstIndex(of: ".") {
      let after = text.index(after: point)
      let digitBefore = point > text.startIndex && text[text.index(before: point)].isNumber
      let digitAfter = after < text.endIndex && text[after].isNumber
      guard digitBefore || digitAfter else { return nil }
      if !digitAfter { text.insert("0", at: after) }
      if !digitBefore { text.insert("0", at: point) }
    }
    return Double(text)
  }

  /// `int(text, base)`, or nil where Python raises or the number does not fit 64 bits.
  static func integer(_ text: String, radix: Int = 10) -> Int? {
    guard radix == 0 || (2...36).contains(radix) else { return nil }
    var digits = trimmed(text)
    var sign = ""
    if digits.hasPrefix("-") || digits.hasPrefix("+") { sign = String(digits.removeFirst()) }
    var radix = radix
    for (prefix, base) in [("0x", 16), ("0o", 8), ("0b", 2)]
    where (radix == base || radix == 0) && digits.lowercased().hasPrefix(prefix) {
      digits.removeFirst(2)
      if digits.hasPrefix("_") { digits.removeFirst() }
      radix = base
    }
    if radix == 0 { radix = 10 }
    guard let plain = withoutUnderscores(digits), let first = plain.first, first != "+", first != "-"
    else { return nil }
    return Int((sign == "-" ? "-" : "") + plain, radix: radix)
  }

  private static func trimmed(_ text: String) -> String {
    let scalars = Array(text.unicodeScalars)
    let start = scalars.firstIndex { !$0.isPythonSpace } ?? scalars.count
    let end = (scalars.lastIndex { !$0.isPythonSpace } ?? start - 1) + 1
    return String(scalars: scalars[start..<end])
  }

  /// Drops underscores between digits; nil if one stands elsewhere.
  private static func withoutUnderscores(_ text: String) -> String? {
    guard text.utf8.contains(0x5F) else { return text }
    if text.hasPrefix("_") || text.hasSuffix("_") || text.contains("__") { return nil }
    for wrong in ["_.", "._", "_e", "e_", "_E", "E_", "+_", "-_"] where text.contains(wrong) {
      return nil
    }
    return text.replacing("_", with: "")
  }

  /// `round(value, places)`, which goes by the exact binary value, ties to even.
  static func rounded(_ value: Double, places: Int) -> Double {
    guard value.isFinite else { return value }
    if places > 323 { return value }
    if places >= 0 { return Double(fixed(value, places: places)) ?? value }
    if places < -308 { return value.sign == .minus ? -0.0 : 0.0 }
    let scale = Foundation.pow(10, Double(-places))
    return (value / scale).rounded(.toNearestOrEven) * scale
  }

  /// `'%.{places}f' % value`.
  static func fixed(_ value: Double, places: Int) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    return String(format: "%.\(places)f", value)
  }

  /// `'%.{places}e' % value`.
  static func exponential(_ value: Double, places: Int) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    return String(format: "%.\(places)e", value)
  }

  /// `'%.{digits}g' % value`; with `keepsZeros` as under the flag `#`.
  static func general(_ value: Double, digits: Int, keepsZeros: Bool = false) -> String {
    if value.isNaN { return "nan" }
    if value.isInfinite { return value < 0 ? "-inf" : "inf" }
    return String(format: "%\(keepsZeros ? "#" : "").\(digits)g", value)
  }
}

extension PythonNumber {
  /// `10 ** exponent` as floating point.
  static func powerOfTen(_ exponent: Int) -> Double { Foundation.pow(10, Double(exponent)) }
}
