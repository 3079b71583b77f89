internal import Foundation

/// The lines of a file descriptor, as bytes: nothing is repaired and nothing is left out.
struct LineInput {
  /// One line.
  enum Line: Equatable {
    /// Without its end (`\n` or `\r\n`); the last line needs none.
    case bytes(Data)
    /// Longer than the limit; its bytes are gone.
    case tooLong(bytes: Int)
  }

  private let descriptor: Int32
  private let limit: Int
  /// What was read and not yet handed out, from `start` on.
  private var buffer = Data()
  private var start = 0
  /// How far `buffer` holds no line's end.
  private var searched = 0
  private var isOver = false

  /// - Parameter limit: The most bytes of a line.
  init(descriptor: Int32 = STDIN_FILENO, limit: Int = 256 << 20) {
    self.descriptor = descriptor
    self.limit = limit
  }

  /// The next line; nil at the end.
  ///
  /// - Throws: `CommandError` when the system cannot read.
  mutating func next() throws -> Line? {
    var dropped = 0
    while true {
      if let end = buffer[searched...].firstIndex(of: 0x0A) {
        return take(upTo: end, dropped)
      }
      searched = buffer.endIndex
      if searched - start > limit {
        dropped += searched - start
        (buffer, start, searched) = (Data(), 0, 0)
      }
      guard try read() else {
        return searched > start || dropped > 0 ? take(upTo: searched, dropped) : nil
      }
    }
  }

  private mutating func take(upTo end: Int, _ dropped: Int) -> Line {
    defer {
      start = min(end + 1, buffer.endIndex)
      searched = start
    }
    let count = dropped + end - start
    guard count <= limit else { return .tooLong(bytes: count) }
    let isReturn = end > start && buffer[end - 1] == 0x0D
    return .bytes(Data(buffer[start..<(isReturn ? end - 1 : end)]))
  }

  /// Whether a line, or the end, can be had without waiting longer than a moment.
  func isReady(within milliseconds: Int32) -> Bool {
    if isOver || buffer[searched...].contains(0x0A) { return true }
    var ready = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&ready, 1, milliseconds) != 0
  }

  /// Appends what there is to the buffer; false at the end.
  private mutating func read() throws -> Bool {
    if isOver { return false }
    if start > 0 {
      buffer = Data(buffer[start...])
      (start, searched) = (0, searched - start)
    }
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = Foundation.read(descriptor, &piece, piece.count)
      if count > 0 {
        buffer.append(contentsOf: piece[..<count])
        return true
      }
      if count == 0 {
        isOver = true
        return false
      }
      switch errno {
      case EINTR: continue
      case EAGAIN, EWOULDBLOCK: _ = isReady(within: -1)
      default: throw CommandError("standard input: cannot be read: \(String(cString: strerror(errno)))")
      }
    }
  }
}
