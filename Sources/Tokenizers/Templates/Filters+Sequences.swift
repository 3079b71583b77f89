/// Filters on lists and mappings.
extension Evaluator {
  func applySequence(
    _ filter: Filter, to value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    switch filter {
    case .length, .count:
      _ = try arguments.bind("length", [])
      return .integer(try count(of: value))
    case .default, .d:
      let bound = try arguments.bind("default", ["default_value", "boolean"])
      let isMissing = value.isUndefined || ((bound[1]?.isTrue ?? false) && !value.isTrue)
      return isMissing ? bound[0] ?? .string("") : value
    case .list:
      _ = try arguments.bind("list", [])
      return try .list(try elements(of: value, use: "make a list of"))
    case .first:
      _ = try arguments.bind("first", [])
      return try first(value)
    case .last:
      _ = try arguments.bind("last", [])
      if case .iterator = value { throw TemplateError(.type, "last needs a list, found a generator") }
      return try elements(of: value, use: "take the last of").last
        ?? .undefined(Undefined("there is no last element, the sequence is empty"))
    case .join: return try join(value, arguments)
    case .items:
      _ = try arguments.bind("items", [])
      if value.isUndefined { return .iterator(try ValueIterator([])) }
      guard case .dictionary(let entries) = value else {
        throw TemplateError(.type, "items needs a mapping, found \(value.typeName)")
      }
      return .iterator(try ValueIterator(try EntriesView(.items, entries).values()))
    case .dictsort: return try sortedEntries(value, arguments)
    case .sort:
      let bound = try arguments.bind("sort", ["reverse", "case_sensitive", "attribute"])
      let values = try elements(of: value, use: "sort")
      var keys: [Value] = []
      for element in values {
        keys.append(try multipleKey(element, bound[2], foldsCase: !(bound[1]?.isTrue ?? false)))
      }
      return try .list(try sorted(values, by: keys, reverse: bound[0]?.isTrue ?? false))
    case .unique: return try unique(value, arguments)
    case .min, .max: return try extreme(filter, value, arguments)
    case .sum: return try sum(value, arguments)
    case .reverse: return try reversed(value, arguments)
    case .batch: return try batch(value, arguments)
    case .slice: return try sliced(value, arguments)
    case .groupby: return try grouped(value, arguments)
    default:
      let bound = try arguments.bind("attr", ["name"], required: 1)
      let name = try string(bound[0] ?? .none)
      if case .undefined(let undefined) = value { throw undefined.error }
      return try pythonAttribute(name, of: value)
        ?? .undefined(Undefined("'\(value.typeName)' has no attribute '\(name)'"))
    }
  }

  private func first(_ value: Value) throws(TemplateError) -> Value {
    let missing = Value.undefined(Undefined("there is no first element, the sequence is empty"))
    switch value {
    case .iterator(let iterator): return try iterator.next() ?? missing
    case .string(let text), .markup(let text):
      return text.unicodeScalars.first.map { .string(String($0)) } ?? missing
    default: return try elements(of: value, use: "take the first of").first ?? missing
    }
  }

  private func join(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
    let bound = try arguments.bind("join", ["d", "attribute"])
    let separator = try string(bound[0] ?? .string(""))
    var text = ""
    for (index, element) in try elements(of: value, use: "join").enumerated() {
      var part = element
      if let attribute = bound[1], !attribute.isNone { part = try key(element, attribute) }
      if index > 0 { text += separator }
      text += try string(part)
      try charge(bytes: text.utf8.count)
    }
    return .string(text)
  }

  // MARK: Keys

  /// What `attribute` such as `name.first` or an index finds in `value`; `value` itself for none.
  func key(
    _ value: Value, _ attribute: Value?, standard: Value? = nil
  ) throws(TemplateError) -> Value {
    guard let attribute, !attribute.isNone else { return value }
    guard let path = attribute.text else { return try item(attribute, of: value) }
    var found = value
    for part in path.split(separator: ".", omittingEmptySubsequences: false) {
      let isIndex = !part.isEmpty && part.utf8.allSatisfy { $0 >= 0x30 && $0 <= 0x39 }
      let key: Value = isIndex ? Int(part).map { .integer($0) } ?? .none : .string(String(part))
      found = try item(key, of: found)
      if let standard, found.isUndefined { found = standard }
    }
    return found
  }

  private func folded(_ value: Value, _ foldsCase: Bool) -> Value {
    guard foldsCase, let text = value.text else { return value }
    return .string(text.pythonLowercase)
  }

