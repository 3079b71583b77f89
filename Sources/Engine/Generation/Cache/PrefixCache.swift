internal import Glibc

/// The pages of a model's sequences, and what ended sequences left behind for those that begin alike.
///
/// Pages of computed tokens stay until their memory is needed, those longest unused first. A new sequence takes all pages of its
/// longest known beginning, and of the page where it parts from it the positions before that place. Since results do not
/// depend on how a prompt was cut, that changes no answer.
///
/// It is a tree of pages, each under the page before it: the path to a page spells all tokens up to its end, so nothing is
/// ever taken for something else, as could happen with a hash of tokens. Each salt and each adapter has a tree of its own:
/// nobody can find out, by timing or from `cached_tokens`, what others have asked.
///
/// Not thread-safe; a cache belongs to the executor of its model.
public final class PrefixCache {
  /// The model whose keys and values these are.
  public let model: LanguageModel
  let pool: PagePool
  private var roots: [Root: Node] = [:]
  /// Counts uses, so that the order of last uses is known. A page's count is above those of the pages behind it.
  private var clock = 0
  /// `LanguageModel.revision` that the pages were computed with.
  private var revision: Int
  /// Pages held for sequences to come.
  public private(set) var pageCount = 0

  /// Whose pages may be shared.
  struct Root: Hashable {
    let salt: String
    let adapter: ObjectIdentifier?

    init(salt: String, adapter: Adapter?) {
      self.salt = salt
      self.adapter = adapter.map(ObjectIdentifier.init)
    }
  }

  /// A page of the tree, or a root, which has none.
  private final class Node {
    let tokens: [Int32]
    var page: KVPage?
    var children: [[Int32]: Node] = [:]
    var lastUse = 0
    /// Kept alive with its pages, so that no other adapter can come to have the same identity.
    let adapter: Adapter?

    init(_ tokens: [Int32], _ page: KVPage?, adapter: Adapter? = nil) {
      self.tokens = tokens
      self.page = page
      self.adapter = adapter
    }
  }

