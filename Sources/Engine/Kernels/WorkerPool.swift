internal import CKernels

/// The threads that kernels run on, the caller among them.
///
/// One pool serves one model executor: kernels of two executors must not share a pool at the same time.
@safe
public final class WorkerPool {
  let pointer: OpaquePointer

  /// How many threads share each kernel, the caller included.
  public let threadCount: Int

  /// Starts the workers.
  ///
  /// - Parameter threadCount: As many as the CPU affinity and the cgroup's quota allow when nil.
  public init(threadCount: Int? = nil) {
    let wanted = max(1, min(threadCount ?? Int(hearth_available_threads()), 1024))
    if let pool = unsafe hearth_pool_create(Int32(wanted)) {
      unsafe pointer = pool
      self.threadCount = Int(unsafe hearth_pool_threads(pool))
    } else if let single = unsafe hearth_pool_create(1) {
      // The system refuses more threads: slower is better than not at all.
      unsafe pointer = single
      self.threadCount = 1
    } else {
      preconditionFailure("not enough memory for one worker pool of one thread")
    }
  }

  deinit { unsafe hearth_pool_destroy(pointer) }

  /// Runs `body` once on every worker, as worker `index` of `count`, and returns when all are done.
  ///
  /// `body` runs on several threads at once: its shares must write to disjoint memory.
  func run(_ body: (_ index: Int, _ count: Int) -> Void) {
    withoutActuallyEscaping(body) { body in
      let box = Box(body)
      unsafe hearth_pool_run(
        pointer,
        { context, index, count in
          guard let context = unsafe context else { return }
          let box = unsafe Unmanaged<Box>.fromOpaque(context).takeUnretainedValue()
          box.body(Int(index), Int(count))
        }, Unmanaged.passUnretained(box).toOpaque())
    }
  }

  private final class Box {
    let body: (Int, Int) -> Void
    init(_ body: @escaping (Int, Int) -> Void) { self.body = body }
  }
}
