internal import Foundation
internal import FoundationNetworking

/// One HTTP request and its answer, which whoever started it reads piece by piece.
///
/// Redirects are not followed here: what a request may carry to another host is for the caller to decide.
final class HTTPExchange: NSObject, URLSessionDataDelegate, @unchecked Sendable {
  /// Why an exchange ended before its time.
  enum Failure: Error {
    case interrupted
    /// The connection failed or fell silent; `isLasting` when trying again at once cannot help.
    case connection(String, isLasting: Bool)
  }

  /// Seconds without a byte after which a connection counts as lost.
  static let patience = 60.0

  // Safe: everything below is read and written under the lock only.
  private let condition = NSCondition()
  private var response: HTTPURLResponse?
  private var pieces: [Data] = []
  private var outcome: (any Error)??
  private var task: URLSessionDataTask?
  private var isRedirected = false
  private var isCancelled = false
  private let isInterrupted: @Sendable () -> Bool

  /// Sends `request`.
  init(_ request: URLRequest, isInterrupted: @escaping @Sendable () -> Bool) {
    self.isInterrupted = isInterrupted
    super.init()
    let configuration = URLSessionConfiguration.ephemeral
    configuration.timeoutIntervalForRequest = HTTPExchange.patience
    configuration.urlCache = nil
    configuration.httpShouldSetCookies = false
    let queue = OperationQueue()
    queue.maxConcurrentOperationCount = 1
    let session = URLSession(configuration: configuration, delegate: self, delegateQueue: queue)
    let task = session.dataTask(with: request)
    self.task = task
    task.resume()
    session.finishTasksAndInvalidate()
  }

  /// Ends the exchange, whatever is still to come.
  ///
  /// A task that is deciding about a redirect must not be cancelled: FoundationNetworking traps when the decision arrives afterwards. It
  /// ends by itself.
  func cancel() {
    condition.lock()
    let mayCancel = outcome == nil && !isRedirected
    isCancelled = true
    condition.unlock()
    if mayCancel { task?.cancel() }
  }

  // MARK: Reading

  /// Waits for status and headers.
  func head() throws(Failure) -> HTTPURLResponse {
    try wait { outcome != nil || (response != nil && !isRedirected) }
    condition.lock()
    defer { condition.unlock() }
    if let response { return response }
    throw HTTPExchange.failure(outcome ?? nil)
  }

  /// The next piece of the body; nil at its end.
  func next() throws(Failure) -> Data? {
    try wait { !pieces.isEmpty || outcome != nil }
    condition.lock()
    defer { condition.unlock() }
    if !pieces.isEmpty { return pieces.removeFirst() }
    if case .some(.some(let error)) = outcome { throw HTTPExchange.failure(error) }
    return nil
  }

  /// The whole body.
  ///
  /// - Parameter limit: Bytes; a longer body is a failure.
  func body(limit: Int) throws(Failure) -> Data {
    var body = Data()
    while let piece = try next() {
      body.append(piece)
      if body.count > limit {
        cancel()
        throw .connection("the answer is longer than \(limit) bytes", isLasting: true)
      }
    }
    return body
  }

  private func wait(_ isReady: () -> Bool) throws(Failure) {
    let deadline = Date(timeIntervalSinceNow: HTTPExchange.patience)
    var failure: Failure?
    condition.lock()
    while failure == nil, !isReady() {
      // Short, so that Ctrl-C is noticed soon.
      _ = condition.wait(until: Date(timeIntervalSinceNow: 0.1))
      if isInterrupted() {
        failure = .interrupted
      } else if Date() > deadline {
        failure = .connection("nothing came for \(Int(HTTPExchange.patience)) seconds", isLasting: false)
      }
    }
    condition.unlock()
    guard let failure else { return }
    cancel()
    throw failure
  }

  private static func failure(_ error: (any Error)?) -> Failure {
    guard let error = error as? URLError else {
      return .connection(error.map { "\($0)" } ?? "the server closed the connection", isLasting: false)
    }
    switch error.code {
    case .cannotFindHost, .dnsLookupFailed: return .connection("the host cannot be found", isLasting: true)
    case .cannotConnectToHost: return .connection("the host refuses the connection", isLasting: true)
    case .networkConnectionLost: return .connection("the connection was cut", isLasting: false)
    case .timedOut: return .connection("the server does not answer", isLasting: false)
    case .unsupportedURL, .badURL: return .connection("the address cannot be used", isLasting: true)
    case .secureConnectionFailed, .serverCertificateUntrusted, .serverCertificateHasBadDate,
      .serverCertificateHasUnknownRoot, .serverCertificateNotYetValid:
      return .connection("the server's certificate is not trusted", isLasting: true)
    default: return .connection(error.localizedDescription, isLasting: false)
    }
  }

  // MARK: Delegate

  private func update(_ change: () -> Void) {
    condition.lock()
    change()
    condition.broadcast()
    condition.unlock()
  }

  func urlSession(
    _ session: URLSession, task: URLSessionTask, willPerformHTTPRedirection response: HTTPURLResponse,
    newRequest request: URLRequest, completionHandler: @escaping (URLRequest?) -> Void
  ) {
    var isWanted = false
    update {
      isWanted = !isCancelled
      isRedirected = isWanted
      self.response = response
    }
    if isWanted { completionHandler(nil) }
  }

  func urlSession(
    _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
    completionHandler: @escaping (URLSession.ResponseDisposition) -> Void
  ) {
    update { self.response = self.response ?? (response as? HTTPURLResponse) }
    completionHandler(.allow)
  }

  func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
    update { pieces.append(data) }
  }

  func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
    update {
      outcome = .some(error)
      self.response = self.response ?? (error == nil ? task.response as? HTTPURLResponse : nil)
    }
  }
}
