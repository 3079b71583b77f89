/// A value handed to a template: what JSON knows, with integers apart from other numbers and with
/// the keys of an object in their order.
///
/// Templates print objects and walk through their keys, so the order is part of the value; `init(json:)`
/// keeps it, `JSONSerialization` and `[String: Any]` do not.
public indirect enum TemplateValue: Sendable {
  /// No value at all, as if the variable had not been given.
  case undefined
  /// `none`, JSON's `null`.
  case none
  /// `true` or `false`.
  case bool(Bool)
  /// A whole number.
  case integer(Int)
  /// A number with a fraction.
  case double(Double)
  /// A text.
  case string(String)
  /// A list.
  case array([TemplateValue])
  /// Keys with values, in order. A key that appears twice counts where it first stood, with the
  /// value that came last.
  case object([(key: String, value: TemplateValue)])

  /// The value under `key` of an object, nil elsewhere.
  public subscript(key: String) -> TemplateValue? {
    guard case .object(let entries) = self else { return nil }
    return entries.last { $0.key.isSameText(as: key) }?.value
  }
}

extension TemplateValue: Equatable {
  /// Equality of sort and content; objects must have their keys in the same order, texts the same
  /// code points.
  public static func == (left: TemplateValue, right: TemplateValue) -> Bool {
    switch (left, right) {
    case (.undefined, .undefined), (.none, .none): true
    case (.bool(let a), .bool(let b)): a == b
    case (.integer(let a), .integer(let b)): a == b
    case (.double(let a), .double(let b)): a == b
    case (.string(let a), .string(let b)): a.isSameText(as: b)
    case (.array(let a), .array(let b)): a == b
    case (.object(let a), .object(let b)):
      a.count == b.count
        && zip(a, b).allSatisfy { $0.key.isSameText(as: $1.key) && $0.value == $1.value }
    default: false
    }
  }
}

extension TemplateValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
  ExpressibleByFloatLiteral, ExpressibleByBooleanLiteral, ExpressibleByNilLiteral,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  /// A text.
  public init(stringLiteral value: String) { self = .string(value) }
  /// A whole number.
  public init(integerLiteral value: Int) { self = .integer(value) }
  /// A number with a fraction.
  public init(floatLiteral value: Double) { self = .double(value) }
  /// A truth value.
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  /// `none`.
  public init(nilLiteral: ()) { self = .none }
  /// A list.
  public init(arrayLiteral elements: TemplateValue...) { self = .array(elements) }
  /// An object with its keys in the order written.
  public init(dictionaryLiteral elements: (String, TemplateValue)...) {
    self = .object(elements.map { (key: $0.0, value: $0.1) })
  }
}
