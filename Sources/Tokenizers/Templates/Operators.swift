internal import Foundation

/// Arithmetic and comparison with Python's meaning.
extension Evaluator {
  private func mismatch(
    _ operation: BinaryOperator, _ left: Value, _ right: Value
  ) -> TemplateError {
    if case .undefined(let undefined) = left { return undefined.error }
    if case .undefined(let undefined) = right { return undefined.error }
    return TemplateError(
      .type, "'\(operation.rawValue)' does not take \(left.typeName) and \(right.typeName)")
  }

  func signed(_ sign: UnaryOperator, _ value: Value) throws(TemplateError) -> Value {
    switch value {
    case .undefined(let undefined): throw undefined.error
    case .double(let number): return .double(sign == .minus ? -number : number)
    default:
      guard let number = value.wholeNumber else {
        throw TemplateError(.type, "a value of type \(value.typeName) has no sign")
      }
      if sign == .plus { return .integer(number) }
      return .integer(try Self.whole(Int(0).subtractingReportingOverflow(number)))
    }
  }

  /// Python's integers grow without bound; these end at 64 bits, with an error.
  static func whole(
    _ result: (partialValue: Int, overflow: Bool)
  ) throws(TemplateError) -> Int {
    if result.overflow { throw TemplateError(.limit, "a number does not fit 64 bits") }
    return result.partialValue
  }

  func compute(
    _ operation: BinaryOperator, _ left: Value, _ right: Value
  ) throws(TemplateError) -> Value {
    if let a = left.wholeNumber, let b = right.wholeNumber {
      return try compute(operation, a, b)
    }
    if let a = left.number, let b = right.number { return try compute(operation, a, b) }
    switch operation {
    case .add: return try add(left, right)
    case .multiply:
      if let count = right.wholeNumber { return try multiply(left, count) }
      if let count = left.wholeNumber { return try multiply(right, count) }
      throw mismatch(operation, left, right)
    case .modulo:
      guard let format = left.text else { throw mismatch(operation, left, right) }
      return like(left, try percentFormat(format, right))
    default: throw mismatch(operation, left, right)
    }
  }

  private func compute(
    _ operation: BinaryOperator, _ a: Int, _ b: Int
  ) throws(TemplateError) -> Value {
    switch operation {
    case .add: return .integer(try Self.whole(a.addingReportingOverflow(b)))
    case .subtract: return .integer(try Self.whole(a.subtractingReportingOverflow(b)))
    case .multiply: return .integer(try Self.whole(a.multipliedReportingOverflow(by: b)))
    case .divide:
      guard b != 0 else { throw Self.zeroDivisor }
      return .double(Double(a) / Double(b))
    case .floorDivide:
      guard b != 0 else { throw Self.zeroDivisor }
      let quotient = try Self.whole(a.dividedReportingOverflow(by: b))
      return .integer(a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient)
    case .modulo:
      guard b != 0 else { throw Self.zeroDivisor }
      if b == -1 { return .integer(0) }
      let remainder = a % b
      return .integer(remainder != 0 && (remainder < 0) != (b < 0) ? remainder + b : remainder)
    case .power: return try power(a, b)
    }
  }

  private func power(_ base: Int, _ exponent: Int) throws(TemplateError) -> Value {
    if exponent < 0 {
      guard base != 0 else { throw Self.zeroDivisor }
      return .double(Foundation.pow(Double(base), Double(exponent)))
    }
    if base == 0 || base == 1 { return .integer(exponent == 0 ? 1 : base) }
    if base == -1 { return .integer(exponent % 2 == 0 ? 1 : -1) }
    var result = 1
    for _ in 0..<min(exponent, 64) {
      result = try Self.whole(result.multipliedReportingOverflow(by: base))
    }
    return .integer(result)
  }

  private func compute(
    _ operation: BinaryOperator, _ a: Double, _ b: Double
  ) throws(TemplateError) -> Value {
    switch operation {
    case .add: return .double(a + b)
    case .subtract: return .double(a - b)
    case .multiply: return .double(a * b)
    case .divide:
      guard b != 0 else { throw Self.zeroDivisor }
      return .double(a / b)
    case .floorDivide:
      guard b != 0 else { throw Self.zeroDivisor }
      let quotient = (a - Self.modulo(a, b)) / b
      var floor = quotient.rounded(.down)
      if quotient - floor > 0.5 { floor += 1 }
      return .double(quotient == 0 ? Double(signOf: a / b, magnitudeOf: 0) : floor)
    case .modulo:
      guard b != 0 else { throw Self.zeroDivisor }
      return .double(Self.modulo(a, b))
    case .power:
      if a == 0, b < 0 { throw Self.zeroDivisor }
      if a < 0, a.isFinite, b.isFinite, b != b.rounded() {
        throw TemplateError(.value, "a root of a negative number is not a real number")
      }
      let result = Foundation.pow(a, b)
      if result.isInfinite, a.isFinite, b.isFinite {
        throw TemplateError(.value, "the power is too large for a floating-point number")
      }
      return .double(result)
    }
  }

