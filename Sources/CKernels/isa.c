#include "include/isa.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#if defined(__aarch64__)
typedef struct {
  bool dotprod, i8mm;
} arm_features;

#if defined(__APPLE__)
static bool has_feature(const char* name) {
  int value = 0;
  size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, NULL, 0) == 0 && value != 0;
}
#endif

static arm_features find_features(void) {
#if defined(__linux__)
  // HWCAP_ASIMDDP and HWCAP2_I8MM of the kernel's interface, which older headers do not name.
  const unsigned long asimddp = 1UL << 20, i8mm = 1UL << 13;
  return (arm_features){(getauxval(AT_HWCAP) & asimddp) != 0, (getauxval(AT_HWCAP2) & i8mm) != 0};
#elif defined(__APPLE__)
  return (arm_features){has_feature("hw.optional.arm.FEAT_DotProd"), has_feature("hw.optional.arm.FEAT_I8MM")};
#else
  return (arm_features){false, false};
#endif
}
#endif

#if defined(__x86_64__)
static bool has_avxvnni(void) {
#if defined(HEARTH_EMULATED_AVXVNNI)
  return true;
#else
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a >> 4 & 1) != 0;
#endif
}
#endif

hearth_isa hearth_isa_best(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vnni"))
    return __builtin_cpu_supports("avx512bf16") ? HEARTH_ISA_AVX512BF16 : HEARTH_ISA_AVX512;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c"))
    return has_avxvnni() ? HEARTH_ISA_AVXVNNI : HEARTH_ISA_AVX2;
#elif defined(__aarch64__)
  arm_features features = find_features();
  if (!features.dotprod) return HEARTH_ISA_NEON;
  return features.i8mm ? HEARTH_ISA_I8MM : HEARTH_ISA_DOTPROD;
#endif
  return HEARTH_ISA_SCALAR;
}

/// `isa`, or the best where this CPU lacks it.
static hearth_isa or_best(hearth_isa isa) {
  hearth_isa best = hearth_isa_best();
#if defined(__aarch64__)
  const hearth_isa lowest = HEARTH_ISA_NEON;
#else
  const hearth_isa lowest = HEARTH_ISA_AVX2;
#endif
#if defined(__x86_64__)
  // Some processors with AVX-512 have it and some have not.
  if (isa == HEARTH_ISA_AVXVNNI && !has_avxvnni()) return best;
#endif
  return isa == HEARTH_ISA_SCALAR || (isa >= lowest && isa <= best) ? isa : best;
}

// -1 until first asked.
static _Atomic int current = -1;

hearth_isa hearth_isa_current(void) {
  int isa = atomic_load_explicit(&current, memory_order_relaxed);
  if (isa >= 0) return (hearth_isa)isa;
  hearth_isa wish = hearth_isa_best();
  const char* name = getenv("HEARTH_ISA");
  for (int i = 0; name && i <= HEARTH_ISA_I8MM; i++)
    if (strcmp(name, hearth_isa_name((hearth_isa)i)) == 0) wish = (hearth_isa)i;
  isa = or_best(wish);
  atomic_store_explicit(&current, isa, memory_order_relaxed);
  return (hearth_isa)isa;
}

void hearth_isa_force(hearth_isa isa) {
  atomic_store_explicit(&current, or_best(isa), memory_order_relaxed);
}

const char* hearth_isa_name(hearth_isa isa) {
  switch (isa) {
    case HEARTH_ISA_AVX512BF16: return "avx512bf16";
    case HEARTH_ISA_AVX512: return "avx512";
    case HEARTH_ISA_AVXVNNI: return "avxvnni";
    case HEARTH_ISA_AVX2: return "avx2";
    case HEARTH_ISA_NEON: return "neon";
    case HEARTH_ISA_DOTPROD: return "dotprod";
    case HEARTH_ISA_I8MM: return "i8mm";
    case HEARTH_ISA_SCALAR: return "scalar";
    default: return "";  // A number between the families.
  }
}
