internal import Chat
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

/// Which API a path belongs to: each has errors of its own shape.
enum Dialect: Sendable {
  case openAI, ollama, anthropic

  init(path: String) {
    if path == "/api" || path.hasPrefix("/api/") {
      self = .ollama
    } else if path == "/v1/messages" || path.hasPrefix("/v1/messages/") {
      self = .anthropic
    } else {
      self = .openAI
    }
  }

  /// The body of an error.
  func body(of error: APIError, requestID: String) -> JSON {
    switch self {
    case .openAI:
      return [
        "error": [
          "message": .string(error.message), "type": .string(openAIType(error)), "param": .optional(error.parameter),
          "code": .optional(error.code),
        ]
      ]
    case .ollama: return ["error": .string(error.message)]
    case .anthropic:
      return [
        "type": "error", "error": ["type": .string(anthropicType(error)), "message": .string(error.message)],
        "request_id": .string(requestID),
      ]
    }
  }

  /// What goes with it.
  func headers(of error: APIError) -> HTTPFields {
    var headers: HTTPFields = [.contentType: "application/json"]
    if let seconds = error.retryAfterSeconds { headers[.retryAfter] = String(seconds) }
    // The disk will be as full in a second. The libraries of OpenAI and Anthropic would send an upload three times.
    if error.kind == .diskFull { headers[.shouldRetry] = "false" }
    if !error.allowedMethods.isEmpty { headers[.allow] = error.allowedMethods.joined(separator: ", ") }
    if error.kind == .unauthorized { headers[.wwwAuthenticate] = "Bearer realm=\"hearth\"" }
    return headers
  }

  /// An error as a response.
  func response(to error: APIError, requestID: String) -> Response {
    Response(
      status: error.status, headers: headers(of: error),
      body: .init(byteBuffer: ByteBuffer(bytes: body(of: error, requestID: requestID).bytes)))
  }

  private func openAIType(_ error: APIError) -> String {
    switch error.kind {
    case .invalidRequest, .notFound, .methodNotAllowed, .tooLarge, .unsupportedMedia, .requestTimeout:
      "invalid_request_error"
    case .unauthorized: "authentication_error"
    case .forbidden: "permission_error"
    case .rateLimited: "rate_limit_exceeded"
    case .quotaExceeded: "insufficient_quota"
    case .overloaded, .unavailable: "service_unavailable"
    case .internalError, .diskFull: "server_error"
    }
  }

  private func anthropicType(_ error: APIError) -> String {
    switch error.kind {
    case .invalidRequest, .methodNotAllowed, .unsupportedMedia, .requestTimeout: "invalid_request_error"
    case .tooLarge: "request_too_large"
    case .unauthorized: "authentication_error"
    case .forbidden: "permission_error"
    case .notFound: "not_found_error"
    case .rateLimited, .quotaExceeded: "rate_limit_error"
    case .overloaded, .unavailable: "overloaded_error"
    case .internalError, .diskFull: "api_error"
    }
  }
}

extension HTTPField.Name {
  /// What the libraries of OpenAI and Anthropic ask before they look at the status.
  static let shouldRetry = HTTPField.Name("X-Should-Retry") ?? .retryAfter
}
