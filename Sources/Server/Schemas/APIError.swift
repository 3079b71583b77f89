internal import Chat
internal import Engine
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

/// What went wrong with a request, before it is put into the words of the API that was spoken.
struct APIError: Error, Sendable {
  /// What sort of thing went wrong; decides the status.
  enum Kind: Sendable {
    case invalidRequest, unauthorized, forbidden, notFound, methodNotAllowed, tooLarge, unsupportedMedia
    case rateLimited, quotaExceeded, overloaded, unavailable, diskFull, internalError, requestTimeout
  }

  var kind: Kind
  /// For the person who wrote the client.
  var message: String
  /// The parameter at fault.
  var parameter: String?
  /// A word for programs, `unknown_parameter`.
  var code: String?
  /// When to try again.
  var retryAfterSeconds: Int?
  /// The methods that the path has, where it has not the request's.
  var allowedMethods: [String] = []

  init(
    _ kind: Kind, _ message: String, parameter: String? = nil, code: String? = nil, retryAfterSeconds: Int? = nil
  ) {
    self.kind = kind
    self.message = message
    self.parameter = parameter
    self.code = code
    self.retryAfterSeconds = retryAfterSeconds
  }

  var status: HTTPResponse.Status {
    switch kind {
    case .invalidRequest: .badRequest
    case .unauthorized: .unauthorized
    case .forbidden: .forbidden
    case .notFound: .notFound
    case .methodNotAllowed: .methodNotAllowed
    case .tooLarge: .contentTooLarge
    case .unsupportedMedia: .unsupportedMediaType
    case .requestTimeout: .requestTimeout
    case .rateLimited, .quotaExceeded: .tooManyRequests
    case .overloaded, .unavailable: .serviceUnavailable
    case .diskFull: HTTPResponse.Status(code: 507, reasonPhrase: "Insufficient Storage")
    case .internalError: .internalServerError
    }
  }
}

extension APIError {
  /// A parameter that is wrong.
  static func invalid(_ parameter: String, _ message: String, code: String? = "invalid_value") -> APIError {
    APIError(.invalidRequest, message, parameter: parameter, code: code)
  }

  /// What any error amounts to for a client. Nothing of what is not known shows.
  init(_ error: any Error) {
    switch (error as? ServerError)?.fullDisk ?? error as any Error {
    case let error as APIError: self = error
    case let error as FullDisk: self.init(.diskFull, "\(error)", code: "disk_full")
    case let error as EngineRoomError:
      switch error {
      case .full(_, let seconds):
        self.init(.overloaded, "\(error)", code: "overloaded", retryAfterSeconds: seconds)
      case .keyFull(_, let seconds):
        self.init(.rateLimited, "\(error)", code: "rate_limit_exceeded", retryAfterSeconds: seconds)
      case .closing: self.init(.unavailable, "\(error)", code: "shutting_down", retryAfterSeconds: 5)
      case .modelGone: self.init(.notFound, "\(error)", parameter: "model", code: "model_not_found")
      }
    case let error as GenerationError:
      switch error {
      case .promptTooLong(let tokens, let length):
        self.init(
          .invalidRequest,
          "the prompt has \(tokens) tokens and the context holds \(length), of which at least one is needed for the "
            + "answer: shorten it", parameter: "prompt", code: "context_length_exceeded")
      case .emptyPrompt: self.init(.invalidRequest, "\(error)", parameter: "prompt", code: "invalid_value")
      case .cacheFull: self.init(.unavailable, "\(error)", code: "out_of_memory", retryAfterSeconds: 5)
      case .sampling(.nothingAllowed): self.init(.invalidRequest, "\(error)", code: "unsupported_schema")
      case .sampling(.logitNotFinite), .sampling(.nothingPossible):
        self.init(.internalError, "\(error)", code: "no_usable_logits")
      default: self.init(.invalidRequest, "\(error)", code: "invalid_value")
      }
    case let error as StopStrings.ValidationError:
      self.init(.invalidRequest, "\(error)", parameter: "stop", code: "invalid_value")
    case let error as ChatModelError:
      self.init(.invalidRequest, "\(error)", parameter: "messages", code: "no_chat_template")
    case let error as HTTPError:
      switch error.status {
      case .notFound: self.init(.notFound, "there is nothing at this path", code: "unknown_path")
      case .contentTooLarge: self.init(.tooLarge, "the body is larger than this server takes", code: "body_too_large")
      default: self.init(.invalidRequest, error.body ?? error.status.reasonPhrase)
      }
    case is ChannelError, is IOError: self.init(.unavailable, "the client has gone", code: "cancelled")
    case is CancellationError: self.init(.unavailable, "the request was given up", code: "cancelled")
    default: self.init(.internalError, "something went wrong here; the server's log says what", code: "internal_error")
    }
  }
}

extension ServedModel {
  /// Checks, without computing anything, whether a request can be answered.
  ///
  /// - Parameter name: The parameter that the prompt is made of.
  /// - Throws: `APIError` that names what is wrong.
  func check(_ prompt: [Int32], _ options: AnswerOptions, naming name: String) throws {
    do { try check(prompt, options) } catch let error as GenerationError {
      var named = APIError(error)
      switch error {
      case .promptTooLong, .emptyPrompt: named.parameter = name
      // All else was checked when it was read; only the vocabulary was not known then.
      case .sampling: named.parameter = "logit_bias"
      default: break
      }
      throw named
    }
  }
}
