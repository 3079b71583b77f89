#ifndef HEARTH_ISA_H
#define HEARTH_ISA_H

/// The instruction sets a kernel may be written for, slowest first in each family.
///
/// `HEARTH_ISA=scalar|avx2|avxvnni|avx512|avx512bf16|neon|dotprod|i8mm` in the environment forces a lower one than the CPU's best; asking
/// for one that the CPU lacks gives the best it has.
typedef enum {
  HEARTH_ISA_SCALAR = 0,
  HEARTH_ISA_AVX2 = 1,    ///< AVX2, FMA and F16C
  HEARTH_ISA_AVXVNNI = 2,  ///< and AVX-VNNI
  HEARTH_ISA_AVX512 = 3,   ///< AVX-512 F, BW, VL, DQ and VNNI
  HEARTH_ISA_AVX512BF16 = 4,  ///< and the dot products of bfloat16
  HEARTH_ISA_NEON = 8,     ///< Advanced SIMD, which every AArch64 has
  HEARTH_ISA_DOTPROD = 9,  ///< and the dot products of bytes (FEAT_DotProd)
  HEARTH_ISA_I8MM = 10,    ///< and the matrix products of bytes (FEAT_I8MM)
} hearth_isa;

/// The best instruction set of this CPU that kernels exist for, whatever the environment says.
hearth_isa hearth_isa_best(void);

/// The instruction set in force: the environment's wish, or what `hearth_isa_force` said last.
hearth_isa hearth_isa_current(void);

/// Forces a path, for tests; the best one where the CPU lacks it. Not to be called while kernels run.
void hearth_isa_force(hearth_isa isa);

/// "scalar", "avx2", "avxvnni", "avx512", "avx512bf16", "neon", "dotprod", "i8mm".
const char* hearth_isa_name(hearth_isa isa);

#endif
