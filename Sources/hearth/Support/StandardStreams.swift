internal import Chat
internal import Foundation

/// Nobody reads standard output any more, as in `hearth … | head`: no reason to say anything, but the command failed.
struct OutputClosed: Error {}

/// The three that every process is born with, or should be.
enum StandardStreams {
  /// Puts something in the place of those that are closed (`hearth … >&-`), or the next file opened, a checkpoint perhaps,
  /// would have their number, and output would be written into it. Writing to what is put there fails.
  static func reserve() {
    for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) == -1 {
      // The lowest number that is free is this one.
      _ = open("/dev/null", O_RDONLY)
    }
  }
}

/// What programs read.
enum StandardOutput {
  /// Writes all of `text` at once, behind what `print` has written.
  ///
  /// - Throws: `OutputClosed` when the reader has gone, `CommandError` when nothing can be written for another reason.
  static func write(_ text: String) throws { try write(Data(text.utf8)) }

  /// Writes all of `data` at once, behind what `print` has written.
  static func write(_ data: Data) throws {
    try finish()
    let code = data.withUnsafeBytes { Descriptor.write($0, to: STDOUT_FILENO) }
    if code != 0 { throw failure(code) }
  }

  /// Hands over what `print` has written and still holds.
  static func finish() throws {
    guard fflush(nil) != 0 else { return }
    throw failure(errno)
  }

  private static func failure(_ code: Int32) -> any Error {
    code == EPIPE || code == EBADF
      ? OutputClosed() : CommandError("standard output: cannot be written: \(String(cString: strerror(code)))")
  }
}

/// What people read while a command works.
enum StandardError {
  /// Writes `text`. That nobody reads it is no reason to stop.
  static func write(_ text: String) {
    _ = Data(text.utf8).withUnsafeBytes { Descriptor.write($0, to: STDERR_FILENO) }
  }
}

/// What is typed or piped in.
enum StandardInput {
  /// All of it.
  ///
  /// - Throws: `CommandError` when it cannot be read or is no UTF-8.
  static func text() throws -> String {
    let data: Data
    do { data = try FileHandle.standardInput.readToEnd() ?? Data() } catch {
      throw CommandError("standard input: cannot be read: \(error.localizedDescription)")
    }
    guard let text = String(validating: data, as: UTF8.self) else {
      throw CommandError("standard input: is not UTF-8 text: convert it, for example with iconv -t UTF-8")
    }
    return text
  }
}

/// JSON on stdout, one object a line.
enum JSONOutput {
  /// Writes one line.
  ///
  /// - Throws: `OutputClosed` when nobody reads any more, `CommandError` when it cannot be written.
  static func write(_ value: any Encodable) throws { try StandardOutput.write(line(value)) }

  /// The line, with its end.
  static func line(_ value: any Encodable) throws -> Data {
    if let value = value as? any JSONWritable {
      var json = JSONWriter()
      value.write(to: &json)
      json.verbatim("\n")
      return Data(json.bytes)
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // NaN and infinity have no JSON number. They are null, as in metrics.jsonl, so a reader never finds text where numbers are; the encoder
    // can only write a string in their place: one that no text of anybody's can be.
    let mark = UUID().uuidString
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: mark, negativeInfinity: mark, nan: mark)
    var line = try encoder.encode(value)
    let quoted = Data("\"\(mark)\"".utf8)
    if line.range(of: quoted) != nil { line = line.replacing(quoted, with: Data("null".utf8)) }
    return line + Data("\n".utf8)
  }
}
