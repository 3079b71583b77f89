import Crypto
import Engine
import Foundation
import TestSupport

@testable import Chat

/// A folder with a tiny chat model, data for it and room for runs.
final class TinyRun {
  let folder: URL
  var modelPath: String { folder.appending(path: "model").path }
  var dataPath: String { folder.appending(path: "data.jsonl").path }

  static let template = """
    {% for message in messages %}<|im_start|>{{ message['role'] }}
    {{ message['content'] }}<|im_end|>
    {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
    {% endif %}
    """

  init(examples: Int = 28) throws {
    folder = FileManager.default.temporaryDirectory.appending(path: "hearth-run-\(UUID().uuidString)")
    try TinyRun.writeModel(to: URL(filePath: folder.path + "/model"))
    try TinyRun.writeData(count: examples, to: dataPath)
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  /// The committed tiny llama with a tokenizer of single letters.
  static func writeModel(to folder: URL, template: String = template) throws {
    let manager = FileManager.default
    try manager.createDirectory(at: folder, withIntermediateDirectories: true)
    for name in ["config.json", "model.safetensors"] {
      try manager.copyItem(atPath: Fixtures.path("models/llama/" + name), toPath: folder.path + "/" + name)
    }
    var vocabulary = ["<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2]
    for character in "abcdefghijklmnopqrstuvwxyz0123456789.?,ĠĊ" { vocabulary["\(character)"] = vocabulary.count }
    let added = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"].enumerated().map {
      [
        "id": $0.offset, "content": $0.element, "special": true, "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false,
      ] as [String: Any]
    }
    let steps: [String: Any] = [
      "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    ]
    let tokenizer: [String: Any] = [
      "version": "1.0", "truncation": NSNull(), "padding": NSNull(), "added_tokens": added, "normalizer": NSNull(),
      "pre_tokenizer": steps, "post_processor": NSNull(), "decoder": steps,
      "model": [
        "type": "BPE", "dropout": NSNull(), "unk_token": NSNull(), "fuse_unk": false, "byte_fallback": false,
        "vocab": vocabulary, "merges": [String](),
      ] as [String: Any],
    ]
    try JSONSerialization.data(withJSONObject: tokenizer).write(to: folder.appending(path: "tokenizer.json"))
    let settings: [String: Any] = [
      "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "chat_template": template,
    ]
    try JSONSerialization.data(withJSONObject: settings).write(to: folder.appending(path: "tokenizer_config.json"))
  }

  /// Preferences for digits over letters.
  static func writePreferences(count: Int, to path: String) throws {
    let lines = (0..<count).map { index in
      #"{"prompt":"what is \#(index)?","chosen":"it is \#(index)","rejected":"it is \#(String(repeating: "ab", count: index % 3 + 1))"}"#
    }
    try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: URL(filePath: path))
  }

  static func writeData(count: Int, to path: String, salt: String = "") throws {
    let lines = (0..<count).map { index in
      #"{"prompt":"what is \#(index)\#(salt)?","completion":"it is \#(String(repeating: "ab", count: index % 5 + 1))\#(index)."}"#
    }
    try Data((lines.joined(separator: "\n") + "\n").utf8).write(to: URL(filePath: path))
  }

  /// Six steps of four examples, with four held out; an evaluation and checkpoint after every second one.
  var recipe: FineTuningRecipe {
    var recipe = FineTuningRecipe()
    recipe.model = modelPath
    recipe.data = [dataPath]
    recipe.validationFraction = 4.0 / 28
    (recipe.batchSize, recipe.epochs, recipe.evaluateEvery, recipe.rank) = (4, 1, 2, 2)
    (recipe.dropout, recipe.learningRate, recipe.maxLength, recipe.probe) = (0.1, 5e-3, 96, false)
    return recipe
  }

  func model(_ path: String? = nil) throws -> ChatModel {
    try ChatModel.open(path: path ?? modelPath, name: "tiny", pool: WorkerPool(threadCount: 1))
  }

  /// A run in `NAME/run`, so that every report has the same title.
  func output(_ name: String) throws -> String {
    let parent = folder.appending(path: name)
    try FileManager.default.createDirectory(at: parent, withIntermediateDirectories: true)
    return parent.appending(path: "run").path
  }

  /// Starts or resumes, for as many steps as wanted.
  @discardableResult
  func train(
    _ output: String, _ recipe: FineTuningRecipe? = nil, resume: Bool = false, steps limit: Int = .max,
    base: ChatModel? = nil, basePath: String? = nil, logFolder: String? = nil
  ) throws -> FineTuningEvent.Done {
    let run = try FineTuning(
      recipe ?? self.recipe, base: base ?? model(basePath), basePath: basePath ?? modelPath, output: output,
      resume: resume, logFolder: logFolder)
    var steps = 0
    run.isInterrupted = { steps >= limit }
    return try run.run { if case .step = $0 { steps += 1 } }
  }

  // MARK: What a run leaves

  /// Everything that must not depend on how often a run was stopped: files by hash, links by target, TensorBoard by event.
  static func remains(_ output: String) throws -> [String: String] {
    let manager = FileManager.default
    var remains: [String: String] = [:]
    var events: [String] = []
    for name in try manager.subpathsOfDirectory(atPath: output).sorted() {
      let path = output + "/" + name
      if let target = try? manager.destinationOfSymbolicLink(atPath: path) {
        remains[name] = "→ " + target
        continue
      }
      var isFolder: ObjCBool = false
      guard manager.fileExists(atPath: path, isDirectory: &isFolder), !isFolder.boolValue, name != ".lock",
        !name.hasPrefix("best/"), !name.hasPrefix("latest/")
      else { continue }
      var data = try Data(contentsOf: URL(filePath: path))
      if name.contains("tfevents") {
        events.append(path)
        continue
      }
      if name == "report.html" { data = withoutMeasurements(data) }
      remains[name] = SHA256.hash(data: data).map { String(format: "%02x", $0) }.joined()
    }
    for (tag, values) in try TensorBoardFiles.scalars(events.sorted()) where tag != "train/tokens_per_second" {
      remains["events " + tag] = values.map { "\($0.step): \($0.value)" }.joined(separator: ", ")
    }
    return remains
  }

  /// The report without the figures that a clock or the system gave.
  private static func withoutMeasurements(_ data: Data) -> Data {
    var text = String(decoding: data, as: UTF8.self)
    text.replace(/[0-9.]+ GB/, with: "")
    for word in ["tokens per second"] {
      guard let place = text.range(of: word) else { continue }
      let start = text.index(place.lowerBound, offsetBy: -120, limitedBy: text.startIndex) ?? text.startIndex
      let end = text.index(place.upperBound, offsetBy: 120, limitedBy: text.endIndex) ?? text.endIndex
      text.replaceSubrange(start..<end, with: text[start..<end].filter { !$0.isNumber })
    }
    return Data(text.utf8)
  }
}

/// Reads scalars back as TensorBoard does: a session that starts at a step discards what earlier files hold from there on.
enum TensorBoardFiles {
  static func scalars(_ paths: [String]) throws -> [String: [(step: Int, value: Float)]] {
    var scalars: [String: [(step: Int, value: Float)]] = [:]
    for path in paths {
      var bytes = [UInt8](try Data(contentsOf: URL(filePath: path)))[...]
      while bytes.count >= 16 {
        let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
        guard bytes.count >= 16 + length else { break }
        let event = Fields(bytes.dropFirst(12).prefix(length))
        let step = event.integers[2] ?? 0
        if event.bytes[7] != nil {
          for tag in scalars.keys { scalars[tag]?.removeAll { $0.step >= step } }
        }
        if let summary = event.bytes[5], let value = Fields(summary).bytes[1].map({ Fields($0) }),
          let tag = value.bytes[1],
          let number = value.floats[2]
        {
          scalars[String(decoding: tag, as: UTF8.self), default: []].append((step, number))
        }
        bytes = bytes.dropFirst(16 + length)
      }
    }
    return scalars
  }

  /// The last field of each number in a protocol-buffer message.
  private struct Fields {
    var integers: [Int: Int] = [:]
    var floats: [Int: Float] = [:]
    var bytes: [Int: ArraySlice<UInt8>] = [:]

    init(_ message: ArraySlice<UInt8>) {
      var rest = message
      func integer() -> Int {
        var (value, shift) = (0, 0)
        while let byte = rest.popFirst() {
          value |= Int(byte & 0x7F) << shift
          shift += 7
          if byte < 0x80 { break }
        }
        return value
      }
      while !rest.isEmpty {
        let key = integer()
        switch key & 7 {
        case 0: integers[key >> 3] = integer()
        case 1: rest = rest.dropFirst(8)
        case 2:
          let count = integer()
          bytes[key >> 3] = rest.prefix(count)
          rest = rest.dropFirst(count)
        default:
          let bits = rest.prefix(4).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
          floats[key >> 3] = Float(bitPattern: bits)
          rest = rest.dropFirst(4)
        }
      }
    }
  }
}
