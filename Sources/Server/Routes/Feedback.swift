internal import Chat
internal import HTTPTypes
internal import Hummingbird

// What people thought of answers, to learn from: a thumb, a reason, a better answer.
extension RouteTable {
  mutating func addFeedback(_ state: ServerState) {
    on(.post, "/v1/feedback", .scope(.chat)) { request, context in
      var fields = try await request.fields(state, context)
      let id = try fields.requiredString("completion_id")
      let choice = try fields.integer("choice", in: 0...(state.settings.limits.answers - 1)) ?? 0
      guard let rating = try fields.word("rating", of: FeedbackRecord.Rating.allCases.map(\.rawValue)) else {
        throw fields.missing("rating")
      }
      let comment = try fields.text("comment", most: state.settings.limits.feedbackBytes)
      let correction = try fields.text("correction", most: state.settings.limits.feedbackBytes)
      try fields.finish()
      guard let conversation = try await state.storage.conversation(id, of: context.owner) else {
        throw ServerState.noConversation(id)
      }
      guard conversation.answers.indices.contains(choice) else {
        throw APIError.invalid(
          "choice", "choice is \(choice): the completion has \(conversation.answers.count) answers, counted from 0")
      }
      let feedback = FeedbackRecord(
        id: Identifier.make("feedback"), owner: context.owner, conversation: id, choice: choice, created: Clock.seconds,
        rating: FeedbackRecord.Rating(rawValue: rating) ?? .down, comment: comment, correction: correction)
      try await state.storage.put(feedback)
      return .json(feedback.entry)
    }
    on(.get, "/v1/feedback", .scope(.chat), takesQuery: true) { request, context in
      var fields = try request.query()
      let after = try fields.string("after")
      let limit = try fields.integer("limit", in: 1...100) ?? 20
      try fields.finish()
      let (found, hasMore) = try await state.storage.feedback(of: context.owner, after: after, limit: limit)
      return .json(.page(found.map(\.entry), ids: found.map(\.id), hasMore: hasMore))
    }
    on(.get, "/v1/feedback/{feedback}", .scope(.chat)) { _, context in
      let id = context.pathPart("feedback")
      guard let found = try await state.storage.feedback(id, of: context.owner) else { throw FeedbackRecord.none(id) }
      return .json(found.entry)
    }
    on(.delete, "/v1/feedback/{feedback}", .scope(.chat)) { _, context in
      let id = context.pathPart("feedback")
      guard try await state.storage.removeFeedback(id, of: context.owner) else { throw FeedbackRecord.none(id) }
      return .json(["object": "feedback.deleted", "id": .string(id), "deleted": true])
    }
    on(.get, "/v1/exports/conversations", .scope(.chat), takesQuery: true) { request, context in
      try request.query().finish()
      let owner = context.owner
      return .lines { write in try await state.storage.exportConversations(of: owner, write) }
    }
    on(.get, "/v1/exports/feedback", .scope(.chat), takesQuery: true) { request, context in
      var query = try request.query()
      let shape = try query.word("shape", of: FeedbackShape.allCases.map(\.rawValue)).flatMap(FeedbackShape.init)
      try query.finish()
      let owner = context.owner
      return .lines { write in _ = try await state.storage.exportFeedback(of: owner, shape ?? .messages, write) }
    }
  }
}

extension FeedbackRecord {
  fileprivate static func none(_ id: String) -> APIError {
    APIError(.notFound, "there is no feedback \"\(id.prefix(64))\"", parameter: "feedback", code: "not_found")
  }

  /// As the API has it.
  var entry: JSON {
    [
      "id": .string(id), "object": "feedback", "created_at": .integer(created), "completion_id": .string(conversation),
      "choice": .integer(choice), "rating": .string(rating.rawValue), "comment": .optional(comment),
      "correction": .optional(correction),
    ]
  }
}

extension Fields {
  /// A text of bounded length.
  fileprivate mutating func text(_ name: String, most: Int) throws(APIError) -> String? {
    guard let text = try string(name) else { return nil }
    guard text.utf8.count <= most else { throw .invalid(path(name), "\(path(name)) has more than \(most) bytes") }
    return text
  }
}

extension Response {
  /// JSON lines, as many as there are, as they come.
  fileprivate static func lines(
    _ body: @escaping @Sendable (_ write: (JSON) async throws -> Void) async throws -> Void
  ) -> Response {
    Response(
      status: .ok, headers: [.contentType: "application/jsonl"],
      body: .init { writer in
        var events = EventWriter(writer)
        try await body { try await events.sendLine($0) }
        try await events.finish()
      })
  }
}
