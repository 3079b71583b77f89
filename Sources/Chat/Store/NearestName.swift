/// What a person who misspelt a name probably meant.
package enum NearestName {
  /// The name among `names` that is nearest to what was written; nil when none is near: two letters apart, or a third of its length.
  package static func of(_ written: String, among names: [String]) -> String? {
    let written = written.lowercased()
    let nearest = names.map { (name: $0, distance: distance(written, $0.lowercased())) }
      .min { $0.distance < $1.distance }
    guard let nearest, nearest.distance <= max(2, written.count / 3), nearest.distance < written.count else {
      return nil
    }
    return nearest.name
  }

  /// How many letters must be put in, left out, replaced or swapped with their neighbour.
  ///
  /// Damerau, "A technique for computer detection and correction of spelling errors" (1964), each letter moved at most once.
  static func distance(_ a: String, _ b: String) -> Int {
    let (a, b) = (Array(a), Array(b))
    var rows = [[Int]](repeating: [Int](repeating: 0, count: b.count + 1), count: a.count + 1)
    for i in 0...a.count { rows[i][0] = i }
    for j in 0...b.count { rows[0][j] = j }
    for i in a.indices {
      for j in b.indices {
        var best = min(rows[i][j + 1], rows[i + 1][j]) + 1
        best = min(best, rows[i][j] + (a[i] == b[j] ? 0 : 1))
        if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { best = min(best, rows[i - 1][j - 1] + 1) }
        rows[i + 1][j + 1] = best
      }
    }
    return rows[a.count][b.count]
  }
}
