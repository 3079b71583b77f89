internal import Foundation

/// A run's `metrics.jsonl`: one JSON object a line, each with its step, in the order things happened.
///
/// A line is written whole and at once; how often the disk must confirm is the caller's choice. A resumed run first cuts
/// the log back to its checkpoint, so that the finished log equals that of an uninterrupted run.
public struct MetricsLog: ~Copyable {
  /// When lines are forced to disk.
  public enum Durability: Sendable, Equatable {
    /// After every line.
    case everyLine
    /// When `flush` is called, as at each checkpoint. A power cut may lose lines since then; a killed process loses none.
    case onFlush
  }

  /// A field's value. Numbers that are not finite are written as null, JSON having no others.
  public enum Value: Sendable, Equatable {
    case number(Double)
    case integer(Int)
    case text(String)
    case flag(Bool)
  }

  private let file: AppendingFile
  private let durability: Durability

  /// Opens the log at `path`.
  ///
  /// - Parameter keepingThrough: the checkpoint's step when a run resumes: later lines, and a last line that was cut by a
  ///   kill, are removed first, in one step. Nil for a new run, which must find no log.
  /// - Throws: when the log of another run is there, or the system refuses.
  public init(path: String, keepingThrough: Int? = nil, durability: Durability = .onFlush)
    throws(ReportingError)
  {
    self.durability = durability
    if let keepingThrough { try Self.cut(path, through: keepingThrough) }
    file = try AppendingFile(path: path, isNew: keepingThrough == nil)
  }

  /// Appends `{"event": …, "step": …, …}` with the fields in the order given.
  public func append(event: String, step: Int, _ fields: [(name: String, value: Value)] = [])
    throws(ReportingError)
  {
    try file.append(Self.line(event: event, step: step, fields))
    if durability == .everyLine { try flush() }
  }

  /// Waits until the disk has every line.
  public func flush() throws(ReportingError) { try file.synchronize() }

  static func line(event: String, step: Int, _ fields: [(name: String, value: Value)]) -> [UInt8] {
    var text = "{\"event\": \(quoted(event)), \"step\": \(step)"
    for field in fields { text += ", \(quoted(field.name)): \(encoded(field.value))" }
    return Array((text + "}\n").utf8)
  }

  /// Doubles are written with as many digits as give them back exactly.
  private static func encoded(_ value: Value) -> String {
    switch value {
    case .number(let number): number.isFinite ? "\(number)" : "null"
    case .integer(let integer): "\(integer)"
    case .text(let text): quoted(text)
    case .flag(let flag): flag ? "true" : "false"
    }
  }

  private static func quoted(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": quoted += "\\\""
      case "\\": quoted += "\\\\"
      case "\n": quoted += "\\n"
      case "\u{0}"..<"\u{20}", "\u{7F}", "\u{2028}", "\u{2029}":
        quoted += "\\u" + String(format: "%04x", scalar.value)
      default: quoted.unicodeScalars.append(scalar)
      }
    }
    return quoted + "\""
  }

  /// Rewrites the log without what lies behind `step`, through a second file and a rename.
  private static func cut(_ path: String, through step: Int) throws(ReportingError) {
    guard FileManager.default.fileExists(atPath: path) else { return }
    guard let data = FileManager.default.contents(atPath: path) else {
      throw ReportingError(file: path, action: "read", reason: "check the file's permissions")
    }
    let bytes = [UInt8](data)
    var kept: [UInt8] = []
    var start = 0
    while let end = bytes[start...].firstIndex(of: 0x0A) {
      var reader = JSONReader(bytes, range: start..<end)
      if let line = try? reader.value(), case .number(let text)? = line["step"],
        let found = Int(text), found <= step
      {
        kept.append(contentsOf: bytes[start...end])
      }
      start = end + 1
    }
    guard kept.count != bytes.count else { return }
    let temporary = path + ".partial"
    try? FileManager.default.removeItem(atPath: temporary)
    do throws(ReportingError) {
      let file = try AppendingFile(path: temporary, isNew: true)
      try file.append(kept)
      try file.synchronize()
      try AppendingFile.move(temporary, to: path)
      let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
      try AppendingFile.synchronize(folder: folder)
    } catch {
      try? FileManager.default.removeItem(atPath: temporary)
      throw error
    }
  }
}
