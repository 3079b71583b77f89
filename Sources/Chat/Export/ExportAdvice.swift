internal import Engine

/// What a person can do whose export would have lost what was learned.
enum ExportAdvice {
  /// Ways out, a line each, the likeliest first.
  ///
  /// - Parameters:
  ///   - type: What the export was to be stored as; nil when it was left to the format.
  ///   - adapter: What was learned, if it lies apart from the base.
  static func text(_ model: String, _ type: StorageType?, adapter: Adapter.Settings?) -> String {
    let adapter = adapter.map { $0.isWeightDecomposed ? ExportFormat.peft : .ggufAdapter }
    var lines: [String] = []
    if let type, type.name != "F32" {
      let finer = type.isPlain ? "F32" : type.name == "Q8_0" ? "F16" : "Q8_0"
      lines.append("store it in finer steps, in a larger file: --type \(finer)")
    }
    if let adapter {
      let place = adapter == .peft ? "FOLDER" : "FILE.gguf"
      lines.append(
        "keep the base as it is and what was learned in a file beside it: hearth export \(model) --format \(adapter.rawValue) "
          + "--output \(place)")
    }
    lines.append("write it all the same: --allow-loss")
    let reason =
      type.map { $0.isPlain ? "" : "What was learned is smaller than the steps of \($0.name), so rounding undid it. " }
      ?? ""
    return reason + "Either\n" + lines.map { "  - " + $0 }.joined(separator: "\n")
  }
}
