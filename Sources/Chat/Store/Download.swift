internal import Foundation
internal import FoundationNetworking

/// Fetches one file into a growing partial file, going on where an earlier try or process stopped.
///
/// The partial file is never given its final name here: the caller does that once it is complete and verified.
struct Download {
  let url: URL
  let client: HTTPClient
  /// Where bytes are gathered.
  let partial: String
  /// What the file must be, as far as it is known beforehand.
  var expectedBytes: Int?
  /// Whether the partial file's name stands for its content, so that any piece of it may be gone on with. Otherwise the server is asked
  /// whether its file is still the one of which there is a piece (If-Range).
  var isContentAddressed = false

  /// What the server said of the file of which there is a piece.
  private struct Note: Codable {
    let url: String
    let validator: String
  }
  private var notePath: String { partial + ".json" }

  /// Fetches what is missing.
  ///
  /// - Parameter progress: Receives bytes here and bytes in all.
  /// - Returns: The bytes of the complete file.
  func run(
    progress: (Int, Int?) -> Void, report: (String) -> Void
  ) throws(HTTPClient.Failure) -> Int {
    var (failures, before) = (0, size)
    while true {
      do {
        let complete = try attempt(progress)
        try? FileManager.default.removeItem(atPath: notePath)
        return complete
      } catch {
        // A try that brought something forward is no failure: a slow line may be cut many times.
        failures = size > before ? 1 : failures + 1
        before = size
        try client.pause(after: failures, error, report)
      }
    }
  }

  private var size: Int {
    let attributes = try? FileManager.default.attributesOfItem(atPath: partial)
    return (attributes?[.size] as? Int) ?? 0
  }

  private func attempt(_ progress: (Int, Int?) -> Void) throws(HTTPClient.Failure) -> Int {
    let descriptor = open(partial, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw problem("cannot be written") }
    defer { close(descriptor) }
    var here = size
    if let expectedBytes, here > expectedBytes { here = 0 }
    var headers: [String: String] = [:]
    if here > 0 {
      if !isContentAddressed {
        if let validator = readNote() { headers["If-Range"] = validator } else { here = 0 }
      }
    }
    if here > 0, here == expectedBytes { return here }
    if here > 0 { headers["Range"] = "bytes=\(here)-" }

    let (exchange, response) = try client.open(url, headers: headers)
    defer { exchange.cancel() }
    let total: Int?
    switch response.statusCode {
    case 206:
      let range = ContentRange(response.value(forHTTPHeaderField: "Content-Range"))
      guard let range, range.start == here else {
        try truncate(descriptor, to: 0)
        throw .passing(
          "\(url.absoluteString): the server sends another part of the file than was asked for", after: nil)
      }
      total = range.total
    case 416:
      if let whole = ContentRange(response.value(forHTTPHeaderField: "Content-Range"))?.total, whole == here, here > 0 {
        return here
      }
      try truncate(descriptor, to: 0)
      throw .passing("\(url.absoluteString): the file is shorter than before", after: nil)
    default:
      // No ranges here, or the file has changed: from the beginning.
      here = 0
      total = response.expectedContentLength >= 0 ? Int(response.expectedContentLength) : nil
    }
    if let total, let expectedBytes, total != expectedBytes {
      throw lasting("the server offers \(total) bytes, expected \(expectedBytes): it is another file")
    }
    try truncate(descriptor, to: here)
    writeNote(response)
    return try receive(exchange, into: descriptor, from: here, total: total ?? expectedBytes, progress)
  }

  private func receive(
    _ exchange: HTTPExchange, into descriptor: Int32, from start: Int, total: Int?,
    _ progress: (Int, Int?) -> Void
  ) throws(HTTPClient.Failure) -> Int {
    var here = start
    if let total { try checkRoom(for: total - here, descriptor) }
    guard lseek(descriptor, off_t(here), SEEK_SET) >= 0 else { throw problem("cannot be written") }
    progress(here, total)
    while true {
      let piece: Data?
      do { piece = try exchange.next() } catch { throw HTTPClient.failure(error, url) }
      guard let piece else { break }
      if let total, here + piece.count > total {
        throw lasting("the server sends more than the \(total) bytes that it announced")
      }
      try write(piece, to: descriptor)
      here += piece.count
      progress(here, total)
    }
    guard fsync(descriptor) == 0 else { throw problem("cannot be flushed to the disk") }
    if let total, here < total {
      throw .passing("\(url.absoluteString): the connection was cut after \(here) of \(total) bytes", after: nil)
    }
    return here
  }

  // MARK: The partial file

  private func write(_ data: Data, to descriptor: Int32) throws(HTTPClient.Failure) {
    let code: Int32 = data.withUnsafeBytes { bytes in
      var rest = bytes[...]
      while !rest.isEmpty {
        let written = Foundation.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
        if written < 0, errno == EINTR { continue }
        if written < 0 { return errno }
        rest = rest.dropFirst(written)
      }
      return 0
    }
    guard code == 0 else { throw problem("cannot be written", code) }
  }

  private func truncate(_ descriptor: Int32, to length: Int) throws(HTTPClient.Failure) {
    guard ftruncate(descriptor, off_t(length)) == 0 else { throw problem("cannot be written") }
  }

  private func checkRoom(for count: Int, _ descriptor: Int32) throws(HTTPClient.Failure) {
    var status = statvfs()
    guard fstatvfs(descriptor, &status) == 0, status.f_blocks > 0 else { return }
    let free = Int(clamping: UInt64(status.f_bavail)) * Int(status.f_frsize)
    guard count > free else { return }
    throw lasting("needs \(count) bytes more, but the disk of \(partial) has only \(free): free some space")
  }

  private func problem(_ action: String, _ code: Int32 = errno) -> HTTPClient.Failure {
    .lasting(
      "\(partial): \(action): \(String(cString: strerror(code))). What was fetched so far is kept there", status: 0,
      code: nil)
  }

  private func lasting(_ text: String) -> HTTPClient.Failure {
    .lasting("\(url.absoluteString): \(text)", status: 0, code: nil)
  }

  private func readNote() -> String? {
    guard let data = FileManager.default.contents(atPath: notePath),
      let note = try? JSONDecoder().decode(Note.self, from: data), note.url == url.absoluteString
    else { return nil }
    return note.validator
  }

  /// Only a strong validator promises equal bytes.
  private func writeNote(_ response: HTTPURLResponse) {
    guard !isContentAddressed else { return }
    let tag = response.value(forHTTPHeaderField: "ETag").flatMap { $0.hasPrefix("\"") ? $0 : nil }
    guard let validator = tag ?? response.value(forHTTPHeaderField: "Last-Modified"),
      let data = try? JSONEncoder().encode(Note(url: url.absoluteString, validator: validator))
    else {
      try? FileManager.default.removeItem(atPath: notePath)
      return
    }
    try? data.write(to: URL(filePath: notePath), options: .atomic)
  }
}

/// `bytes 5-9/10` or `bytes */10`.
struct ContentRange {
  let start: Int?
  let total: Int?

  init?(_ text: String?) {
    guard let text, text.lowercased().hasPrefix("bytes ") else { return nil }
    let parts = text.dropFirst(6).split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2 else { return nil }
    start = parts[0].split(separator: "-").first.flatMap { Int($0) }
    total = Int(parts[1])
  }
}
