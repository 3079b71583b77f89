public import Engine
internal import Foundation

/// What this machine will do with which model. The field names are those of the JSON of `hearth doctor`.
public struct Checkup: Encodable, Sendable {
  /// A model and what to expect of it here.
  public struct Model: Encodable, Sendable {
    public let name: String
    public let format: String
    /// Whether its files are on this machine.
    public let is_stored: Bool
    public let parameters: Int
    /// Bytes of its file; nil for models that are stored.
    public let download_bytes: Int?
    public let weight_bytes: Int
    public let cache_bytes_per_token: Int
    public let context_length: Int
    /// Positions that `needed_bytes` counts.
    public let context: Int
    public let needed_bytes: Int
    public let fits: Bool
    /// The longest context for which there is memory; 0 when the weights alone do not fit.
    public let largest_context: Int
    /// For short answers to one person: what the kernels reach of this machine's memory, by the bytes that a token reads.
    public let expected_tokens_per_second: Double
    /// Why a stored model cannot be used; the numbers are then 0.
    public let problem: String?
  }

  /// Something that is not as it should be.
  public struct Finding: Encodable, Sendable, Equatable {
    public let what: String
    public let remedy: String
  }

  /// Memory that this process may still take.
  public struct Memory: Encodable, Sendable {
    public let available_bytes: Int
    public let total_bytes: Int
    public let limited_by: AvailableMemory.Limit
  }

  public let processor: String
  public let processors: Int
  public let instruction_set: String
  public let best_instruction_set: String
  public let threads: Int
  /// Whole processors that the control group's quota allows; nil without one.
  public let quota_threads: Int?
  public let memory: Memory?
  public let home: String
  public let disk_free_bytes: Int?
  public let read_bandwidth_bytes_per_second: Double
  /// Of packed weights, through the product that decoding runs.
  public let decode_bytes_per_second: Double
  public let models: [Model]
  public let findings: [Finding]

  /// Looks around, which takes about two seconds.
  ///
  /// - Parameters:
  ///   - model: A model to look at beside those of the store.
  ///   - room: The context that is counted for each model.
  /// - Throws: `StoreError` when there is no such model.
  public init(store: ModelStore = ModelStore(), model: String? = nil, room: Room = Room(), pool: WorkerPool) throws {
    processor = Checkup.processorName
    processors = ProcessInfo.processInfo.processorCount
    instruction_set = Machine.instructionSet
    best_instruction_set = Machine.bestInstructionSet
    threads = pool.threadCount
    quota_threads = Machine.quotaThreadCount
    let available = AvailableMemory()
    memory = available.map {
      Memory(available_bytes: $0.bytes, total_bytes: $0.totalBytes, limited_by: $0.limit)
    }
    home = store.home.path
    disk_free_bytes = Checkup.freeBytes(at: store.home)
    read_bandwidth_bytes_per_second = Machine.readBandwidth(pool)
    let rate = Machine.decodeRate(pool)
    decode_bytes_per_second = rate
    let judge = Judge(memory: available, room: room, rate: rate)
    var (found, problems): ([Model], [Finding]) = ([], [])
    var locations: [ModelStore.Location] = []
    if let model { locations.append(try store.locate(model)) }
    do {
      for manifest in try store.list() where manifest.name != model {
        locations.append(ModelStore.Location(path: manifest.path, name: manifest.name))
      }
    } catch { problems.append(Finding(what: "\(error)", remedy: "the message says")) }
    for location in locations { found.append(judge.stored(location)) }
    if model == nil { found += TypicalModel.all.map(judge.typical) }
    models = found
    findings = problems + Checkup.findings(store: store, memory: available)
  }

  // MARK: Parts

