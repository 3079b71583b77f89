#ifndef HEARTH_BF16_HALVES_H
#define HEARTH_BF16_HALVES_H

#include <stdbool.h>

#include "../rows/row_functions.h"

// Sixteen bf16 numbers and the sixteen floats they stand for.

/// Defines the task `name` from `name##_body(context, index, count, native)`, as HEARTH_KERNEL does, with one more twin for CPUs
/// that round to bf16 by an instruction.
#if defined(__x86_64__)
#define HEARTH_BF16_KERNEL(name)                                                                     \
  HEARTH_INLINE void name##_portable_body(void* context, int index, int count) {                     \
    name##_body(context, index, count, false);                                                       \
  }                                                                                                  \
  HEARTH_KERNEL(name##_portable)                                                                     \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,avx2,fma,f16c"), \
                 min_vector_width(512))) static void                                                 \
  name##_native(void* context, int index, int count) {                                               \
    name##_body(context, index, count, true);                                                        \
  }                                                                                                  \
  static void name(void* context, int index, int count) {                                            \
    if (hearth_isa_current() == HEARTH_ISA_AVX512BF16)                                               \
      name##_native(context, index, count);                                                          \
    else                                                                                             \
      name##_portable(context, index, count);                                                        \
  }
#else
#define HEARTH_BF16_KERNEL(name)                                                 \
  HEARTH_INLINE void name##_portable_body(void* context, int index, int count) { \
    name##_body(context, index, count, false);                                   \
  }                                                                              \
  HEARTH_KERNEL(name##_portable)                                                 \
  static void name(void* context, int index, int count) {                        \
    name##_portable(context, index, count);                                      \
  }
#endif

typedef uint16_t half_lanes __attribute__((ext_vector_type(LANE_COUNT)));
typedef uint32_t bit_lanes __attribute__((ext_vector_type(LANE_COUNT)));

HEARTH_INLINE lanes lanes_widened(half_lanes halves) {
  bit_lanes bits = __builtin_convertvector(halves, bit_lanes) << 16;
  lanes x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

/// As `hearth_bf16_rounded`; `native`, a constant, where the instruction for it may be used, which does the same.
HEARTH_INLINE half_lanes lanes_rounded(lanes x, const bool native) {
#if defined(__x86_64__)
  if (native) {
    typedef __bf16 bf16_lanes __attribute__((ext_vector_type(LANE_COUNT)));
    bf16_lanes rounded = __builtin_convertvector(x, bf16_lanes);
    half_lanes halves;
    memcpy(&halves, &rounded, sizeof halves);
    return halves;
  }
#else
  (void)native;
#endif
  bit_lanes bits;
  memcpy(&bits, &x, sizeof bits);
  bit_lanes magnitude = bits & 0x7fffffffu;
  bit_lanes rounded = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
  rounded = magnitude < 0x00800000u ? bits >> 16 & 0x8000u : rounded;
  rounded = magnitude > 0x7f800000u ? bits >> 16 | 0x40u : rounded;
  return __builtin_convertvector(rounded, half_lanes);
}

HEARTH_INLINE half_lanes halves_load_first(const uint16_t* from, size_t count) {
  half_lanes x = 0;
  if (count >= LANE_COUNT)
    memcpy(&x, from, sizeof x);
  else
    memcpy(&x, from, count * sizeof *from);
  return x;
}

HEARTH_INLINE void halves_store_first(uint16_t* to, half_lanes x, size_t count) {
  if (count >= LANE_COUNT)
    memcpy(to, &x, sizeof x);
  else
    memcpy(to, &x, count * sizeof *to);
}

#endif
