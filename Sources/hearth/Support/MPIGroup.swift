internal import Engine
internal import Foundation

#if MPI
  internal import CMPI

  /// The processes that `mpirun` started, training together.
  ///
  /// One thread uses it, that of the run.
  final class MPIGroup: TrainingGroup {
    let rank: Int
    let size: Int
    private var hasTold = false
    private static let patience = Duration.seconds(60)

    /// Joins the group; nil when this process was not started by `mpirun`, or alone.
    ///
    /// - Throws: `CommandError` when MPI cannot start.
    static func joined() throws -> MPIGroup? {
      guard MPILaunch.processCount > 1 else { return nil }
      return try MPIGroup()
    }

    private init() throws {
      let code = hearth_mpi_start()
      guard code == 0 else { throw CommandError("MPI cannot start: \(MPIGroup.message(code))") }
      (rank, size) = (Int(hearth_mpi_rank()), Int(hearth_mpi_size()))
      guard rank >= 0, size > rank else {
        throw CommandError("MPI cannot start: it does not say which process this is")
      }
      // `mpirun` sends it when another process of the group has ended, and kills a second later. Everything is written whole or
      // not at all, so ending here loses nothing. Only what a signal handler may do: one write, one exit.
      signal(SIGTERM) { _ in
        let message: StaticString = """
          hearth: told to end, most likely because another process of the group has ended: the last checkpoint is whole; start the \
          group anew with --resume

          """
        _ = write(STDERR_FILENO, message.utf8Start, message.utf8CodeUnitCount)
        _exit(1)
      }
    }

    /// Leaves the group in peace: all members have to.
    func leave() { _ = hearth_mpi_end() }

    /// Ends every process of the group, because this one cannot go on.
    func abandon() { hearth_mpi_abort() }

    func sum(_ values: inout MutableSpan<Float>) throws {
      try values.withUnsafeMutableBufferPointer { values in
        try finish { hearth_mpi_sum_floats(values.baseAddress, Int32(values.count), &$0) }
      }
    }

    func sum(_ values: inout MutableSpan<Double>) throws {
      try values.withUnsafeMutableBufferPointer { values in
        try finish { hearth_mpi_sum_doubles(values.baseAddress, Int32(values.count), &$0) }
      }
    }

    func share(_ values: inout MutableSpan<Float>) throws {
      // Counts of MPI are 32 bits wide.
      let most = 1 << 28
      try values.withUnsafeMutableBufferPointer { values in
        for start in stride(from: 0, to: values.count, by: most) {
          let part = UnsafeMutableBufferPointer(rebasing: values[start..<min(start + most, values.count)])
          try finish { hearth_mpi_share(part.baseAddress, Int32(part.count * 4), &$0) }
        }
      }
    }

    func share(_ bytes: [UInt8]) throws -> [UInt8] {
      var count = Int32(clamping: bytes.count)
      try withUnsafeMutablePointer(to: &count) { count in try finish { hearth_mpi_share(count, 4, &$0) } }
      var shared = rank == 0 ? bytes : [UInt8](repeating: 0, count: Int(count))
      try shared.withUnsafeMutableBufferPointer { shared in
        try finish { hearth_mpi_share(shared.baseAddress, count, &$0) }
      }
      return shared
    }

    /// Starts a collective and waits for it.
    private func finish(_ start: (inout hearth_mpi_wait) -> Int32) throws {
      var wait = hearth_mpi_wait()
      var (code, isDone, turns) = (start(&wait), Int32(0), 0)
      let begun = ContinuousClock.now
      while code == 0 {
        code = hearth_mpi_test(&wait, &isDone)
        if isDone != 0 { break }
        turns += 1
        // Others may need long, for an evaluation or because they are slower; a core that spins helps nobody.
        if turns > 200 { usleep(turns > 20_000 ? 500 : 50) }
        if !hasTold, turns % 1000 == 0, ContinuousClock.now - begun > MPIGroup.patience { tell() }
      }
      guard code == 0 else { throw CommandError("MPI: \(MPIGroup.message(code))") }
    }

    /// A host without power or network says nothing, and the system waits for it much longer than people do. Said once.
    private func tell() {
      hasTold = true
      StandardError.write(
        """
        note: process \(rank) has waited a minute for the others. If one of their hosts is gone, end all with Ctrl-C; the last \
        checkpoint is whole: start the group anew with --resume

        """)
    }

    private static func message(_ code: Int32) -> String {
      withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(HEARTH_MPI_MESSAGE_BYTES) + 1) { text in
        text.initialize(repeating: 0)
        guard let start = text.baseAddress else { return "" }
        hearth_mpi_message(code, start)
        return String(cString: start)
      }
    }
  }
#endif

/// What `mpirun` says to the processes that it starts.
enum MPILaunch {
  /// How many there are; 1 without `mpirun`.
  static var processCount: Int {
    let environment = ProcessInfo.processInfo.environment
    for name in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE"] {
      if let count = environment[name].flatMap({ Int($0) }) { return count }
    }
    return 1
  }

  /// The group, when there is one.
  ///
  /// - Throws: `CommandError` when this program cannot join it.
  static func group() throws -> (any TrainingGroup)? {
    #if MPI
      return try MPIGroup.joined()
    #else
      guard processCount > 1 else { return nil }
      throw CommandError(
        "mpirun started \(processCount) processes, but this hearth was built without MPI and each would train alone: install "
          + "libopenmpi-dev and build with: swift build -c release --product hearth --traits MPI")
    #endif
  }

  /// Leaves the group when all its work is done.
  static func leave(_ group: any TrainingGroup) {
    #if MPI
      (group as? MPIGroup)?.leave()
    #endif
  }

  /// Ends the group's other processes too.
  static func abandon(_ group: any TrainingGroup) {
    #if MPI
      (group as? MPIGroup)?.abandon()
    #endif
  }
}
