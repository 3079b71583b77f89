#ifndef HEARTH_ISA_H
#define HEARTH_ISA_H

/// The instruction sets a kernel may be written for, slowest first.
///
/// `HEARTH_ISA=scalar|avx2|avx512` in the environment forces a lower one than the CPU's best; asking
/// for one that the CPU lacks gives the best it has.
typedef enum {
  HEARTH_ISA_SCALAR = 0,
  HEARTH_ISA_AVX2 = 1,    ///< AVX2, FMA and F16C
  HEARTH_ISA_AVX512 = 2,  ///< AVX-512 F, BW, VL, DQ and VNNI
} hearth_isa;

/// The best instruction set of this CPU that kernels exist for, whatever the environment says.
hearth_isa hearth_isa_best(void);

/// The instruction set in force: the environment's wish, or what `hearth_isa_force` said last.
hearth_isa hearth_isa_current(void);

/// Forces a path, for tests; clamped to what the CPU has. Not to be called while kernels run.
void hearth_isa_force(hearth_isa isa);

/// "scalar", "avx2", "avx512".
const char* hearth_isa_name(hearth_isa isa);

#endif
