internal import Foundation
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

/// Keeps web pages of others from using a server that trusts its machine.
///
/// A page can send requests to loopback, and with a name of its own that it lets point there (DNS rebinding) even read the
/// answers. So a request must call this host by an address or by a name that is known, and one that comes from a page must
/// come from a page that is allowed.
struct OriginGuard: RouterMiddleware {
  typealias Context = ServerContext
  let settings: ServerSettings

  func handle(
    _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
  ) async throws -> Response {
    let authority = request.head.authority ?? ""
    let host = OriginGuard.host(of: authority)
    guard HTTPField.Name("Host").flatMap({ request.headers[$0] }) == nil else {
      // The first one is the authority. Whoever stands between may have gone by the second.
      throw APIError(.invalidRequest, "Host is there twice: expected one", code: "invalid_host")
    }
    guard isKnown(host) else {
      throw APIError(
        .forbidden,
        "this server does not go by the name \"\(host.prefix(100))\": call it by its address, or allow the name with --allow-host",
        code: "unknown_host")
    }
    guard let origin = request.headers[.origin] else { return try await next(request, context) }
    let isOwn = origin == "http://" + authority || origin == "https://" + authority
    guard isOwn || settings.allowedOrigins.contains(origin) else {
      throw APIError(
        .forbidden, "web pages of \(origin.prefix(100)) may not use this server: allow them with --allow-origin",
        code: "unknown_origin")
    }
    var response: Response
    if request.method == .options {
      response = Response(
        status: .noContent,
        headers: [
          .accessControlAllowMethods: "GET, POST, DELETE",
          .accessControlAllowHeaders: OriginGuard.headers(asked: request.headers[.accessControlRequestHeaders]),
          .accessControlMaxAge: "600",
        ])
    } else {
      response = try await next(request, context)
    }
    if !isOwn {
      // Never "*" and never credentials: keys are sent by the page itself.
      response.headers[.accessControlAllowOrigin] = origin
      response.headers[.vary] = "Origin"
      response.headers[.accessControlExposeHeaders] = "retry-after, x-request-id"
    }
    return response
  }

  /// What an allowed page may send: keys and types, and what the libraries of OpenAI and Anthropic tell of themselves with every
  /// request, which is not read here.
  private static func headers(asked: String?) -> String {
    let own = ["authorization", "content-type", "x-api-key", "anthropic-version"]
    let asked = (asked ?? "").lowercased().split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    let harmless = asked.filter { name in
      ["x-stainless-", "anthropic-", "openai-"].contains { name.hasPrefix($0) } && !own.contains(name)
        && name.utf8.allSatisfy { $0 == UInt8(ascii: "-") || (0x61...0x7A).contains($0) }
    }
    return (own + harmless.prefix(32)).joined(separator: ", ")
  }

  private func isKnown(_ host: String) -> Bool {
    // Names point elsewhere when their owner wants; addresses do not.
    OriginGuard.isAddress(host) || host == "localhost" || host == settings.host.lowercased()
      || settings.allowedHosts.contains { $0.lowercased() == host }
  }

  /// The host of `host:port` or `[address]:port`, in small letters; all of it, which is no host, if it is written otherwise.
  static func host(of authority: String) -> String {
    var (host, rest) = (authority.prefix { $0 != ":" }, authority.drop { $0 != ":" })
    if authority.hasPrefix("["), let end = authority.firstIndex(of: "]") {
      host = authority[authority.index(after: authority.startIndex)..<end]
      rest = authority[authority.index(after: end)...]
    }
    let isWhole = rest.isEmpty || rest.first == ":" && rest.dropFirst().utf8.allSatisfy { (0x30...0x39).contains($0) }
    return (isWhole ? String(host) : authority).lowercased()
  }

  static func isAddress(_ host: String) -> Bool { (try? SocketAddress(ipAddress: host, port: 0)) != nil }
}