  /// The key for sorting by several attributes, `a,b`.
  private func multipleKey(
    _ value: Value, _ attribute: Value?, foldsCase: Bool
  ) throws(TemplateError) -> Value {
    guard let path = attribute?.text else {
      return folded(try key(value, attribute), foldsCase)
    }
    var keys: [Value] = []
    for part in path.split(separator: ",", omittingEmptySubsequences: false) {
      keys.append(folded(try key(value, .string(String(part))), foldsCase))
    }
    return try .list(keys)
  }

  private func keys(
    _ values: [Value], _ attribute: Value?, foldsCase: Bool, standard: Value? = nil
  ) throws(TemplateError) -> [Value] {
    var keys: [Value] = []
    for value in values {
      keys.append(folded(try key(value, attribute, standard: standard), foldsCase))
    }
    return keys
  }

  private func sortedEntries(
    _ value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    let bound = try arguments.bind("dictsort", ["case_sensitive", "by", "reverse"])
    if case .undefined(let undefined) = value { throw undefined.error }
    guard case .dictionary(let entries) = value else {
      throw TemplateError(.type, "dictsort needs a mapping, found \(value.typeName)")
    }
    let by = try text(bound[1], "key", "dictsort")
    guard by == "key" || by == "value" else {
      throw TemplateError(.value, "dictsort goes by 'key' or 'value', found '\(by)'")
    }
    let foldsCase = !(bound[0]?.isTrue ?? false)
    let keys = entries.pairs.map { folded(by == "key" ? $0.key : $0.value, foldsCase) }
    let items = try EntriesView(.items, entries).values()
    return try .list(try sorted(items, by: keys, reverse: bound[2]?.isTrue ?? false))
  }

  private func unique(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
    let bound = try arguments.bind("unique", ["case_sensitive", "attribute"])
    let values = try elements(of: value, use: "go through")
    let keys = try keys(values, bound[1], foldsCase: !(bound[0]?.isTrue ?? false))
    var seen: Set<HashableValue> = []
    var kept: [Value] = []
    for (value, key) in zip(values, keys) where seen.insert(try HashableValue(key)).inserted {
      kept.append(value)
    }
    return .iterator(try ValueIterator(kept))
  }

  private func extreme(
    _ filter: Filter, _ value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    let bound = try arguments.bind(filter.rawValue, ["case_sensitive", "attribute"])
    let values = try elements(of: value, use: "compare the elements of")
    let keys = try keys(values, bound[1], foldsCase: !(bound[0]?.isTrue ?? false))
    guard var best = values.indices.first else {
      return .undefined(Undefined("there is no \(filter.rawValue), the sequence is empty"))
    }
    for index in values.indices.dropFirst() {
      let order =
        filter == .min ? try order(keys[index], keys[best]) : try order(keys[best], keys[index])
      if order == -1 { best = index }
    }
    return values[best]
  }

  private func sum(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
    let bound = try arguments.bind("sum", ["attribute", "start"])
    var total = bound[1] ?? .integer(0)
    if total.text != nil { throw TemplateError(.type, "sum does not take texts; use join") }
    for element in try elements(of: value, use: "sum") {
      total = try compute(.add, total, try key(element, bound[0]))
    }
    return total
  }

  private func reversed(
    _ value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    _ = try arguments.bind("reverse", [])
    if let text = value.text {
      try charge(bytes: text.utf8.count)
      return like(value, String(scalars: text.unicodeScalars.reversed()))
    }
    return .iterator(
      try ValueIterator(Array(try elements(of: value, use: "reverse").reversed())))
  }

  private func batch(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
    let bound = try arguments.bind("batch", ["linecount", "fill_with"], required: 1)
    let size = try whole(bound[0], 1, "batch")
    var rows: [Value] = []
    var row: [Value] = []
    for element in try elements(of: value, use: "batch") {
      if row.count == size {
        rows.append(try .list(row))
        row = []
      }
      row.append(element)
    }
    if !row.isEmpty {
      if let fill = bound[1], !fill.isNone, row.count < size {
        try charge(elements: size)
        row += Array(repeating: fill, count: size - row.count)
      }
      rows.append(try .list(row))
    }
    return .iterator(try ValueIterator(rows))
  }

