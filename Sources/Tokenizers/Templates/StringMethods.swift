/// The methods of Python's texts.
enum StringMethods {
  /// Names of the methods.
  enum Name: String {
    case capitalize, casefold, center, count, endswith, expandtabs, find, format, index
    case isalnum, isalpha, isascii, isdecimal, isdigit, islower, isnumeric, isspace, istitle
    case isupper, join, ljust, lower, lstrip, partition, removeprefix, removesuffix, replace
    case rfind, rindex, rjust, rpartition, rsplit, rstrip, split, splitlines, startswith, strip
    case swapcase, title, upper, zfill
  }

  static func isLower(_ text: String) -> Bool {
    var hasCase = false
    for scalar in text.unicodeScalars where scalar.isPythonCased {
      if !scalar.properties.isLowercase { return false }
      hasCase = true
    }
    return hasCase
  }

  static func isUpper(_ text: String) -> Bool {
    var hasCase = false
    for scalar in text.unicodeScalars where scalar.isPythonCased {
      if !scalar.properties.isUppercase { return false }
      hasCase = true
    }
    return hasCase
  }

  /// `str.title`: words are runs of characters with case.
  static func title(_ text: String, swapsCase: Bool = false) -> String {
    let scalars = Array(text.unicodeScalars)
    var result = ""
    var isInside = false
    for (index, scalar) in scalars.enumerated() {
      let properties = scalar.properties
      if swapsCase {
        result +=
          properties.isUppercase
          ? String.lowercase(index, of: scalars) : properties.uppercaseMapping
      } else {
        result += isInside ? String.lowercase(index, of: scalars) : properties.titlecaseMapping
      }
      isInside = scalar.isPythonCased
    }
    return result
  }

  static func isTitle(_ text: String) -> Bool {
    var (hasCase, isInside) = (false, false)
    for scalar in text.unicodeScalars {
      if scalar.properties.isLowercase {
        guard isInside else { return false }
        hasCase = true
      } else if scalar.isPythonCased {
        guard !isInside else { return false }
        hasCase = true
        isInside = true
      } else {
        isInside = false
      }
    }
    return hasCase
  }
}

extension Evaluator {
  func call(
    _ name: StringMethods.Name, _ text: String, _ receiver: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    try charge(bytes: text.utf8.count)
    switch name {
    case .format: return like(receiver, try braceFormat(text, arguments))
    case .split, .rsplit, .splitlines, .partition, .rpartition:
      return try split(name, text, receiver, arguments)
    case .find, .rfind, .index, .rindex, .count, .startswith, .endswith:
      return try search(name, text, arguments)
    case .isalnum, .isalpha, .isascii, .isdecimal, .isdigit, .islower, .isnumeric, .isspace,
      .istitle, .isupper:
      _ = try arguments.bind(name.rawValue, [])
      return .boolean(holds(name, text))
    case .upper, .lower, .capitalize, .casefold, .title, .swapcase:
      _ = try arguments.bind(name.rawValue, [])
      return like(receiver, changedCase(name, text))
    case .join:
      let bound = try positional("join", arguments, 1...1)
      var result = ""
      for (index, element) in try elements(of: bound[0], use: "join").enumerated() {
        guard let part = element.text else {
          throw TemplateError(.type, "join needs texts, found \(element.typeName)")
        }
        result += (index > 0 ? text : "") + part
        try charge(bytes: result.utf8.count)
      }
      return like(receiver, result)
    default: return like(receiver, try edited(name, text, arguments))
    }
  }

  /// The arguments of a method that takes none by name.
  private func positional(
    _ name: String, _ arguments: CallArguments, _ count: ClosedRange<Int>
  ) throws(TemplateError) -> [Value] {
    guard arguments.named.isEmpty, count.contains(arguments.positional.count) else {
      throw TemplateError(
        .type,
        "\(name) takes \(count.lowerBound) to \(count.upperBound) unnamed arguments, found \(arguments.positional.count) and \(arguments.named.count) named"
      )
    }
    return arguments.positional
  }

  private func changedCase(_ name: StringMethods.Name, _ text: String) -> String {
    switch name {
    case .upper: text.pythonUppercase
    case .lower: text.pythonLowercase
    case .capitalize: text.pythonCapitalized
    case .title: StringMethods.title(text)
    case .swapcase: StringMethods.title(text, swapsCase: true)
    default: text.pythonLowercase.replacing("ß", with: "ss").replacing("ς", with: "σ")
    }
  }

