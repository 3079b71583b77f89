internal import Foundation

/// Ctrl-C, and for runs SIGTERM, asked about between steps.
///
/// The first one lets the step finish and a checkpoint be written; a second one ends the process as usual.
enum Interruption {
  /// What was asked by the program itself, not by a signal.
  private static let ownRequest: sig_atomic_t = -1

  // Safe: written by the signal handler, which may store a sig_atomic_t, and read by whoever asks; no other order matters.
  nonisolated(unsafe) private static var flag: sig_atomic_t = 0
  // Safe: written before the signals are watched, and read by their handler.
  nonisolated(unsafe) private static var watchesTermination: sig_atomic_t = 0
  nonisolated(unsafe) private static var announces: sig_atomic_t = 0

  static var isRequested: Bool { flag != 0 }

  /// Starts watching for Ctrl-C.
  static func watch() {
    handle(SIGINT)
  }

  /// Starts watching for a run: for Ctrl-C and for SIGTERM, which service managers and batch systems send.
  ///
  /// - Parameters:
  ///   - isSilent: Whether nothing is said when a signal comes; a step may take minutes.
  ///   - leavesTermination: Whether SIGTERM is somebody else's.
  static func watchRun(isSilent: Bool, leavesTermination: Bool) {
    announces = isSilent ? 0 : 1
    watchesTermination = leavesTermination ? 0 : 1
    handle(SIGINT)
    if !leavesTermination { handle(SIGTERM) }
  }

  private static func handle(_ number: Int32) {
    // Only what a signal handler may do.
    signal(number) { number in
      Interruption.flag = number
      signal(SIGINT, SIG_DFL)
      if Interruption.watchesTermination != 0 { signal(SIGTERM, SIG_DFL) }
      guard Interruption.announces != 0 else { return }
      let message: StaticString =
        "\nstopping with a checkpoint at the end of this step; once more to stop at once, without\n"
      _ = write(STDERR_FILENO, message.utf8Start, message.utf8CodeUnitCount)
    }
    // Who starts this program may have blocked it: the worker threads of Dispatch do, and a process inherits that from the thread that
    // makes it. `hearth serve` stops its training jobs by this signal.
    unblock(number)
  }

  private static func unblock(_ number: Int32) {
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, number)
    pthread_sigmask(SIG_UNBLOCK, &signals, nil)
  }

  /// As Ctrl-C does.
  static func request() { if flag == 0 { flag = ownRequest } }

  /// Ends this process as the signal would have that asked for it, so that who started it knows (a shell by status 130 or 143, and it
  /// does not go on with a loop). Does nothing when no signal came.
  static func endAsAsked() {
    let number = flag
    guard number > 0 else { return }
    signal(number, SIG_DFL)
    unblock(number)
    raise(number)
  }

  /// Forgets an earlier request and watches again.
  static func reset() {
    flag = 0
    watch()
  }
}
