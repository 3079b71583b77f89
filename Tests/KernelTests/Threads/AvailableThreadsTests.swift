import CKernels
import Foundation
import Testing

/// A folder that stands for /proc/self/cgroup and /sys/fs/cgroup.
private struct ControlGroups {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)

  func write(_ text: String, _ path: String) throws {
    let file = folder.appendingPathComponent(path)
    try FileManager.default.createDirectory(
      at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: file)
  }

  var threads: Int32 {
    hearth_cgroup_threads(
      folder.appendingPathComponent("self").path, folder.appendingPathComponent("mount").path)
  }

  func remove() { try? FileManager.default.removeItem(at: folder) }
}

@Suite("Available threads")
struct AvailableThreadsTests {
  @Test("At least one, at most the processors there are")
  func bounds() {
    let threads = Int(hearth_available_threads())
    #expect(threads >= 1 && threads <= ProcessInfo.processInfo.processorCount)
  }

  @Test(
    "Version 2 quotas are rounded down",
    arguments: [
      ("max 100000\n", 0), ("250000 100000\n", 2), ("199999 100000\n", 1), ("50000 100000\n", 1),
      ("", 0), ("nonsense\n", 0), ("-5 100000\n", 0), ("100000 0\n", 0),
    ])
  func version2(quota: String, expected: Int32) throws {
    let groups = ControlGroups()
    defer { groups.remove() }
    try groups.write("0::/user/app\n", "self")
    try groups.write(quota, "mount/user/app/cpu.max")
    #expect(groups.threads == expected)
  }

  @Test("The tightest ancestor counts")
  func ancestors() throws {
    let groups = ControlGroups()
    defer { groups.remove() }
    try groups.write("0::/a/b/c\n", "self")
    try groups.write("800000 100000\n", "mount/a/b/c/cpu.max")
    try groups.write("300000 100000\n", "mount/a/cpu.max")
    #expect(groups.threads == 3)
    try groups.write("200000 100000\n", "mount/cpu.max")
    #expect(groups.threads == 2)
  }

  @Test("Version 1, with the host's path that a container cannot see")
  func version1() throws {
    let groups = ControlGroups()
    defer { groups.remove() }
    try groups.write(
      "12:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n3:cpuset:/docker/x\nbroken\n", "self")
    #expect(groups.threads == 0)
    try groups.write("350000\n", "mount/cpu,cpuacct/cpu.cfs_quota_us")
    try groups.write("100000\n", "mount/cpu,cpuacct/cpu.cfs_period_us")
    #expect(groups.threads == 3)
    try groups.write("-1\n", "mount/cpu,cpuacct/cpu.cfs_quota_us")
    #expect(groups.threads == 0)
  }

  @Test("No such files means no limit")
  func absent() {
    #expect(hearth_cgroup_threads("/nonexistent/self", "/nonexistent") == 0)
  }
}
