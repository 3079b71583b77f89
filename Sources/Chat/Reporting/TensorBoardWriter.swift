public import Foundation

/// Writes one run's TensorBoard log: scalars, text samples, settings.
///
/// A run is a folder; every start and every resume adds a file of its own, never touching earlier ones, so nothing
/// written is ever at risk. A resume says at which step it starts, and TensorBoard then discards what earlier files hold
/// from that step on: a run that was killed behind its last checkpoint shows one curve.
public struct TensorBoardWriter: ~Copyable {
  /// The file being written.
  public let path: String
  private let file: AppendingFile
  private let now: @Sendable () -> Double

  /// Starts a file in `folder`, which is made where it does not exist.
  ///
  /// - Parameters:
  ///   - resumingAt: the first step that will be logged after a checkpoint; nil for a new run.
  ///   - now: seconds since 1970.
  /// - Throws: when the system refuses.
  public init(
    folder: String, resumingAt: Int? = nil,
    now: @escaping @Sendable () -> Double = { Date().timeIntervalSince1970 }
  ) throws(ReportingError) {
    do {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    } catch {
      throw ReportingError(file: folder, action: "make the folder", reason: "\(error)")
    }
    // TensorBoard reads a run's files in the order of their names: a resume must stand behind what it goes on from, also within a
    // second, or on a machine whose clock was put back.
    let began = Int(clamping: Int64(exactly: now().rounded(.down)) ?? 0)
    let seconds = String(format: "%010d", max(began, (TensorBoardWriter.latestStart(in: folder) ?? -1) + 1))
    let host = ProcessInfo.processInfo.hostName.filter { $0.isLetter || $0.isNumber || $0 == "-" }
    let process = ProcessInfo.processInfo.processIdentifier
    var count = 0
    var candidate = ""
    repeat {
      candidate = "\(folder)/events.out.tfevents.\(seconds).\(host).\(process).\(count)"
      count += 1
    } while FileManager.default.fileExists(atPath: candidate)
    let opened = try AppendingFile(path: candidate, isNew: true)
    try opened.append(TensorBoardEvent(wallTime: now(), step: 0, .fileVersion).record)
    if let resumingAt {
      try opened.append(TensorBoardEvent(wallTime: now(), step: resumingAt, .sessionStart).record)
    }
    try opened.synchronize()
    path = candidate
    file = opened
    self.now = now
  }

  /// The largest of the seconds in the names of a folder's files.
  private static func latestStart(in folder: String) -> Int? {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    return names.compactMap { name in
      guard name.hasPrefix("events.out.tfevents.") else { return nil }
      return name.split(separator: ".").dropFirst(3).first.flatMap { Int($0) }
    }.max()
  }

  /// Logs a figure. Figures that are not finite are logged as they are; TensorBoard shows them.
  public func scalar(_ tag: String, _ value: Double, step: Int) throws(ReportingError) {
    try write(.scalar(tag: tag, value: Float(value)), step: step)
  }

  /// Logs Markdown, such as sample answers.
  public func text(_ tag: String, _ value: String, step: Int) throws(ReportingError) {
    try write(.text(tag: tag, value: value), step: step)
  }

  /// Logs the run's settings, and which scalars the hparams page compares runs by.
  public func settings(
    _ settings: [(name: String, value: TensorBoardEvent.SettingValue)], metrics: [String]
  ) throws(ReportingError) {
    try write(.experiment(settings: settings, metrics: metrics), step: 0)
    try write(.runStart(settings), step: 0)
  }

  /// Logs that the run ended.
  public func end(isSuccess: Bool) throws(ReportingError) {
    try write(.runEnd(isSuccess: isSuccess), step: 0)
    try flush()
  }

  /// Waits until the disk has everything.
  public func flush() throws(ReportingError) { try file.synchronize() }

  private func write(_ content: TensorBoardEvent.Content, step: Int) throws(ReportingError) {
    try file.append(TensorBoardEvent(wallTime: now(), step: step, content).record)
  }
}
