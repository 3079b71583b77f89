/// Filters on texts.
extension Evaluator {
  func applyText(
    _ filter: Filter, to value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    switch filter {
    case .tojson: return .string(try json(value, arguments))
    case .format: return try format(value, arguments)
    case .xmlattr: return try attributes(value, arguments)
    case .urlencode: return .string(try urlEncoded(value))
    case .truncate: return try truncate(value, arguments)
    default: break
    }
    let text = try string(value)
    try charge(bytes: text.utf8.count)
    switch filter {
    case .upper:
      _ = try arguments.bind("upper", [])
      return like(value, text.pythonUppercase)
    case .lower:
      _ = try arguments.bind("lower", [])
      return like(value, text.pythonLowercase)
    case .capitalize:
      _ = try arguments.bind("capitalize", [])
      return like(value, text.pythonCapitalized)
    case .title:
      _ = try arguments.bind("title", [])
      return like(value, titled(text))
    case .string:
      _ = try arguments.bind("string", [])
      return like(value, text)
    case .safe: return .markup(text)
    case .e, .escape:
      if case .markup = value { return value }
      return .markup(try escape(text))
    case .forceescape: return .markup(try escape(text))
    case .striptags: return .string(stripTags(text))
    case .trim:
      let bound = try arguments.bind("trim", ["chars"])
      return like(value, try stripped(text, bound[0], atStart: true, atEnd: true))
    case .center:
      let bound = try arguments.bind("center", ["width"])
      return like(value, try centered(text, try whole(bound[0], 80, "center"), " "))
    case .replace:
      let bound = try arguments.bind("replace", ["old", "new", "count"], required: 2)
      let count = try whole(bound[2].flatMap { $0.isNone ? nil : $0 }, -1, "replace")
      return like(
        value,
        try replaced(
          text, try string(bound[0] ?? .none), try string(bound[1] ?? .none), count: count))
    case .indent: return like(value, try indented(value, text, arguments))
    case .wordcount: return .integer(wordCount(text))
    default:
      if case .undefined(let undefined) = value { throw undefined.error }
      guard value.text != nil else {
        throw TemplateError(.type, "wordwrap needs a text, found \(value.typeName)")
      }
      return like(value, try wrapped(text, arguments))
    }
  }

  private func titled(_ text: String) -> String {
    var result = ""
    var word: [Unicode.Scalar] = []
    func finish() {
      guard let first = word.first else { return }
      result += first.properties.uppercaseMapping
      result += String(scalars: word.dropFirst()).pythonLowercase
      word = []
    }
    for scalar in text.unicodeScalars {
      switch scalar {
      case "-", "(", "{", "[", "<":
        finish()
        result.unicodeScalars.append(scalar)
      default:
        if scalar.isPythonSpace {
          finish()
          result.unicodeScalars.append(scalar)
        } else {
          word.append(scalar)
        }
      }
    }
    finish()
    return result
  }

  private func wordCount(_ text: String) -> Int {
    var count = 0
    var isInside = false
    for scalar in text.unicodeScalars {
      let isWord = scalar.isWordCharacter
      if isWord, !isInside { count += 1 }
      isInside = isWord
    }
    return count
  }

  private func indented(
    _ value: Value, _ text: String, _ arguments: CallArguments
  ) throws(TemplateError) -> String {
    let bound = try arguments.bind("indent", ["width", "first", "blank"])
    if case .undefined(let undefined) = value { throw undefined.error }
    guard value.text != nil else {
      throw TemplateError(.type, "indent needs a text, found \(value.typeName)")
    }
    let margin: String
    if let text = bound[0]?.text {
      margin = text
    } else {
      let width = max(0, try whole(bound[0], 4, "indent"))
      try charge(bytes: width)
      margin = String(repeating: " ", count: width)
    }
    let lines = splitLines(text + "\n", keepsEnds: false)
    let (size, overflow) = lines.count.multipliedReportingOverflow(by: margin.utf8.count)
    try charge(bytes: overflow ? .max : size)
    let indentsBlank = bound[2]?.isTrue ?? false
    var result = bound[1]?.isTrue ?? false ? margin : ""
    for (index, line) in lines.enumerated() {
      if index > 0 { result += line.isEmpty && !indentsBlank ? "\n" : "\n" + margin }
      result += line
    }
    return result
  }

