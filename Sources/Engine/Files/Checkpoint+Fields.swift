/// One value of a checkpoint's settings, wherever it comes from.
enum Field {
  case bool(Bool)
  case integer(Int)
  case real(Double)
  case string(String)
  case list(Fields.List)
  /// An object, or an integer beyond `Int`: nothing a family asks for.
  case other(String)

  /// What the value is and, if short, the value itself, for messages.
  var summary: String {
    switch self {
    case .bool(let value): "\(value)"
    case .integer(let value): "the integer \(value)"
    case .real(let value): "the number \(value)"
    case .string(let value): "the string \"\(printable(value, limit: 40))\""
    case .list(let list): "a list of \(list.count) \(list.elementName)"
    case .other(let name): name
    }
  }
}

/// A checkpoint's settings by key, and the errors about them.
struct Fields {
  /// A list as it is stored; converted when someone asks.
  enum List {
    case gguf(MetadataArray)
    case json([JSONValue])

    var count: Int {
      switch self {
      case .gguf(let array): array.count
      case .json(let values): values.count
      }
    }

    var elementName: String {
      switch self {
      case .gguf(let array): "\(array.elementType)"
      case .json: "values"
      }
    }
  }

  private let source: Checkpoint.Source

  init(_ source: Checkpoint.Source) { self.source = source }

  /// The value of `key`, nil if absent or null.
  subscript(key: String) -> Field? {
    switch source {
    case .gguf(let file): file.metadata[key].map(Fields.field)
    case .huggingFace(let folder): folder.value(key).flatMap(Fields.field)
    }
  }

  private static func field(_ value: MetadataValue) -> Field {
    switch value {
    case .bool(let value): .bool(value)
    case .string(let value): .string(value)
    case .array(let array): .list(.gguf(array))
    case .float32(let value): .real(Double(value))
    case .float64(let value): .real(value)
    default: value.integer.map { .integer($0) } ?? .other("an integer beyond 2^63")
    }
  }

  private static func field(_ value: JSONValue) -> Field? {
    switch value {
    case .null: nil
    case .bool(let value): .bool(value)
    case .integer(let value): .integer(value)
    case .real(let value): .real(value)
    case .string(let value): .string(value)
    case .array(let values): .list(.json(values))
    case .object: .other("an object")
    }
  }

  /// The file in which settings stand, for errors.
  var file: String {
    switch source {
    case .gguf(let file): file.path
    case .huggingFace(let folder): folder.configPath
    }
  }

  func missing(_ key: String) -> CheckpointError {
    CheckpointError(
      .missing, file: file, place: .key(key), "is missing",
      advice: "The file is incomplete, or describes another kind of model")
  }

  func mismatch(_ key: String, _ expected: String, _ found: Field) -> CheckpointError {
    CheckpointError(
      .mismatch, file: file, place: .key(key), "has the wrong type", expected: expected,
      found: found.summary)
  }
}

extension Checkpoint {
  /// Whether there is a value for `key`.
  public func contains(_ key: String) -> Bool { Fields(source)[key] != nil }

  // MARK: Integers

  /// The integer called `key`, of whatever width it is stored in; nil if absent.
  ///
  /// - Throws: `CheckpointError` if the value is not an integer.
  public func integerIfPresent(_ key: String) throws(CheckpointError) -> Int? {
    let fields = Fields(source)
    switch fields[key] {
    case nil: return nil
    case .integer(let value)?: return value
    case .real(let real)?:
      // Some converters write 1e6 or 4096.0 where an integer is meant.
      if let value = Int(exactly: real) { return value }
      throw fields.mismatch(key, "an integer", .real(real))
    case let other?: throw fields.mismatch(key, "an integer", other)
    }
  }

  /// The integer called `key`.
  ///
  /// - Throws: `CheckpointError` if it is missing or not an integer.
  public func integer(_ key: String) throws(CheckpointError) -> Int {
    guard let value = try integerIfPresent(key) else { throw Fields(source).missing(key) }
    return value
  }

  /// The integer called `key`, which must lie in `range`: a count or width is checked where it is
  /// read, before anything is multiplied or allocated by it.
  ///
  /// - Throws: `CheckpointError` if it is missing, not an integer or out of range.
  public func integer(
    _ key: String, in range: ClosedRange<Int>
  ) throws(CheckpointError) -> Int {
    let value = try integer(key)
    guard range.contains(value) else {
      throw CheckpointError(
        .mismatch, file: Fields(source).file, place: .key(key), "is out of range",
        expected: "\(range.lowerBound) to \(range.upperBound)", found: "\(value)",
        advice: "The file is damaged, or describes another kind of model")
    }
    return value
  }

  /// The integer called `key`, or `fallback` if absent.
  ///
  /// - Throws: `CheckpointError` if the value is not an integer.
  public func integer(_ key: String, default fallback: Int) throws(CheckpointError) -> Int {
    try integerIfPresent(key) ?? fallback
  }

