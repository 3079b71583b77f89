/// Writes JSON as Python's `json.dumps(…, indent=2)` does, members in their order.
package enum JSONText {
  /// The document, indented by two, with a line end.
  package static func pretty(_ value: JSONValue) -> String {
    var text = ""
    write(value, indent: 0, into: &text)
    return text + "\n"
  }

  /// The value on one line, as `json.dumps` writes it unless told otherwise.
  package static func line(_ value: JSONValue) -> String {
    var text = ""
    write(value, indent: nil, into: &text)
    return text
  }

  /// - Parameter indent: Of the line it stands on; nil for all on one line.
  private static func write(_ value: JSONValue, indent: Int?, into text: inout String) {
    switch value {
    case .null: text += "null"
    case .bool(let value): text += value ? "true" : "false"
    case .integer(let value): text += "\(value)"
    case .real(let value): text += number(value)
    case .string(let value): quote(value, into: &text)
    case .array(let values):
      list(values.count, "[", "]", indent, &text) { index, text in
        write(values[index], indent: indent.map { $0 + 2 }, into: &text)
      }
    case .object(let object):
      list(object.names.count, "{", "}", indent, &text) { index, text in
        quote(object.names[index], into: &text)
        text += ": "
        write(object[object.names[index]] ?? .null, indent: indent.map { $0 + 2 }, into: &text)
      }
    }
  }

  private static func list(
    _ count: Int, _ open: String, _ close: String, _ indent: Int?, _ text: inout String,
    _ element: (Int, inout String) -> Void
  ) {
    text += open
    for index in 0..<count {
      if let indent {
        text += (index == 0 ? "\n" : ",\n") + String(repeating: " ", count: indent + 2)
      } else if index > 0 {
        text += ", "
      }
      element(index, &text)
    }
    if count > 0, let indent { text += "\n" + String(repeating: " ", count: indent) }
    text += close
  }

  /// Python writes what JSON has no number for as words, and reads them.
  private static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
    return "\(value)"
  }

  /// Appends `text` as a JSON string, anything but controls as it is.
  package static func quote(_ string: String, into text: inout String) {
    text += "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": text += "\\\""
      case "\\": text += "\\\\"
      case "\n": text += "\\n"
      case "\r": text += "\\r"
      case "\t": text += "\\t"
      case "\0"..<" ":
        let digits = String(scalar.value, radix: 16)
        text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: text.unicodeScalars.append(scalar)
      }
    }
    text += "\""
  }
}