  private func holds(_ name: StringMethods.Name, _ text: String) -> Bool {
    switch name {
    case .isascii: return text.utf8.allSatisfy { $0 < 0x80 }
    case .islower: return StringMethods.isLower(text)
    case .isupper: return StringMethods.isUpper(text)
    case .istitle: return StringMethods.isTitle(text)
    default: break
    }
    return !text.isEmpty
      && text.unicodeScalars.allSatisfy { scalar in
        let type = scalar.properties.numericType
        return switch name {
        case .isalpha: scalar.isPythonLetter
        case .isdecimal: type == .decimal
        case .isdigit: type == .decimal || type == .digit
        case .isnumeric: type != nil
        case .isalnum: scalar.isPythonLetter || type != nil
        default: scalar.isPythonSpace
        }
      }
  }

  // MARK: Searching

  private func search(
    _ name: StringMethods.Name, _ text: String, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    let bound = try positional(name.rawValue, arguments, 1...3)
    let scalars = Array(text.unicodeScalars)
    func clamp(_ index: Int, _ standard: Int) throws(TemplateError) -> Int {
      guard index < bound.count, !bound[index].isNone else { return standard }
      let place = try whole(bound[index], 0, name.rawValue)
      return min(max(place < 0 ? place &+ scalars.count : place, 0), scalars.count)
    }
    let (start, end) = (try clamp(1, 0), try clamp(2, scalars.count))
    if name == .startswith || name == .endswith {
      return .boolean(try meets(name, bound[0], start <= end ? scalars[start..<end] : nil))
    }
    guard let part = bound[0].text else {
      throw TemplateError(.type, "\(name.rawValue) needs a text, found \(bound[0].typeName)")
    }
    guard start <= end else { return try found(name, nil, 0) }
    let places = try self.places(
      of: Array(part.utf8), in: Array(String(scalars: scalars[start..<end]).utf8),
      all: name != .find && name != .index)
    guard name != .count else { return .integer(places.count) }
    let place = name == .find || name == .index ? places.first : places.last
    guard let place else { return try found(name, nil, 0) }
    let before = scalars[start..<end].prefixCount(ofBytes: place)
    return try found(name, before, start)
  }

  private func found(
    _ name: StringMethods.Name, _ place: Int?, _ start: Int
  ) throws(TemplateError) -> Value {
    if let place { return .integer(start + place) }
    if name == .count { return .integer(0) }
    if name == .index || name == .rindex { throw TemplateError(.value, "the text was not found") }
    return .integer(-1)
  }

  /// Offsets in bytes where `part` stands in `text`; for `count` none overlaps the one before.
  private func places(
    of part: [UInt8], in text: [UInt8], all: Bool
  ) throws(TemplateError) -> [Int] {
    if part.isEmpty {
      return text.indices.filter { text[$0] & 0xC0 != 0x80 } + [text.count]
    }
    var places: [Int] = []
    var start = 0
    while let place = try find(part, in: text, from: start) {
      places.append(place)
      if !all { break }
      start = place + part.count
    }
    return places
  }

  private func meets(
    _ name: StringMethods.Name, _ wanted: Value, _ scalars: ArraySlice<Unicode.Scalar>?
  ) throws(TemplateError) -> Bool {
    if case .tuple(let elements) = wanted {
      for element in elements.values where try meets(name, element, scalars) { return true }
      return false
    }
    if case .undefined(let undefined) = wanted { throw undefined.error }
    guard let part = wanted.text else {
      throw TemplateError(
        .type, "\(name.rawValue) needs a text or a tuple of texts, found \(wanted.typeName)")
    }
    guard let scalars else { return false }
    let wantedScalars = Array(part.unicodeScalars)
    return name == .startswith
      ? scalars.starts(with: wantedScalars)
      : scalars.count >= wantedScalars.count && scalars.suffix(wantedScalars.count).elementsEqual(wantedScalars)
  }

  // MARK: Splitting

  private func split(
    _ name: StringMethods.Name, _ text: String, _ receiver: Value, _ arguments: CallArguments
  ) throws(TemplateError) -> Value {
    switch name {
    case .splitlines:
      let bound = try arguments.bind("splitlines", ["keepends"])
      let lines = splitLines(text, keepsEnds: bound[0]?.isTrue ?? false)
      try charge(elements: lines.count)
      return try .list(lines.map { like(receiver, $0) })
    case .partition, .rpartition:
      let bound = try positional(name.rawValue, arguments, 1...1)
      guard let separator = bound[0].text, !separator.isEmpty else {
        throw TemplateError(.value, "\(name.rawValue) needs a separator that is not empty")
      }
      let bytes = Array(text.utf8)
      let places = try places(of: Array(separator.utf8), in: bytes, all: name == .rpartition)
      guard let place = places.last else {
        let parts = name == .partition ? [text, "", ""] : ["", "", text]
        return .tuple(try Elements(parts.map { like(receiver, $0) }))
      }
      let before = String(decoding: bytes[..<place], as: UTF8.self)
      let after = String(decoding: bytes[(place + separator.utf8.count)...], as: UTF8.self)
      return .tuple(try Elements([before, separator, after].map { like(receiver, $0) }))
    default:
      let bound = try arguments.bind(name.rawValue, ["sep", "maxsplit"])
      let limit = try whole(bound[1], -1, name.rawValue)
      let maximum = limit < 0 ? Int.max : limit
      var parts: [String]
      if let separator = bound[0], !separator.isNone {
        guard let separator = separator.text else {
          throw TemplateError(.type, "\(name.rawValue) needs a text, found \(separator.typeName)")
        }
        parts = try splitText(text, at: separator, maximum, fromEnd: name == .rsplit)
      } else {
        parts = splitAtSpaces(text, maximum, fromEnd: name == .rsplit)
      }
      try charge(elements: parts.count)
      return try .list(parts.map { like(receiver, $0) })
    }
  }

