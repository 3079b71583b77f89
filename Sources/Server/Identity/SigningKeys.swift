internal import Chat
internal import Foundation
internal import Synchronization

/// The keys of an issuer, as they are now: from a file that is read again when it changes, or from the issuer, which is asked
/// again after a while, and when a token is signed with a key that it did not have.
final class SigningKeys: Sendable {
  /// When the issuer is asked.
  struct Schedule: Sendable {
    /// Seconds after which keys are fetched anew.
    var renewal = 900.0
    /// Seconds between two tries: unknown keys cost whoever sends them nothing.
    var pause = 60.0
    /// Seconds after which keys that could not be fetched anew are believed no more.
    var expiry = 86_400.0
    /// Seconds that the issuer has for an answer.
    var patience = 10.0
  }

  private struct State: Sendable {
    var keys: JSONWebKeySet
    var fetched: ContinuousClock.Instant
    var tried: ContinuousClock.Instant
    /// Of the file.
    var modified: Date?
    var failure: String?
    /// Those who wait for a fetch that is under way; nil when there is none.
    var waiting: [CheckedContinuation<Void, Never>]?
  }

  private let settings: OpenIDSettings
  private let schedule: Schedule
  private let state: Mutex<State>

  /// Gets the keys.
  ///
  /// - Throws: `ServerError` when there are none: a server that can believe nobody does not start.
  init(_ settings: OpenIDSettings, _ schedule: Schedule = Schedule()) throws(ServerError) {
    let keys: JSONWebKeySet
    let modified = SigningKeys.modified(settings)
    do throws(Failure) { keys = try SigningKeys.read(settings, schedule) } catch {
      throw ServerError(error.description)
    }
    if case .file(let path) = settings.keys, let problem = keys.secret { throw ServerError("\(path): \(problem)") }
    (self.settings, self.schedule) = (settings, schedule)
    // The first unknown key is worth a try at once.
    let tried = ContinuousClock.now - .seconds(schedule.pause)
    state = Mutex(State(keys: keys, fetched: .now, tried: tried, modified: modified))
  }

  /// The keys to verify with now.
  ///
  /// - Throws: `APIError` when none can be believed: then nobody is let in.
  func current() throws(APIError) -> JSONWebKeySet {
    if case .file = settings.keys { reread() }
    let keys = state.withLock { state -> JSONWebKeySet? in
      let isFresh =
        switch settings.keys {
        case .file: state.failure == nil
        case .discovery: ContinuousClock.now - state.fetched < .seconds(schedule.expiry)
        }
      return isFresh ? state.keys : nil
    }
    if let keys { return keys }
    throw APIError(
      .unavailable, "tokens cannot be verified at the moment: the server's log says why", code: "keys_unavailable",
      retryAfterSeconds: Int(schedule.pause))
  }

  /// What went wrong the last time; nil when nothing did.
  var failure: String? { state.withLock { $0.failure } }

  /// Whether it is time to ask the issuer again.
  var isDue: Bool {
    guard settings.keys == .discovery else { return false }
    return state.withLock { state in
      let now = ContinuousClock.now
      return state.waiting == nil && now - state.fetched >= .seconds(schedule.renewal)
        && now - state.tried >= .seconds(schedule.pause)
    }
  }

  /// Asks the issuer again, unless that was just done. Several that want it at once wait for the same answer.
  func renew() async {
    guard settings.keys == .discovery else { return }
    await withCheckedContinuation { continuation in
      let (mayGo, isFirst) = state.withLock { state -> (Bool, Bool) in
        if state.waiting != nil {
          state.waiting?.append(continuation)
          return (false, false)
        }
        guard ContinuousClock.now - state.tried >= .seconds(schedule.pause) else { return (true, false) }
        (state.waiting, state.tried) = ([continuation], .now)
        return (false, true)
      }
      if mayGo { return continuation.resume() }
      // A thread of its own: it blocks.
      if isFirst { Thread { [self] in fetch() }.start() }
    }
  }

  private func fetch() {
    let result: Result<JSONWebKeySet, Failure>
    do throws(Failure) { result = .success(try SigningKeys.read(settings, schedule)) } catch {
      result = .failure(error)
    }
    let waiting = state.withLock { state in
      switch result {
      case .success(let keys): (state.keys, state.fetched, state.failure) = (keys, .now, nil)
      case .failure(let error): state.failure = error.description
      }
      defer { state.waiting = nil }
      return state.waiting ?? []
    }
    for continuation in waiting { continuation.resume() }
  }

  /// Looks at the file's date at each request; a file that is gone or broken opens nothing until it is mended.
  private func reread() {
    let modified = SigningKeys.modified(settings)
    state.withLock { state in
      guard modified == nil || modified != state.modified else { return }
      state.modified = modified
      do throws(Failure) { (state.keys, state.failure) = (try SigningKeys.read(settings, schedule), nil) } catch {
        state.failure = error.description
      }
    }
  }

  private struct Failure: Error { let description: String }

  private static func modified(_ settings: OpenIDSettings) -> Date? {
    guard case .file(let path) = settings.keys else { return nil }
    return FileManager.default.attributes(behind: path)?[.modificationDate] as? Date
  }

  private static let mostBytes = 1 << 20

  private static func read(_ settings: OpenIDSettings, _ schedule: Schedule) throws(Failure) -> JSONWebKeySet {
    switch settings.keys {
    case .file(let path):
      guard let data = FileManager.default.contents(atPath: path), data.count <= mostBytes else {
        throw Failure(description: "\(path): cannot be read, or has more than \(mostBytes) bytes")
      }
      return try keys(data, path)
    case .discovery:
      let base = settings.issuer.hasSuffix("/") ? String(settings.issuer.dropLast()) : settings.issuer
      let address = base + "/.well-known/openid-configuration"
      let document = try get(address, schedule)
      guard let description = try? JSON(parsing: Array(document)) else {
        throw Failure(description: "\(address): is no JSON")
      }
      // OpenID Connect Discovery 1.0, section 4.3: or one issuer could speak for another.
      guard description["issuer"]?.text == settings.issuer else {
        throw Failure(
          description: "\(address): is of the issuer \(description["issuer"]?.text?.prefix(200) ?? "nobody"): expected "
            + settings.issuer)
      }
      guard let place = description["jwks_uri"]?.text else { throw Failure(description: "\(address): has no jwks_uri") }
      return try keys(try get(place, schedule), place)
    }
  }

  private static func keys(_ data: Data, _ place: String) throws(Failure) -> JSONWebKeySet {
    do throws(JSONWebKeySet.Unreadable) { return try JSONWebKeySet(Array(data)) } catch {
      throw Failure(description: "\(place): \(error.description)")
    }
  }

  private static func get(_ address: String, _ schedule: Schedule) throws(Failure) -> Data {
    guard let url = URL(string: address), OpenIDSettings.isSafe(url) else {
      throw Failure(description: "\(address.prefix(200)): expected an https address")
    }
    do throws(FetchedDocument.Failure) {
      return try FetchedDocument.get(url, limit: mostBytes, seconds: schedule.patience)
    } catch { throw Failure(description: error.description) }
  }
}
