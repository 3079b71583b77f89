import Chat
import Foundation
import Synchronization

@testable import Server

/// A server of JSON documents on loopback, such as an issuer of tokens has: one request a connection. Ends with its last
/// reference.
final class TestSite: Sendable {
  private let listener: Int32
  private let content = Mutex<[String: JSON]>([:])
  let address: String

  /// What lies at which path; anything else is 404.
  var documents: [String: JSON] {
    get { content.withLock { $0 } }
    set { content.withLock { $0 = newValue } }
  }

  init() throws {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    listener = descriptor
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafeMutablePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { place in
        bind(descriptor, place, length) == 0 && listen(descriptor, 16) == 0
          && getsockname(descriptor, place, &length) == 0
      }
    }
    guard result else { throw ClientError(text: "cannot listen: \(errno)") }
    self.address = "http://127.0.0.1:\(UInt16(bigEndian: address.sin_port))"
    Thread { [weak self] in
      while true {
        let connection = accept(descriptor, nil, nil)
        guard connection >= 0 else { return }
        self?.answer(connection)
        close(connection)
      }
    }.start()
  }

  deinit {
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
  }

  private func answer(_ connection: Int32) {
    var buffer = [UInt8](repeating: 0, count: 1 << 14)
    let count = buffer.withUnsafeMutableBytes { recv(connection, $0.baseAddress, $0.count, 0) }
    let path = String(decoding: buffer.prefix(max(0, count)), as: UTF8.self).split(separator: " ").dropFirst().first
    let document = documents[String(path ?? "")]
    let body = document?.bytes ?? []
    let head =
      "HTTP/1.1 \(document == nil ? "404 Not Found" : "200 OK")\r\nContent-Length: \(body.count)\r\nConnection: close\r\n\r\n"
    let reply = Array(head.utf8) + body
    _ = reply.withUnsafeBytes { send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
  }
}
