extension WeightLoader {
  /// Refuses a checkpoint whose setting `key` is other than what the family computes; an absent one is taken to be that.
  ///
  /// - Parameter known: What the family computes, in the spellings it goes by.
  func require(_ key: String, oneOf known: [String]) throws(CheckpointError) {
    guard let found = try checkpoint.stringIfPresent(key), !known.contains(found) else { return }
    throw unknown(key, expected: known.joined(separator: " or "), found: found)
  }

  /// The same of a truth value.
  func require(_ key: String, _ known: Bool) throws(CheckpointError) {
    guard let found = try checkpoint.boolIfPresent(key), found != known else { return }
    throw unknown(key, expected: "\(known)", found: "\(found)")
  }

  /// The same of a number.
  func require(_ key: String, _ known: Double) throws(CheckpointError) {
    guard let found = try checkpoint.realIfPresent(key), found != known else { return }
    throw unknown(key, expected: "\(known)", found: "\(found)")
  }

  /// The same of a list.
  func require(_ key: String, onlyOf known: String) throws(CheckpointError) {
    guard let found = try checkpoint.stringsIfPresent(key)?.first(where: { $0 != known }) else { return }
    throw unknown(key, expected: "only \(known)", found: found)
  }

  private func unknown(_ key: String, expected: String, found: String) -> CheckpointError {
    CheckpointError(
      .unsupported, file: Fields(checkpoint.source).file, place: .key(key),
      "asks for what Hearth does not compute for \(checkpoint.architecture)", expected: expected, found: found,
      advice: "Running the model without it would give wrong answers; use another model")
  }

  /// Whether `config.json` denies linear maps a bias: then one among the tensors belongs to another model.
  func bias(_ key: String) throws(CheckpointError) -> Bias {
    try checkpoint.boolIfPresent(key) == false ? .absent : .ifPresent
  }
}
