internal import Chat
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

extension Request {
  /// The body's object. Whatever is wrong with it is said before anything is computed.
  ///
  /// - Parameter anyType: Whether a body that does not say it is JSON is taken for it, as Ollama does.
  /// - Throws: `APIError`.
  func fields(_ state: ServerState, _ context: ServerContext, anyType: Bool = false) async throws -> Fields {
    if let encoding = headers[.contentEncoding], encoding.lowercased() != "identity" {
      throw APIError(
        .unsupportedMedia, "bodies are taken as they are, not as \(encoding.prefix(40))", code: "unsupported_encoding")
    }
    let type = headers[.contentType]?.split(separator: ";").first.map { $0.trimmingSpaces().lowercased() }
    guard anyType || type == nil || type == "application/json" else {
      throw APIError(
        .unsupportedMedia, "Content-Type is \(type?.prefix(60) ?? ""): expected application/json",
        code: "unsupported_media_type")
    }
    let bytes = try await bytes(upTo: state.settings.limits.bodyBytes, state, context)
    do {
      let body = try JSON(parsing: bytes)
      if state.settings.auditsContents { context.exchange.ask(body) }
      return try Fields(body)
    } catch let failure as JSONReader.Failure {
      throw APIError(
        .invalidRequest,
        "the body is no JSON at byte \(failure.offset): expected \(failure.expected), found \(failure.found)",
        code: "invalid_json")
    }
  }

  /// The whole body, as long as it is not too long and comes in time.
  func bytes(upTo limit: Int, _ state: ServerState, _ context: ServerContext) async throws -> [UInt8] {
    if let text = headers[.contentLength], let length = Int(text), length > limit { throw Request.tooLarge(limit) }
    if headers[.expect]?.lowercased() == "100-continue" { context.sayContinue() }
    // A connection that dribbles is closed: then the body ends with an error.
    let deadline = context.channel.eventLoop.scheduleTask(in: .seconds(Int64(state.settings.limits.arrivalSeconds))) {
      context.channel.close(mode: .all, promise: nil)
    }
    defer { deadline.cancel() }
    do {
      return Array(buffer: try await body.collect(upTo: limit))
    } catch is NIOTooManyBytesError {
      throw Request.tooLarge(limit)
    } catch let error where !(error is ChannelError || error is IOError || error is CancellationError) {
      // Chunks that are none, or that end too soon: the client's doing.
      throw APIError(.invalidRequest, "the body does not come as HTTP has it: \(error)", code: "invalid_body")
    }
  }

  private static func tooLarge(_ limit: Int) -> APIError {
    APIError(.tooLarge, "the body is larger than \(limit) bytes, the most this server takes", code: "body_too_large")
  }
}

extension Substring {
  fileprivate func trimmingSpaces() -> Substring {
    var text = drop { $0 == " " }
    while text.last == " " { text.removeLast() }
    return text
  }
}
