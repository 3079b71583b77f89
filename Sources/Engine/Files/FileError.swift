internal import Glibc

/// The operating system refused something, or a file is of a kind that cannot be used.
///
/// Errors about what a checkpoint *contains* are `CheckpointError`s.
public struct FileError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The file, as it was given.
  public var path: String
  /// What is wrong, as the rest of a sentence that begins with the path.
  public var problem: String
  /// What to do about it.
  public var advice: String?
  /// The system's error number, 0 if none.
  public var errno: Int32

  /// An error found here.
  public init(path: String, problem: String, advice: String? = nil) {
    self.path = path
    self.problem = problem
    self.advice = advice
    errno = 0
  }

  /// A failed system call, in the system's words.
  ///
  /// - Parameters:
  ///   - path: The file.
  ///   - action: What was tried, as a verb: "open", "rename".
  ///   - errno: The error number the call left behind.
  public init(path: String, action: String, errno: Int32) {
    self.path = path
    self.errno = errno
    problem = "cannot \(action): \(FileError.text(of: errno))"
    advice = FileError.advice(for: errno)
  }

  /// "PATH: PROBLEM. ADVICE."
  public var description: String {
    let name = path.isEmpty ? "(empty path)" : printable(path, limit: 1024)
    return "\(name): \(problem)." + (advice.map { " \($0)." } ?? "")
  }

  private static func text(of errno: Int32) -> String {
    // strerror may reuse one buffer for every thread, so it gets a buffer of its own.
    var buffer = [CChar](repeating: 0, count: 256)
    guard unsafe strerror_r(errno, &buffer, buffer.count) == 0 else { return "error \(errno)" }
    // Whether C's char has a sign depends on the processor.
    let bytes = buffer.prefix { $0 != 0 }.map { UInt8(truncatingIfNeeded: $0) }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func advice(for errno: Int32) -> String? {
    switch errno {
    case ENOENT: "Check the path"
    case EACCES, EPERM: "Check the permissions of the file and of its folder"
    case ELOOP: "The symbolic link leads back to itself; give the real path"
    case EISDIR: "Give a file, not a folder"
    case ENOSPC, EDQUOT: "Free space on the disk, or choose another folder"
    case EROFS: "The disk is read-only; choose another folder"
    case EMFILE, ENFILE: "Too many files are open; raise the limit (ulimit -n)"
    default: nil
    }
  }
}

/// `text` fit for a message: control characters escaped, so that a hostile file cannot drive the
/// terminal, and cut to `limit` characters.
func printable(_ text: String, limit: Int = 100) -> String {
  var result = ""
  var count = 0
  for scalar in text.unicodeScalars {
    guard count < limit else { return result + "…" }
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .unassigned:
      result += scalar.escaped(asASCII: true)
    default:
      result.unicodeScalars.append(scalar)
    }
    count += 1
  }
  return result
}
