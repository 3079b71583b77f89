/// Decides what each step of the model computes: who may begin, who reads how much of a prompt, who must wait.
///
/// A value without model, memory or clock. Its owner asks for the next action, carries it out and asks again:
///
///     switch scheduler.next(memory) {
///     case .admit(let id):    // find what is cached of it; scheduler.begin(id, unread: …)
///     case .preempt(let id):  // let go of its pages; it is waiting again
///     case .fail(let id):     // even alone it does not fit
///     case .run(let shares):  // run the model once; scheduler.remove(id) for those that ended
///     case .idle:             // nothing to do
///     }
///
/// Every step runs one token of each answer that is being written, and beside them pieces of prompts, up to `chunkLength` tokens
/// in all (Yu et al., "Orca", OSDI 2022; Agrawal et al., "Sarathi-Serve" (arXiv:2403.02310), section 4).
///
/// Between keys, that is users, it is fair in the tokens it serves: who has nothing running, then who was served least, begins
/// next. Who comes back after
/// a pause begins level with the others (Sheng et al., "Fairness in Serving Large Language Models" (arXiv:2401.00588),
/// algorithm 2). A key none of whose requests run takes a place from one that has several. Keys share what a step reads of prompts
/// equally; of a key's prompts the one with least left to read comes first.
///
/// When pages run out, the youngest request goes back to wait; what was computed of it is not lost as long as its pages are not
/// needed. The eldest is never sent back for memory, so something always ends.
public struct Scheduler: Sendable {
  /// How much is done at once.
  public struct Settings: Sendable, Hashable {
    /// The most rows that answers take in a step; a beam search takes one a beam.
    public var maximumLaneCount: Int
    /// The most prompt tokens in a step.
    public var chunkLength: Int

    /// Settings; both at least 1.
    public init(maximumLaneCount: Int = 16, chunkLength: Int = 512) {
      self.maximumLaneCount = max(1, maximumLaneCount)
      self.chunkLength = max(1, chunkLength)
    }
  }

  /// What a request does in a step.
  public struct Share: Sendable, Hashable {
    /// The request.
    public let id: Int
    /// Prompt tokens to read; 0 for the next token of its answer.
    public let promptTokenCount: Int
    /// Whether a token of the answer comes of it.
    public let answers: Bool
  }

  /// What to do next.
  public enum Action: Sendable, Hashable {
    /// Take the request on, then call `begin`.
    case admit(Int)
    /// Let go of the request's pages; it waits again.
    case preempt(Int)
    /// The request does not fit even alone; it has been removed.
    case fail(Int)
    /// Run the model once with these, answers first.
    case run([Share])
    /// Nothing waits and nothing runs.
    case idle
  }

  struct Job: Sendable {
    let id: Int
    let key: String
    let laneCount: Int
    /// Tokens to be read before the next token can be chosen; 0 once it answers.
    var unread = 0
    var isReading: Bool { unread > 0 }
  }

  /// How much is done at once.
  public internal(set) var settings: Settings
  /// In the order of their coming.
  var running: [Job] = []
  /// By key, in the order of their coming.
  var waiting: [String: [Job]] = [:]
  /// Tokens served to each key; only differences count.
  var served: [String: Int] = [:]

  /// Nothing waits and nothing runs.
  public init(_ settings: Settings = Settings()) { self.settings = settings }

  /// Whether nothing waits and nothing runs.
  public var isIdle: Bool { running.isEmpty && waiting.isEmpty }
  /// Requests that are computed.
  public var runningCount: Int { running.count }
  /// Requests that wait for their turn.
  public var waitingCount: Int { waiting.values.reduce(0) { $0 + $1.count } }

