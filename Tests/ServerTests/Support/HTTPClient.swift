import Chat
import Foundation

@testable import Server

/// The smallest HTTP client: one request a connection, all bytes under the test's control.
struct HTTPClient: Sendable {
  let port: Int

  struct Reply: Sendable {
    let status: Int
    /// Names in small letters.
    let headers: [String: String]
    let body: [UInt8]

    var text: String { String(decoding: body, as: UTF8.self) }
    var json: JSON { (try? JSON(parsing: body)) ?? .null }
    /// What each `data:` line of a stream holds, the end mark left out.
    var events: [JSON] {
      text.split(separator: "\n").filter { $0.hasPrefix("data: {") }.map {
        (try? JSON(parsing: Array($0.dropFirst(6).utf8))) ?? .null
      }
    }
  }

  func get(_ path: String, _ headers: [String: String] = [:]) async throws -> Reply {
    try await send("GET", path, headers: headers)
  }

  func post(_ path: String, _ body: JSON, _ headers: [String: String] = [:]) async throws -> Reply {
    try await send("POST", path, headers: headers, body: body.bytes)
  }

  func send(
    _ method: String, _ path: String, headers: [String: String] = [:], body: [UInt8] = []
  ) async throws -> Reply {
    var fields = ["Host": "127.0.0.1:\(port)", "Connection": "close", "Content-Length": "\(body.count)"]
    if !body.isEmpty { fields["Content-Type"] = "application/json" }
    fields.merge(headers) { $1 }
    let head = "\(method) \(path) HTTP/1.1\r\n" + fields.map { "\($0.key): \($0.value)\r\n" }.joined() + "\r\n"
    return try HTTPClient.reply(try await exchange(Array(head.utf8) + body))
  }

  /// Sends bytes and reads until the server closes, or until so many bytes have come: then the client goes.
  ///
  /// On a thread of its own, as whoever waits in the pool of tasks keeps a processor from the server.
  func exchange(_ bytes: [UInt8], goingAfter most: Int = .max) async throws -> [UInt8] {
    let port = port
    return try await withCheckedThrowingContinuation { continuation in
      Thread {
        do {
          let connection = try Connection(port: port)
          try connection.write(bytes)
          continuation.resume(returning: try connection.read(upTo: most))
        } catch { continuation.resume(throwing: error) }
      }.start()
    }
  }

  static func reply(_ bytes: [UInt8]) throws -> Reply {
    let end = Array("\r\n\r\n".utf8)
    guard let place = bytes.indices.first(where: { bytes[$0...].starts(with: end) }) else {
      throw ClientError(text: "no head in \(bytes.count) bytes")
    }
    let lines = String(decoding: bytes[..<place], as: UTF8.self).split(separator: "\r\n")
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      let parts = line.split(separator: ":", maxSplits: 1)
      headers[parts[0].lowercased()] = parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : ""
    }
    let status = Int(lines.first?.split(separator: " ").dropFirst().first ?? "") ?? 0
    let body = Array(bytes[(place + 4)...])
    return Reply(
      status: status, headers: headers,
      body: headers["transfer-encoding"] == "chunked" ? unchunked(body) : body)
  }

  private static func unchunked(_ bytes: [UInt8]) -> [UInt8] {
    var (body, rest): ([UInt8], ArraySlice<UInt8>) = ([], bytes[...])
    while let line = rest.firstIndex(of: 0x0A),
      let size = Int(String(decoding: rest[..<line].dropLast(), as: UTF8.self), radix: 16),
      size > 0
    {
      rest = rest[(line + 1)...]
      body += rest.prefix(size)
      rest = rest.dropFirst(size + 2)
    }
    return body
  }
}

struct ClientError: Error { let text: String }

/// A connection to loopback that is closed with its last reference.
final class Connection {
  private let descriptor: Int32

  init(port: Int) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard result == 0 else { throw ClientError(text: "cannot connect: \(errno)") }
  }

  deinit { close(descriptor) }

  func write(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { throw ClientError(text: "cannot write: \(errno)") }
      rest = rest.dropFirst(count)
    }
  }

  /// What is there, at most 64 KiB; empty at the end.
  func read() throws -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    let count = buffer.withUnsafeMutableBytes { recv(descriptor, $0.baseAddress, $0.count, 0) }
    guard count >= 0 else { throw ClientError(text: "cannot read: \(errno)") }
    return Array(buffer.prefix(count))
  }

  /// All until the end, or until there are so many bytes.
  func read(upTo most: Int) throws -> [UInt8] {
    var all: [UInt8] = []
    while all.count < most {
      let piece = try read()
      if piece.isEmpty { break }
      all += piece
    }
    return all
  }
}
