internal import Foundation

/// `--lines`: one JSON object a line on stdin, one a line on stdout, in order, flushed.
enum LineProtocol {
  /// Answers each line of stdin; a bad line yields an error object in its place.
  ///
  /// - Parameter answer: Turns an object into an answer.
  /// - Throws: `ExitCode`-like `LinesFailed` at the end if any line failed.
  static func run<Input: Decodable>(
    _ input: Input.Type, _ answer: (Input) throws -> any Encodable
  ) throws {
    try run(batch: 1, input) { inputs in try inputs.map { try answer($0) } }
  }

  /// Answers several lines together.
  static func run<Input: Decodable>(
    batch: Int, _ input: Input.Type, _ answer: ([Input]) throws -> [any Encodable]
  ) throws {
    var (number, failures) = (0, 0)
    var waiting: [(line: Int, outcome: Result<Input, any Error>)] = []

    func flush() {
      let good = waiting.compactMap { try? $0.outcome.get() }
      var answers: [any Encodable] = []
      var failure: (any Error)?
      if !good.isEmpty {
        do { answers = try answer(good) } catch { failure = error }
      }
      if failure != nil, good.count > 1 {
        // One bad request must not spoil the others: answer each on its own.
        answers = good.map { input in
          do { return try answer([input])[0] } catch { return Failure("\(error)", line: 0) }
        }
        failure = nil
      }
      var next = 0
      for (line, outcome) in waiting {
        switch outcome {
        case .failure(let error):
          failures += 1
          JSONOutput.write(Failure(describe(error), line: line))
        case .success:
          if let failure {
            failures += 1
            JSONOutput.write(Failure("\(failure)", line: line))
          } else if let failed = answers[next] as? Failure {
            failures += 1
            JSONOutput.write(Failure(failed.error.message, line: line))
          } else {
            JSONOutput.write(answers[next])
          }
          next += 1
        }
      }
      waiting = []
    }

    while let line = readLine(strippingNewline: true) {
      number += 1
      if line.allSatisfy(\.isWhitespace) { continue }
      waiting.append(
        (number, Result { try JSONDecoder().decode(Input.self, from: Data(line.utf8)) }))
      if waiting.count >= batch { flush() }
    }
    flush()
    if failures > 0 { throw SilentFailure() }
  }

  private static func describe(_ error: any Error) -> String {
    guard let error = error as? DecodingError else { return "\(error)" }
    switch error {
    case .keyNotFound(let key, _): return "the field \(key.stringValue) is missing"
    case .typeMismatch(_, let context), .valueNotFound(_, let context):
      let path = context.codingPath.map(\.stringValue).joined(separator: ".")
      return "the field \(path.isEmpty ? "(the line itself)" : path) has the wrong type: \(context.debugDescription)"
    case .dataCorrupted(let context):
      return context.codingPath.isEmpty ? "the line is not a JSON object" : context.debugDescription
    @unknown default: return "\(error)"
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

/// JSON on stdout, one object a line.
enum JSONOutput {
  static func write(_ value: any Encodable) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // NaN and infinity have no JSON number; a string tells a reader more than a crash.
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "Infinity", negativeInfinity: "-Infinity", nan: "NaN")
    guard let data = try? encoder.encode(value) else { return }
    FileHandle.standardOutput.write(data + Data("\n".utf8))
  }
}