  private static func modulo(_ a: Double, _ b: Double) -> Double {
    let remainder = a.truncatingRemainder(dividingBy: b)
    if remainder == 0 { return Double(signOf: b, magnitudeOf: 0) }
    return (remainder < 0) != (b < 0) ? remainder + b : remainder
  }

  static var zeroDivisor: TemplateError { TemplateError(.value, "division by zero") }

  private func add(_ left: Value, _ right: Value) throws(TemplateError) -> Value {
    switch (left, right) {
    case (.string(let a), .string(let b)):
      try charge(bytes: a.utf8.count + b.utf8.count)
      return .string(a + b)
    case (.markup(let a), .markup(let b)):
      try charge(bytes: a.utf8.count + b.utf8.count)
      return .markup(a + b)
    case (.markup(let a), .string(let b)):
      let escaped = try escape(b)
      try charge(bytes: a.utf8.count + escaped.utf8.count)
      return .markup(a + escaped)
    case (.string(let a), .markup(let b)):
      let escaped = try escape(a)
      try charge(bytes: escaped.utf8.count + b.utf8.count)
      return .markup(escaped + b)
    case (.list(let a), .list(let b)):
      try charge(elements: a.values.count + b.values.count)
      return try .list(a.values + b.values)
    case (.tuple(let a), .tuple(let b)):
      try charge(elements: a.values.count + b.values.count)
      return .tuple(try Elements(a.values + b.values))
    default: throw mismatch(.add, left, right)
    }
  }

