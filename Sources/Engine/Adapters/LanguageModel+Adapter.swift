extension LanguageModel {
  /// A new adapter over this model's linear maps: A random, B zero, so that it changes nothing yet.
  ///
  /// A is drawn from U(−1/√inputs, 1/√inputs), as PEFT does (Kaiming uniform with a = √5).
  ///
  /// - Throws: `AdapterError` when a target names no linear map of the model, or the settings make no sense.
  public func makeAdapter(_ settings: Adapter.Settings, seed: UInt64) throws(AdapterError) -> Adapter {
    let adapter = try emptyAdapter(settings)
    for (index, entry) in adapter.entries.enumerated() {
      var random = SplitMix64(seed: seed &+ UInt64(index) &* 0x9E37_79B9_7F4A_7C15)
      let bound = 1 / Float(entry.linear.inputs).squareRoot()
      entry.pair.down.setValues(
        (0..<entry.pair.down.count).map { _ in Float(2 * random.nextUnit() - 1) * bound })
      // DoRA begins with the lengths that the rows have.
      if let magnitude = entry.pair.magnitude {
        magnitude.lengths.setValues(magnitude.norms(entry.pair, workspace, pool))
      }
    }
    return adapter
  }

  /// An adapter of zeros, to be filled from a file.
  func emptyAdapter(_ settings: Adapter.Settings) throws(AdapterError) -> Adapter {
    guard settings.rank > 0, settings.rank <= 4096 else {
      throw AdapterError("rank \(settings.rank): expected 1 to 4096")
    }
    guard settings.alpha.isFinite, settings.dropout >= 0, settings.dropout < 1 else {
      throw AdapterError(
        "alpha \(settings.alpha), dropout \(settings.dropout): expected a finite alpha and 0 ≤ dropout < 1")
    }
    let names = linears.map { $0.targetName }
    for target in settings.targets where !names.contains(target) {
      let known = Set(names).sorted().joined(separator: ", ")
      throw AdapterError("no linear map of this model is called \(target); it has \(known)")
    }
    let adapter = Adapter(settings: settings)
    for linear in linears where settings.targets.isEmpty || settings.targets.contains(linear.targetName) {
      adapter.add(LowRankPair(linear, settings: settings, pool), to: linear)
    }
    return adapter
  }

  /// The names that `targets` may hold, in the model's order.
  public var adapterTargets: [String] {
    var seen: Set<String> = []
    return linears.map(\.targetName).filter { seen.insert($0).inserted }
  }
}

extension Linear {
  /// The last component of the Hugging Face name, "q_proj".
  var targetName: String {
    weight.name.dropping(".weight").huggingFace.split(separator: ".").last.map(String.init) ?? ""
  }
}

extension ParameterName {
  /// Both names without `suffix`, where they end in it.
  func dropping(_ suffix: String) -> ParameterName {
    func drop(_ name: String) -> String {
      name.hasSuffix(suffix) ? String(name.dropLast(suffix.count)) : name
    }
    return ParameterName(gguf: drop(gguf), huggingFace: drop(huggingFace))
  }
}

extension LanguageModel {
  /// The targets that belong to attention, by the Hugging Face path.
  public var attentionTargets: [String] {
    var seen: Set<String> = []
    return linears.filter { $0.weight.name.huggingFace.contains("attn") }.map(\.targetName).filter {
      seen.insert($0).inserted
    }
  }
}
