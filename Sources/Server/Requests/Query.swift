internal import Chat
internal import Foundation
internal import Hummingbird

extension Request {
  /// The address's parameters, to be taken out one by one like the members of a body.
  ///
  /// - Throws: When one comes twice.
  func query() throws(APIError) -> QueryFields {
    var members: [JSONElement.Member] = []
    for (name, value) in uri.queryParameters {
      // Values come decoded, names do not.
      guard let name = String(name).removingPercentEncoding else {
        throw .invalid("query", "\(name.prefix(100)): is no name of a parameter")
      }
      guard !members.contains(where: { $0.key == name }) else {
        throw .invalid(name, "\(name.prefix(100)) is given twice")
      }
      members.append(.init(key: name, value: .string(String(value))))
    }
    return try QueryFields(members)
  }

  /// Refuses all parameters of the address but one that changes nothing.
  func refuseQuery(except harmless: String) throws(APIError) {
    var query = try query()
    _ = try query.string(harmless)
    try query.finish()
  }
}

/// An address's parameters. All of them are texts.
struct QueryFields {
  private var fields: Fields
  /// What `metadata[name]` asks for.
  let metadata: [JSONElement.Member]

  fileprivate init(_ members: [JSONElement.Member]) throws(APIError) {
    func name(_ key: String) -> String? {
      key.hasPrefix("metadata[") && key.hasSuffix("]") ? String(key.dropFirst(9).dropLast()) : nil
    }
    metadata = members.compactMap { member in name(member.key).map { .init(key: $0, value: member.value) } }
    fields = try Fields(.object(members.filter { name($0.key) == nil }))
  }

  mutating func string(_ name: String) throws(APIError) -> String? { try fields.string(name) }

  mutating func integer(_ name: String, in range: ClosedRange<Int>) throws(APIError) -> Int? {
    guard let text = try fields.string(name) else { return nil }
    guard let number = Int(text), range.contains(number) else {
      throw .invalid(name, "\(name) is \"\(text.prefix(40))\": expected \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  mutating func word(_ name: String, of words: [String]) throws(APIError) -> String? {
    try fields.word(name, of: words)
  }

  /// Takes `after` and `limit`, and gives that part of a list; all of it where neither is there.
  mutating func part<Element>(
    of all: [Element], id: (Element) -> String
  ) throws(APIError) -> (entries: [Element], hasMore: Bool) {
    var rest = all[...]
    if let after = try string("after") {
      guard let place = all.firstIndex(where: { id($0) == after }) else {
        throw .invalid("after", "after: there is nothing with the id \"\(after.prefix(64))\" in this list")
      }
      rest = all[(place + 1)...]
    }
    let limit = try integer("limit", in: 1...10_000) ?? rest.count
    return (Array(rest.prefix(limit)), rest.count > limit)
  }

  func finish() throws(APIError) {
    if let member = metadata.first, !takesMetadata {
      throw .invalid("metadata", "unknown parameter: metadata[\(member.key.prefix(64))]", code: "unknown_parameter")
    }
    try fields.finish()
  }

  /// Whether this list can be searched by metadata.
  var takesMetadata = false
}

extension ConversationQuery {
  /// Takes `after`, `limit` and `order`, as OpenAI's lists have them.
  mutating func takePage(_ fields: inout QueryFields) throws(APIError) {
    after = try fields.string("after")
    limit = try fields.integer("limit", in: 1...100) ?? 20
    isAscending = try fields.word("order", of: ["asc", "desc"]) != "desc"
  }
}

extension JSONElement {
  /// A part of a list, as OpenAI's API has it.
  static func page(_ entries: [JSON], ids: [String], hasMore: Bool) -> JSON {
    [
      "object": "list", "data": .array(entries), "first_id": .optional(ids.first), "last_id": .optional(ids.last),
      "has_more": .bool(hasMore),
    ]
  }
}
