/// Wraps a line as Python's `textwrap` does: words stay whole where they fit, hyphenated ones may
/// be parted after the hyphen, spaces at a break are dropped.
struct LineWrapper {
  let width: Int
  let breaksLongWords: Bool
  let breaksOnHyphens: Bool

  func wrapped(_ line: String) -> [String] {
    var chunks = chunks(Array(line.unicodeScalars))[...]
    var lines: [String] = []
    while !chunks.isEmpty {
      if !lines.isEmpty, isSpace(chunks[chunks.startIndex]) { chunks.removeFirst() }
      var current: [[Unicode.Scalar]] = []
      var length = 0
      while let chunk = chunks.first, length + chunk.count <= width {
        current.append(chunk)
        length += chunk.count
        chunks.removeFirst()
      }
      if let chunk = chunks.first, chunk.count > width {
        if breaksLongWords {
          let room = max(1, width - length)
          current.append(Array(chunk.prefix(room)))
          chunks[chunks.startIndex] = Array(chunk.dropFirst(room))
        } else if current.isEmpty {
          current.append(chunk)
          chunks.removeFirst()
        }
      }
      if let last = current.last, isSpace(last) { current.removeLast() }
      if !current.isEmpty { lines.append(String(scalars: current.joined())) }
    }
    return lines
  }

  private func isSpace(_ chunk: [Unicode.Scalar]) -> Bool { chunk.allSatisfy(\.isPythonSpace) }

  /// Runs of spaces and pieces of words, in order.
  private func chunks(_ line: [Unicode.Scalar]) -> [[Unicode.Scalar]] {
    var chunks: [[Unicode.Scalar]] = []
    var current: [Unicode.Scalar] = []
    for (index, scalar) in line.enumerated() {
      if let last = current.last {
        let changes = last.isPythonSpace != scalar.isPythonSpace
        let parts =
          breaksOnHyphens && last == "-" && scalar.isPythonLetter && current.count > 2
          && index > 2 && line[index - 2].isPythonLetter
        if changes || parts {
          chunks.append(current)
          current = []
        }
      }
      current.append(scalar)
    }
    if !current.isEmpty { chunks.append(current) }
    return chunks
  }
}
