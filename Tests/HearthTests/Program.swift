import Foundation
import TestSupport

/// The executable that was built together with the tests.
enum Program {
  /// nil where the tests run in a place that does not tell.
  static let path: String? = {
    for argument in CommandLine.arguments where argument.contains(".xctest") {
      let bundle = argument.components(separatedBy: ".xctest")[0]
      let path = URL(filePath: bundle).deletingLastPathComponent().appending(path: "hearth").path
      if FileManager.default.isExecutableFile(atPath: path) { return path }
    }
    return nil
  }()

  static func withModel(_ body: (String) throws -> Void) throws {
    let folder = try TinyChatFolder.make()
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder.path)
  }

  static func make(_ arguments: [String]) -> Process {
    let process = Process()
    process.executableURL = URL(filePath: path ?? "")
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(["TERM": "xterm", "NO_COLOR": "1"]) { $1 }
    return process
  }

  /// Runs to the end. What is written must fit into a pipe.
  static func run(_ arguments: [String], input: String) throws -> (status: Int32, output: String, errors: String) {
    let process = make(arguments)
    let (source, output, errors) = (Pipe(), Pipe(), Pipe())
    process.standardInput = source
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    try source.fileHandleForWriting.write(contentsOf: Data(input.utf8))
    try source.fileHandleForWriting.close()
    let (text, problems) = (
      output.fileHandleForReading.readDataToEndOfFile(), errors.fileHandleForReading.readDataToEndOfFile()
    )
    process.waitUntilExit()
    return (process.terminationStatus, String(decoding: text, as: UTF8.self), String(decoding: problems, as: UTF8.self))
  }
}

/// The program at a terminal that nobody sees.
final class PseudoTerminal {
  struct Failure: Error, CustomStringConvertible {
    let description: String
  }

  let process: Process
  private let person: Int32
  private let device: Int32
  /// What was shown and not yet waited for.
  private var shown: [UInt8] = []

  init(_ arguments: [String]) throws {
    var (person, device): (Int32, Int32) = (-1, -1)
    var size = winsize(ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0)
    guard openpty(&person, &device, nil, nil, &size) == 0 else { throw Failure(description: "no pseudo-terminal") }
    (self.person, self.device) = (person, device)
    process = Program.make(arguments)
    let handle = FileHandle(fileDescriptor: device, closeOnDealloc: false)
    process.standardInput = handle
    process.standardOutput = handle
    process.standardError = handle
    try process.run()
  }

  deinit {
    if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    close(person)
    close(device)
  }

  var localFlags: tcflag_t {
    var settings = termios()
    tcgetattr(device, &settings)
    return settings.c_lflag
  }

  func type(_ text: String) {
    let bytes = Array(text.utf8)
    _ = write(person, bytes, bytes.count)
  }

  /// Waits for the end of the program, for at most half a minute.
  func waitForExit() throws {
    let end = ContinuousClock.now + .seconds(30)
    while process.isRunning {
      guard ContinuousClock.now < end else { throw Failure(description: "the program does not end") }
      usleep(10_000)
    }
  }

  /// Reads until `text` was shown, for at most half a minute.
  func wait(for text: String) throws {
    let wanted = Array(text.utf8)
    let end = ContinuousClock.now + .seconds(30)
    while ContinuousClock.now < end {
      if let range = shown.firstRange(of: wanted) {
        shown.removeSubrange(..<range.upperBound)
        return
      }
      var ready = pollfd(fd: person, events: Int16(POLLIN), revents: 0)
      guard poll(&ready, 1, 200) > 0 else { continue }
      var bytes = [UInt8](repeating: 0, count: 4096)
      let count = read(person, &bytes, bytes.count)
      if count <= 0 { break }
      shown += bytes.prefix(count)
    }
    throw Failure(
      description: "waited for \(text.debugDescription), saw \(String(decoding: shown, as: UTF8.self).debugDescription)"
    )
  }
}
