internal import HTTPTypes
internal import Hummingbird

/// What somebody may do.
enum Scope: String, Sendable, CaseIterable, Codable {
  /// Ask models, and see which there are.
  case chat
  /// Turn texts into vectors.
  case embed
  /// Upload data and train.
  case train
  /// Load and unload models.
  case admin
  /// Read metrics.
  case metrics
}

/// Who may use a route. There is no default: a route without one does not compile.
enum Access: Sendable, Equatable {
  /// Anybody who reaches the server.
  case open
  /// Whoever has this scope.
  case scope(Scope)
}

/// One route.
struct Endpoint: Sendable {
  typealias Handler = @Sendable (Request, ServerContext) async throws -> Response

  let method: HTTPRequest.Method
  let path: String
  let access: Access
  let handler: Handler
}

/// Every route of the server, in one place: the router is made from this table and from nothing else, so that what holds for
/// all of its rows (access, documentation) holds for the server.
struct RouteTable: Sendable {
  private(set) var endpoints: [Endpoint] = []

  /// Adds a route.
  mutating func on(
    _ method: HTTPRequest.Method, _ path: String, _ access: Access, _ handler: @escaping Endpoint.Handler
  ) {
    endpoints.append(Endpoint(method: method, path: path, access: access, handler: handler))
  }

  /// The router.
  func router(_ middlewares: [any MiddlewareProtocol<Request, Response, ServerContext>]) -> Router<ServerContext> {
    let router = Router(context: ServerContext.self)
    for middleware in middlewares { router.add(middleware: middleware) }
    for endpoint in endpoints {
      router.on(RouterPath(endpoint.path), method: endpoint.method) { request, context in
        try context.require(endpoint.access)
        return try await endpoint.handler(request, context)
      }
    }
    return router
  }
}