  private func truncate(
    _ value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    let bound = try arguments.bind("truncate", ["length", "killwords", "end", "leeway"])
    let length = try whole(bound[0], 255, "truncate")
    let end = try text(bound[2], "...", "truncate")
    let leeway = try whole(bound[3].flatMap { $0.isNone ? nil : $0 }, 5, "truncate")
    let endLength = end.unicodeScalars.count
    guard length >= endLength, leeway >= 0 else {
      throw TemplateError(.value, "truncate needs a length of at least \(endLength), found \(length)")
    }
    let count = try self.count(of: value)
    if count <= length.addingReportingOverflow(leeway).partialValue || count <= length {
      return value
    }
    guard let text = value.text else {
      throw TemplateError(.type, "truncate needs a text, found \(value.typeName)")
    }
    var kept = Array(text.unicodeScalars.prefix(length - endLength))
    if !(bound[1]?.isTrue ?? false), let space = kept.lastIndex(of: " ") {
      kept = Array(kept[..<space])
    }
    return like(value, String(scalars: kept) + end)
  }

  private func stripTags(_ text: String) -> String {
    var kept = String.UnicodeScalarView()
    let scalars = Array(text.unicodeScalars)
    var index = 0
    while index < scalars.count {
      if scalars[index] == "<", let end = scalars[index...].firstIndex(of: ">") {
        index = end + 1
      } else {
        kept.append(scalars[index])
        index += 1
      }
    }
    let words = kept.split { $0.isPythonSpace }.map { String(scalars: $0) }
    let entities = [
      ("&lt;", "<"), ("&gt;", ">"), ("&#34;", "\""), ("&quot;", "\""), ("&#39;", "'"),
      ("&amp;", "&"),
    ]
    return entities.reduce(words.joined(separator: " ")) { $0.replacing($1.0, with: $1.1) }
  }

  private func urlEncoded(_ value: Value) throws(TemplateError) -> String {
    func quoted(_ value: Value, _ allowed: String) throws(TemplateError) -> String {
      let text = try string(value)
      try charge(bytes: text.utf8.count * 3)
      var result = ""
      for byte in text.utf8 {
        let scalar = Unicode.Scalar(byte)
        let isPlain =
          byte < 0x80 && (scalar.isWordCharacter || (allowed + "-.~").unicodeScalars.contains(scalar))
        if isPlain {
          result.unicodeScalars.append(scalar)
        } else {
          let digits = String(byte, radix: 16, uppercase: true)
          result += (byte < 0x10 ? "%0" : "%") + digits
        }
      }
      return result
    }
    var items: [Value]
    switch value {
    case .dictionary(let entries): items = try EntriesView(.items, entries).values()
    case .list(let elements), .tuple(let elements): items = elements.values
    default: return try quoted(value, "/")
    }
    var parts: [String] = []
    for item in items {
      let pair = try elements(of: item, use: "encode")
      guard pair.count == 2 else { throw TemplateError(.value, "urlencode needs pairs") }
      let key = try quoted(pair[0], "").replacing("%20", with: "+")
      parts.append(key + "=" + (try quoted(pair[1], "").replacing("%20", with: "+")))
    }
    return parts.joined(separator: "&")
  }

  private func attributes(
    _ value: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    let bound = try arguments.bind("xmlattr", ["autospace"])
    if case .undefined(let undefined) = value { throw undefined.error }
    guard case .dictionary(let entries) = value else {
      throw TemplateError(.type, "xmlattr needs a mapping, found \(value.typeName)")
    }
    var parts: [String] = []
    for pair in entries.pairs where !pair.value.isNone && !pair.value.isUndefined {
      let key = try string(pair.key)
      if key.unicodeScalars.contains(where: { $0.isPythonSpace || "/>=".unicodeScalars.contains($0) }) {
        throw TemplateError(.value, "'\(key)' cannot name an attribute")
      }
      parts.append("\(try escape(key))=\"\(try escape(try string(pair.value)))\"")
    }
    let text = parts.joined(separator: " ")
    return .string((bound[0]?.isTrue ?? true) && !text.isEmpty ? " " + text : text)
  }

  /// Breaks each line at spaces so that none is longer than the width.
  private func wrapped(
    _ text: String, _ arguments: CallArguments
  ) throws(TemplateError) -> String {
    let bound = try arguments.bind(
      "wordwrap", ["width", "break_long_words", "wrapstring", "break_on_hyphens"])
    let width = try whole(bound[0], 79, "wordwrap")
    guard width > 0 else { throw TemplateError(.value, "wordwrap needs a positive width") }
    let breaksWords = bound[1]?.isTrue ?? true
    let separator = bound[2].map { $0.isNone ? "\n" : $0.text } ?? "\n"
    var lines: [String] = []
    for line in splitLines(text, keepsEnds: false) {
      let wrapper = LineWrapper(
        width: width, breaksLongWords: breaksWords, breaksOnHyphens: bound[3]?.isTrue ?? true)
      lines.append(wrapper.wrapped(line).joined(separator: separator ?? "\n"))
    }
    return lines.joined(separator: separator ?? "\n")
  }
}
