import Foundation

/// A small HTTP server on the loopback interface, so that pulls are tested over real sockets.
///
/// One connection at a time, one request a connection; what to answer is a closure.
final class LoopbackServer: @unchecked Sendable {
  struct Request {
    let method: String
    let path: String
    /// Names in lower case.
    let headers: [String: String]
  }

  struct Response {
    var status = 200
    var headers: [String: String] = [:]
    var body: [UInt8] = []
    /// Bytes of the body after which the connection is cut.
    var cut: Int?
    /// What Content-Length says, where that is not the truth; 0 leaves it out.
    var length: Int?
  }

  let port: UInt16
  private let listener: Int32
  private let answer: @Sendable (Request) -> Response
  // Safe: only touched under the lock.
  private let lock = NSLock()
  private var seen: [Request] = []

  /// All requests so far.
  var requests: [Request] { lock.withLock { seen } }
  var url: URL { URL(string: "http://127.0.0.1:\(port)") ?? URL(filePath: "/") }

  init(_ answer: @escaping @Sendable (Request) -> Response) throws {
    self.answer = answer
    listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let listener = listener
    let isBound = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, length) == 0 && listen(listener, 16) == 0 && getsockname(listener, $0, &length) == 0
      }
    }
    guard isBound else { throw POSIXError(.EADDRNOTAVAIL) }
    port = UInt16(bigEndian: address.sin_port)
    Thread { [weak self] in
      while true {
        let connection = accept(listener, nil, nil)
        guard connection >= 0 else { return }
        guard let server = self else {
          close(connection)
          return
        }
        server.serve(connection)
        close(connection)
      }
    }.start()
  }

  deinit {
    shutdown(listener, Int32(SHUT_RDWR))
    close(listener)
  }

  private func serve(_ connection: Int32) {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4096)
    while !String(decoding: bytes, as: UTF8.self).contains("\r\n\r\n") {
      let count = read(connection, &piece, piece.count)
      guard count > 0 else { return }
      bytes += piece[..<count]
    }
    let lines = String(decoding: bytes, as: UTF8.self).components(separatedBy: "\r\n")
    let first = lines[0].split(separator: " ")
    guard first.count == 3 else { return }
    var headers: [String: String] = [:]
    for line in lines.dropFirst() {
      guard let colon = line.firstIndex(of: ":") else { continue }
      headers[line[..<colon].lowercased()] = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
    }
    let request = Request(method: String(first[0]), path: String(first[1]), headers: headers)
    lock.withLock { seen.append(request) }
    send(answer(request), to: request, connection)
  }

  private func send(_ response: Response, to request: Request, _ connection: Int32) {
    var head = "HTTP/1.1 \(response.status) X\r\nConnection: close\r\n"
    for (name, value) in response.headers { head += "\(name): \(value)\r\n" }
    let length = response.length ?? response.body.count
    if length > 0 || response.length == nil { head += "Content-Length: \(length)\r\n" }
    var bytes = Array((head + "\r\n").utf8)
    if request.method != "HEAD" { bytes += response.body.prefix(response.cut ?? .max) }
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Foundation.send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
      guard count > 0 else { return }
      rest = rest.dropFirst(count)
    }
    if response.cut != nil {
      // A reset, as when a cable is pulled, rather than an orderly end.
      var linger = Glibc.linger(l_onoff: 1, l_linger: 0)
      setsockopt(connection, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout<Glibc.linger>.size))
      usleep(50_000)
    }
  }
}

extension LoopbackServer.Response {
  /// A file as a well-behaved server sends it, ranges included.
  static func file(
    _ bytes: [UInt8], tag: String, _ request: LoopbackServer.Request, cut: Int? = nil
  ) -> Self {
    var response = Self(headers: ["ETag": tag, "Accept-Ranges": "bytes"], body: bytes, cut: cut)
    let isSame = request.headers["if-range"].map { $0 == tag } ?? true
    guard isSame, let range = request.headers["range"], range.hasPrefix("bytes="), range.hasSuffix("-"),
      let start = Int(range.dropFirst(6).dropLast())
    else { return response }
    guard start < bytes.count else {
      return Self(status: 416, headers: ["Content-Range": "bytes */\(bytes.count)"])
    }
    response.status = 206
    response.headers["Content-Range"] = "bytes \(start)-\(bytes.count - 1)/\(bytes.count)"
    response.body = Array(bytes[start...])
    return response
  }
}
