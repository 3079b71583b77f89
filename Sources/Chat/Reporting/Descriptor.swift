internal import Foundation

/// What programs write to without being asked for a path: pipes, terminals, sockets.
package enum Descriptor {
  /// Writes all of `bytes`, however few the system takes at a time, and waits for readers that are slow.
  ///
  /// - Returns: 0, or the number of the error that kept the rest from being written (`EPIPE` when the reader has gone).
  package static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Int32 {
    var rest = bytes[...]
    while !rest.isEmpty {
      let written = Foundation.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
      if written >= 0 {
        rest = rest.dropFirst(written)
      } else if errno == EAGAIN || errno == EWOULDBLOCK {
        // A reader that set the pipe to non-blocking only wants us to wait.
        var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        _ = poll(&ready, 1, -1)
      } else if errno != EINTR {
        return errno
      }
    }
    return 0
  }
}