  private func splitText(
    _ text: String, at separator: String, _ maximum: Int, fromEnd: Bool
  ) throws(TemplateError) -> [String] {
    guard !separator.isEmpty else { throw TemplateError(.value, "split needs a separator") }
    let bytes = Array(text.utf8)
    let width = separator.utf8.count
    var places: [Int] = []
    if fromEnd {
      // From the end, overlapping separators are found in another order.
      let reversed = try self.places(
        of: Array(separator.utf8.reversed()), in: bytes.reversed(), all: true)
      places = reversed.prefix(maximum).reversed().map { bytes.count - $0 - width }
    } else {
      places = Array(try self.places(of: Array(separator.utf8), in: bytes, all: true).prefix(maximum))
    }
    var parts: [String] = []
    var start = 0
    for place in places {
      parts.append(String(decoding: bytes[start..<place], as: UTF8.self))
      start = place + width
    }
    parts.append(String(decoding: bytes[start...], as: UTF8.self))
    return parts
  }

  private func splitAtSpaces(_ text: String, _ maximum: Int, fromEnd: Bool) -> [String] {
    var scalars = Array(text.unicodeScalars)
    if fromEnd { scalars.reverse() }
    var parts: [[Unicode.Scalar]] = []
    var index = 0
    while true {
      while index < scalars.count, scalars[index].isPythonSpace { index += 1 }
      guard index < scalars.count else { break }
      if parts.count == maximum {
        parts.append(Array(scalars[index...]))
        break
      }
      let start = index
      while index < scalars.count, !scalars[index].isPythonSpace { index += 1 }
      parts.append(Array(scalars[start..<index]))
    }
    return fromEnd
      ? parts.reversed().map { String(scalars: $0.reversed()) } : parts.map { String(scalars: $0) }
  }

  /// The lines of a text; the last has no entry of its own when it is empty.
  func splitLines(_ text: String, keepsEnds: Bool) -> [String] {
    let scalars = Array(text.unicodeScalars)
    var lines: [String] = []
    var start = 0
    var index = 0
    while index < scalars.count {
      guard scalars[index].isPythonLineBreak else {
        index += 1
        continue
      }
      let isPair = scalars[index] == "\r" && index + 1 < scalars.count && scalars[index + 1] == "\n"
      let end = index + (isPair ? 2 : 1)
      lines.append(String(scalars: scalars[start..<(keepsEnds ? end : index)]))
      start = end
      index = end
    }
    if start < scalars.count { lines.append(String(scalars: scalars[start...])) }
    return lines
  }

  // MARK: Editing

  private func edited(
    _ name: StringMethods.Name, _ text: String, _ arguments: CallArguments
  ) throws(TemplateError) -> String {
    switch name {
    case .strip, .lstrip, .rstrip:
      let bound = try positional(name.rawValue, arguments, 0...1)
      return try stripped(text, bound.first, atStart: name != .rstrip, atEnd: name != .lstrip)
    case .replace:
      guard arguments.positional.count >= 2 else {
        throw TemplateError(.type, "replace needs the old and the new text")
      }
      let bound = try arguments.bind("replace", ["old", "new", "count"])
      return try replaced(
        text, try self.text(bound[0], "", "replace"), try self.text(bound[1], "", "replace"),
        count: try whole(bound[2], -1, "replace"))
    case .removeprefix, .removesuffix:
      let part = try self.text(try positional(name.rawValue, arguments, 1...1)[0], "", name.rawValue)
      let scalars = Array(text.unicodeScalars)
      let wanted = Array(part.unicodeScalars)
      if name == .removeprefix {
        return scalars.starts(with: wanted) ? String(scalars: scalars.dropFirst(wanted.count)) : text
      }
      let ends = !wanted.isEmpty && scalars.count >= wanted.count && scalars.suffix(wanted.count).elementsEqual(wanted)
      return ends ? String(scalars: scalars.dropLast(wanted.count)) : text
    case .expandtabs:
      let bound = try arguments.bind("expandtabs", ["tabsize"])
      return try expandTabs(text, max(0, try whole(bound[0], 8, "expandtabs")))
    case .zfill:
      let width = try whole(try positional("zfill", arguments, 1...1)[0], 0, "zfill")
      let missing = width.subtractingReportingOverflow(text.unicodeScalars.count).partialValue
      guard missing > 0 else { return text }
      try charge(bytes: missing)
      let hasSign = text.hasPrefix("-") || text.hasPrefix("+")
      return (hasSign ? String(text.prefix(1)) : "") + String(repeating: "0", count: missing)
        + (hasSign ? String(text.dropFirst()) : text)
    default:
      let bound = try positional(name.rawValue, arguments, 1...2)
      let fill = try self.text(bound.count > 1 ? bound[1] : nil, " ", name.rawValue)
      guard fill.unicodeScalars.count == 1 else {
        throw TemplateError(.type, "\(name.rawValue) needs one character to fill with")
      }
      let width = try whole(bound[0], 0, name.rawValue)
      if name == .center { return try centered(text, width, fill) }
      let padding = try padding(text, width, fill)
      return name == .ljust ? text + padding : padding + text
    }
  }

