internal import Glibc

/// A terminal that is read key by key, and put back as it was however the program ends.
///
/// There is one a process, because signals belong to the process.
final class Terminal {
  /// How keys arrive.
  enum Mode {
    /// As they are pressed, Ctrl-C and Ctrl-Z too.
    case editing
    /// Kept until later and not shown; Ctrl-C and Ctrl-Z are signals.
    case answering
  }

  /// What woke up a wait.
  enum Event: Equatable {
    case bytes([UInt8])
    /// The size changed, or the program goes on after a stop: draw anew.
    case redraw(moved: Bool)
    case timeOut
    case endOfInput
  }

  private let input: Int32
  private let output: Int32
  private let original: termios

  /// nil when `input` or `output` is no terminal, or one that cannot move its cursor.
  init?(input: Int32 = STDIN_FILENO, output: Int32 = STDOUT_FILENO) {
    var settings = termios()
    guard isatty(input) == 1, isatty(output) == 1, tcgetattr(input, &settings) == 0 else { return nil }
    if let kind = getenv("TERM"), strcmp(kind, "dumb") == 0 { return nil }
    self.input = input
    self.output = output
    original = settings
    guard TerminalSignals.watch(input: input, output: output, original: settings) else { return nil }
  }

  deinit { close() }

  /// Switches to `mode`.
  func enter(_ mode: Mode) {
    var settings = original
    settings.c_lflag &= ~tcflag_t(ICANON | ECHO)
    settings.c_iflag &= ~tcflag_t(ICRNL | INLCR | IGNCR)
    switch mode {
    case .editing:
      settings.c_lflag &= ~tcflag_t(ISIG | IEXTEN)
      settings.c_iflag &= ~tcflag_t(IXON)
    case .answering:
      // A signal must not throw away what is on its way to the screen, nor what was typed ahead.
      settings.c_lflag |= tcflag_t(ISIG | NOFLSH)
    }
    withUnsafeMutableBytes(of: &settings.c_cc) { keys in
      keys[Int(VMIN)] = 1
      keys[Int(VTIME)] = 0
    }
    TerminalSignals.apply(settings)
  }

  /// Puts the terminal back as it was found.
  func close() { TerminalSignals.restore() }

  /// Stops the program as Ctrl-Z does elsewhere; returns when it goes on.
  func suspend() { raise(SIGTSTP) }

  /// The size in cells; 80 × 24 for a terminal that does not tell.
  var size: PromptView.Size {
    var size = winsize()
    guard ioctl(output, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0, size.ws_row > 0 else {
      return .init(width: 80, height: 24)
    }
    return .init(width: Int(size.ws_col), height: Int(size.ws_row))
  }

  /// Sends text.
  func write(_ text: String) {
    var bytes = Array(text.utf8)[...]
    while !bytes.isEmpty {
      let count = bytes.withUnsafeBytes { Glibc.write(output, $0.baseAddress, $0.count) }
      if count > 0 {
        bytes = bytes.dropFirst(count)
      } else if errno == EAGAIN {
        var ready = pollfd(fd: output, events: Int16(POLLOUT), revents: 0)
        poll(&ready, 1, -1)
      } else if errno != EINTR {
        return
      }
    }
  }

  /// Waits for keys or for a reason to draw anew.
  ///
  /// - Parameter milliseconds: How long; nil is for ever.
  func wait(milliseconds: Int32? = nil) -> Event {
    while true {
      var descriptors = [
        pollfd(fd: input, events: Int16(POLLIN), revents: 0),
        pollfd(fd: TerminalSignals.wakeUps, events: Int16(POLLIN), revents: 0),
      ]
      let count = poll(&descriptors, 2, milliseconds ?? -1)
      if count == 0 { return .timeOut }
      if count < 0 {
        if errno == EINTR { continue }
        return .endOfInput
      }
      if descriptors[1].revents != 0, let moved = TerminalSignals.takeWakeUps() { return .redraw(moved: moved) }
      guard descriptors[0].revents != 0 else { continue }
      var bytes = [UInt8](repeating: 0, count: 4096)
      let length = bytes.withUnsafeMutableBytes { read(input, $0.baseAddress, $0.count) }
      if length > 0 { return .bytes(Array(bytes.prefix(length))) }
      if length < 0, errno == EINTR || errno == EAGAIN { continue }
      return .endOfInput
    }
  }
}
