import CKernels
import Testing

@Suite struct InstructionSetTests {
  @Test func whatTheCPULacksBecomesTheBestItHas() {
    withSteadyInstructionSet {
      let best = hearth_isa_best()
      for missing in [HEARTH_ISA_AVX512BF16, HEARTH_ISA_I8MM] {
        hearth_isa_force(missing)
        #expect(hearth_isa_current() == best)
      }
      hearth_isa_force(HEARTH_ISA_SCALAR)
      #expect(hearth_isa_current() == HEARTH_ISA_SCALAR)
      hearth_isa_force(best)
    }
  }

  @Test func namesAreThoseOfTheEnvironmentVariable() {
    #expect(String(cString: hearth_isa_name(HEARTH_ISA_SCALAR)) == "scalar")
    #expect(String(cString: hearth_isa_name(HEARTH_ISA_AVX2)) == "avx2")
    #expect(String(cString: hearth_isa_name(HEARTH_ISA_AVXVNNI)) == "avxvnni")
    #expect(String(cString: hearth_isa_name(HEARTH_ISA_AVX512)) == "avx512")
    #expect(String(cString: hearth_isa_name(HEARTH_ISA_AVX512BF16)) == "avx512bf16")
    #expect(String(cString: hearth_isa_name(HEARTH_ISA_NEON)) == "neon")
    #expect(String(cString: hearth_isa_name(HEARTH_ISA_DOTPROD)) == "dotprod")
    #expect(String(cString: hearth_isa_name(HEARTH_ISA_I8MM)) == "i8mm")
  }
}
