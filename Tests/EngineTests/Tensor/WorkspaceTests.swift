import Testing

@testable import Engine

@Suite struct WorkspaceTests {
  /// Takes buffers of these sizes together, as a step does, and gives them back, last ones first.
  private func step(_ workspace: Workspace, _ sizes: [Int]) {
    let tensors = sizes.map { Tensor(1, $0, in: workspace) }
    for tensor in tensors { tensor.data[tensor.count - 1] = 1 }
  }

  @Test func aStepLikeTheLastAllocatesNothing() {
    let workspace = Workspace()
    let sizes = [1, 64, 100_000, 300_000, 300_000, 2_000_000]
    step(workspace, sizes)
    let held = workspace.bytesHeld
    for _ in 0..<3 { step(workspace, sizes) }
    #expect(workspace.bytesHeld == held && workspace.peakBytes == held)
  }

  /// Batches of other lengths must not each leave buffers of their own behind.
  @Test func holdsNoMoreThanTheLargestStepUses() {
    let workspace = Workspace()
    let shapes = [576, 576, 192, 192, 576, 1536, 1536, 576].map { $0 * 16 }
    var largest = 0
    for tokens in [1024, 700, 300, 1024, 513, 999, 64, 811, 1024, 130] {
      let alone = Workspace()
      step(alone, shapes.map { $0 * tokens })
      largest = max(largest, alone.bytesHeld)
      step(workspace, shapes.map { $0 * tokens })
      // Buffers that are a little too large are in use as they are, and some may lie idle.
      #expect(Double(workspace.peakBytes) <= 1.1 * Double(largest))
    }
    workspace.trim()
    #expect(workspace.bytesHeld == 0)
  }

  /// A block of a transformer, as serving runs it on 512 tokens: many narrow buffers, then few wide ones.
  @Test func sizesThatTakeTurnsAreNotAskedForAgain() {
    let workspace = Workspace()
    func block() {
      let x = Tensor(512, 576, in: workspace)
      step(workspace, [576, 192, 192, 576, 576, 432].map { $0 * 512 })
      step(workspace, [1536, 1536, 576, 576].map { $0 * 512 })
      x.data[0] = 1
    }
    block()
    block()
    let count = workspace.allocationCount
    for _ in 0..<10 { block() }
    #expect(workspace.allocationCount == count)
  }

  /// A prompt is read, then its answer is written: what the prompt took goes back, and short steps in between do not see to that.
  @Test func givesBackWhatOnlyALongStepNeeded() {
    let workspace = Workspace()
    func run(_ tokens: Int) {
      step(workspace, [576, 1536, 1536].map { $0 * tokens })
      workspace.endStep()
    }
    run(512)
    let held = workspace.bytesHeld
    for _ in 0..<10 { run(2) }
    run(512)
    #expect(workspace.bytesHeld >= held)
    let count = workspace.allocationCount
    for _ in 0..<4 { run(512) }
    #expect(workspace.allocationCount == count, "long steps that follow one another keep their buffers")
    for _ in 0..<32 { run(2) }
    #expect(workspace.bytesHeld < held / 20)
  }

  @Test func growsFromSmallStepsToLargeOnes() {
    let workspace = Workspace()
    let shapes = [576, 1536, 1536].map { $0 * 16 }
    for tokens in [100, 300, 700, 1024] { step(workspace, shapes.map { $0 * tokens }) }
    let alone = Workspace()
    step(alone, shapes.map { $0 * 1024 })
    #expect(Double(workspace.bytesHeld) <= 1.1 * Double(alone.bytesHeld))
  }

  @Test func whatOneBufferLeavesServesOthersOfAnySize() {
    let workspace = Workspace()
    step(workspace, [3_000_000])
    let (held, count) = (workspace.bytesHeld, workspace.allocationCount)
    for _ in 0..<3 {
      step(workspace, [1_000_000, 20, 1_900_000])
      step(workspace, (1..<30).map { $0 * 5000 })
      step(workspace, [3_000_000])
    }
    #expect(workspace.bytesHeld == held && workspace.allocationCount == count)
  }

  /// What went back to the system comes back from it when it is needed, also where a piece that is in use lies between.
  @Test func whatWasTrimmedCanBeTakenAgain() {
    let workspace = Workspace()
    var first: Tensor? = Tensor(1, 500_000, in: workspace)
    let kept = Tensor(1, 100, in: workspace)
    kept.fill(3)
    step(workspace, [700_000])
    first = nil
    _ = first
    let held = workspace.bytesHeld
    workspace.trim()
    // All but the granules that it shares.
    #expect(workspace.bytesHeld <= 3 * Arena.granule && held > 4_000_000)
    let again = Tensor(1, 600_000, in: workspace)
    again.fill(2)
    #expect(Set(kept.values) == [3] && workspace.bytesHeld >= 2_400_000)
  }

  @Test func buffersNeverOverlap() {
    let workspace = Workspace()
    var random = SplitMix64(seed: 3)
    var alive: [(tensor: Tensor, mark: Float)] = []
    for mark in 0..<60 {
      if alive.count > 8 || (alive.count > 3 && random.nextUnit() < 0.5) {
        let (tensor, mark) = alive.remove(at: Int(random.nextUnit() * Double(alive.count)))
        #expect(Set(tensor.values) == [mark])
      }
      let tensor = Tensor(1, 1 + Int(random.nextUnit() * 400_000 * random.nextUnit()), in: workspace)
      #expect(UInt(bitPattern: tensor.data) % 64 == 0)
      tensor.fill(Float(mark))
      alive.append((tensor, Float(mark)))
    }
    for (tensor, mark) in alive { #expect(Set(tensor.values) == [mark]) }
  }
}

/// What the tape holds between the passes.
@Suite struct RememberedTests {
  @Test func outputsOfNormsAndGatesAreNotKeptUntilTheirGradientsAreDue() throws {
    let check = GradientCheck()
    let (gain, weight) = (check.parameter(1, 8, around: 1, seed: 1), check.parameter(4, 8, seed: 2))
    let tape = Tape()
    let pass = Pass(
      packed: PackedRows(lengths: [3]), adapter: nil, pool: check.pool, workspace: check.workspace,
      precision: .reference, tape: tape)
    let x = pass.tensor(3, 8)
    x.fill(0.5)
    weak var normalised: Tensor?
    weak var gated: Tensor?
    let output = {
      let y = pass.norm(x, RMSNorm(weight: gain, epsilon: 1e-5))
      let z = pass.swiGLU(y, y)
      (normalised, gated) = (y, z)
      return pass.apply(Linear(weight: weight), z)
    }()
    #expect(gated == nil)
    // The gate reads its input again, so that one stays.
    #expect(normalised != nil)
    output.gradientForAdding().fill(1)
    tape.backward()
    #expect(normalised == nil)
    #expect(weight.gradientValues.contains { $0 != 0 } && gain.gradientValues.contains { $0 != 0 })
  }
}
