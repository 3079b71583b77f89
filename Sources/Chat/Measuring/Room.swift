public import Engine

/// What a model must find room for, checked before its weights are read.
public struct Room: Sendable {
  /// The longest sequence that is wanted, in tokens; nil is what a conversation usually takes.
  public var contextLength: Int?
  /// Whether a model that does not fit is refused.
  public var isChecked: Bool

  /// What keys and values are kept in when serving.
  public var cacheType: CacheType

  /// A wish.
  public init(contextLength: Int? = nil, isChecked: Bool = true, cacheType: CacheType = .f16) {
    (self.contextLength, self.isChecked, self.cacheType) = (contextLength, isChecked, cacheType)
  }

  /// Of the program itself, its tokenizer and tables.
  static let programBytes = 64 << 20
  /// The positions that are counted when no context is asked for. Keys and values take memory as they come, so a
  /// model is not refused because of a context that nobody fills.
  static let usualContextLength = 2048

  /// The positions that are counted for a model.
  func positions(_ footprint: Footprint) -> Int {
    contextLength ?? min(Room.usualContextLength, footprint.contextLength)
  }

  /// Memory that a model needs for this room.
  public func bytes(_ footprint: Footprint) -> Int {
    footprint.bytes(contextLength: positions(footprint)) + Room.programBytes
  }

  /// The longest context for which there is memory, at most the model's own; 0 when the weights alone do not fit.
  public static func largestContext(_ footprint: Footprint, in memory: AvailableMemory) -> Int {
    let left = memory.bytes - footprint.bytes(contextLength: 0) - programBytes
    return max(0, min(footprint.contextLength, left / max(1, footprint.cacheBytesPerToken)))
  }

  /// - Throws: `ChatModelError.contextTooLong`, or `RoomError` when memory is short.
  func require(
    _ footprint: Footprint, name: String, memory: @autoclosure () -> AvailableMemory? = AvailableMemory()
  ) throws {
    if let contextLength, contextLength > footprint.contextLength {
      throw ChatModelError.contextTooLong(model: name, asked: contextLength, most: footprint.contextLength)
    }
    guard isChecked, let memory = memory(), bytes(footprint) > memory.bytes else { return }
    throw RoomError(model: name, footprint: footprint, contextLength: positions(footprint), memory: memory)
  }
}

/// A model that does not fit into memory.
public struct RoomError: Error, Sendable, Equatable, CustomStringConvertible {
  let model: String
  let footprint: Footprint
  let contextLength: Int
  let memory: AvailableMemory

  /// What is needed, what there is, and what would fit.
  public var description: String {
    let needed = Room(contextLength: contextLength).bytes(footprint)
    let limit =
      switch memory.limit {
      case .machine: "the machine has \(gigabytes(memory.totalBytes))"
      case .controlGroup: "the control group allows \(gigabytes(memory.totalBytes))"
      case .addressSpace: "ulimit -v allows \(gigabytes(memory.totalBytes))"
      }
    return
      "\(model) does not fit into memory: it needs \(gigabytes(needed)) (weights \(gigabytes(footprint.weightBytes)), "
      + "a context of \(contextLength) tokens \(gigabytes(contextLength * footprint.cacheBytesPerToken))), "
      + "and \(gigabytes(memory.bytes)) are available (\(limit)). \(advice) --ignore-memory loads it all the same"
  }

  private var advice: String {
    let context = Room.largestContext(footprint, in: memory)
    if context >= min(256, contextLength / 2) { return "--context \(context) fits." }
    // Bytes a weight once packed, with the factors of a block of 32.
    for (type, bytes) in [("Q8_0", 1.125), ("Q4_0", 0.625)] {
      var smaller = footprint
      smaller.weightBytes = Int(Double(footprint.parameterCount) * bytes)
      guard smaller.weightBytes < footprint.weightBytes / 10 * 9 else { continue }
      let fitting = Room.largestContext(smaller, in: memory)
      if fitting >= 256 {
        return "The same model in \(type) would take \(gigabytes(smaller.weightBytes)) of weights and fit with "
          + "--context \(min(fitting, contextLength))."
      }
    }
    let most = max(0, memory.bytes - Room.programBytes - footprint.workspaceBytes)
    return
      "Free memory, or use a model of at most about \(Int(Double(most) * 0.9 / 0.625) / 1_000_000) million parameters "
      + "in Q4_0; hearth doctor shows what fits."
  }
}

/// Bytes for people.
func gigabytes(_ bytes: Int) -> String {
  let tenths = bytes < 1_000_000_000 ? Double(bytes) / 1e6 : Double(bytes) / 1e9
  let rounded = bytes < 1_000_000_000 ? "\(Int(tenths.rounded()))" : "\((tenths * 10).rounded() / 10)"
  return rounded + (bytes < 1_000_000_000 ? " MB" : " GB")
}
