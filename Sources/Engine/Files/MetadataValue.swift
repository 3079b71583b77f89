/// A value in a GGUF file's metadata, with the type it has there.
public enum MetadataValue: Sendable, Equatable {
  case uint8(UInt8)
  case int8(Int8)
  case uint16(UInt16)
  case int16(Int16)
  case uint32(UInt32)
  case int32(Int32)
  case float32(Float)
  case bool(Bool)
  case string(String)
  case array(MetadataArray)
  case uint64(UInt64)
  case int64(Int64)
  case float64(Double)

  /// The type, as the specification names it.
  public var typeName: String {
    switch self {
    case .array(let array): "array of \(array.elementType)"
    default: "\(type)"
    }
  }

  /// The type's tag in the file.
  var type: MetadataType {
    switch self {
    case .uint8: .uint8
    case .int8: .int8
    case .uint16: .uint16
    case .int16: .int16
    case .uint32: .uint32
    case .int32: .int32
    case .float32: .float32
    case .bool: .bool
    case .string: .string
    case .array: .array
    case .uint64: .uint64
    case .int64: .int64
    case .float64: .float64
    }
  }

  /// The value as an `Int`: any integer type that fits, nil otherwise.
  var integer: Int? {
    switch self {
    case .uint8(let value): Int(value)
    case .int8(let value): Int(value)
    case .uint16(let value): Int(value)
    case .int16(let value): Int(value)
    case .uint32(let value): Int(value)
    case .int32(let value): Int(value)
    case .uint64(let value): Int(exactly: value)
    case .int64(let value): Int(value)
    case .float32, .float64, .bool, .string, .array: nil
    }
  }

  /// The value as a `Double`: any number, nil otherwise.
  var real: Double? {
    switch self {
    case .float32(let value): Double(value)
    case .float64(let value): value
    case .uint64(let value): Double(value)
    default: integer.map(Double.init)
    }
  }
}

/// An array in a GGUF file's metadata: many values of one type.
///
/// One case a type, so that a vocabulary's hundred thousand scores are an array of `Float` and not
/// of boxed values: a hostile file cannot make memory grow to a multiple of its own size.
public enum MetadataArray: Sendable, Equatable {
  case uint8([UInt8])
  case int8([Int8])
  case uint16([UInt16])
  case int16([Int16])
  case uint32([UInt32])
  case int32([Int32])
  case float32([Float])
  case bool([Bool])
  case string([String])
  case array([MetadataArray])
  case uint64([UInt64])
  case int64([Int64])
  case float64([Double])

  /// The number of values.
  public var count: Int {
    switch self {
    case .uint8(let values): values.count
    case .int8(let values): values.count
    case .uint16(let values): values.count
    case .int16(let values): values.count
    case .uint32(let values): values.count
    case .int32(let values): values.count
    case .float32(let values): values.count
    case .bool(let values): values.count
    case .string(let values): values.count
    case .array(let values): values.count
    case .uint64(let values): values.count
    case .int64(let values): values.count
    case .float64(let values): values.count
    }
  }

  /// The elements' tag in the file.
  var elementType: MetadataType {
    switch self {
    case .uint8: .uint8
    case .int8: .int8
    case .uint16: .uint16
    case .int16: .int16
    case .uint32: .uint32
    case .int32: .int32
    case .float32: .float32
    case .bool: .bool
    case .string: .string
    case .array: .array
    case .uint64: .uint64
    case .int64: .int64
    case .float64: .float64
    }
  }

  /// The values as `Int`s: any integer type if all fit, nil otherwise.
  var integers: [Int]? {
    switch self {
    case .uint8(let values): return values.map(Int.init)
    case .int8(let values): return values.map(Int.init)
    case .uint16(let values): return values.map(Int.init)
    case .int16(let values): return values.map(Int.init)
    case .uint32(let values): return values.map(Int.init)
    case .int32(let values): return values.map(Int.init)
    case .int64(let values): return values.map(Int.init)
    case .uint64(let values):
      let fitting = values.compactMap { Int(exactly: $0) }
      return fitting.count == values.count ? fitting : nil
    case .float32, .float64, .bool, .string, .array: return nil
    }
  }

  /// The values as `Double`s: any numeric type, nil otherwise.
  var reals: [Double]? {
    switch self {
    case .float32(let values): values.map(Double.init)
    case .float64(let values): values
    case .uint64(let values): values.map(Double.init)
    default: integers?.map(Double.init)
    }
  }
}

/// The tags of metadata types in a GGUF file.
public enum MetadataType: UInt32, Sendable {
  case uint8 = 0
  case int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

  /// The fewest bytes a value of this type takes in a file.
  var minimumByteCount: Int {
    switch self {
    case .uint8, .int8, .bool: 1
    case .uint16, .int16: 2
    case .uint32, .int32, .float32: 4
    case .uint64, .int64, .float64, .string: 8
    case .array: 12
    }
  }
}

/// A GGUF file's metadata: keys and values in the order of the file.
public struct Metadata: Sendable, Equatable {
  /// The keys, in order.
  public private(set) var keys: [String] = []
  private var values: [String: Entry] = [:]

  /// A value, or where it lies.
  private enum Entry {
    case value(MetadataValue)
    case inFile(StoredStrings)

    var value: MetadataValue {
      switch self {
      case .value(let value): value
      case .inFile(let strings): .array(.string(strings.read()))
      }
    }
  }

  /// No metadata.
  public init() {}

  /// The value of `key`. Setting a new key puts it last; setting nil removes it.
  public subscript(key: String) -> MetadataValue? {
    get { values[key]?.value }
    set { set(newValue.map(Entry.value), key) }
  }

  /// Keys with their values, in order.
  public var entries: [(key: String, value: MetadataValue)] {
    keys.compactMap { key in self[key].map { (key, $0) } }
  }

  public static func == (left: Metadata, right: Metadata) -> Bool {
    left.keys == right.keys && left.keys.allSatisfy { left[$0] == right[$0] }
  }

  /// Sets `key` to strings that are read from the file each time someone asks.
  mutating func leaveInFile(_ strings: StoredStrings, key: String) { set(.inFile(strings), key) }

  private mutating func set(_ entry: Entry?, _ key: String) {
    guard let entry else {
      if values.removeValue(forKey: key) != nil { keys.removeAll { $0 == key } }
      return
    }
    if values.updateValue(entry, forKey: key) == nil { keys.append(key) }
  }
}
