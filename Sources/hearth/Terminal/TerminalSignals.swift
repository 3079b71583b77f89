internal import Glibc

/// Signals while a terminal is not in its usual state.
///
/// The handlers put it back before the program ends or stops, set it again when the program goes on, and count Ctrl-C. They
/// call only what POSIX lists as async-signal-safe (`signal-safety(7)`).
enum TerminalSignals {
  private struct Shared {
    var input: Int32 = -1
    var output: Int32 = -1
    var original = termios()
    var current = termios()
    /// Whether `current` is set, so that there is something to put back.
    var isChanged: sig_atomic_t = 0
    var interruptCount: sig_atomic_t = 0
    var wakeUpInput: Int32 = -1
    var wakeUpOutput: Int32 = -1
  }

  // Safe: made before any handler is installed and never freed. The main thread changes `current` and `isChanged` only by
  // plain stores; a handler in between sees the old or the new settings, either of which may be set.
  nonisolated(unsafe) private static let shared: UnsafeMutablePointer<Shared> = {
    let memory = UnsafeMutablePointer<Shared>.allocate(capacity: 1)
    memory.initialize(to: Shared())
    return memory
  }()

  /// What to write for bracketed paste on and off; made early, because a handler may not allocate.
  // Safe: constants that point to the program's own text.
  nonisolated(unsafe) private static let pasteOn = bytes("\u{1B}[?2004h")
  nonisolated(unsafe) private static let pasteOff = bytes("\u{1B}[?2004l")

  private static func bytes(_ text: StaticString) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
  }

  /// Installs the handlers.
  static func watch(input: Int32, output: Int32, original: termios) -> Bool {
    (shared.pointee.input, shared.pointee.output) = (input, output)
    shared.pointee.original = original
    _ = (pasteOn, pasteOff)
    if shared.pointee.wakeUpInput < 0 {
      var ends: [Int32] = [-1, -1]
      guard pipe(&ends) == 0 else { return false }
      for end in ends {
        _ = fcntl(end, F_SETFL, O_NONBLOCK)
        _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      }
      (shared.pointee.wakeUpInput, shared.pointee.wakeUpOutput) = (ends[0], ends[1])
    }
    for number in [SIGTERM, SIGHUP, SIGQUIT, SIGABRT, SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV] {
      handle(number) { number in
        TerminalSignals.restore()
        signal(number, SIG_DFL)
        raise(number)
      }
    }
    handle(SIGINT) { _ in TerminalSignals.shared.pointee.interruptCount &+= 1 }
    handle(SIGWINCH) { _ in TerminalSignals.wakeUp("w") }
    handle(SIGCONT) { _ in TerminalSignals.resume() }
    handleStop()
    return true
  }

  private static func handle(_ number: Int32, _ handler: @escaping @convention(c) (Int32) -> Void) {
    var action = sigaction()
    action.__sigaction_handler.sa_handler = handler
    // A signal that ends or stops the program is raised again by its own handler, so it must not be blocked there.
    action.sa_flags = Int32(SA_RESTART) | Int32(SA_NODEFER)
    sigaction(number, &action, nil)
    // A program inherits the signals that its parent's thread had blocked.
    var set = sigset_t()
    sigemptyset(&set)
    sigaddset(&set, number)
    pthread_sigmask(SIG_UNBLOCK, &set, nil)
  }

  /// Ctrl-Z: the terminal as it was, then the stop that any program does; `resume` follows by SIGCONT.
  private static func handleStop() {
    handle(SIGTSTP) { _ in
      let code = errno
      TerminalSignals.putBack()
      signal(SIGTSTP, SIG_DFL)
      raise(SIGTSTP)
      TerminalSignals.handleStop()
      // Where nobody could make the program go on, the system does not stop it: then no SIGCONT comes either.
      TerminalSignals.resume()
      errno = code
    }
  }

  /// Sets the terminal, and again whenever the program goes on after a stop.
  static func apply(_ settings: termios) {
    shared.pointee.current = settings
    let wasChanged = shared.pointee.isChanged != 0
    shared.pointee.isChanged = 1
    set(settings)
    if !wasChanged { write(pasteOn) }
  }

  /// The terminal as it was found.
  static func restore() {
    guard shared.pointee.isChanged != 0 else { return }
    putBack()
    shared.pointee.isChanged = 0
  }

  private static func putBack() {
    guard shared.pointee.isChanged != 0 else { return }
    write(pasteOff)
    set(shared.pointee.original)
  }

  private static func resume() {
    let code = errno
    // In the background the terminal belongs to someone else; SIGCONT comes again with the foreground.
    if shared.pointee.isChanged != 0, tcgetpgrp(shared.pointee.input) == getpgrp() {
      set(shared.pointee.current)
      write(pasteOn)
      wakeUp("c")
    }
    errno = code
  }

  private static func set(_ settings: termios) {
    var settings = settings
    // Waiting for the output to drain would wait for ever where nobody reads it any more.
    tcsetattr(shared.pointee.input, TCSANOW, &settings)
  }

  private static func write(_ bytes: UnsafeRawBufferPointer) {
    _ = Glibc.write(shared.pointee.output, bytes.baseAddress, bytes.count)
  }

  private static func wakeUp(_ reason: Unicode.Scalar) {
    let code = errno
    var byte = UInt8(truncatingIfNeeded: reason.value)
    _ = Glibc.write(shared.pointee.wakeUpOutput, &byte, 1)
    errno = code
  }

  /// Becomes readable when something is to be drawn anew.
  static var wakeUps: Int32 { shared.pointee.wakeUpInput }

  /// Empties the queue of wake-ups.
  ///
  /// - Returns: Whether the cursor is on another row than before, as after a stop; nil when the queue was empty.
  static func takeWakeUps() -> Bool? {
    var bytes = [UInt8](repeating: 0, count: 256)
    let count = read(wakeUps, &bytes, bytes.count)
    return count > 0 ? bytes.prefix(count).contains(UInt8(ascii: "c")) : nil
  }

  /// How many times Ctrl-C came as a signal.
  static var interruptCount: Int { Int(shared.pointee.interruptCount) }
}
