internal import Foundation
internal import FoundationNetworking

/// Requests as `hearth pull` makes them: redirects followed by its own rules, failures sorted into those worth another try.
struct HTTPClient: Sendable {
  /// Why a request did not give what was asked for.
  enum Failure: Error {
    case interrupted
    /// May pass: worth another try, after so many seconds if the server says.
    case passing(String, after: Double?)
    /// Stays as it is. `status` is 0 when no answer came.
    case lasting(String, status: Int, code: String?)
  }

  /// How patiently to try again.
  struct Retries: Sendable {
    /// Tries in a row that brought nothing.
    var limit = 6
    /// Seconds before the second try; each further one waits twice as long.
    var delay = 1.0
    /// The longest wait, seconds.
    var longestDelay = 30.0
  }

  /// Sent to `tokenHost` only, never to where a redirect leads.
  var token: String?
  /// The host, port and scheme that may see the token.
  var tokenOrigin: URL?
  var retries = Retries()
  var isInterrupted: @Sendable () -> Bool = { false }

  /// Whether two addresses have the same scheme, host and port.
  static func isSameOrigin(_ a: URL, _ b: URL) -> Bool {
    func port(_ url: URL) -> Int { url.port ?? (url.scheme?.lowercased() == "https" ? 443 : 80) }
    return a.scheme?.lowercased() == b.scheme?.lowercased() && a.host?.lowercased() == b.host?.lowercased()
      && port(a) == port(b)
  }

  /// Sends a request and follows its redirects.
  ///
  /// - Parameter staysAtHost: Whether to stop at a redirect to another host and return that answer.
  /// - Returns: An exchange whose answer has the status 200, 206 or 416, or is a redirect that was not to be followed.
  func open(
    _ url: URL, method: String = "GET", headers: [String: String] = [:], staysAtHost: Bool = false
  ) throws(Failure) -> (exchange: HTTPExchange, response: HTTPURLResponse) {
    var address = url
    for _ in 0..<10 {
      let exchange = HTTPExchange(request(address, method, headers), isInterrupted: isInterrupted)
      let response: HTTPURLResponse
      do { response = try exchange.head() } catch { throw HTTPClient.failure(error, address) }
      let status = response.statusCode
      if status == 200 || status == 206 || status == 416 { return (exchange, response) }
      guard [301, 302, 303, 307, 308].contains(status), let text = response.value(forHTTPHeaderField: "Location"),
        let next = URL(string: text, relativeTo: address)?.absoluteURL
      else { throw refusal(exchange, response, address) }
      if staysAtHost, !HTTPClient.isSameOrigin(next, address) { return (exchange, response) }
      guard ["http", "https"].contains(next.scheme?.lowercased()),
        address.scheme?.lowercased() != "https" || next.scheme?.lowercased() == "https"
      else {
        throw .lasting(
          "\(address.absoluteString): leads to \(text), which is not encrypted; it is not followed", status: status,
          code: nil)
      }
      exchange.cancel()
      address = next
    }
    throw .lasting("\(url.absoluteString): leads from one address to the next without end", status: 0, code: nil)
  }

  /// The whole answer to a GET, trying again while that may help.
  func data(_ url: URL, limit: Int, report: (String) -> Void) throws(Failure) -> Data {
    try retrying(report) { () throws(Failure) -> Data in
      let (exchange, response) = try open(url)
      guard response.statusCode == 200 else { throw refusal(exchange, response, url) }
      do throws(HTTPExchange.Failure) { return try exchange.body(limit: limit) } catch {
        throw HTTPClient.failure(error, url)
      }
    }
  }

  /// Runs `action` again while it fails in a way that may pass.
  func retrying<Result>(
    _ report: (String) -> Void, _ action: () throws(Failure) -> Result
  ) throws(Failure) -> Result {
    var failures = 0
    while true {
      do { return try action() } catch {
        failures += 1
        try pause(after: failures, error, report)
      }
    }
  }

  /// Waits before another try, or throws what cannot be mended by one.
  func pause(after failures: Int, _ failure: Failure, _ report: (String) -> Void) throws(Failure) {
    guard case .passing(let reason, let after) = failure else { throw failure }
    guard failures < retries.limit else {
      throw .lasting("\(reason) (after \(failures) tries)", status: 0, code: nil)
    }
    let doubled = min(retries.longestDelay, retries.delay * Double(1 << (failures - 1)))
    let wait = min(max(after ?? 0, doubled), 300)
    report("\(reason); trying again in \(String(format: "%.0f", wait)) s")
    let end = Date(timeIntervalSinceNow: wait)
    while Date() < end {
      if isInterrupted() { throw .interrupted }
      Thread.sleep(forTimeInterval: min(0.1, max(0.001, end.timeIntervalSinceNow)))
    }
  }

  // MARK: Details

  private func request(_ url: URL, _ method: String, _ headers: [String: String]) -> URLRequest {
    var request = URLRequest(url: url)
    request.httpMethod = method
    request.cachePolicy = .reloadIgnoringLocalCacheData
    // A compressed body would have other lengths and offsets than the file.
    request.setValue("identity", forHTTPHeaderField: "Accept-Encoding")
    request.setValue("hearth", forHTTPHeaderField: "User-Agent")
    for (name, value) in headers { request.setValue(value, forHTTPHeaderField: name) }
    if let token, let tokenOrigin, HTTPClient.isSameOrigin(url, tokenOrigin) {
      request.setValue("Bearer \(token)", forHTTPHeaderField: "Authorization")
    }
    return request
  }

  static func failure(_ failure: HTTPExchange.Failure, _ url: URL) -> Failure {
    switch failure {
    case .interrupted: .interrupted
    case .connection(let reason, isLasting: true):
      .lasting(
        "\(url.absoluteString): \(reason): check the address and the network, and the proxy if one is needed "
          + "(http_proxy, https_proxy)", status: 0, code: nil)
    case .connection(let reason, isLasting: false): .passing("\(url.absoluteString): \(reason)", after: nil)
    }
  }

  /// What an answer that is none means.
  func refusal(_ exchange: HTTPExchange, _ response: HTTPURLResponse, _ url: URL) -> Failure {
    exchange.cancel()
    let status = response.statusCode
    let text = "\(url.absoluteString): the server answers \(status) (\(HTTPClient.meaning(status)))"
    if status == 408 || status == 425 || status == 429 || status >= 500 {
      return .passing(text, after: response.value(forHTTPHeaderField: "Retry-After").flatMap(Double.init))
    }
    return .lasting(text, status: status, code: response.value(forHTTPHeaderField: "X-Error-Code"))
  }

  private static func meaning(_ status: Int) -> String {
    switch status {
    case 401: "it wants to know who asks"
    case 403: "it does not allow this"
    case 404: "there is no such file"
    case 410: "the file has gone"
    case 429: "too many requests"
    case 500...599: "it has a problem of its own"
    default: HTTPURLResponse.localizedString(forStatusCode: status)
    }
  }
}