  private func expandTabs(_ text: String, _ size: Int) throws(TemplateError) -> String {
    var result = String.UnicodeScalarView()
    var column = 0
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\t":
        let count = size == 0 ? 0 : size - column % size
        try charge(bytes: result.count &+ count)
        result.append(contentsOf: repeatElement(" " as Unicode.Scalar, count: count))
        column += count
      case "\n", "\r":
        result.append(scalar)
        column = 0
      default:
        result.append(scalar)
        column += 1
      }
    }
    return String(result)
  }

  private func padding(
    _ text: String, _ width: Int, _ fill: String
  ) throws(TemplateError) -> String {
    let (missing, overflow) = width.subtractingReportingOverflow(text.unicodeScalars.count)
    guard missing > 0, !overflow else { return "" }
    let (bytes, tooMany) = missing.multipliedReportingOverflow(by: fill.utf8.count)
    try charge(bytes: tooMany ? .max : bytes)
    return String(repeating: fill, count: missing)
  }

  func centered(_ text: String, _ width: Int, _ fill: String) throws(TemplateError) -> String {
    let padding = try padding(text, width, fill)
    let missing = padding.unicodeScalars.count
    // Python puts the odd one left or right depending on the width.
    let left = missing / 2 + (missing & width & 1)
    return String(scalars: padding.unicodeScalars.prefix(left)) + text
      + String(scalars: padding.unicodeScalars.dropFirst(left))
  }

  /// Drops `characters`, white space unless given, from the ends of a text.
  func stripped(
    _ text: String, _ characters: Value?, atStart: Bool, atEnd: Bool
  ) throws(TemplateError) -> String {
    var set: Set<Unicode.Scalar>?
    if let characters, !characters.isNone {
      if case .undefined(let undefined) = characters { throw undefined.error }
      guard let text = characters.text else {
        throw TemplateError(.type, "strip needs a text, found \(characters.typeName)")
      }
      set = Set(text.unicodeScalars)
    }
    func isDropped(_ scalar: Unicode.Scalar) -> Bool { set?.contains(scalar) ?? scalar.isPythonSpace }
    let view = text.unicodeScalars
    var (start, end) = (view.startIndex, view.endIndex)
    if atStart { while start < end, isDropped(view[start]) { start = view.index(after: start) } }
    if atEnd {
      while start < end {
        let before = view.index(before: end)
        guard isDropped(view[before]) else { break }
        end = before
      }
    }
    return String(view[start..<end])
  }

  func replaced(
    _ text: String, _ old: String, _ new: String, count: Int
  ) throws(TemplateError) -> String {
    let limit = count < 0 ? Int.max : count
    let bytes = Array(text.utf8)
    let places = try places(of: Array(old.utf8), in: bytes, all: true).prefix(limit)
    guard !places.isEmpty else { return text }
    let (growth, overflow) = places.count.multipliedReportingOverflow(by: new.utf8.count)
    let (total, tooLong) = growth.addingReportingOverflow(bytes.count)
    try charge(bytes: overflow || tooLong ? .max : total)
    var result: [UInt8] = []
    var start = 0
    for place in places {
      result += bytes[start..<place]
      result += new.utf8
      start = place + old.utf8.count
    }
    result += bytes[start...]
    return String(decoding: result, as: UTF8.self)
  }
}

extension ArraySlice<Unicode.Scalar> {
  /// How many characters the first `bytes` bytes of their UTF-8 hold.
  fileprivate func prefixCount(ofBytes bytes: Int) -> Int {
    var remaining = bytes
    var count = 0
    for scalar in self where remaining > 0 {
      remaining -= UTF8.width(scalar)
      count += 1
    }
    return count
  }
}
