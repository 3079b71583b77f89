internal import Chat
internal import Foundation

/// What becomes of feedback: rows of the shapes that `hearth finetune` reads.
public enum FeedbackShape: String, Sendable, CaseIterable {
  /// `{"messages"}` with the answer that was liked, or the better one that somebody wrote.
  case messages
  /// `{"prompt", "chosen", "rejected"}` where somebody wrote a better answer: for `--objective dpo`.
  case preference
}

extension StoredConversation {
  /// The texts of the answers; nil for those that call tools, or say nothing.
  var answers: [String?] {
    (completion["choices"]?.elements ?? []).map { choice in
      let message = choice["message"]
      guard message?["tool_calls"] == nil, let text = message?["content"]?.text, !text.isBlank else { return nil }
      return text
    }
  }

  /// The conversation in the shape of training data, `{"messages"}` with what is known of it beside.
  var row: JSON {
    let answer = completion["choices"]?.elements?.first?["message"]
    return [
      "id": .string(id), "model": .string(model), "created": .integer(created), "metadata": metadata,
      "messages": .array((messages + [answer].compactMap { $0 }).map(StoredConversation.plain)),
    ]
  }

  /// A row to learn from; nil where there is none: an answer that was not liked and not corrected, calls of tools.
  func row(_ feedback: FeedbackRecord, _ shape: FeedbackShape) -> JSON? {
    guard answers.indices.contains(feedback.choice), let question, let answer = answers[feedback.choice] else {
      return nil
    }
    let better = feedback.correction.flatMap { $0.isBlank ? nil : $0 }
    switch shape {
    case .messages:
      guard let wanted = better ?? (feedback.rating == .up ? answer : nil) else { return nil }
      return ["messages": .array(question + [["role": "assistant", "content": .string(wanted)]])]
    case .preference:
      guard let better, better != answer, question.last?["role"] != "assistant" else { return nil }
      return ["prompt": .array(question), "chosen": .string(better), "rejected": .string(answer)]
    }
  }

  /// The messages up to the answer as texts; nil when some are none.
  private var question: [JSON]? {
    var question: [JSON] = []
    for message in messages.map(StoredConversation.plain) {
      guard message["tool_calls"] == nil, let role = message["role"]?.text, let content = message["content"]?.text,
        role != "assistant" || !content.isBlank
      else { return nil }
      question.append(["role": .string(role), "content": .string(content)])
    }
    return question
  }

  /// A message whose content is one text, where it was several.
  private static func plain(_ message: JSON) -> JSON {
    .object(
      (message.members ?? []).compactMap { member in
        if member.key != "content" { return member.value == .null ? nil : member }
        guard let parts = member.value.elements else { return member }
        return .init(key: "content", value: .string(parts.compactMap { $0["text"]?.text }.joined()))
      })
  }
}

extension Storage {
  /// Writes everybody's, or one key's, conversations, the eldest first.
  ///
  /// - Parameter owner: A key's id; nil for all.
  func exportConversations(of owner: String?, _ write: (JSON) async throws -> Void) async throws {
    var query = ConversationQuery(owner: owner, limit: 100)
    while true {
      let (found, hasMore) = try await conversations(query)
      for conversation in found { try await write(conversation.row) }
      guard hasMore, let last = found.last else { return }
      query.after = last.id
    }
  }

  /// Writes what can be learned from feedback, the eldest first.
  ///
  /// - Returns: How many rows were written, and how much feedback gave none.
  func exportFeedback(
    of owner: String?, _ shape: FeedbackShape, _ write: (JSON) async throws -> Void
  ) async throws -> (rows: Int, others: Int) {
    var (rows, others, after): (Int, Int, String?) = (0, 0, nil)
    while true {
      let (found, hasMore) = try await feedback(of: owner, after: after, limit: 100)
      for feedback in found {
        let conversation = try await conversation(feedback.conversation, of: feedback.owner)
        if let row = conversation?.row(feedback, shape) {
          try await write(row)
          rows += 1
        } else {
          others += 1
        }
      }
      guard hasMore, let last = found.last else { return (rows, others) }
      after = last.id
    }
  }

  /// The same into a file, which appears whole or not at all, readable by its owner only.
  ///
  /// - Parameter shape: nil for conversations as they are.
  /// - Returns: How many rows it has, and how much gave none.
  public func export(
    _ shape: FeedbackShape?, owner: String?, to path: String
  ) async throws(ServerError) -> (rows: Int, others: Int) {
    do {
      let place = path + ".partial"
      guard FileManager.default.createFile(atPath: place, contents: nil, attributes: [.posixPermissions: 0o600]),
        let file = FileHandle(forWritingAtPath: place)
      else { throw ServerError("\(path): cannot be written") }
      defer { try? FileManager.default.removeItem(atPath: place) }
      var count = 0
      func write(_ row: JSON) async throws {
        try file.write(contentsOf: Data(row.bytes + [UInt8(ascii: "\n")]))
        count += 1
      }
      var others = 0
      if let shape {
        others = try await exportFeedback(of: owner, shape, write).others
      } else {
        try await exportConversations(of: owner, write)
      }
      try file.synchronize()
      try file.close()
      guard rename(place, path) == 0 else {
        throw ServerError("\(path): cannot be written: \(String(cString: strerror(errno)))")
      }
      return (count, others)
    } catch let error as ServerError { throw error } catch { throw ServerError("\(path): \(error)") }
  }
}

extension String {
  fileprivate var isBlank: Bool { allSatisfy(\.isWhitespace) }
}
