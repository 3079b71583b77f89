/// What a forward pass remembers so that gradients can flow back through it.
///
/// Layers append one closure for each operation; `backward` runs them last to first. Each closure reads the gradient
/// of its output and adds to those of its inputs and parameters. Closures hold the activations they need, so
/// memory is freed as the tape unwinds.
final class Tape {
  private var operations: [() -> Void] = []

  /// Remembers how an operation's gradient is computed.
  func record(_ backward: @escaping () -> Void) { operations.append(backward) }

  /// Runs all operations backward and forgets them.
  func backward() {
    while let operation = operations.popLast() { operation() }
  }
}
