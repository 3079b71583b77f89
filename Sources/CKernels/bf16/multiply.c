#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "../include/isa.h"
#include "../rows/lanes.h"
#include "bf16_internal.h"
#include "tiles.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// The product of a piece's rows and a panel: for AVX512_BF16 by its dot product, for all others by the fused multiply-adds that it
// stands for.

#define UNROLLED _Pragma("clang loop unroll(full)")

/// One step of a sum: the definition.
///
/// A result counts as subnormal when it is after rounding to 24 bits with an exponent that has no end; `fmaf` rounds subnormals to
/// fewer, so that one of 2^-126 may have been less. The sum in double precision tells.
static inline float flushed_fma(float a, float b, float sum) {
  float r = fmaf(a, b, sum);
  if (!(fabsf(r) <= 0x1p-126f)) return r;
  return fabs((double)a * (double)b + (double)sum) < 0x1p-126 - 0x1p-151 ? copysignf(0, r) : r;
}

static inline float widened(uint16_t half) {
  uint32_t bits = (uint32_t)((half & 0x7f80) == 0 ? half & 0x8000 : half) << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static void multiply_scalar(const hearth_bf16_tile* t) {
  for (size_t row = 0; row < t->rows; row++)
    for (size_t lane = 0; lane < t->lanes; lane++) {
      float sum = t->begins ? 0 : t->sums[row * t->lanes + lane];
      for (size_t pair = 0; pair < t->pairs; pair++) {
        const uint16_t* a = t->a + row * t->lda + 2 * pair;
        const uint16_t* b = t->panel + 2 * (pair * t->lanes + lane);
        sum = flushed_fma(widened(a[1]), widened(b[1]), sum);
        sum = flushed_fma(widened(a[0]), widened(b[0]), sum);
      }
      t->sums[row * t->lanes + lane] = sum;
    }
}

#if defined(__x86_64__) || defined(__aarch64__)

// Without the instruction: the processor is told to flush subnormals, which it does as the instruction does.

typedef uint32_t pairs __attribute__((ext_vector_type(LANE_COUNT)));

HEARTH_INLINE void continue_sums(const hearth_bf16_tile* t, const size_t rows, size_t row, size_t first) {
  lanes sums[4];
  UNROLLED for (size_t r = 0; r < rows; r++)
    sums[r] = t->begins ? (lanes)(0.0f) : lanes_load(t->sums + (row + r) * t->lanes + first);
  for (size_t pair = 0; pair < t->pairs; pair++) {
    pairs both;
    memcpy(&both, t->panel + 2 * (pair * t->lanes + first), sizeof both);
    pairs low_bits = both << 16, high_bits = both & 0xffff0000u;
    lanes low, high;
    memcpy(&low, &low_bits, sizeof low);
    memcpy(&high, &high_bits, sizeof high);
    UNROLLED for (size_t r = 0; r < rows; r++) {
      uint32_t a;
      memcpy(&a, t->a + (row + r) * t->lda + 2 * pair, sizeof a);
      uint32_t a_bits[2] = {a << 16, a & 0xffff0000u};
      float factors[2];
      memcpy(factors, a_bits, sizeof factors);
      sums[r] = lanes_fma(high, (lanes)(factors[1]), sums[r]);
      sums[r] = lanes_fma(low, (lanes)(factors[0]), sums[r]);
    }
  }
  UNROLLED for (size_t r = 0; r < rows; r++) lanes_store(t->sums + (row + r) * t->lanes + first, sums[r]);
}

HEARTH_INLINE void multiply_by_fma(const hearth_bf16_tile* t) {
  for (size_t first = 0; first < t->lanes; first += LANE_COUNT) {
    size_t row = 0;
    for (; row + 4 <= t->rows; row += 4) continue_sums(t, 4, row, first);
    for (; row < t->rows; row++) continue_sums(t, 1, row, first);
  }
}

#endif

#if defined(__aarch64__)

/// What this processor was told about floating point, or has seen.
#define READ(REGISTER, VALUE) __asm__ volatile("mrs %0, " REGISTER : "=r"(VALUE))
#define WRITE(REGISTER, VALUE) __asm__ volatile("msr " REGISTER ", %0" : : "r"(VALUE))

__attribute__((noinline)) static void multiply_neon(const hearth_bf16_tile* t) { multiply_by_fma(t); }

/// Whether the sums are right. This processor judges before rounding what is subnormal, and notes that it flushed a result; then they
/// may not be, and what was there is back.
static bool multiply_flushing(const hearth_bf16_tile* t) {
  enum { FLUSH = 1 << 24, FLUSHED = 1 << 3 };
  // Sums that continue are kept: a tile is small beside what it multiplies.
  float before[t->begins ? 1 : t->rows * t->lanes];
  if (!t->begins) memcpy(before, t->sums, sizeof before);
  uint64_t control, status;
  READ("fpcr", control);
  WRITE("fpcr", control | FLUSH);
  WRITE("fpsr", 0ull);
  multiply_neon(t);
  READ("fpsr", status);
  WRITE("fpcr", control);
  if (!(status & FLUSHED)) return true;
  if (!t->begins) memcpy(t->sums, before, sizeof before);
  return false;
}
#endif

#if defined(__x86_64__)

HEARTH_AVX2 __attribute__((noinline)) static void multiply_avx2(const hearth_bf16_tile* t) {
  multiply_by_fma(t);
}
HEARTH_AVX512 __attribute__((noinline)) static void multiply_avx512(const hearth_bf16_tile* t) {
  multiply_by_fma(t);
}

static void multiply_flushing(const hearth_bf16_tile* t, void (*multiply)(const hearth_bf16_tile*)) {
  enum { FLUSH_RESULTS = 0x8000, FLUSH_OPERANDS = 0x40 };
  unsigned before = _mm_getcsr();
  _mm_setcsr(before | FLUSH_RESULTS | FLUSH_OPERANDS);
  multiply(t);
  _mm_setcsr(before);
}

#define BF16                                                                                      \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"), min_vector_width(512)))

/// Goes on with sums over `pairs` pairs.
BF16 __attribute__((always_inline)) static inline void add_pairs(
    const int rows, const int vectors, __m512 sums[14][2], const uint16_t* a, const size_t lda, const uint16_t* panel,
    const size_t pairs) {
  for (size_t pair = 0; pair < pairs; pair++, a += 2, panel += 32 * vectors) {
    __m512bh columns[2];
    UNROLLED for (int v = 0; v < vectors; v++)
      columns[v] = (__m512bh)_mm512_loadu_si512(panel + 32 * v);
    UNROLLED for (int r = 0; r < rows; r++) {
      int both;
      memcpy(&both, a + (size_t)r * lda, sizeof both);
      __m512bh factors = (__m512bh)_mm512_set1_epi32(both);
      UNROLLED for (int v = 0; v < vectors; v++)
        sums[r][v] = _mm512_dpbf16_ps(sums[r][v], columns[v], factors);
    }
  }
}

/// `rows` rows, a constant, by `vectors` registers of sixteen lanes: 14 x 2 sums, two registers of the panel and one of the rows
/// fill the registers there are.
BF16 __attribute__((always_inline)) static inline void multiply_rows(
    const int rows, const int vectors, const hearth_bf16_tile* t, size_t first) {
  __m512 sums[14][2];
  float* out = t->sums + first * t->lanes;
  UNROLLED for (int r = 0; r < rows; r++)
    UNROLLED for (int v = 0; v < vectors; v++)
      sums[r][v] = t->begins ? _mm512_setzero_ps() : _mm512_loadu_ps(out + (r * vectors + v) * 16);
  add_pairs(rows, vectors, sums, t->a + first * t->lda, t->lda, t->panel, t->pairs);
  add_pairs(rows, vectors, sums, t->then.a + first * t->then.lda, t->then.lda, t->then.panel, t->then.pairs);
  UNROLLED for (int r = 0; r < rows; r++)
    UNROLLED for (int v = 0; v < vectors; v++)
      _mm512_storeu_ps(out + (r * vectors + v) * 16, sums[r][v]);
}

BF16 static void multiply_avx512bf16(const hearth_bf16_tile* t) { HEARTH_IN_TILES(multiply_rows, t); }
#endif

/// One panel, without what comes then.
static void multiply_panel(const hearth_bf16_tile* t) {
#if defined(__x86_64__)
  switch (hearth_isa_current()) {
    case HEARTH_ISA_AVX512: multiply_flushing(t, multiply_avx512); return;
    case HEARTH_ISA_AVXVNNI:
    case HEARTH_ISA_AVX2: multiply_flushing(t, multiply_avx2); return;
    default: break;
  }
#elif defined(__aarch64__)
  if (hearth_isa_current() >= HEARTH_ISA_NEON && multiply_flushing(t)) return;
#endif
  multiply_scalar(t);
}

void hearth_bf16_multiply(const hearth_bf16_tile* t) {
#if defined(__x86_64__)
  if (hearth_isa_current() == HEARTH_ISA_AVX512BF16) {
    multiply_avx512bf16(t);
    return;
  }
#endif
  multiply_panel(t);
  if (t->then.pairs == 0) return;
  hearth_bf16_tile then = *t;
  then.a = t->then.a, then.lda = t->then.lda, then.pairs = t->then.pairs, then.panel = t->then.panel;
  then.begins = false;
  multiply_panel(&then);
}
