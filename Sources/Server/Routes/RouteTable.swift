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
  /// Whether it reads the address's parameters.
  let takesQuery: Bool
  let handler: Handler
}

/// Every route of the server, in one place: the router is made from this table and from nothing else, so that what holds for
/// all of its rows (access, documentation) holds for the server.
struct RouteTable: Sendable {
  private(set) var endpoints: [Endpoint] = []

  /// Adds a route.
  ///
  /// - Parameter takesQuery: Whether it reads the address's parameters, and refuses those that it does not know.
  mutating func on(
    _ method: HTTPRequest.Method, _ path: String, _ access: Access, takesQuery: Bool = false,
    _ handler: @escaping Endpoint.Handler
  ) {
    endpoints.append(
      Endpoint(method: method, path: path, access: access, takesQuery: takesQuery, handler: handler))
  }

  /// The router.
  func router(_ middlewares: [any MiddlewareProtocol<Request, Response, ServerContext>]) -> Router<ServerContext> {
    // What answers GET answers HEAD.
    let router = Router(context: ServerContext.self, options: .autoGenerateHeadEndpoints)
    for middleware in middlewares { router.add(middleware: middleware) }
    for endpoint in endpoints {
      router.on(RouterPath(endpoint.path), method: endpoint.method) { request, context in
        try context.require(endpoint.access)
        // Probes put the time there, against caches between.
        if !endpoint.takesQuery, endpoint.access != .open { try request.query().finish() }
        return try await endpoint.handler(request, context)
      }
    }
    refuseOtherMethods(router)
    return router
  }

  /// RFC 9110, section 15.5.6: a path that is there says which methods it has.
  private func refuseOtherMethods(_ router: Router<ServerContext>) {
    let methods: [HTTPRequest.Method] = [.get, .head, .post, .put, .patch, .delete, .options]
    for (path, endpoints) in Dictionary(grouping: endpoints, by: \.path) {
      let own = Set(endpoints.map(\.method))
      let allowed = own.contains(.get) ? own.union([.head]) : own
      for method in methods where !allowed.contains(method) {
        router.on(RouterPath(path), method: method) { _, context -> Response in
          // Which paths there are is nobody's business who has no key.
          if context.principal == nil, let endpoint = endpoints.first { try context.require(endpoint.access) }
          var error = APIError(
            .methodNotAllowed, "\(method) is no method of this path", code: "method_not_allowed")
          error.allowedMethods = methods.filter(allowed.contains).map(\.rawValue)
          throw error
        }
      }
    }
  }
}
