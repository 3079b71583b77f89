#include "include/isa.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

hearth_isa hearth_isa_best(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vnni"))
    return HEARTH_ISA_AVX512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c"))
    return HEARTH_ISA_AVX2;
#endif
  return HEARTH_ISA_SCALAR;
}

// -1 until first asked.
static _Atomic int current = -1;

hearth_isa hearth_isa_current(void) {
  int isa = atomic_load_explicit(&current, memory_order_relaxed);
  if (isa >= 0) return (hearth_isa)isa;
  hearth_isa best = hearth_isa_best(), wish = best;
  const char* name = getenv("HEARTH_ISA");
  for (int i = 0; name && i <= HEARTH_ISA_AVX512; i++)
    if (strcmp(name, hearth_isa_name((hearth_isa)i)) == 0) wish = (hearth_isa)i;
  isa = wish < best ? wish : best;
  atomic_store_explicit(&current, isa, memory_order_relaxed);
  return (hearth_isa)isa;
}

void hearth_isa_force(hearth_isa isa) {
  hearth_isa best = hearth_isa_best();
  atomic_store_explicit(&current, isa < best ? isa : best, memory_order_relaxed);
}

const char* hearth_isa_name(hearth_isa isa) {
  switch (isa) {
    case HEARTH_ISA_AVX512: return "avx512";
    case HEARTH_ISA_AVX2: return "avx2";
    default: return "scalar";
  }
}
