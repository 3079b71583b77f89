internal import Chat
internal import HTTPTypes
internal import Hummingbird
internal import Logging

/// The outermost layer: gives each request its id, puts errors into the words of its API, and notes how it went when the last
/// byte of the answer is written.
struct RequestLog: RouterMiddleware {
  typealias Context = ServerContext
  let state: ServerState

  func handle(
    _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
  ) async throws -> Response {
    var response: Response
    do {
      response = try await next(request, context)
    } catch {
      state.note(error, context)
      let failure = APIError(error)
      if [.rateLimited, .quotaExceeded, .overloaded, .diskFull].contains(failure.kind) {
        state.metrics.add(.refusals, 1, ["reason": failure.code ?? "other"])
      }
      response = Dialect(path: request.uri.path).response(to: failure, requestID: context.requestID)
      // What of the body was not read would be taken for the next request.
      if failure.kind == .tooLarge || failure.kind == .requestTimeout { response.headers[.connection] = "close" }
    }
    response.headers[.requestID] = context.requestID
    response.headers[.contentTypeOptions] = "nosniff"
    if state.isDraining { response.headers[.connection] = "close" }
    let closes = response.headers[.connection] == "close"
    let (status, body) = (response.status, response.body)
    response.body = .init(contentLength: body.contentLength) { writer in
      do { try await body.write(writer) } catch {
        note(request, context, status, isComplete: false)
        throw error
      }
      note(request, context, status, isComplete: true)
      if closes { await context.hangUp() }
    }
    return response
  }

  private func note(_ request: Request, _ context: ServerContext, _ status: HTTPResponse.Status, isComplete: Bool) {
    let seconds = (ContinuousClock.now - context.started).seconds
    // The route's pattern: paths that clients make up would be series without end.
    let route = context.endpointPath ?? "none"
    state.metrics.add(.requests, 1, ["route": route, "method": request.method.rawValue, "status": String(status.code)])
    state.metrics.observe(.requestSeconds, seconds, ["route": route])
    let actor = context.principal?.id ?? "nobody"
    let isProbe = route == "/" || route == "/health" || route == "/ready" || route == "/metrics"
    state.logger.log(
      level: isProbe ? .debug : .info, "request",
      metadata: [
        "request.id": "\(context.requestID)", "method": "\(request.method.rawValue)", "path": "\(request.uri.path)",
        "status": .stringConvertible(status.code),
        "seconds": .stringConvertible((seconds * 10_000).rounded() / 10_000), "key": "\(actor)",
        "complete": .stringConvertible(isComplete),
      ])
    if !isProbe, context.principal != nil {
      state.access.note(
        AuditEntry(
          actor: actor, action: "\(request.method.rawValue) \(route)", object: context.requestID,
          outcome: isComplete ? "\(status.code)" : "\(status.code), given up",
          content: context.exchange.content(isDone: status.code < 400)))
    }
  }
}

extension HTTPField.Name {
  static let contentTypeOptions = HTTPField.Name("X-Content-Type-Options") ?? .contentType
}
