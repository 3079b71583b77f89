import CKernels
import Foundation
import TestSupport

/// Runs `body` under each instruction set that this CPU has, the scalar one first.
func onEveryInstructionSet(_ body: (hearth_isa) throws -> Void) rethrows {
  try instructionSetLock.withLock {
    defer { hearth_isa_force(hearth_isa_best()) }
    for raw in HEARTH_ISA_SCALAR.rawValue...hearth_isa_best().rawValue {
      hearth_isa_force(hearth_isa(rawValue: raw))
      guard hearth_isa_current().rawValue == raw else { continue }
      try body(hearth_isa(rawValue: raw))
    }
  }
}

/// Runs `body` while no other suite forces an instruction set.
func withSteadyInstructionSet<Result>(_ body: () throws -> Result) rethrows -> Result {
  try instructionSetLock.withLock { try body() }
}
