internal import Chat
internal import Engine
internal import HTTPTypes
internal import Hummingbird

// What was kept of /v1/chat/completions because the request said "store": true, as OpenAI's API reference has it.
extension RouteTable {
  mutating func addStoredCompletions(_ state: ServerState) {
    on(.get, "/v1/chat/completions", .scope(.chat), takesQuery: true) { request, context in
      var fields = try request.query()
      fields.takesMetadata = true
      var query = ConversationQuery(owner: context.owner)
      query.model = try fields.string("model")
      query.metadata = fields.metadata
      try query.takePage(&fields)
      try fields.finish()
      let (found, hasMore) = try await state.storage.conversations(query)
      return .json(.page(found.map(\.entry), ids: found.map(\.id), hasMore: hasMore))
    }
    on(.get, "/v1/chat/completions/{completion}", .scope(.chat)) { _, context in
      .json(try await state.conversation(context).entry)
    }
    on(.post, "/v1/chat/completions/{completion}", .scope(.chat)) { request, context in
      var fields = try await request.fields(state, context)
      guard let metadata = fields.value("metadata") else { throw fields.missing("metadata") }
      try fields.finish()
      try StoredConversation.check(metadata)
      let id = context.pathPart("completion")
      guard let changed = try await state.storage.setMetadata(metadata, of: id, owner: context.owner) else {
        throw ServerState.noConversation(id)
      }
      return .json(changed.entry)
    }
    on(.delete, "/v1/chat/completions/{completion}", .scope(.chat)) { _, context in
      let id = context.pathPart("completion")
      guard try await state.storage.removeConversation(id, of: context.owner) else {
        throw ServerState.noConversation(id)
      }
      return .json(["object": "chat.completion.deleted", "id": .string(id), "deleted": true])
    }
    on(.get, "/v1/chat/completions/{completion}/messages", .scope(.chat), takesQuery: true) { request, context in
      var fields = try request.query()
      var query = ConversationQuery()
      try query.takePage(&fields)
      try fields.finish()
      let conversation = try await state.conversation(context)
      var messages = conversation.messages.enumerated().map { index, message -> (id: String, entry: JSON) in
        let id = "\(conversation.id)-\(index)"
        return (id, .object([JSONElement.Member(key: "id", value: .string(id))] + (message.members ?? [])))
      }
      if !query.isAscending { messages.reverse() }
      if let after = query.after {
        guard let place = messages.firstIndex(where: { $0.id == after }) else {
          throw APIError.invalid("after", "after: there is no message of this id")
        }
        messages.removeSubrange(...place)
      }
      let page = messages.prefix(query.limit)
      return .json(.page(page.map(\.entry), ids: page.map(\.id), hasMore: messages.count > page.count))
    }
  }
}

extension ServerState {
  /// The stored conversation that a request is about.
  ///
  /// - Throws: The same whether there is none, or it is another's.
  fileprivate func conversation(_ context: ServerContext) async throws -> StoredConversation {
    let id = context.pathPart("completion")
    if let found = try await storage.conversation(id, of: context.owner) { return found }
    throw ServerState.noConversation(id)
  }

  /// - Parameter parameter: Where the request says which.
  static func noConversation(_ id: String, _ parameter: String = "completion_id") -> APIError {
    APIError(
      .notFound,
      "there is no stored conversation \"\(id.prefix(64))\": those are kept whose requests said \"store\": true",
      parameter: parameter, code: "not_found")
  }
}

/// What is to be kept of a request, if its answers come to an end.
struct ConversationKeeping: Sendable {
  let owner: String
  let messages: [JSON]
  let metadata: JSON

  /// Takes `store` and `metadata`.
  ///
  /// - Parameter messages: As they were sent.
  /// - Returns: nil when nothing is to be kept.
  static func take(
    _ fields: inout Fields, messages: JSON?, owner: String, _ state: ServerState
  ) throws(APIError) -> ConversationKeeping? {
    let metadata = fields.value("metadata") ?? [:]
    guard try fields.bool("store") ?? false else { return nil }
    guard state.settings.storesConversations else {
      throw .invalid(
        "store",
        "store is not supported: this server keeps no answers unless its owner starts it with --store-conversations",
        code: "unsupported_parameter")
    }
    try StoredConversation.check(metadata)
    return ConversationKeeping(owner: owner, messages: messages?.elements ?? [], metadata: metadata)
  }

  /// What keeps the conversation once its answer is there.
  func keeper(_ state: ServerState) -> @Sendable (JSON) async throws -> Void {
    { completion in
      try await state.storage.add(
        StoredConversation(
          id: completion["id"]?.text ?? "", owner: owner, model: completion["model"]?.text ?? "",
          created: Clock.seconds, messages: messages, completion: completion, metadata: metadata),
        most: state.settings.limits.storedBytes)
    }
  }
}

extension StoredConversation {
  /// The answer as OpenAI's API has it, with its metadata.
  var entry: JSON {
    .object((completion.members ?? []) + [JSONElement.Member(key: "metadata", value: metadata)])
  }

  /// - Throws: When metadata is not what OpenAI's API takes: at most sixteen short pairs of words.
  static func check(_ metadata: JSON) throws(APIError) {
    guard let members = metadata.members else {
      throw .invalid("metadata", "metadata: expected an object, found \(metadata.kindName)", code: "invalid_type")
    }
    guard members.count <= 16 else {
      throw .invalid("metadata", "metadata has \(members.count) pairs: expected at most 16")
    }
    for member in members {
      guard (1...64).contains(member.key.count), let text = member.value.text, text.count <= 512 else {
        throw .invalid(
          "metadata",
          "metadata: expected names of 1 to 64 characters with texts of at most 512, found \"\(member.key.prefix(64))\""
        )
      }
    }
  }
}
