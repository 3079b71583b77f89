internal import Chat
internal import HTTPTypes
internal import Hummingbird
internal import NIOCore

/// Writes server-sent events.
///
/// WHATWG HTML, "Server-sent events", section 9.2.
struct EventWriter {
  private var writer: any ResponseBodyWriter

  init(_ writer: any ResponseBodyWriter) { self.writer = writer }

  /// One event.
  mutating func send(_ value: JSON, event: String? = nil) async throws {
    var bytes: [UInt8] = []
    if let event { bytes += "event: \(event)\n".utf8 }
    bytes += "data: ".utf8
    bytes += value.bytes
    bytes += "\n\n".utf8
    try await writer.write(ByteBuffer(bytes: bytes))
  }

  /// What ends the streams of OpenAI's older APIs.
  mutating func sendDone() async throws { try await writer.write(ByteBuffer(string: "data: [DONE]\n\n")) }

  /// A comment, which clients skip and proxies take for life.
  mutating func sendComment() async throws { try await writer.write(ByteBuffer(string: ": waiting\n\n")) }

  /// One line of JSON, for APIs that stream lines.
  mutating func sendLine(_ value: JSON) async throws {
    try await writer.write(ByteBuffer(bytes: value.bytes + [UInt8(ascii: "\n")]))
  }

  consuming func finish() async throws { try await writer.finish(nil) }
}

extension Response {
  /// A JSON document.
  static func json(_ value: JSON, status: HTTPResponse.Status = .ok) -> Response {
    Response(
      status: status, headers: [.contentType: "application/json"],
      body: .init(byteBuffer: ByteBuffer(bytes: value.bytes)))
  }
}

extension HTTPField.Name {
  // A literal of letters and dashes is always a field name.
  static let accelBuffering = HTTPField.Name("X-Accel-Buffering") ?? .cacheControl
  static let requestID = HTTPField.Name("X-Request-Id") ?? .cacheControl
}