  /// Takes a request into the queue of its key.
  ///
  /// - Parameters:
  ///   - id: Rising with every call; who came earlier has the smaller one.
  ///   - laneCount: Rows it takes in a step once it answers.
  public mutating func add(_ id: Int, key: String = "", laneCount: Int = 1) {
    if !isActive(key) {
      // What a key did not use while it was away is not saved up, and what the others were served counts as its own.
      let least = activeKeys.map { served[$0, default: 0] }.min()
      served = served.filter { isActive($0.key) || $0.value > least ?? .max }
      served[key] = max(served[key, default: 0], least ?? 0)
    }
    waiting[key, default: []].append(Job(id: id, key: key, laneCount: laneCount))
  }

  /// Says how many tokens of an admitted request are still to be read, at least one.
  public mutating func begin(_ id: Int, unread: Int) {
    guard let place = running.firstIndex(where: { $0.id == id }) else { return }
    running[place].unread = max(1, unread)
  }

  /// Forgets a request that ended or was cancelled.
  public mutating func remove(_ id: Int) {
    running.removeAll { $0.id == id }
    for (key, jobs) in waiting where jobs.contains(where: { $0.id == id }) {
      waiting[key] = jobs.count == 1 ? nil : jobs.filter { $0.id != id }
    }
  }

  /// Counts tokens that a request got beyond its share.
  public mutating func charge(_ id: Int, _ tokens: Int) {
    if let job = running.first(where: { $0.id == id }) { served[job.key, default: 0] += tokens }
  }

  /// The next action. After `.run`, the model is taken to have run.
  public mutating func next(_ memory: some SchedulerMemory) -> Action {
    if let action = admission(memory) { return action }
    guard !running.isEmpty else { return .idle }
    var free = memory.freePageCount
    for job in running where !job.isReading { free -= memory.pagesToExtend(job.id, by: 1) }
    guard free >= 0 else { return sendBackTheYoungest() }
    var shares = running.filter { !$0.isReading }.map { Share(id: $0.id, promptTokenCount: 0, answers: true) }
    var counts = promptCounts()
    // In the order of their coming, so that the eldest gets what memory there is.
    for place in running.indices where running[place].isReading {
      let job = running[place]
      var count = counts[job.id, default: 0]
      if memory.pagesToExtend(job.id, by: count) > free {
        count = Scheduler.largest(below: count) { memory.pagesToExtend(job.id, by: $0) <= free }
      }
      counts[job.id] = count
      guard count > 0 else { continue }
      free -= memory.pagesToExtend(job.id, by: count)
      shares.append(Share(id: job.id, promptTokenCount: count, answers: count == job.unread))
    }
    guard !shares.isEmpty else { return sendBackTheYoungest() }
    for place in running.indices {
      let job = running[place]
      if job.isReading, let count = counts[job.id], count > 0 {
        running[place].unread -= count
        served[job.key, default: 0] += count
      } else if !job.isReading {
        served[job.key, default: 0] += job.laneCount
      }
    }
    return .run(shares)
  }

  private mutating func sendBackTheYoungest() -> Action {
    guard running.count > 1 else {
      let id = running[0].id
      remove(id)
      return .fail(id)
    }
    return sendBack(running.count - 1)
  }

  mutating func sendBack(_ place: Int) -> Action {
    let job = running.remove(at: place)
    let queue = waiting[job.key, default: []]
    let position = queue.firstIndex { $0.id > job.id } ?? queue.count
    waiting[job.key, default: []].insert(
      Job(id: job.id, key: job.key, laneCount: job.laneCount), at: position)
    return .preempt(job.id)
  }

  /// The largest number from 0 up to below `count` for which `fits`, which holds for 0 and for no more than that on.
  private static func largest(below count: Int, _ fits: (Int) -> Bool) -> Int {
    var (low, high) = (0, count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if fits(middle) { low = middle } else { high = middle }
    }
    return low
  }
}

/// What a scheduler asks about the pages of its requests.
public protocol SchedulerMemory {
  /// Pages that are free, or that cached prefixes would give up.
  var freePageCount: Int { get }
  /// The most of these that a waiting request takes until its first token.
  func pagesToStart(_ id: Int) -> Int
  /// The most of these that a running request takes for the next `tokens` of its tokens.
  func pagesToExtend(_ id: Int, by tokens: Int) -> Int
}
