import CKernels
import Foundation

/// One suite at a time may force an instruction set: the choice belongs to the whole process.
private let forcing = NSLock()

/// Runs `body` under each instruction set that this CPU has, the scalar one first.
func onEveryInstructionSet(_ body: (hearth_isa) throws -> Void) rethrows {
  try forcing.withLock {
    defer { hearth_isa_force(hearth_isa_best()) }
    for raw in HEARTH_ISA_SCALAR.rawValue...hearth_isa_best().rawValue {
      hearth_isa_force(hearth_isa(rawValue: raw))
      try body(hearth_isa(rawValue: raw))
    }
  }
}

/// Runs `body` while no other suite forces an instruction set.
func withSteadyInstructionSet<Result>(_ body: () throws -> Result) rethrows -> Result {
  try forcing.withLock { try body() }
}