  /// The list of integers called `key`; a single integer is a list of one. Nil if absent.
  ///
  /// - Throws: `CheckpointError` if the value is something else.
  public func integersIfPresent(_ key: String) throws(CheckpointError) -> [Int]? {
    let fields = Fields(source)
    switch fields[key] {
    case nil: return nil
    case .integer(let value)?: return [value]
    case .list(let list)?:
      guard let values = list.integers else {
        throw fields.mismatch(key, "a list of integers", .list(list))
      }
      return values
    case let other?: throw fields.mismatch(key, "a list of integers", other)
    }
  }

  /// The list of integers called `key`; a single integer is a list of one.
  ///
  /// - Throws: `CheckpointError` if it is missing or something else.
  public func integers(_ key: String) throws(CheckpointError) -> [Int] {
    guard let values = try integersIfPresent(key) else { throw Fields(source).missing(key) }
    return values
  }

  // MARK: Reals

  /// The number called `key`, nil if absent.
  ///
  /// - Throws: `CheckpointError` if the value is not a finite number.
  public func realIfPresent(_ key: String) throws(CheckpointError) -> Double? {
    let fields = Fields(source)
    switch fields[key] {
    case nil: return nil
    case .integer(let value)?: return Double(value)
    case .real(let value)?:
      guard value.isFinite else { throw fields.mismatch(key, "a finite number", .real(value)) }
      return value
    case let other?: throw fields.mismatch(key, "a number", other)
    }
  }

  /// The number called `key`.
  ///
  /// - Throws: `CheckpointError` if it is missing or not a finite number.
  public func real(_ key: String) throws(CheckpointError) -> Double {
    guard let value = try realIfPresent(key) else { throw Fields(source).missing(key) }
    return value
  }

  /// The number called `key`, or `fallback` if absent.
  ///
  /// - Throws: `CheckpointError` if the value is not a finite number.
  public func real(_ key: String, default fallback: Double) throws(CheckpointError) -> Double {
    try realIfPresent(key) ?? fallback
  }

  /// The list of numbers called `key`, nil if absent.
  ///
  /// - Throws: `CheckpointError` if the value is not a list of finite numbers.
  public func realsIfPresent(_ key: String) throws(CheckpointError) -> [Double]? {
    let fields = Fields(source)
    guard let field = fields[key] else { return nil }
    guard case .list(let list) = field, let values = list.reals,
      values.allSatisfy(\.isFinite)
    else { throw fields.mismatch(key, "a list of finite numbers", field) }
    return values
  }

  // MARK: Strings and truth values

  /// The string called `key`, nil if absent.
  ///
  /// - Throws: `CheckpointError` if the value is not a string.
  public func stringIfPresent(_ key: String) throws(CheckpointError) -> String? {
    let fields = Fields(source)
    switch fields[key] {
    case nil: return nil
    case .string(let value)?: return value
    case let other?: throw fields.mismatch(key, "a string", other)
    }
  }

  /// The string called `key`.
  ///
  /// - Throws: `CheckpointError` if it is missing or not a string.
  public func string(_ key: String) throws(CheckpointError) -> String {
    guard let value = try stringIfPresent(key) else { throw Fields(source).missing(key) }
    return value
  }

  /// The string called `key`, or `fallback` if absent.
  ///
  /// - Throws: `CheckpointError` if the value is not a string.
  public func string(_ key: String, default fallback: String) throws(CheckpointError) -> String {
    try stringIfPresent(key) ?? fallback
  }

  /// The list of strings called `key`, nil if absent.
  ///
  /// - Throws: `CheckpointError` if the value is not a list of strings.
  public func stringsIfPresent(_ key: String) throws(CheckpointError) -> [String]? {
    let fields = Fields(source)
    guard let field = fields[key] else { return nil }
    guard case .list(let list) = field, let values = list.strings else {
      throw fields.mismatch(key, "a list of strings", field)
    }
    return values
  }

  /// The truth value called `key`, nil if absent.
  ///
  /// - Throws: `CheckpointError` if the value is neither true nor false.
  public func boolIfPresent(_ key: String) throws(CheckpointError) -> Bool? {
    let fields = Fields(source)
    switch fields[key] {
    case nil: return nil
    case .bool(let value)?: return value
    case let other?: throw fields.mismatch(key, "true or false", other)
    }
  }

  /// The truth value called `key`, or `fallback` if absent.
  ///
  /// - Throws: `CheckpointError` if the value is neither true nor false.
  public func bool(_ key: String, default fallback: Bool) throws(CheckpointError) -> Bool {
    try boolIfPresent(key) ?? fallback
  }
}

extension Fields.List {
  /// The values as integers, nil if any is not one.
  var integers: [Int]? {
    switch self {
    case .gguf(let array): array.integers
    case .json(let values): all(values.map(\.integer))
    }
  }

  /// The values as numbers, nil if any is not one.
  var reals: [Double]? {
    switch self {
    case .gguf(let array): array.reals
    case .json(let values): all(values.map(\.real))
    }
  }

  /// The values as strings, nil if any is not one.
  var strings: [String]? {
    switch self {
    case .gguf(.string(let values)): values
    case .gguf: nil
    case .json(let values):
      all(
        values.map { value in
          if case .string(let text) = value { text } else { nil }
        })
    }
  }

  private func all<Value>(_ values: [Value?]) -> [Value]? {
    let present = values.compactMap(\.self)
    return present.count == values.count ? present : nil
  }
}
