internal import ArgumentParser

/// What a person writes, made into what the parser reads.
enum CommandLineSpelling {
  /// Arguments with each value of `--logit-bias ID=BIAS ID=BIAS …` behind a flag of its own, so that MODEL and PROMPT may
  /// stand behind it.
  ///
  /// - Throws: `ValidationError` for a command that there is none of, with the one that was probably meant.
  static func corrected(_ arguments: [String]) throws -> [String] {
    if let first = arguments.first, !first.hasPrefix("-") { try requireCommand(first) }
    if arguments.first == "evaluate" || arguments.first == "promote", arguments.dropFirst().first == "--data",
      !arguments.dropFirst(2).contains(where: { $0.hasPrefix("-") })
    {
      throw ValidationError("--data: takes all that follows it: give MODEL before --data")
    }
    var (result, follows): ([String], Bool) = ([], false)
    for (index, argument) in arguments.enumerated() {
      if argument == "--" { return result + arguments[index...] }
      if follows, result.last != "--logit-bias" {
        follows = isBias(argument)
        if follows { result.append("--logit-bias") }
      }
      if argument == "--logit-bias" { follows = true }
      result.append(argument)
    }
    return result
  }

  private static func isBias(_ argument: String) -> Bool {
    let parts = argument.split(separator: "=", maxSplits: 1)
    return parts.count == 2 && Int32(parts[0]) != nil && Float(parts[1]) != nil
  }

  private static func requireCommand(_ name: String) throws {
    let names = Hearth.configuration.subcommands.map { $0._commandName } + ["help"]
    guard !names.contains(name) else { return }
    let nearest = names.map { (name: $0, distance: distance(name, $0)) }.min { $0.distance < $1.distance }
    var message = "there is no command \(name)"
    if let nearest, nearest.distance <= max(2, name.count / 3) { message += ": did you mean \(nearest.name)?" }
    throw ValidationError(message + " (hearth --help lists the commands)")
  }

  /// How many letters must be put in, left out, replaced or swapped with their neighbour.
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
