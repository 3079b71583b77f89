package import Foundation
internal import FoundationNetworking

/// A small document of another server, such as the keys that it signs with: one try, no redirect to elsewhere, a limit of time
/// and size.
package enum FetchedDocument {
  /// Why there is none.
  package struct Failure: Error, Sendable, CustomStringConvertible {
    /// The address and what went wrong.
    package let description: String
  }

  /// Fetches it. Blocks its thread for `seconds` at most.
  ///
  /// - Throws: `Failure`.
  package static func get(_ url: URL, limit: Int, seconds: Double) throws(Failure) -> Data {
    let deadline = Date(timeIntervalSinceNow: seconds)
    let client = HTTPClient(isInterrupted: { Date() > deadline })
    do throws(HTTPClient.Failure) {
      let (exchange, response) = try client.open(url, staysAtHost: true)
      guard response.statusCode == 200 else { throw client.refusal(exchange, response, url) }
      do throws(HTTPExchange.Failure) { return try exchange.body(limit: limit) } catch {
        throw HTTPClient.failure(error, url)
      }
    } catch {
      switch error {
      case .interrupted: throw Failure(description: "\(url.absoluteString): no answer within \(Int(seconds)) seconds")
      case .passing(let reason, _), .lasting(let reason, _, _): throw Failure(description: reason)
      }
    }
  }
}
