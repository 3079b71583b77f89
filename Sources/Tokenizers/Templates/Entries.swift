/// A dictionary's keys and values in order of insertion. It never changes.
final class Entries {
  let pairs: [(key: Value, value: Value)]
  /// Levels of containers from here down.
  let depth: Int
  /// Where each key stands; left out for small dictionaries, which are searched.
  private let index: [HashableValue: Int]

  /// A later value for a key that came before takes the earlier's place, as in Python.
  ///
  /// - Throws: kind `type` for keys that Python cannot hash, `limit` for too deep nesting.
  init(_ source: [(key: Value, value: Value)]) throws(TemplateError) {
    var pairs: [(key: Value, value: Value)] = []
    pairs.reserveCapacity(source.count)
    var index: [HashableValue: Int] = [:]
    for pair in source {
      let key = try HashableValue(pair.key)
      if let place = index[key] {
        pairs[place].value = pair.value
      } else {
        index[key] = pairs.count
        pairs.append(pair)
      }
    }
    self.pairs = pairs
    self.index = pairs.count > 8 ? index : [:]
    depth = try Value.depth(above: pairs.lazy.flatMap { [$0.key, $0.value] })
  }

  /// The value under a text.
  subscript(key: String) -> Value? {
    if index.isEmpty {
      for pair in pairs {
        if let text = pair.key.text, text.isSameText(as: key) { return pair.value }
      }
      return nil
    }
    return index[HashableValue(text: key)].map { pairs[$0].value }
  }

  /// The value under any key.
  ///
  /// - Throws: kind `type` for keys that Python cannot hash.
  func value(for key: Value) throws(TemplateError) -> Value? {
    if let text = key.text { return self[text] }
    let key = try HashableValue(key)
    if index.isEmpty {
      for pair in pairs where try HashableValue(pair.key) == key { return pair.value }
      return nil
    }
    return index[key].map { pairs[$0].value }
  }
}

/// A value as a dictionary's key: equal numbers of different types are one key, as in Python.
enum HashableValue: Hashable {
  case none
  case integer(Int)
  case double(Double)
  case string([UInt8])
  case tuple([HashableValue])
  case object(ObjectIdentifier)

  init(text: String) { self = .string(Array(text.utf8)) }

  init(_ value: Value) throws(TemplateError) {
    switch value {
    case .none: self = .none
    case .boolean(let value): self = .integer(value ? 1 : 0)
    case .integer(let value): self = .integer(value)
    case .double(let value):
      self = if let whole = Int(exactly: value) { .integer(whole) } else { .double(value) }
    case .string(let text), .markup(let text): self = .init(text: text)
    case .tuple(let elements):
      var keys: [HashableValue] = []
      for element in elements.values { keys.append(try HashableValue(element)) }
      self = .tuple(keys)
    case .undefined: self = .object(ObjectIdentifier(Undefined.self))
    case .namespace(let object): self = .object(ObjectIdentifier(object))
    case .macro(let object): self = .object(ObjectIdentifier(object))
    case .loop(let object): self = .object(ObjectIdentifier(object))
    case .iterator(let object): self = .object(ObjectIdentifier(object))
    case .cycler(let object): self = .object(ObjectIdentifier(object))
    case .joiner(let object): self = .object(ObjectIdentifier(object))
    case .range(let range): self = .tuple([.integer(range.start), .integer(range.count)])
    case .function(let function): self = .init(text: function.rawValue)
    case .list, .dictionary, .view, .method:
      throw TemplateError(.type, "a value of type \(value.typeName) cannot be a key")
    }
  }
}
