internal import Chat
internal import Foundation
internal import Logging

/// Writes one JSON object a line on stderr, for programs that collect logs, or plain lines for people. Never waits for who reads.
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
    LineQueue.standardError.put(JSONLog.line(event.level, "\(event.message)", label, all, isJSON: isJSON))
  }

  /// What is written of one event.
  static func line(
    _ level: Logger.Level, _ message: String, _ label: String, _ metadata: Logger.Metadata, isJSON: Bool
  ) -> String {
    let time = Date().ISO8601Format(.init(includingFractionalSeconds: true))
    let metadata = metadata.sorted { $0.key < $1.key }
    guard isJSON else {
      return "\(time) \(level) \(message)" + metadata.map { " \($0.key)=\($0.value)" }.joined() + "\n"
    }
    var members: [JSONElement.Member] = [
      .init(key: "time", value: .string(time)), .init(key: "level", value: .string(level.rawValue)),
      .init(key: "message", value: .string(message)), .init(key: "logger", value: .string(label)),
    ]
    for (key, value) in metadata { members.append(.init(key: key, value: JSONLog.json(value))) }
    return JSON.object(members).line + "\n"
  }

  /// Numbers and truth values as what they are, so that those who search the log can compare them; all else as text.
  private static func json(_ value: Logger.MetadataValue) -> JSON {
    guard case .stringConvertible(let value) = value else { return .string("\(value)") }
    switch value {
    case let value as Bool: return .bool(value)
    case let value as Int: return .integer(value)
    case let value as Double: return .real(value)
    default: return .string("\(value)")
    }
  }

  /// Lets the log say in the same form how many of its lines nobody read.
  static func reportDropped(isJSON: Bool) {
    LineQueue.standardError.report { count in
      line(
        .warning, "lines of the log are missing here: nobody read them in time", "hearth",
        ["log.dropped": .stringConvertible(count)], isJSON: isJSON)
    }
  }
}
