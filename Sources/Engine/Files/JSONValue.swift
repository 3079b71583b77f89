/// A JSON value, objects in the order of the file.
///
/// Foundation's reader keeps the last of two equal names without a word, and a name that comes
/// twice is how a safetensors header hides a tensor; it also cannot tell `1` from `true`
/// afterwards.
package enum JSONValue: Sendable, Equatable {
  case null
  case bool(Bool)
  /// A number without fraction or exponent that fits.
  case integer(Int)
  /// Any other number. `NaN`, `Infinity` and `-Infinity` are read too: Python writes them.
  case real(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  /// What the value is, for messages.
  var typeName: String {
    switch self {
    case .null: "null"
    case .bool: "true or false"
    case .integer: "an integer"
    case .real: "a number"
    case .string: "a string"
    case .array: "a list"
    case .object: "an object"
    }
  }

  /// The value as an `Int`: an integer, or a number such as `1e6` that is one.
  var integer: Int? {
    switch self {
    case .integer(let value): value
    case .real(let value): Int(exactly: value)
    default: nil
    }
  }

  /// The value as a `Double`.
  var real: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .real(let value): value
    default: nil
    }
  }
}

/// A JSON object: members in order, no name twice.
package struct JSONObject: Sendable, Equatable {
  /// The names, in order.
  package private(set) var names: [String] = []
  private var values: [String: JSONValue] = [:]

  /// An empty object.
  package init() {}

  /// The value called `name`.
  package subscript(name: String) -> JSONValue? { values[name] }

  /// Adds a member, unless the name is taken.
  ///
  /// - Returns: Whether it was added.
  package mutating func add(_ name: String, _ value: JSONValue) -> Bool {
    guard values[name] == nil else { return false }
    values[name] = value
    names.append(name)
    return true
  }
}
