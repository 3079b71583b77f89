import Engine
import Foundation
import Testing

@testable import Chat

/// Recipes, records and data that make no sense.
@Suite struct MalformedRunTests {
  /// The text of a recipe, and words of the error.
  static let recipes: [(String, [String])] = [
    ("", ["is empty"]), ("# nothing", ["KEY: VALUE"]), ("[]", ["KEY: VALUE"]), ("a: b: c", []), ("\u{0}", []),
    ("{", []), ("&a [*a]", []),
    ("modle: x", ["modle", "known are", "model"]), ("rank: many", ["rank", "expected a whole number, found many"]),
    ("rank: 1.5", ["rank", "found 1.5"]), ("rank: [1]", ["rank", "found a list"]),
    ("dora: 3", ["dora", "true or false"]),
    ("rank: 99999999999999999999", ["rank"]),
    ("data: x.jsonl", ["data", "expected a list, such as [a, b], found x.jsonl"]), ("data: {}", ["data"]),
    ("method: magic", ["method", "expected one of lora, full, found magic"]),
    ("schedule: circle", ["schedule", "cosine, linear, constant"]),
    ("order: random", ["order"]), ("loss_on: some", ["loss_on"]), ("seed: -1", ["seed", "0 or more"]),
    ("seed: 18446744073709551616", ["seed"]),
    ("precision: f8", ["precision"]), ("learning_rate: fast", ["learning_rate", "a number"]),
    ("targets: q_proj", ["targets"]),
    ("epochs: []", ["epochs"]), ("keep: x", ["keep"]),
  ]

  @Test(arguments: recipes.indices) func refusesARecipe(_ index: Int) throws {
    let (text, words) = Self.recipes[index]
    try withFile(text, named: "recipe.yaml") { path in
      do {
        try FineTuningRecipe(yaml: path).validate()
        Issue.record("\(text) was accepted")
      } catch {
        for word in words + [path] { #expect("\(error)".contains(word), "\(error)") }
      }
    }
  }

  @Test func refusesValuesOutOfRange() throws {
    let faults: [(String, (inout FineTuningRecipe) -> Void)] = [
      ("--model", { $0.model = "" }), ("--data", { $0.data = [] }), ("--rank", { $0.rank = 0 }),
      ("--rank", { $0.rank = 5000 }),
      ("--alpha", { $0.alpha = .nan }), ("--alpha", { $0.alpha = 0 }), ("--dropout", { $0.dropout = 1 }),
      ("--dropout", { $0.dropout = -0.1 }),
      ("--epochs", { $0.epochs = 0 }), ("--max-steps", { $0.maxSteps = 0 }), ("--batch-size", { $0.batchSize = 0 }),
      ("--gradient-accumulation", { $0.gradientAccumulation = -1 }), ("--max-length", { $0.maxLength = 1 }),
      ("--learning-rate", { $0.learningRate = .infinity }), ("--learning-rate", { $0.learningRate = -1 }),
      ("--warmup-ratio", { $0.warmupRatio = 2 }), ("--weight-decay", { $0.weightDecay = -1 }),
      ("--max-gradient-norm", { $0.maxGradientNorm = .nan }), ("--evaluate-every", { $0.evaluateEvery = 0 }),
      ("--save-every", { $0.saveEvery = 0 }), ("--keep", { $0.keep = 0 }), ("--patience", { $0.patience = 0 }),
      ("--validation-fraction", { $0.validationFraction = 1 }),
      ("--validation-fraction", { $0.validationFraction = .nan }),
      (
        "--adapter",
        {
          $0.method = .full
          $0.adapter = "x"
        }
      ),
    ]
    for (flag, spoil) in faults {
      var recipe = FineTuningRecipe()
      (recipe.model, recipe.data) = ("m", ["d"])
      try recipe.validate()
      spoil(&recipe)
      PullAddressTests.expectFailure(flag, "expected") { try recipe.validate() }
    }
  }

  @Test func refusesADamagedRecord() throws {
    let place = try TinyRun()
    let output = try place.output("a")
    try place.train(output, steps: 2)
    let record = output + "/" + TunedModel.recordName
    let good = try Data(contentsOf: URL(filePath: record))
    for damage in ["", "{", "[]", "{}", #"{"base": 3}"#, #"{"base":"x","base_name":"y","method":"lora"}"#] {
      try Data(damage.utf8).write(to: URL(filePath: record))
      PullAddressTests.expectFailure(record, "not a record") { _ = try ChatModel.open(path: output) }
    }
    let text = String(decoding: good, as: UTF8.self)
    try Data(text.replacing(place.modelPath, with: "/nowhere").utf8).write(to: URL(filePath: record))
    PullAddressTests.expectFailure(output, "/nowhere", "not there any more") { _ = try ChatModel.open(path: output) }
    try good.write(to: URL(filePath: record))
    // Moments and weights of something else.
    for name in ["adapter_model.safetensors", "adapter_config.json"] {
      let path = output + "/checkpoints/step-2/" + name
      let bytes = try Data(contentsOf: URL(filePath: path))
      try Data("x".utf8).write(to: URL(filePath: path))
      PullAddressTests.expectFailure(name) { _ = try ChatModel.open(path: output) }
      try bytes.write(to: URL(filePath: path))
    }
    _ = try ChatModel.open(path: output)
    for link in ["best", "latest"] { try FileManager.default.removeItem(atPath: output + "/" + link) }
    PullAddressTests.expectFailure(output, "no", "checkpoint") { _ = try ChatModel.open(path: output) }
  }

  @Test func refusesALineOfAHundredMegabytes() throws {
    try withFile([UInt8]()) { file in
      let handle = try #require(FileHandle(forWritingAtPath: file))
      try handle.write(contentsOf: Data(#"{"text": ""#.utf8))
      let piece = Data(repeating: UInt8(ascii: "x"), count: 1 << 20)
      for _ in 0..<100 { try handle.write(contentsOf: piece) }
      try handle.write(contentsOf: Data("\"}\n".utf8))
      try handle.close()
      PullAddressTests.expectFailure(file + ":1", "bytes") { _ = try Dataset(files: [file]) }
    }
  }
}
