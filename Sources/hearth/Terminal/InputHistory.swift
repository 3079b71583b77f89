/// What was typed before, and where in it a person is looking.
struct InputHistory {
  /// Oldest first.
  private(set) var entries: [String]
  /// The most entries that are kept.
  let limit: Int
  /// The place looked at; `entries.count` is the line being typed.
  private var position: Int
  /// The line being typed, while older ones are looked at.
  private var draft = ""

  init(_ entries: [String] = [], limit: Int = 1000) {
    self.limit = limit
    self.entries = entries.suffix(limit)
    position = self.entries.count
  }

  /// The entry before the one that shows `text`; nil at the oldest.
  mutating func previous(from text: String) -> String? {
    guard position > 0 else { return nil }
    if position == entries.count { draft = text }
    position -= 1
    return entries[position]
  }

  /// The entry after the one looked at, at last what was being typed; nil when that shows already.
  mutating func next() -> String? {
    guard position < entries.count else { return nil }
    position += 1
    return position == entries.count ? draft : entries[position]
  }

  /// Remembers `text`, unless it repeats the entry before it, and goes back to the end.
  mutating func append(_ text: String) {
    if !text.isEmpty, entries.last != text {
      entries.append(text)
      entries = entries.suffix(limit)
    }
    reset()
  }

  /// Goes back to the end.
  mutating func reset() {
    position = entries.count
    draft = ""
  }
}
