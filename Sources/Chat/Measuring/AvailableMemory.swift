internal import Foundation

/// How much memory this process may still take.
///
/// The smallest of what the machine has free, what the control groups (versions 1 and 2) leave, and what `ulimit -v` leaves.
/// File pages that a group holds count as free: they are given up when memory is wanted.
public struct AvailableMemory: Sendable, Equatable {
  /// What sets the limit.
  public enum Limit: String, Sendable, Encodable {
    case machine
    case controlGroup = "cgroup"
    case addressSpace = "address_space"
  }

  /// Bytes that may still be taken.
  public var bytes: Int
  /// Bytes of the machine, or the limit of the group or address space that is tightest.
  public var totalBytes: Int
  /// What sets the limit.
  public var limit: Limit

  /// Known amounts.
  public init(bytes: Int, totalBytes: Int, limit: Limit) {
    (self.bytes, self.totalBytes, self.limit) = (bytes, totalBytes, limit)
  }

  /// Looks; nil where the system does not tell.
  ///
  /// - Parameters:
  ///   - processes: Where the process file system is mounted.
  ///   - groups: Where the control groups are.
  public init?(processes: String = "/proc", groups: String = "/sys/fs/cgroup") {
    let machine = AvailableMemory.fields(of: processes + "/meminfo")
    guard let total = machine["MemTotal"], let free = machine["MemAvailable"] else { return nil }
    self.init(bytes: free * 1024, totalBytes: total * 1024, limit: .machine)
    for folder in AvailableMemory.groupFolders(processes + "/self/cgroup", groups) {
      if let group = AvailableMemory(group: folder), group.bytes < bytes { self = group }
    }
    if let space = AvailableMemory(addressSpaceUsed: AvailableMemory.fields(of: processes + "/self/status")["VmSize"]),
      space.bytes < bytes
    {
      self = space
    }
  }

  /// What `ulimit -v` leaves.
  private init?(addressSpaceUsed kilobytes: Int?) {
    var limit = rlimit()
    guard let kilobytes, getrlimit(__rlimit_resource_t(RLIMIT_AS.rawValue), &limit) == 0,
      limit.rlim_cur != rlim_t.max, let total = Int(exactly: limit.rlim_cur)
    else { return nil }
    self.init(bytes: max(0, total - kilobytes * 1024), totalBytes: total, limit: .addressSpace)
  }

  /// What one group of either version leaves; nil when it sets no limit.
  private init?(group folder: String) {
    func number(_ name: String) -> Int? {
      guard let text = try? String(contentsOfFile: folder + "/" + name, encoding: .utf8) else { return nil }
      return Int(text.trimmingCharacters(in: .whitespacesAndNewlines))
    }
    let isVersion2 = number("memory.current") != nil
    let statistics = AvailableMemory.fields(of: folder + "/memory.stat", separator: " ")
    let prefix = isVersion2 ? "" : "total_"
    let files = (statistics[prefix + "inactive_file"] ?? 0) + (statistics[prefix + "active_file"] ?? 0)
    // "max" is no number; version 1 says "no limit" by a number near 2^63.
    guard let limit = number(isVersion2 ? "memory.max" : "memory.limit_in_bytes"), limit < 1 << 60,
      let used = number(isVersion2 ? "memory.current" : "memory.usage_in_bytes")
    else { return nil }
    self.init(bytes: max(0, limit - max(0, used - files)), totalBytes: limit, limit: .controlGroup)
  }

  /// The folders of this process's groups that may limit memory, each with its ancestors. Inside a container a group's path is often the
  /// host's and not there; the mount's own folder is then the container's.
  private static func groupFolders(_ membership: String, _ mount: String) -> [String] {
    guard let text = try? String(contentsOfFile: membership, encoding: .utf8) else { return [] }
    var folders: [String] = []
    for line in text.split(separator: "\n") {
      // "hierarchy:controllers:/path"; version 2 has no controllers.
      let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
      guard parts.count == 3, parts[2].hasPrefix("/") else { continue }
      let root: String
      if parts[1].isEmpty {
        root = mount
      } else if parts[1].split(separator: ",").contains("memory") {
        root = mount + "/" + parts[1]
      } else {
        continue
      }
      var path = parts[2]
      while true {
        folders.append(root + path)
        guard let slash = path.lastIndex(of: "/") else { break }
        path = path[..<slash]
      }
    }
    return folders
  }

  /// The numbers of a file of lines like "MemTotal:  16384 kB" or "inactive_file 4096".
  private static func fields(of path: String, separator: Character = ":") -> [String: Int] {
    guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return [:] }
    var found: [String: Int] = [:]
    for line in text.split(separator: "\n") {
      let parts = line.split(separator: separator, maxSplits: 1)
      guard parts.count == 2, let number = parts[1].split(whereSeparator: \.isWhitespace).first else { continue }
      found[String(parts[0])] = Int(number)
    }
    return found
  }
}
