internal import Foundation

/// Tells other processes that a server works on a home folder, or that nobody else may. Freed with the value or the process.
final class HomeLock: Sendable {
  enum Kind: Sendable {
    /// Beside others of this kind: servers.
    case together
    /// With nobody else: what replaces the files under a server's feet.
    case alone
  }

  private let descriptor: Int32

  /// - Throws: `ServerError` when others hold it in a way that does not go with this one, or it cannot be made.
  init(_ home: URL, _ kind: Kind) throws(ServerError) {
    let path = home.appending(path: "server.lock").path
    do { try FileManager.default.createDirectory(at: home, withIntermediateDirectories: true) } catch {
      throw ServerError("\(home.path): cannot be made: \(error)")
    }
    let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw ServerError("\(path): cannot be written: \(String(cString: strerror(errno)))") }
    guard flock(file, (kind == .alone ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0 else {
      close(file)
      throw ServerError(
        "\(home.path): " + (kind == .alone ? "a server runs here" : "a copy is being put in place here"))
    }
    descriptor = file
  }

  deinit { close(descriptor) }
}