  /// - Parameter byteLimit: The most memory that keys and values may take, at least that of one page; nil is what sixteen
  ///   sequences of full length take or a quarter of the machine's memory, whichever is less, but one sequence always fits.
  public init(_ model: LanguageModel, byteLimit: Int? = nil) {
    self.model = model
    revision = model.revision
    let shape = model.cacheShape
    let sequence = KVCache.pageCount(model.contextLength)
    let memory = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)) / 4 / shape.pageBytes
    let limit = byteLimit.map { $0 / shape.pageBytes } ?? max(sequence, min(16 * sequence, memory))
    pool = PagePool(shape, limit: max(1, limit))
  }

  /// Bytes of memory taken by keys and values, those of running sequences included.
  public var usedBytes: Int { pool.usedCount * pool.shape.pageBytes }
  /// The most bytes they may take.
  public var byteLimit: Int { pool.limit * pool.shape.pageBytes }
  /// The most tokens that fit.
  public var tokenLimit: Int { pool.limit * KVCache.pageTokens }

  /// A sequence that has as much of `prompt` as is known, but not its last token, whose logits are still wanted.
  func sequence(for prompt: [Int32], salt: String, adapter: Adapter?) -> TokenSequence {
    let (path, shared) = find(prompt, Root(salt: salt, adapter: adapter))
    touch(path)
    let cache = KVCache(pool, sharing: path.compactMap(\.page), tokenCount: shared)
    let sequence = TokenSequence(cache: cache, adapter: adapter, revision: model.revision)
    sequence.tokens = Array(prompt.prefix(shared))
    return sequence
  }

  /// How many of the pages that `sequence(for:)` would find are in use by running sequences anyway.
  func sharedPageCount(for prompt: [Int32], salt: String, adapter: Adapter?) -> Int {
    let (path, shared) = find(prompt, Root(salt: salt, adapter: adapter))
    // The page where they part is copied.
    return path.prefix(shared / KVCache.pageTokens).count { !isKnownUniquelyReferenced(&$0.page) }
  }

  /// Keeps what a sequence has computed.
  ///
  /// - Parameter whole: Whether to keep the last page too if it is not full. A sequence that goes on must then copy it.
  func keep(_ sequence: TokenSequence, salt: String, whole: Bool) {
    discardOutdated()
    guard sequence.revision == revision, !sequence.tokens.isEmpty else { return }
    let root = Root(salt: salt, adapter: sequence.adapter)
    var node = roots[root, default: Node([], nil, adapter: sequence.adapter)]
    roots[root] = node
    var path: [Node] = []
    for (index, page) in sequence.cache.pages.enumerated() {
      let start = index * KVCache.pageTokens
      let tokens = Array(sequence.tokens[start..<min(start + KVCache.pageTokens, sequence.tokens.count)])
      guard !tokens.isEmpty, whole || tokens.count == KVCache.pageTokens else { break }
      guard let next = child(of: node, tokens, page) else { break }
      path.append(next)
      node = next
    }
    touch(path)
  }

  /// Lets go of all pages of a salt.
  func discard(salt: String) {
    for (root, node) in roots where root.salt == salt {
      pageCount -= PrefixCache.count(node)
      roots[root] = nil
    }
  }

  /// Lets go of all pages that no running sequence uses.
  public func discardAll() {
    roots = [:]
    pageCount = 0
  }

  private static func count(_ node: Node) -> Int { node.children.values.reduce(0) { $0 + 1 + count($1) } }

  /// Pages that only this cache owns, so that they could be had.
  var evictableCount: Int {
    var (count, stack) = (0, Array(roots.values))
    while let node = stack.popLast() {
      if node.page != nil, isKnownUniquelyReferenced(&node.page) { count += 1 }
      stack += node.children.values
    }
    return count
  }

  /// Sees to it that the pool has `count` free pages, if need be by letting go of those longest unused.
  func makeRoom(for count: Int) {
    guard pool.freeCount < count else { return }
    var candidates: [(parent: Node, node: Node)] = []
    var stack = Array(roots.values)
    while let node = stack.popLast() {
      for child in node.children.values {
        if isKnownUniquelyReferenced(&child.page) { candidates.append((node, child)) }
        stack.append(child)
      }
    }
    // Pages further back were used less lately than those before them, so no page goes before the ones under it.
    for (parent, node) in candidates.sorted(by: { $0.node.lastUse < $1.node.lastUse }) {
      guard pool.freeCount < count else { break }
      parent.children[node.tokens] = nil
      pageCount -= 1
      node.page = nil
    }
    roots = roots.filter { !$0.value.children.isEmpty }
  }

  /// The pages that `prompt` begins with, and how many of its tokens they hold.
  private func find(_ prompt: [Int32], _ root: Root) -> (path: [Node], tokenCount: Int) {
    discardOutdated()
    guard var node = roots[root] else { return ([], 0) }
    var (path, count) = ([Node](), 0)
    let wanted = prompt.count - 1
    while count + KVCache.pageTokens <= wanted {
      guard let next = node.children[Array(prompt[count..<count + KVCache.pageTokens])] else { break }
      path.append(next)
      node = next
      count += KVCache.pageTokens
    }
    // Of pages that part from the prompt somewhere, the one that does so last; of several the lowest tokens, whatever the
    // dictionary's order.
    let rest = prompt[count..<max(count, wanted)]
    var best: (node: Node, count: Int)?
    for child in node.children.values {
      let common = child.tokens[...].commonCount(rest)
      guard common > 0 else { continue }
      if let best, common < best.count { continue }
      if let best, common == best.count, !child.tokens.lexicographicallyPrecedes(best.node.tokens) { continue }
      best = (child, common)
    }
    if let best {
      path.append(best.node)
      count += best.count
    }
    return (path, count)
  }

  /// The page of `tokens` under `node`, new if there is none; nil if a longer one makes it superfluous.
  private func child(of node: Node, _ tokens: [Int32], _ page: KVPage) -> Node? {
    if let known = node.children[tokens] { return known }
    for (other, child) in node.children where other.count < KVCache.pageTokens || tokens.count < KVCache.pageTokens {
      if other.starts(with: tokens) { return nil }
      if tokens.starts(with: other), child.children.isEmpty {
        node.children[other] = nil
        pageCount -= 1
      }
    }
    let child = Node(tokens, page)
    node.children[tokens] = child
    pageCount += 1
    return child
  }

  private func touch(_ path: [Node]) {
    for node in path.reversed() {
      clock += 1
      node.lastUse = clock
    }
  }

  /// Training changes what keys and values would be.
  private func discardOutdated() {
    guard revision != model.revision else { return }
    revision = model.revision
    discardAll()
  }
}

extension ArraySlice<Int32> {
  /// How many elements both begin with.
  func commonCount(_ other: ArraySlice<Int32>) -> Int {
    var (place, mine, theirs) = (0, startIndex, other.startIndex)
    while mine < endIndex, theirs < other.endIndex, self[mine] == other[theirs] {
      (place, mine, theirs) = (place + 1, mine + 1, theirs + 1)
    }
    return place
  }
}
