// Who begins next, and who reads how much.
extension Scheduler {
  var activeKeys: Set<String> { Set(waiting.keys).union(running.map(\.key)) }
  func isActive(_ key: String) -> Bool { waiting[key] != nil || running.contains { $0.key == key } }

  private func runningCount(_ key: String) -> Int { running.count { $0.key == key } }

  /// The request whose turn it is: of a key that has none running, of these of the one that was served least, of several the
  /// one that has waited longest.
  private var candidate: Job? {
    let busy = Set(running.map(\.key))
    func rank(_ job: Job) -> (Int, Int, Int) { (busy.contains(job.key) ? 1 : 0, served[job.key, default: 0], job.id) }
    return waiting.values.compactMap(\.first).min { rank($0) < rank($1) }
  }

  /// Lets the next request begin, or makes room for it; nil if it has to wait.
  mutating func admission(_ memory: some SchedulerMemory) -> Action? {
    guard let job = candidate else { return nil }
    let lanes = running.reduce(0) { $0 + $1.laneCount }
    let fits = lanes + job.laneCount <= settings.maximumLaneCount && hasPages(for: job, memory)
    if fits || running.isEmpty {
      if waiting[job.key]?.count == 1 { waiting[job.key] = nil } else { waiting[job.key]?.removeFirst() }
      // Unread until `begin` says how much.
      var admitted = job
      admitted.unread = 1
      running.insert(admitted, at: running.firstIndex { $0.id > job.id } ?? running.count)
      return .admit(job.id)
    }
    // The key that has most gives up its youngest, if the other has nothing at all. It keeps at least one, so that the two do
    // not go to and fro.
    guard runningCount(job.key) == 0 else { return nil }
    let most = running.map { runningCount($0.key) }.max() ?? 0
    guard most > 1, let place = running.lastIndex(where: { runningCount($0.key) == most }) else { return nil }
    return sendBack(place)
  }

  /// Whether a request can read its prompt while the others read theirs and each writes another page.
  private func hasPages(for job: Job, _ memory: some SchedulerMemory) -> Bool {
    var free = memory.freePageCount - memory.pagesToStart(job.id)
    guard free >= 0 else { return false }
    for other in running {
      free -= other.isReading ? memory.pagesToExtend(other.id, by: other.unread) : other.laneCount
    }
    return free >= 0
  }

  /// How many prompt tokens each reading request gets of a step.
  func promptCounts() -> [Int: Int] {
    let reading = Dictionary(grouping: running.filter(\.isReading), by: \.key)
    let keys = reading.keys.sorted {
      let (a, b) = (served[$0, default: 0], served[$1, default: 0])
      return a != b ? a < b : $0 < $1
    }
    let demands = keys.map { key in reading[key, default: []].reduce(0) { $0 + $1.unread } }
    var counts: [Int: Int] = [:]
    for (key, share) in zip(keys, Scheduler.equalShares(of: settings.chunkLength, demands)) {
      let jobs = reading[key, default: []]
      for (job, count) in zip(jobs, Scheduler.shortestFirst(of: share, jobs.map(\.unread))) { counts[job.id] = count }
    }
    return counts
  }

  /// Cuts `budget` so that prompts are read one after the other, the one with least left to read first: sixteen that came together
  /// would otherwise all be read at the same late time, and none could answer meanwhile. The first of `demands`, which came
  /// first, has a quarter for itself, so that short ones never hold it up for good.
  static func shortestFirst(of budget: Int, _ demands: [Int]) -> [Int] {
    var shares = [Int](repeating: 0, count: demands.count)
    guard let eldest = demands.first else { return shares }
    shares[0] = min(eldest, budget / 4)
    var rest = budget - shares[0]
    for place in demands.indices.sorted(by: { (demands[$0], $0) < (demands[$1], $1) }) {
      let taken = min(demands[place] - shares[place], rest)
      shares[place] += taken
      rest -= taken
    }
    return shares
  }

  /// Cuts `budget` into equal shares, none above its demand; what some do not want goes to the others, the first ones get
  /// what cannot be cut.
  static func equalShares(of budget: Int, _ demands: [Int]) -> [Int] {
    var shares = [Int](repeating: 0, count: demands.count)
    var rest = budget
    var open = demands.indices.filter { demands[$0] > 0 }
    while rest > 0, !open.isEmpty {
      let part = max(1, rest / open.count)
      for place in open where rest > 0 {
        let taken = min(part, demands[place] - shares[place], rest)
        shares[place] += taken
        rest -= taken
      }
      open.removeAll { shares[$0] == demands[$0] }
    }
    return shares
  }
}
