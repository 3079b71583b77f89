/// A JSON document, exact: members keep their order, whole numbers stay whole.
///
/// Foundation's readers merge repeated keys silently, and a `Dictionary` keyed by `String` merges
/// keys that differ but are canonically equivalent. A vocabulary may have neither happen to it.
enum JSONValue {
  /// One `"key": value` of an object.
  struct Member {
    let key: String
    let value: JSONValue
  }

  case null
  case boolean(Bool)
  case integer(Int)
  case real(Double)
  case string(String)
  case array([JSONValue])
  case object([Member])

  /// What kind of value this is, for messages.
  var kind: String {
    switch self {
    case .null: "null"
    case .boolean(let value): "\(value)"
    case .integer(let value): "the number \(value)"
    case .real(let value): "the number \(value)"
    case .string: "a string"
    case .array(let elements): "an array of \(elements.count)"
    case .object: "an object"
    }
  }
}
