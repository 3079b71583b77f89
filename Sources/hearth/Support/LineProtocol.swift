internal import Foundation

/// `--lines`: one JSON object a line on stdin, one a line on stdout, in order, flushed.
///
/// Nothing vanishes: whatever a line holds, and however its answer fails, exactly one line is written for it.
enum LineProtocol {
  /// Answers each line of stdin; a bad line yields an error object in its place.
  ///
  /// - Parameter answer: Turns an object into an answer.
  /// - Throws: `SilentFailure` at the end if any line failed; `OutputClosed` when nobody reads any more.
  static func run<Input: Decodable>(
    _ input: Input.Type, _ answer: (Input) throws -> any Encodable
  ) throws {
    try run(batch: 1, input) { inputs in inputs.map { input in Result { try answer(input) } } }
  }

  /// Answers up to `batch` lines together; fewer when no more are there to be read.
  ///
  /// - Parameter answer: Turns objects into as many answers, each of which may fail alone.
  static func run<Input: Decodable>(
    batch: Int, _ input: Input.Type, _ answer: ([Input]) -> [Result<any Encodable, any Error>]
  ) throws {
    var (number, failures) = (0, 0)
    var waiting: [Result<Input, any Error>] = []
    var lines = LineInput()

    func flush() throws {
      var answers = answer(waiting.compactMap { try? $0.get() })[...]
      for (index, outcome) in waiting.enumerated() {
        let result = outcome.flatMap { _ in
          answers.popFirst() ?? .failure(CommandError("no answer was made: please report this"))
        }
        do { try StandardOutput.write(result.flatMap { value in Result { try JSONOutput.line(value) } }.get()) } catch {
          if error is OutputClosed { throw error }
          failures += 1
          try JSONOutput.write(Failure(describe(error), line: number - waiting.count + index + 1))
        }
      }
      waiting = []
    }

    while let line = try lines.next() {
      number += 1
      waiting.append(Result { try decode(input, line) })
      // Whoever writes a line and waits for its answer must get it, though the batch is not full.
      if waiting.count >= batch || !lines.isReady(within: 10) { try flush() }
    }
    try flush()
    if failures > 0 { throw SilentFailure() }
  }

  private static func decode<Input: Decodable>(_ input: Input.Type, _ line: LineInput.Line) throws -> Input {
    guard case .bytes(let bytes) = line else {
      throw CommandError("the line is longer than 256 MB: cut it into several requests")
    }
    guard bytes.contains(where: { $0 != 0x20 && $0 != 0x09 }) else {
      throw CommandError("the line is empty: expected a JSON object")
    }
    guard String(validating: bytes, as: UTF8.self) != nil else {
      throw CommandError("the line is not UTF-8: save or send it in that encoding")
    }
    return try JSONDecoder().decode(Input.self, from: bytes)
  }

  static func describe(_ error: any Error) -> String {
    guard let error = error as? DecodingError else { return "\(error)" }
    switch error {
    case .keyNotFound(let key, let context):
      return "the field \(path(context.codingPath + [key])) is missing"
    case .typeMismatch(_, let context), .valueNotFound(_, let context):
      if context.codingPath.isEmpty { return "the line is not a JSON object" }
      return "the field \(path(context.codingPath)) has the wrong type: \(context.debugDescription)"
    case .dataCorrupted(let context):
      if context.codingPath.isEmpty { return "the line is not a JSON object" }
      return context.debugDescription.hasPrefix("unknown field")
        ? context.debugDescription : "the field \(path(context.codingPath)): \(context.debugDescription)"
    @unknown default: return "\(error)"
    }
  }

  /// "messages[1].content".
  private static func path(_ keys: [any CodingKey]) -> String {
    keys.reduce("") { path, key in
      if let index = key.intValue { return path + "[\(index)]" }
      return path.isEmpty ? key.stringValue : path + "." + key.stringValue
    }
  }

  /// What stands in the place of an answer.
  private struct Failure: Encodable {
    struct Details: Encodable {
      let message: String
      let line: Int
    }
    let error: Details
    init(_ message: String, line: Int) { error = Details(message: message, line: line) }
  }
}

/// Something failed and has been reported already.
struct SilentFailure: Error {}
