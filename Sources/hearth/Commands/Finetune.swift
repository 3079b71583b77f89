public import ArgumentParser
public import Chat
public import Engine
internal import Foundation
internal import Tokenizers

/// Teaches a model from conversations.
struct Finetune: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Teach a model from your own conversations.",
    discussion: """
      Data is JSONL, one example a line, in any of these shapes:
        {"messages": [{"role": "user", "content": "…"},
                      {"role": "assistant", "content": "…"}]}
        {"conversations": [{"from": "human", "value": "…"}, …]}
        {"prompt": "…", "completion": "…"}     {"input": "…", "output": "…"}
        {"instruction": "…", "input": "…", "output": "…"}     {"text": "…"}
        {"prompt": "…", "chosen": "…", "rejected": "…"}     with --objective dpo

      Examples:
        hearth finetune --model smollm2 --data desk.jsonl --output runs/desk
        hearth finetune --model smollm2 --data desk.jsonl --output runs/x --preview
        hearth finetune --output runs/desk --resume
        hearth finetune --recipe runs/desk/recipe.yaml --seed 1 --output runs/again
      """)

  @Option(help: "The model to teach: a name or a path.") var model: String?
  @Option(parsing: .upToNextOption, help: "JSONL files to learn from.") var data: [String] = []
  @Option(parsing: .upToNextOption, help: "JSONL files to measure on.") var validation: [String] = []
  @Option(parsing: .unconditional, help: "Without --validation, hold out this share of the data (default: 0.1).")
  var validationFraction: Double?
  @Option(help: "The run folder.") var output: String
  @Option(help: "A name for the result in the store.") var name: String?
  @Option(parsing: .upToNextOption, help: "JSONL files of ordinary conversations to mix in, against forgetting.")
  var replay: [String] = []
  @Option(parsing: .unconditional, help: "Their share of what is trained on (default: 0.1).") var replayFraction:
    Double?
  @Option(help: "sft: learn the answers; dpo: prefer chosen answers to rejected ones (default: sft).")
  var objective: FineTuningRecipe.Objective?
  @Option(parsing: .unconditional, help: "With dpo, how firmly the model is held to its beginning (default: 0.1).")
  var beta: Double?
  @Option(help: "lora: small matrices beside the weights; full: every weight.") var method: FineTuningRecipe.Method?
  @Option(parsing: .unconditional, help: "Rank of the LoRA matrices (default: 8).") var rank: Int?
  @Option(parsing: .unconditional, help: "The LoRA term is scaled by alpha / rank (default: 16).") var alpha: Float?
  @Flag(inversion: .prefixedNo, help: "Scale the LoRA term by alpha / √rank (rsLoRA; default: no).") var rslora: Bool?
  @Flag(inversion: .prefixedNo, help: "Learn the length of each row as well (DoRA; default: no).") var dora: Bool?
  @Option(parsing: .unconditional, help: "Probability of dropping an input of LoRA (default: 0).") var dropout: Float?
  @Option(help: "all, attention, or names separated by commas (default: all).") var targets: String?
  @Option(help: "Continue from this PEFT adapter.") var adapter: String?
  @Option(parsing: .unconditional, help: "Passes over the data (default: 3).") var epochs: Int?
  @Option(parsing: .unconditional, help: "Optimiser steps, whatever --epochs says.") var maxSteps: Int?
  @Option(parsing: .unconditional, help: "Conversations in a forward pass (default: 8).") var batchSize: Int?
  @Option(parsing: .unconditional, help: "Forward passes in an optimiser step (default: 1).") var gradientAccumulation:
    Int?
  @Option(
    parsing: .unconditional,
    help: "The longest conversation, in tokens; longer ones are cut at the end (default: 1024).")
  var maxLength: Int?
  @Option(help: "on or off; conversations never see each other and there is no padding either way.")
  var packing: Packing?
  @Option(
    parsing: .unconditional,
    help: "The highest learning rate (default: 2e-4; 2e-5 with --method full, 5e-5 with --objective dpo).")
  var learningRate: Double?
  @Option(help: "cosine, linear or constant (default: cosine).") var schedule: LearningRateSchedule.Shape?
  @Option(parsing: .unconditional, help: "Share of the steps in which the learning rate rises (default: 0.03).")
  var warmupRatio: Double?
  @Option(parsing: .unconditional, help: "AdamW's decoupled decay of matrices (default: 0).") var weightDecay: Float?
  @Option(parsing: .unconditional, help: "Longer gradients are shortened to this; 0 is off (default: 1).")
  var maxGradientNorm: Double?
  @Option(help: "adamw is the one there is.") var optimizer: Optimizer?
  @Option(help: "responses: the assistant's tokens through the stop token; all: every token.")
  var lossOn: LossTarget?
  @Option(help: "shuffled by the seed, or given: the order of the files.") var order: FineTuningRecipe.Order?
  @Option(parsing: .unconditional, help: "Steps between evaluations (default: twice an epoch).") var evaluateEvery: Int?
  @Option(parsing: .unconditional, help: "Steps between checkpoints beside those of evaluations.") var saveEvery: Int?
  @Option(parsing: .unconditional, help: "Latest checkpoints to keep beside the best (default: 2).") var keep: Int?
  @Option(parsing: .unconditional, help: "End after this many evaluations without a better loss.") var patience: Int?
  @Option(parsing: .unconditional, help: "The same seed gives the same bytes (default: 0).") var seed: UInt64?
  @Option(
    help: """
      bf16 (f32 sums and parameters), int8 (bf16, with products of gradients in int8), f32, or serving: f32, held-out \
      loss in the kernels that will serve (default where the CPU has instructions for bf16: int8, and bf16 for an \
      adapter on a base that is not quantised; else f32).
      """)
  var precision: FineTuningRecipe.TrainingPrecision?
  @Flag(inversion: .prefixedNo, help: "Measure base and result on general texts and questions (default: yes).")
  var probe: Bool?
  @Option(help: "What a template that writes the date takes as today, YYYY-MM-DD (default: the day the run begins).")
  var date: String?
  @Option(help: "Folder for TensorBoard (default: the run folder, or where a resumed run has it).") var logdir: String?
  @Flag(help: "Go on with the run in --output.") var resume = false
  @Option(help: "Start from a recipe.yaml; flags override it.") var recipe: String?
  @Flag(help: "Train nothing; show what would be trained on.") var preview = false
  @Flag(help: "One JSON object an event on stdout.") var json = false
  @Flag(help: "With --json, stop with a checkpoint when nobody reads stdout any more, instead of going on.")
  var endWithReader = false
  @Flag(help: "No progress on stderr.") var quiet = false
  @Option(parsing: .unconditional, help: "Threads to compute with (default: as many as this process may use).")
  var threads: Int?

  enum Packing: String, ExpressibleByArgument, CaseIterable { case on, off }
  enum Optimizer: String, ExpressibleByArgument, CaseIterable { case adamw }

  func run() throws {
    var isStopped = false
    guard let group = try MPILaunch.group() else {
      isStopped = try train(nil)
      if isStopped { Interruption.endAsAsked() }
      return
    }
    do {
      if group.rank == 0 { isStopped = try train(group) } else { try lend(to: group) }
    } catch {
      // The others cannot go on without this one, nor would they notice for as long as they compute.
      StandardError.write("hearth: \(error)\n")
      MPILaunch.abandon(group)
      throw SilentFailure()
    }
    MPILaunch.leave(group)
    if isStopped { Interruption.endAsAsked() }
  }

  /// Works on the run of the group's first process.
  private func lend(to group: any TrainingGroup) throws {
    let recipe = try FineTuningMember.recipe(of: group)
    let location = try ModelStore().locate(recipe.model)
    let base = try ChatModel.open(path: location.path, name: location.name, pool: WorkerPool(threadCount: threads))
    try FineTuningMember(recipe, base: base, group: group).run()
  }

  /// - Returns: Whether somebody stopped the run before its end.
  private func train(_ group: (any TrainingGroup)?) throws -> Bool {
    var resolved = try startingRecipe()
    if !resume { try applyFlags(to: &resolved) }
    if !resume, resolved.model.isEmpty || resolved.data.isEmpty {
      throw ValidationError(
        "\(resolved.model.isEmpty ? "--model" : "--data"): is missing: expected --model MODEL and --data FILE …, a --recipe that "
          + "names both, or --resume")
    }
    try resolved.validate()
    if let name { try ModelStore().requireNoAlias(name) }
    if preview {
      try FineTuning.checkFiles(resolved)
    } else {
      try FineTuning.checkPlaces(resolved, output: output, resume: resume, logFolder: logdir)
    }
    let location = try ModelStore().locate(resolved.model)
    if !resume { try FineTuning.requireNoAdapter(location.path, name: location.name) }
    let base = try ChatModel.open(path: location.path, name: location.name, pool: WorkerPool(threadCount: threads))
    if resolved.maxLength > base.engine.contextLength {
      if maxLength != nil, !quiet {
        StandardError.write(
          "note: \(base.name) was made for at most \(base.engine.contextLength) tokens, so --max-length is that\n")
      }
      resolved.maxLength = base.engine.contextLength
    }
    if resolved.targets == ["attention"] {
      resolved.targets = base.engine.attentionTargets
    }
    if preview {
      try FineTuningPreview(resolved, base).print(json: json)
      return false
    }

    let run = try FineTuning(
      resolved, base: base, basePath: location.path, output: output, resume: resume, logFolder: logdir,
      group: group)
    // `mpirun` ends the processes of a group by SIGTERM, and does not wait for a step.
    Interruption.watchRun(isSilent: quiet, leavesTermination: group != nil)
    run.isInterrupted = { Interruption.isRequested }
    let progress = TrainingProgress(isQuiet: quiet || json, resolved, base.tokenizer)
    let events = json ? TrainingEventStream(output: output, endsWithReader: endWithReader) : nil
    let done = try run.run { event in
      try events?.write(event)
      progress.show(event)
    }
    if let name { try ModelStore().register(run: output, name: name) }
    if done.wasInterrupted, !quiet {
      let naming = name.map { " --name \($0)" } ?? ""
      StandardError.write(
        "a checkpoint of step \(done.steps) is written; go on with: hearth finetune --output \(output)\(naming) --resume\n"
      )
    }
    try events?.finish()
    return done.wasInterrupted
  }

  /// The recipe that flags are applied to.
  private func startingRecipe() throws -> FineTuningRecipe {
    if resume {
      guard FileManager.default.fileExists(atPath: output + "/recipe.yaml") else {
        throw CommandError("\(output): holds no run to resume: check --output, or start one without --resume")
      }
      return try FineTuningRecipe(yaml: output + "/recipe.yaml")
    }
    return try recipe.map { try FineTuningRecipe(yaml: $0) } ?? FineTuningRecipe()
  }

  /// The flags that were given and that decide what a run computes.
  private var trainingFlags: [String] {
    let given: [(String, Bool)] = [
      ("model", model != nil), ("data", !data.isEmpty), ("validation", !validation.isEmpty),
      ("validation-fraction", validationFraction != nil), ("replay", !replay.isEmpty),
      ("replay-fraction", replayFraction != nil), ("objective", objective != nil), ("beta", beta != nil),
      ("probe", probe != nil), ("method", method != nil), ("rank", rank != nil),
      ("alpha", alpha != nil), ("rslora", rslora != nil), ("dora", dora != nil), ("dropout", dropout != nil),
      ("targets", targets != nil), ("adapter", adapter != nil),
      ("epochs", epochs != nil), ("max-steps", maxSteps != nil), ("batch-size", batchSize != nil),
      ("gradient-accumulation", gradientAccumulation != nil), ("max-length", maxLength != nil),
      ("packing", packing != nil), ("learning-rate", learningRate != nil), ("schedule", schedule != nil),
      ("warmup-ratio", warmupRatio != nil), ("weight-decay", weightDecay != nil),
      ("max-gradient-norm", maxGradientNorm != nil), ("optimizer", optimizer != nil), ("loss-on", lossOn != nil),
      ("order", order != nil), ("evaluate-every", evaluateEvery != nil), ("save-every", saveEvery != nil),
      ("keep", keep != nil), ("patience", patience != nil), ("seed", seed != nil), ("precision", precision != nil),
      ("recipe", recipe != nil), ("date", date != nil),
    ]
    return given.filter(\.1).map { "--" + $0.0 }
  }

  func validate() throws {
    if resume, !trainingFlags.isEmpty {
      throw ValidationError(
        "--resume goes on with the run's own recipe: drop \(trainingFlags.joined(separator: ", "))")
    }
    if let name, !ModelManifest.isName(name) {
      throw ValidationError(
        "--name \(name): expected letters, digits, dots, dashes and underscores, beginning with a letter or digit")
    }
    if endWithReader, !json { throw ValidationError("--end-with-reader: belongs to --json: add it") }
    if resume, preview { throw ValidationError("--preview: shows a run before it begins: drop --resume") }
    if !validation.isEmpty, validationFraction != nil {
      throw ValidationError("--validation-fraction: --validation already says what is held out: drop one of the two")
    }
    if recipe == nil { try requireUse(method: method, objective: objective, replay: replay) }
    if let threads, threads < 1 || threads > 1024 {
      throw ValidationError("--threads \(threads): expected 1 to 1024")
    }
  }

  /// - Throws: `ValidationError` naming a flag that would change nothing in a run of this kind.
  private func requireUse(
    method: FineTuningRecipe.Method?, objective: FineTuningRecipe.Objective?, replay: [String]
  ) throws {
    if beta != nil, objective != .dpo {
      throw ValidationError("--beta: belongs to --objective dpo: add it, or drop --beta")
    }
    if replayFraction != nil, replay.isEmpty {
      throw ValidationError("--replay-fraction: a share of what? Give --replay FILE too")
    }
    guard method == .full else { return }
    let given = [
      ("--rank", rank != nil), ("--alpha", alpha != nil), ("--dropout", dropout != nil),
      ("--targets", targets != nil), ("--rslora", rslora == true), ("--dora", dora == true),
    ]
    if let flag = given.first(where: \.1)?.0 {
      throw ValidationError(
        "\(flag): belongs to --method lora, and --method full trains every weight: drop one of the two")
    }
  }

  private func applyFlags(to recipe: inout FineTuningRecipe) throws {
    func set<Value>(_ value: Value?, _ path: WritableKeyPath<FineTuningRecipe, Value>) {
      if let value { recipe[keyPath: path] = value }
    }
    set(model, \.model)
    if !data.isEmpty { recipe.data = data }
    if !validation.isEmpty { recipe.validation = validation }
    set(validationFraction, \.validationFraction)
    if !replay.isEmpty { recipe.replay = replay }
    set(replayFraction, \.replayFraction)
    set(objective, \.objective)
    set(beta, \.beta)
    set(probe, \.probe)
    set(method, \.method)
    if recipe.method == .full, self.recipe == nil { recipe.learningRate = 2e-5 }
    if recipe.objective == .dpo, self.recipe == nil { recipe.learningRate = 5e-5 }
    set(rank, \.rank)
    set(alpha, \.alpha)
    set(rslora, \.rslora)
    set(dora, \.dora)
    set(dropout, \.dropout)
    if let targets {
      recipe.targets =
        targets == "all" ? [] : targets.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    }
    if let adapter { recipe.adapter = adapter }
    if let path = recipe.adapter {
      try FineTuning.requireAdapterFolder(path)
      let settings = try PEFTAdapter.settings(path)
      let contradictions = [
        ("--rank", rank.map { $0 != settings.rank }), ("--alpha", alpha.map { $0 != settings.alpha }),
        ("--dropout", dropout.map { $0 != settings.dropout }), ("--targets", targets.map { _ in true }),
        ("--rslora", rslora.map { $0 != settings.isRankStabilised }),
        ("--dora", dora.map { $0 != settings.isWeightDecomposed }),
      ]
      if let flag = contradictions.first(where: { $0.1 == true })?.0 {
        throw ValidationError("\(flag): is decided by the adapter that is continued from, \(path): drop one of the two")
      }
      recipe.take(settings)
    }
    set(epochs, \.epochs)
    if let maxSteps { recipe.maxSteps = maxSteps }
    set(batchSize, \.batchSize)
    set(gradientAccumulation, \.gradientAccumulation)
    set(maxLength, \.maxLength)
    set(learningRate, \.learningRate)
    set(schedule, \.schedule)
    set(warmupRatio, \.warmupRatio)
    set(weightDecay, \.weightDecay)
    set(maxGradientNorm, \.maxGradientNorm)
    set(lossOn, \.lossOn)
    set(order, \.order)
    if let evaluateEvery { recipe.evaluateEvery = evaluateEvery }
    if let saveEvery { recipe.saveEvery = saveEvery }
    set(keep, \.keep)
    if let patience { recipe.patience = patience }
    set(seed, \.seed)
    set(precision, \.precision)
    if let date { recipe.date = date }
    // A recipe has its say in this.
    try requireUse(method: recipe.method, objective: recipe.objective, replay: recipe.replay)
  }
}

extension FineTuningRecipe.Method: ExpressibleByArgument {}
extension FineTuningRecipe.Objective: ExpressibleByArgument {}
extension FineTuningRecipe.Order: ExpressibleByArgument {}
extension FineTuningRecipe.TrainingPrecision: ExpressibleByArgument {}
extension LearningRateSchedule.Shape: ExpressibleByArgument {}
extension LossTarget: ExpressibleByArgument {}
