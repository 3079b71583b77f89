/// The parts of a form with files (RFC 7578), as `/v1/files` takes it.
struct Multipart {
  /// One field of the form.
  struct Part {
    let name: String
    let fileName: String?
    let content: ArraySlice<UInt8>
  }

  let parts: [Part]

  /// - Parameters:
  ///   - type: The request's `Content-Type`, which names the boundary.
  /// - Throws: `APIError` when it is no such form, or has more than a few parts.
  init(_ bytes: [UInt8], type: String) throws(APIError) {
    let failure = APIError(
      .invalidRequest, "expected a form: multipart/form-data with a boundary", code: "invalid_form")
    guard type.lowercased().hasPrefix("multipart/form-data"), let start = type.firstRange(of: "boundary=")?.upperBound
    else {
      throw failure
    }
    let text = type[start...].prefix { $0 != ";" }.filter { $0 != "\"" }
    guard (1...70).contains(text.utf8.count) else { throw failure }
    let boundary = Array("--\(text)".utf8)
    var parts: [Part] = []
    guard var place = Multipart.find(boundary, in: bytes[...]) else { throw failure }
    while true {
      var rest = bytes[(place + boundary.count)...]
      if rest.starts(with: Array("--".utf8)) { break }
      guard rest.starts(with: [0x0D, 0x0A]), parts.count < 16 else { throw failure }
      rest = rest.dropFirst(2)
      let separator = [0x0D, 0x0A] + boundary
      guard let end = Multipart.find(separator, in: rest),
        let headEnd = Multipart.find([0x0D, 0x0A, 0x0D, 0x0A], in: rest[..<end])
      else { throw failure }
      let head = String(decoding: rest[..<headEnd], as: UTF8.self)
      guard let name = Multipart.value("name", in: head) else { throw failure }
      parts.append(
        Part(name: name, fileName: Multipart.value("filename", in: head), content: rest[(headEnd + 4)..<end]))
      place = end + 2
    }
    self.parts = parts
  }

  /// `name="…"` of a part's head.
  private static func value(_ key: String, in head: String) -> String? {
    for line in head.split(separator: "\r\n") where line.lowercased().hasPrefix("content-disposition:") {
      for item in line.split(separator: ";").dropFirst() {
        let pair = item.split(separator: "=", maxSplits: 1)
        guard pair.count == 2, pair[0].filter({ $0 != " " }) == key else { continue }
        return String(pair[1].filter { $0 != "\"" && $0 != "\r" })
      }
    }
    return nil
  }

  private static func find(_ wanted: [UInt8], in bytes: ArraySlice<UInt8>) -> Int? {
    guard bytes.count >= wanted.count, let first = wanted.first else { return nil }
    var place = bytes.startIndex
    while let start = bytes[place...].firstIndex(of: first), start + wanted.count <= bytes.endIndex {
      if bytes[start..<(start + wanted.count)].elementsEqual(wanted) { return start }
      place = start + 1
    }
    return nil
  }
}
