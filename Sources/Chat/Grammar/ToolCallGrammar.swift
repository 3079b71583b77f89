/// A tool that a model may call.
package struct ToolDescription: Sendable, Equatable {
  package let name: String
  package let description: String?
  /// A JSON schema of an object; nil for none.
  package let parameters: JSONElement?

  package init(name: String, description: String?, parameters: JSONElement?) {
    self.name = name
    self.description = description
    self.parameters = parameters
  }
}

/// How calls of tools are written in an answer: the form of Hermes and Qwen, which most templates that know tools teach.
///
///     <tool_call>
///     {"name": "weather", "arguments": {"city": "Bergen"}}
///     </tool_call>
package enum ToolCallText {
  package static let (open, close) = ("<tool_call>", "</tool_call>")

  /// A call as it was written.
  package struct Call: Sendable, Equatable {
    package let name: String
    package let arguments: JSONElement
  }

  /// An answer's own words, and the calls that follow them. A call that was cut off is left out.
  package static func parse(_ text: String) -> (content: String, calls: [Call]) {
    guard let start = text.firstRange(of: open) else { return (text, []) }
    var calls: [Call] = []
    var rest = text[start.lowerBound...]
    while let from = rest.firstRange(of: open), let to = rest[from.upperBound...].firstRange(of: close) {
      var reader = JSONReader(Array(rest[from.upperBound..<to.lowerBound].utf8))
      if let call = try? reader.value(), case .string(let name)? = call["name"], let arguments = call["arguments"] {
        calls.append(Call(name: name, arguments: arguments))
      }
      rest = rest[to.upperBound...]
    }
    var content = text[..<start.lowerBound]
    while content.last?.isWhitespace == true { content.removeLast() }
    return (String(content), calls)
  }

  /// A call as a model would write it.
  package static func text(_ name: String, _ arguments: JSONElement) -> String {
    let call = JSONElement.object([
      .init(key: "name", value: .string(name)), .init(key: "arguments", value: arguments),
    ])
    return "\(open)\n\(call.line)\n\(close)"
  }

  /// What a model is told that was not taught about tools by its template.
  package static func instructions(_ tools: [ToolDescription]) -> String {
    var text = "You can call functions. To call one, answer with this and nothing after it:\n"
    text += "\(open)\n{\"name\": \"FUNCTION\", \"arguments\": {…}}\n\(close)\nThe functions are:\n"
    for tool in tools {
      let members: [JSONElement.Member] = [
        .init(key: "name", value: .string(tool.name)),
        .init(key: "description", value: .string(tool.description ?? "")),
        .init(key: "parameters", value: tool.parameters ?? .object([])),
      ]
      text += JSONElement.object(members).line + "\n"
    }
    return text
  }
}

extension Grammar {
  /// Answers that call tools.
  ///
  /// - Parameters:
  ///   - mustCall: Whether the answer is nothing but calls; else words may come before them, or in their place.
  ///   - severalCalls: Whether there may be more than one.
  /// - Throws: `GrammarError` when a tool's parameters cannot be enforced.
  package static func toolCalls(
    _ tools: [ToolDescription], mustCall: Bool, severalCalls: Bool
  ) throws(GrammarError) -> Grammar {
    var builder = GrammarBuilder()
    let end = try builder.add(.leave)
    // Behind a call: the end, or another one.
    let after = try builder.add(.split([end]))
    let close = try builder.optional("\n", try builder.literal(ToolCallText.close, after))
    var bodies: [Int] = []
    for tool in tools {
      let brace = try builder.literal("}", close)
      var arguments = try builder.literal("{}", brace)
      if let parameters = tool.parameters, parameters != .object([]) {
        guard parameters["type"] == .string("object") || parameters["type"] == nil else {
          throw GrammarError(tool.name + ".parameters.type", "expected object")
        }
        var compiler = SchemaCompiler(root: parameters)
        compiler.builder = builder
        let schema = parameters["type"] == nil ? parameters.adding("type", .string("object")) : parameters
        do throws(GrammarError) { arguments = try compiler.value(schema, "", brace) } catch {
          throw GrammarError(tool.name + ".parameters" + (error.path.isEmpty ? "" : "." + error.path), error.message)
        }
        builder = compiler.builder
      }
      let key = try builder.comma(try builder.key("\"arguments\"", arguments))
      let name = JSONElement.string(tool.name).line
      bodies.append(try builder.literal("{", try builder.key("\"name\"", try builder.literal(name, key))))
    }
    let body = try builder.optional("\n", try builder.add(.split(bodies)))
    let call = try builder.literal(ToolCallText.open, body)
    if severalCalls { builder.set(after, .split([end, try builder.optional("\n", call)])) }
    let start = mustCall ? call : try builder.words(until: body, end)
    return try builder.built(from: start).withoutDeadEnds()
  }
}

extension JSONElement {
  fileprivate func adding(_ key: String, _ value: JSONElement) -> JSONElement {
    guard case .object(let members) = self else { return self }
    return .object(members + [Member(key: key, value: value)])
  }
}

extension GrammarBuilder {
  /// A text, or nothing.
  mutating func optional(_ text: String, _ next: Int) throws(Failure) -> Int {
    try add(.split([next, try literal(text, next)]))
  }

  /// Any bytes that do not hold the opening of a call; once they do, `body` follows.
  ///
  /// Knuth, Morris and Pratt, "Fast Pattern Matching in Strings" (SIAM J. Comput. 1977): as the opening's first byte stands
  /// nowhere else in it, whatever does not go on with it falls back to the start or to its first byte.
  mutating func words(until body: Int, _ end: Int) throws(Failure) -> Int {
    let marker = Array(ToolCallText.open.utf8)
    let first = marker[0]
    // So many bytes of the opening have come.
    var places: [Int] = []
    for _ in marker.indices { places.append(try add(.split([]))) }
    for (count, byte) in marker.enumerated() {
      let onward = count + 1 == marker.count ? body : places[count + 1]
      var others = ByteSet.all
      others.remove(byte)
      others.remove(first)
      var next = [end, try one(ByteSet(byte...byte), onward), try one(others, places[0])]
      if count > 0 { next.append(try one(ByteSet(first...first), places[1])) }
      set(places[count], .split(next))
    }
    return places[0]
  }
}