  /// Escapes the five characters that HTML gives a meaning.
  func escape(_ text: String) throws(TemplateError) -> String {
    try charge(bytes: text.utf8.count)
    var result = String.UnicodeScalarView()
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": result.append(contentsOf: "&amp;".unicodeScalars)
      case "<": result.append(contentsOf: "&lt;".unicodeScalars)
      case ">": result.append(contentsOf: "&gt;".unicodeScalars)
      case "\"": result.append(contentsOf: "&#34;".unicodeScalars)
      case "'": result.append(contentsOf: "&#39;".unicodeScalars)
      default: result.append(scalar)
      }
    }
    return String(result)
  }

  private func multiply(_ value: Value, _ count: Int) throws(TemplateError) -> Value {
    let count = max(0, count)
    func product(_ size: Int) -> Int {
      let (total, overflow) = size.multipliedReportingOverflow(by: count)
      return overflow ? .max : total
    }
    switch value {
    case .string(let text), .markup(let text):
      try charge(bytes: product(text.utf8.count))
      return like(value, text.isEmpty ? "" : String(repeating: text, count: count))
    case .list(let elements), .tuple(let elements):
      try charge(elements: product(elements.values.count))
      var values: [Value] = []
      if !elements.values.isEmpty { for _ in 0..<count { values += elements.values } }
      if case .list = value { return try .list(values) }
      return .tuple(try Elements(values))
    default: throw mismatch(.multiply, value, .integer(count))
    }
  }

  // MARK: Comparison

  func compare(
    _ comparison: ComparisonOperator, _ left: Value, _ right: Value
  ) throws(TemplateError) -> Bool {
    switch comparison {
    case .equal: return try isEqual(left, right)
    case .notEqual: return !(try isEqual(left, right))
    case .isIn: return try contains(right, left)
    case .isNotIn: return !(try contains(right, left))
    case .less: return try order(left, right, "<") { $0 < $1 }
    case .lessOrEqual: return try order(left, right, "<=") { $0 <= $1 }
    case .greater: return try order(left, right, ">") { $0 > $1 }
    case .greaterOrEqual: return try order(left, right, ">=") { $0 >= $1 }
    }
  }

  func isEqual(_ left: Value, _ right: Value) throws(TemplateError) -> Bool {
    if let a = left.text, let b = right.text {
      try charge(min(a.utf8.count, b.utf8.count) >> 6)
      return a.isSameText(as: b)
    }
    if let a = left.wholeNumber, let b = right.wholeNumber { return a == b }
    if let a = left.number, let b = right.number { return a == b }
    switch (left, right) {
    case (.none, .none), (.undefined, .undefined): return true
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
      return try areEqual(a.values, b.values)
    case (.dictionary(let a), .dictionary(let b)):
      guard a.pairs.count == b.pairs.count else { return false }
      for pair in a.pairs {
        try charge(1)
        guard let other = try b.value(for: pair.key), try isEqual(pair.value, other) else {
          return false
        }
      }
      return true
    case (.range(let a), .range(let b)):
      return a.count == b.count
        && (a.count == 0 || a.start == b.start && (a.count == 1 || a.step == b.step))
    case (.view(let a), .view(let b)):
      guard a.kind == b.kind, a.kind != .values else { return a === b }
      let others = try b.values()
      guard others.count == a.entries.pairs.count else { return false }
      for value in try a.values() where !(try contains(.list(Elements(others)), value)) {
        return false
      }
      return true
    case (.namespace(let a), .namespace(let b)): return a === b
    case (.macro(let a), .macro(let b)): return a === b
    case (.loop(let a), .loop(let b)): return a === b
    case (.iterator(let a), .iterator(let b)): return a === b
    case (.cycler(let a), .cycler(let b)): return a === b
    case (.joiner(let a), .joiner(let b)): return a === b
    case (.function(let a), .function(let b)): return a == b
    default: return false
    }
  }

  private func areEqual(_ left: [Value], _ right: [Value]) throws(TemplateError) -> Bool {
    guard left.count == right.count else { return false }
    for (a, b) in zip(left, right) {
      try charge(1)
      guard try isEqual(a, b) else { return false }
    }
    return true
  }

  /// -1, 0 or 1 as `left` comes before, with or after `right`; nil for not a number.
  func order(
    _ left: Value, _ right: Value, _ name: String = "<"
  ) throws(TemplateError) -> Int? {
    if let a = left.text, let b = right.text {
      try charge(min(a.utf8.count, b.utf8.count) >> 6)
      return a.isSameText(as: b) ? 0 : a.precedes(b) ? -1 : 1
    }
    if let a = left.wholeNumber, let b = right.wholeNumber { return a == b ? 0 : a < b ? -1 : 1 }
    if let a = left.number, let b = right.number { return a == b ? 0 : a < b ? -1 : a > b ? 1 : nil }
    switch (left, right) {
    case (.undefined(let undefined), _), (_, .undefined(let undefined)): throw undefined.error
    case (.list(let a), .list(let b)), (.tuple(let a), .tuple(let b)):
      for (first, second) in zip(a.values, b.values) {
        try charge(1)
        if try isEqual(first, second) { continue }
        return try order(first, second, name)
      }
      let (m, n) = (a.values.count, b.values.count)
      return m == n ? 0 : m < n ? -1 : 1
    default:
      throw TemplateError(
        .type, "'\(name)' does not take \(left.typeName) and \(right.typeName)")
    }
  }

  private func order(
    _ left: Value, _ right: Value, _ name: String, _ holds: (Int, Int) -> Bool
  ) throws(TemplateError) -> Bool {
    try order(left, right, name).map { holds($0, 0) } ?? false
  }

  /// `element in container`.
  func contains(_ container: Value, _ element: Value) throws(TemplateError) -> Bool {
    switch container {
    case .string(let text), .markup(let text):
      guard let part = element.text else {
        throw TemplateError(
          .type, "'in' takes a text before a text, found \(element.typeName)")
      }
      return try find(part, in: text) != nil
    case .dictionary(let entries): return try entries.value(for: element) != nil
    case .view(let view) where view.kind == .keys:
      return try view.entries.value(for: element) != nil
    case .range(let range):
      guard let number = element.number, let value = Int(exactly: number) else { return false }
      let (offset, overflow) = value.subtractingReportingOverflow(range.start)
      guard !overflow, range.step != 0, range.step != -1 || offset != .min,
        offset % range.step == 0
      else { return false }
      let index = offset / range.step
      return index >= 0 && index < range.count
    default:
      for value in try elements(of: container, use: "look into") {
        try charge(1)
        if try isEqual(value, element) { return true }
      }
      return false
    }
  }

  // MARK: Searching

  /// Offset in bytes of the first `part` in `text` from `start` on. Counts what it compares, since
  /// the plain search can take the product of both lengths.
  func find(_ part: String, in text: String, from start: Int = 0) throws(TemplateError) -> Int? {
    try find(Array(part.utf8), in: Array(text.utf8), from: start)
  }

  func find(
    _ part: [UInt8], in text: [UInt8], from start: Int
  ) throws(TemplateError) -> Int? {
    guard let first = part.first else { return start }
    guard text.count >= part.count else { return nil }
    try charge((text.count - start) >> 6)
    var compared = 0
    var index = start
    let last = text.count - part.count
    while index <= last {
      if text[index] == first {
        var offset = 1
        while offset < part.count, text[index + offset] == part[offset] { offset += 1 }
        if offset == part.count { return index }
        compared += offset
        if compared > 4096 {
          try charge(compared >> 6)
          compared = 0
        }
      }
      index += 1
    }
    return nil
  }

  /// Sorts without moving equal elements past each other.
  func sorted(
    _ values: [Value], by keys: [Value], reverse: Bool
  ) throws(TemplateError) -> [Value] {
    try charge(elements: values.count)
    var order = Array(values.indices)
    var buffer = order
    var width = 1
    while width < order.count {
      var start = 0
      while start < order.count {
        let middle = min(start + width, order.count)
        let end = min(start + 2 * width, order.count)
        var (left, right, place) = (start, middle, start)
        while left < middle || right < end {
          try charge(1)
          let takesRight: Bool
          if left < middle, right < end {
            let (a, b) = (keys[order[left]], keys[order[right]])
            takesRight = try self.order(reverse ? a : b, reverse ? b : a) == -1
          } else {
            takesRight = left == middle
          }
          buffer[place] = order[takesRight ? right : left]
          if takesRight { right += 1 } else { left += 1 }
          place += 1
        }
        start = end
      }
      swap(&order, &buffer)
      width *= 2
    }
    return order.map { values[$0] }
  }
}