  private func sliced(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
    let bound = try arguments.bind("slice", ["slices", "fill_with"], required: 1)
    let count = try whole(bound[0], 1, "slice")
    let values = try elements(of: value, use: "slice")
    guard count != 0 else { throw Self.zeroDivisor }
    guard count > 0 else { return .iterator(try ValueIterator([])) }
    try charge(elements: count)
    let (size, extra) = (values.count / count, values.count % count)
    var rows: [Value] = []
    var start = 0
    for index in 0..<count {
      let end = start + size + (index < extra ? 1 : 0)
      var row = Array(values[start..<end])
      if let fill = bound[1], !fill.isNone, index >= extra { row.append(fill) }
      rows.append(try .list(row))
      start = end
    }
    return .iterator(try ValueIterator(rows))
  }

  private func grouped(_ value: Value, _ arguments: CallArguments) throws(TemplateError) -> Value {
    let bound = try arguments.bind(
      "groupby", ["attribute", "default", "case_sensitive"], required: 1)
    let foldsCase = !(bound[2]?.isTrue ?? false)
    let standard = bound[1].flatMap { $0.isNone ? nil : $0 }
    let source = try elements(of: value, use: "group")
    let sourceKeys = try keys(source, bound[0], foldsCase: foldsCase, standard: standard)
    let values = try sorted(source, by: sourceKeys, reverse: false)
    let keys = try keys(values, bound[0], foldsCase: foldsCase, standard: standard)
    var groups: [Value] = []
    var start = 0
    while start < values.count {
      var end = start + 1
      while end < values.count, try isEqual(keys[start], keys[end]) { end += 1 }
      let shown = foldsCase ? try key(values[start], bound[0], standard: standard) : keys[start]
      let members = try Value.list(Array(values[start..<end]))
      groups.append(.tuple(try Elements([shown, members], names: ["grouper", "list"])))
      start = end
    }
    return try .list(groups)
  }

  // MARK: Selecting

  func applySelection(
    _ filter: Filter, to value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    guard value.isTrue else { return .iterator(try ValueIterator([])) }
    var arguments = arguments
    let source: ValueIterator
    if case .iterator(let iterator) = value {
      source = iterator
    } else {
      source = try ValueIterator(try elements(of: value, use: "go through"))
    }
    if filter == .map { return try mapped(source, arguments) }
    var attribute: Value?
    if filter == .selectattr || filter == .rejectattr {
      guard !arguments.positional.isEmpty else {
        throw TemplateError(.type, "\(filter.rawValue) needs an attribute's name")
      }
      attribute = arguments.positional.removeFirst()
    }
    let wanted = filter == .select || filter == .selectattr
    var test: ValueTest?
    if !arguments.positional.isEmpty {
      let name = try string(arguments.positional.removeFirst())
      test = ValueTest(rawValue: name)
      if test == nil { throw TemplateError(.syntax, "no test is named '\(name)'") }
    }
    return .iterator(
      try ValueIterator(depth: source.depth + 1) { () throws(TemplateError) -> Value? in
        while let element = try source.next() {
          try self.charge(1)
          let subject = try self.key(element, attribute)
          let passes =
            try test.map { (test) throws(TemplateError) -> Bool in
              try self.test(test, subject, arguments)
            } ?? subject.isTrue
          if passes == wanted { return element }
        }
        return nil
      })
  }

  private func mapped(
    _ source: ValueIterator, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    let attribute = arguments.named.first { $0.name == "attribute" }?.value
    if arguments.positional.isEmpty, let attribute {
      let standard = arguments.named.first { $0.name == "default" }?.value
      if let other = arguments.named.first(where: { $0.name != "attribute" && $0.name != "default" }) {
        throw TemplateError(.type, "map has no argument '\(other.name)'")
      }
      let fallback = standard.flatMap { $0.isNone ? nil : $0 }
      return .iterator(
        try ValueIterator(depth: source.depth + 1) { () throws(TemplateError) -> Value? in
          guard let element = try source.next() else { return nil }
          try self.charge(1)
          return try self.key(element, attribute, standard: fallback)
        })
    }
    guard let name = arguments.positional.first else {
      throw TemplateError(.type, "map needs a filter's name or an attribute")
    }
    var rest = arguments
    rest.positional.removeFirst()
    let filterName = try string(name)
    guard let filter = Filter(rawValue: filterName) else {
      throw TemplateError(.syntax, "no filter is named '\(filterName)'")
    }
    return .iterator(
      try ValueIterator(depth: source.depth + 1) { () throws(TemplateError) -> Value? in
        guard let element = try source.next() else { return nil }
        try self.charge(1)
        return try self.apply(filter, to: element, rest)
      })
  }
}
