internal import ArgumentParser
internal import Chat

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
    var message = "there is no command \(name)"
    if let nearest = NearestName.of(name, among: names) { message += ": did you mean \(nearest)?" }
    throw ValidationError(message + " (hearth --help lists the commands)")
  }
}
