internal import Chat
internal import Foundation
internal import Logging

/// Writes one JSON object a line on stderr, for programs that collect logs, or plain lines for people.
struct JSONLog: LogHandler {
  var metadata: Logger.Metadata = [:]
  var logLevel: Logger.Level = .info
  let label: String
  /// One object a line; else a line of text.
  let isJSON: Bool

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let all = metadata.merging(event.metadata ?? [:]) { $1 }.filter { $0.key != "hb.request.id" }
    let time = Date().ISO8601Format(.init(includingFractionalSeconds: true))
    if isJSON {
      var members: [JSONElement.Member] = [
        .init(key: "time", value: .string(time)), .init(key: "level", value: .string(event.level.rawValue)),
        .init(key: "message", value: .string("\(event.message)")), .init(key: "logger", value: .string(label)),
      ]
      for (key, value) in all.sorted(by: { $0.key < $1.key }) {
        members.append(.init(key: key, value: .string("\(value)")))
      }
      JSONLog.write(JSON.object(members).line + "\n")
    } else {
      let details = all.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
      JSONLog.write("\(time) \(event.level) \(event.message)\(details)\n")
    }
  }

  /// In one call, so that lines of several threads do not mix.
  private static func write(_ line: String) {
    let bytes = Array(line.utf8)
    _ = bytes.withUnsafeBytes { Foundation.write(STDERR_FILENO, $0.baseAddress, $0.count) }
  }
}
