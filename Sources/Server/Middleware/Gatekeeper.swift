internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

/// Finds out who asks. Whether they may is said by the route's `Access`; here only what is nobody's route is denied to those
/// who are nobody.
struct Gatekeeper: RouterMiddleware {
  typealias Context = ServerContext
  let state: ServerState

  func handle(
    _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
  ) async throws -> Response {
    // Those who only ask whether the server lives need no valid key to hear it.
    let isProbe = ["/", "/health", "/ready"].contains(request.uri.path)
    if !isProbe {
      let address = context.channel.remoteAddress?.ipAddress ?? "?"
      context.principal = try await state.access.authenticate(request.headers, from: address)
      // Nothing is done that cannot be written down; figures are read all the same.
      if context.principal != nil, request.uri.path != "/metrics" { try state.access.requireLog() }
    }
    do {
      return try await next(request, context)
    } catch let error as HTTPError where context.principal == nil && error.status == .notFound {
      // Which paths there are is nobody's business either.
      try context.require(.scope(.chat))
      throw error
    }
  }
}
