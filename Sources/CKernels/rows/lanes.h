#ifndef HEARTH_ROWS_LANES_H
#define HEARTH_ROWS_LANES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "../include/isa.h"
#include "../include/threads.h"

// Sixteen floats side by side, and one text for every instruction set.
//
// A kernel is written once, as an inlined body over `lanes`, and compiled for the baseline, for AVX2
// with FMA and for AVX-512 (HEARTH_KERNEL); AArch64's baseline is NEON. Each lane operation is one IEEE operation per element and
// contraction is off, so the twins agree bit for bit: on the baseline a fused multiply-add is the C
// library's correctly rounded fmaf, with the others it is one instruction. Reductions over a row keep
// sixteen partial results, element i going to number i mod 16 in order of i, and add them in one
// fixed tree (`lanes_sum`).

// Vectors cross function boundaries only where everything is inlined, so no calling convention
// is at stake when files are compiled without AVX.
#pragma clang diagnostic ignored "-Wpsabi"

#define LANE_COUNT 16

typedef float lanes __attribute__((ext_vector_type(LANE_COUNT)));
typedef double wide_lanes __attribute__((ext_vector_type(LANE_COUNT)));
typedef int32_t integer_lanes __attribute__((ext_vector_type(LANE_COUNT)));

#define HEARTH_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__)
#define HEARTH_AVX2 __attribute__((target("avx2,fma,f16c")))
#define HEARTH_AVX512                                                               \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"), \
                 min_vector_width(512)))
/// Defines the task `name` from `name##_body(context, index, count)`: the baseline's twin, those of AVX2 and
/// AVX-512, and the choice between them.
#define HEARTH_KERNEL(name) HEARTH_KERNEL_OF(name, name##_body, name##_body, name##_body)
/// The same where an instruction set has a body of its own, for the sake of its registers.
#define HEARTH_KERNEL_OF(name, scalar, avx2, avx512)                             \
  static void name##_scalar(void* context, int index, int count) {               \
    scalar(context, index, count);                                               \
  }                                                                              \
  HEARTH_AVX2 static void name##_avx2(void* context, int index, int count) {     \
    avx2(context, index, count);                                                 \
  }                                                                              \
  HEARTH_AVX512 static void name##_avx512(void* context, int index, int count) { \
    avx512(context, index, count);                                               \
  }                                                                              \
  static void name(void* context, int index, int count) {                        \
    switch (hearth_isa_current()) {                                              \
      case HEARTH_ISA_AVX512BF16:                                                \
      case HEARTH_ISA_AVX512: name##_avx512(context, index, count); break;       \
      case HEARTH_ISA_AVXVNNI:                                                   \
      case HEARTH_ISA_AVX2: name##_avx2(context, index, count); break;           \
      default: name##_scalar(context, index, count);                             \
    }                                                                            \
  }
#elif defined(__aarch64__)
/// Every AArch64 has NEON and fused multiply-adds, so the baseline is all there is to compile for. Where bodies differ for the sake
/// of registers, NEON takes AVX2's: its 32 registers of four hold as much as 16 of eight.
#define HEARTH_KERNEL(name)                               \
  static void name(void* context, int index, int count) { \
    name##_body(context, index, count);                   \
  }
#define HEARTH_KERNEL_OF(name, scalar, avx2, avx512)      \
  static void name(void* context, int index, int count) { \
    if (hearth_isa_current() >= HEARTH_ISA_NEON)          \
      avx2(context, index, count);                        \
    else                                                  \
      scalar(context, index, count);                      \
  }
#else
#define HEARTH_KERNEL(name) HEARTH_KERNEL_OF(name, name##_body, name##_body, name##_body)
#define HEARTH_KERNEL_OF(name, scalar, avx2, avx512)      \
  static void name(void* context, int index, int count) { \
    scalar(context, index, count);                        \
  }
#endif

HEARTH_INLINE lanes lanes_load(const float* from) {
  lanes x;
  memcpy(&x, from, sizeof x);
  return x;
}

HEARTH_INLINE void lanes_store(float* to, lanes x) { memcpy(to, &x, sizeof x); }

/// The first `count` elements, the others being `fill`; all sixteen when `count` is more.
HEARTH_INLINE lanes lanes_load_first(const float* from, size_t count, float fill) {
  if (count >= LANE_COUNT) return lanes_load(from);
  lanes x = fill;
  memcpy(&x, from, count * sizeof(float));
  return x;
}

HEARTH_INLINE void lanes_store_first(float* to, lanes x, size_t count) {
  if (count >= LANE_COUNT)
    lanes_store(to, x);
  else
    memcpy(to, &x, count * sizeof(float));
}

/// a * b + c, rounded once.
HEARTH_INLINE lanes lanes_fma(lanes a, lanes b, lanes c) {
  return __builtin_elementwise_fma(a, b, c);
}

/// The larger; b where either is not a number.
HEARTH_INLINE lanes lanes_max(lanes a, lanes b) { return a > b ? a : b; }

HEARTH_INLINE lanes lanes_square_root(lanes x) { return __builtin_elementwise_sqrt(x); }

/// 0, 1, … 15.
HEARTH_INLINE integer_lanes lanes_numbers(void) {
  return (integer_lanes){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
}

/// The sum, adding lane i + 8 to lane i, then i + 4, i + 2, i + 1.
HEARTH_INLINE float lanes_sum(lanes x) {
  float __attribute__((ext_vector_type(8))) eight = x.lo + x.hi;
  float __attribute__((ext_vector_type(4))) four = eight.lo + eight.hi;
  float __attribute__((ext_vector_type(2))) two = four.lo + four.hi;
  return two.x + two.y;
}

/// The same tree in double precision.
HEARTH_INLINE double wide_lanes_sum(wide_lanes x) {
  double __attribute__((ext_vector_type(8))) eight = x.lo + x.hi;
  double __attribute__((ext_vector_type(4))) four = eight.lo + eight.hi;
  double __attribute__((ext_vector_type(2))) two = four.lo + four.hi;
  return two.x + two.y;
}

HEARTH_INLINE float lanes_largest(lanes x) {
  float __attribute__((ext_vector_type(8))) eight = x.lo > x.hi ? x.lo : x.hi;
  float __attribute__((ext_vector_type(4))) four = eight.lo > eight.hi ? eight.lo : eight.hi;
  float __attribute__((ext_vector_type(2))) two = four.lo > four.hi ? four.lo : four.hi;
  return two.x > two.y ? two.x : two.y;
}

/// A worker's part of some items.
typedef struct {
  size_t from, to;
} hearth_share;

/// Splits `items` into `count` parts whose borders are multiples of `grain`.
static inline hearth_share share_of(size_t items, size_t grain, int index, int count) {
  size_t grains = items / grain + (items % grain != 0);
  size_t from = grains * (size_t)index / (size_t)count * grain;
  size_t to = grains * (size_t)(index + 1) / (size_t)count * grain;
  return (hearth_share){from < items ? from : items, to < items ? to : items};
}

/// The pool when `elements` are enough to be worth waking it, else NULL: the caller alone.
static inline hearth_pool* pool_for(hearth_pool* pool, size_t elements) {
  return elements < 16384 ? NULL : pool;
}

#endif
