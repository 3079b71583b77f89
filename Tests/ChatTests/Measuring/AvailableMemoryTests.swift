import Foundation
import Testing

@testable import Chat

/// Folders that stand for /proc and /sys/fs/cgroup.
private struct System {
  let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)

  init(groups: String) throws {
    try write("MemTotal:  8000000 kB\nMemFree:  1000 kB\nMemAvailable:  4000000 kB\n", "proc/meminfo")
    try write(groups, "proc/self/cgroup")
  }

  func write(_ text: String, _ path: String) throws {
    let file = folder.appending(path: path)
    try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: file)
  }

  var memory: AvailableMemory? {
    AvailableMemory(processes: folder.appending(path: "proc").path, groups: folder.appending(path: "groups").path)
  }

  func remove() { try? FileManager.default.removeItem(at: folder) }
}

@Suite struct AvailableMemoryTests {
  @Test func withoutGroupsTheMachineCounts() throws {
    let system = try System(groups: "0::/\nbroken\n")
    defer { system.remove() }
    #expect(system.memory == AvailableMemory(bytes: 4_096_000_000, totalBytes: 8_192_000_000, limit: .machine))
    #expect(AvailableMemory(processes: "/nonexistent") == nil)
  }

  @Test func theTightestAncestorOfVersion2CountsAndFilePagesAreFree() throws {
    let system = try System(groups: "0::/a/b\n")
    defer { system.remove() }
    try system.write("max\n", "groups/a/b/memory.max")
    try system.write("900\n", "groups/a/b/memory.current")
    #expect(system.memory?.limit == .machine)
    try system.write("2000000\n", "groups/a/memory.max")
    try system.write("1500000\n", "groups/a/memory.current")
    try system.write("anon 1\ninactive_file 300000\nactive_file 200000\n", "groups/a/memory.stat")
    #expect(system.memory == AvailableMemory(bytes: 1_000_000, totalBytes: 2_000_000, limit: .controlGroup))
    // What the machine lacks no group can give.
    try system.write("5000000000\n", "groups/a/memory.max")
    #expect(system.memory?.limit == .machine)
  }

  @Test func version1WithTheHostsPathThatAContainerCannotSee() throws {
    let system = try System(groups: "12:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/\n")
    defer { system.remove() }
    try system.write("9223372036854771712\n", "groups/memory/memory.limit_in_bytes")
    try system.write("700\n", "groups/memory/memory.usage_in_bytes")
    #expect(system.memory?.limit == .machine)
    try system.write("1000\n", "groups/memory/memory.limit_in_bytes")
    try system.write("cache 600\ntotal_inactive_file 400\ntotal_active_file 100\n", "groups/memory/memory.stat")
    #expect(system.memory == AvailableMemory(bytes: 800, totalBytes: 1000, limit: .controlGroup))
  }
}
