internal import Foundation

/// Ctrl-C, asked about between steps.
///
/// The first one lets the step finish and a checkpoint be written; a second one ends the process as usual.
enum Interruption {
  // Safe: written by the signal handler, which may store a sig_atomic_t, and read by whoever asks; no other order matters.
  nonisolated(unsafe) private static var flag: sig_atomic_t = 0

  static var isRequested: Bool { flag != 0 }

  /// Starts watching.
  static func watch() {
    signal(SIGINT) { _ in
      Interruption.flag = 1
      signal(SIGINT, SIG_DFL)
    }
    // Who starts this program may have blocked it: the worker threads of Dispatch do, and a process inherits that from the thread that
    // makes it. `hearth serve` stops its training jobs by this signal.
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGINT)
    pthread_sigmask(SIG_UNBLOCK, &signals, nil)
  }

  /// As Ctrl-C does.
  static func request() { flag = 1 }

  /// Forgets an earlier request and watches again.
  static func reset() {
    flag = 0
    watch()
  }
}
