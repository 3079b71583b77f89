import CKernels
import Testing

@Suite struct InstructionSetTests {
  @Test func forcingClampsToWhatTheCPUHas() {
    withSteadyInstructionSet {
      let best = hearth_isa_best()
      hearth_isa_force(HEARTH_ISA_AVX512)
      #expect(hearth_isa_current().rawValue <= best.rawValue)
      hearth_isa_force(HEARTH_ISA_SCALAR)
      #expect(hearth_isa_current() == HEARTH_ISA_SCALAR)
      hearth_isa_force(best)
    }
  }

  @Test func namesAreThoseOfTheEnvironmentVariable() {
    #expect(String(cString: hearth_isa_name(HEARTH_ISA_SCALAR)) == "scalar")
    #expect(String(cString: hearth_isa_name(HEARTH_ISA_AVX2)) == "avx2")
    #expect(String(cString: hearth_isa_name(HEARTH_ISA_AVX512)) == "avx512")
  }
}