  private static var processorName: String {
    let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix("model name") || $0.hasPrefix("Model") }
    guard let name = line?.split(separator: ":", maxSplits: 1).last else { return "unknown" }
    return name.trimmingCharacters(in: .whitespaces)
  }

  /// Of the file system that the folder is on, or will be.
  private static func freeBytes(at folder: URL) -> Int? {
    var url = folder
    var status = statvfs()
    while statvfs(url.path, &status) != 0 {
      guard url.path != "/" else { return nil }
      url.deleteLastPathComponent()
    }
    return Int(clamping: UInt64(status.f_bavail) * UInt64(status.f_frsize))
  }

  private static func findings(store: ModelStore, memory: AvailableMemory?) -> [Finding] {
    var found: [Finding] = []
    func add(_ what: String, _ remedy: String) { found.append(Finding(what: what, remedy: remedy)) }
    if Machine.instructionSet != Machine.bestInstructionSet {
      add(
        "HEARTH_ISA holds the kernels back to \(Machine.instructionSet), this processor has \(Machine.bestInstructionSet)",
        "unset HEARTH_ISA")
    } else if Machine.instructionSet == "scalar" {
      add(
        "this processor has no instruction set that fast kernels exist for, so everything is right but slow",
        "use an x86 processor with AVX2, or an AArch64 one")
    }
    switch pythonPackages() {
    case .none:
      add(
        "python3 is missing, which hearth pull smollm2 needs", "on Debian or Ubuntu: sudo apt-get install python3-pip")
    case false:
      add("pip is missing, which hearth pull smollm2 needs", "on Debian or Ubuntu: sudo apt-get install python3-pip")
    case true: break
    }
    var folder = store.home
    while !FileManager.default.fileExists(atPath: folder.path), folder.path != "/" { folder.deleteLastPathComponent() }
    if access(folder.path, W_OK) != 0 {
      add("\(store.home.path) cannot be written to", "set HEARTH_HOME to a folder of yours")
    }
    if memory == nil { add("this system does not tell how much memory is free", "watch it yourself") }
    return found
  }

  /// Whether Python has pip; nil when there is no Python.
  private static func pythonPackages() -> Bool? {
    let process = Process()
    process.executableURL = URL(filePath: "/usr/bin/env")
    process.arguments = ["python3", "-m", "pip", "--version"]
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return nil }
    process.waitUntilExit()
    return process.terminationStatus == 127 ? nil : process.terminationStatus == 0
  }
}

/// Says what to expect of a model.
private struct Judge {
  let memory: AvailableMemory?
  let room: Room
  /// Bytes of weights a second.
  let rate: Double

  func typical(_ model: TypicalModel) -> Checkup.Model {
    verdict(
      model.footprint, name: model.name, format: model.format, downloadBytes: model.fileBytes)
  }

  func stored(_ location: ModelStore.Location) -> Checkup.Model {
    do {
      let facts = try ModelFacts(location)
      let run = try TunedModel(ifRunFolder: location.path)
      let footprint = try Footprint(Checkpoint.open(run?.base ?? location.path))
      return verdict(footprint, name: location.name, format: facts.format, downloadBytes: nil)
    } catch {
      return Checkup.Model(
        name: location.name, format: "", is_stored: true, parameters: 0, download_bytes: nil, weight_bytes: 0,
        cache_bytes_per_token: 0, context_length: 0, context: 0, needed_bytes: 0, fits: false, largest_context: 0,
        expected_tokens_per_second: 0, problem: "\(error)")
    }
  }

  private func verdict(_ footprint: Footprint, name: String, format: String, downloadBytes: Int?) -> Checkup.Model {
    var room = room
    room.contextLength = room.contextLength.map { min($0, footprint.contextLength) }
    let needed = room.bytes(footprint)
    // Half a short conversation is cached on average.
    let read = footprint.weightBytes + 256 * footprint.cacheBytesPerToken
    return Checkup.Model(
      name: name, format: format, is_stored: downloadBytes == nil, parameters: footprint.parameterCount,
      download_bytes: downloadBytes, weight_bytes: footprint.weightBytes,
      cache_bytes_per_token: footprint.cacheBytesPerToken, context_length: footprint.contextLength,
      context: room.positions(footprint), needed_bytes: needed, fits: memory.map { needed <= $0.bytes } ?? true,
      largest_context: memory.map { Room.largestContext(footprint, in: $0) } ?? footprint.contextLength,
      expected_tokens_per_second: rate / Double(max(1, read)), problem: nil)
  }
}
