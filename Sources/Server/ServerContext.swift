internal import Foundation
internal import Hummingbird
internal import Logging
internal import NIOCore
internal import Synchronization

/// What is known of a request while it is answered.
struct ServerContext: RequestContext {
  var coreContext: CoreRequestContextStorage
  let channel: any Channel
  /// Made here, never taken from the client, so that it is unique.
  let requestID: String
  let started = ContinuousClock.now
  /// What is asked and answered, where the audit log keeps that.
  let exchange = Exchange()
  private let identity = Identity()

  /// Who asks; nil until that is known, and for those who may not. All layers see what one has found out.
  var principal: Principal? {
    get { identity.principal.withLock { $0 } }
    nonmutating set { identity.principal.withLock { $0 = newValue } }
  }

  private final class Identity: Sendable {
    let principal = Mutex<Principal?>(nil)
  }

  init(source: ApplicationRequestContextSource) {
    coreContext = .init(source: source)
    channel = source.channel
    requestID = Identifier.make("req")
  }

  /// A named part of the path with its percent-encoding undone, as clients write `%2F` and some `%3A`; empty when it is no text.
  func pathPart(_ name: String) -> String { parameters.get(name)?.removingPercentEncoding ?? "" }

  /// Ends the connection after an answer. What the client may still send is first let come for a moment: closed at once, the
  /// connection would be reset, and the answer lost on its way.
  func hangUp() async {
    try? await channel.close(mode: .output)
    channel.eventLoop.scheduleTask(in: .seconds(2)) { channel.close(promise: nil) }
  }

  /// Who asks.
  ///
  /// - Throws: When nobody in particular does, or somebody who may not.
  func require(_ access: Access) throws(APIError) {
    guard case .scope(let scope) = access else { return }
    guard let principal else {
      throw APIError(
        .unauthorized,
        "a key is needed: send it as \"Authorization: Bearer KEY\"; the server's owner makes one with hearth key create",
        code: "invalid_api_key")
    }
    guard principal.scopes.contains(scope) else {
      throw APIError(
        .forbidden, "the key \"\(principal.name)\" may not do this: it lacks the scope \(scope.rawValue)",
        code: "insufficient_scope")
    }
  }
}

/// Names for requests, answers and files.
enum Identifier {
  /// `chatcmpl-`, then 24 random letters and digits.
  static func make(_ prefix: String, separator: String = "-") -> String {
    let alphabet = Array("0123456789abcdefghijklmnopqrstuvwxyz")
    var generator = SystemRandomNumberGenerator()
    return prefix + separator + String((0..<24).compactMap { _ in alphabet.randomElement(using: &generator) })
  }

  /// Whether a text is such a name.
  static func isOne(_ text: String, _ prefix: String) -> Bool {
    let rest = text.utf8.dropFirst(prefix.utf8.count + 1)
    let (letters, digits) = (UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"))
    return text.hasPrefix(prefix + "-") && rest.count == 24
      && rest.allSatisfy { letters.contains($0) || digits.contains($0) }
  }
}
