#include "../include/isa.h"
#include "bf16_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>

// Few rows times columns that lie as they are: what cutting a panel costs would be several times their product. Two neighbours along
// the depth of all lanes are paired in registers. Sums are those of a panel to the bit.

#define BF16                                                                                      \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"), min_vector_width(512)))
#define UNROLLED _Pragma("clang loop unroll(full)")

enum { HEIGHT = 8 };

/// `rows` rows, a constant.
BF16 __attribute__((always_inline)) static inline void multiply_rows(
    const int rows, const hearth_bf16_columns* c, size_t first) {
  enum { AHEAD = 32 };  ///< rows of b, which lie apart, so that the processor does not see them coming
  const __m512i lower = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37, 5, 36,
                                         4, 35, 3, 34, 2, 33, 1, 32, 0);
  const __m512i upper = _mm512_add_epi16(lower, _mm512_set1_epi16(16));
  const __mmask32 some = c->lanes < HEARTH_BF16_LANES ? (1u << c->lanes) - 1 : 0xffffffffu;
  const size_t width = c->lanes <= 16 ? 16 : HEARTH_BF16_LANES;
  __m512 sums[HEIGHT][2];
  float* out = c->sums + first * width;
  UNROLLED for (int r = 0; r < rows; r++)
    UNROLLED for (size_t v = 0; v < 2; v++)
      sums[r][v] = c->begins || 16 * v >= width ? _mm512_setzero_ps() : _mm512_loadu_ps(out + (size_t)r * width + 16 * v);
  const uint16_t* a = c->a + first * c->lda;
  const uint16_t* b = c->b;
  for (size_t k = 0; k < c->depth; k += 2, a += 2, b += 2 * c->ldb) {
    __builtin_prefetch(b + AHEAD * c->ldb);
    __builtin_prefetch(b + (AHEAD + 1) * c->ldb);
    const __m512i even = _mm512_maskz_loadu_epi16(some, b);
    const __m512i odd = _mm512_maskz_loadu_epi16(k + 1 < c->depth ? some : 0, b + c->ldb);
    const __m512bh columns[2] = {(__m512bh)_mm512_permutex2var_epi16(even, lower, odd),
                                 (__m512bh)_mm512_permutex2var_epi16(even, upper, odd)};
    UNROLLED for (int r = 0; r < rows; r++) {
      int both;
      __builtin_memcpy(&both, a + (size_t)r * c->lda, sizeof both);
      const __m512bh factors = (__m512bh)_mm512_set1_epi32(both);
      UNROLLED for (int v = 0; v < 2; v++) sums[r][v] = _mm512_dpbf16_ps(sums[r][v], columns[v], factors);
    }
  }
  UNROLLED for (int r = 0; r < rows; r++)
    UNROLLED for (size_t v = 0; v < 2; v++)
      if (16 * v < width) _mm512_storeu_ps(out + (size_t)r * width + 16 * v, sums[r][v]);
}

/// Groups of at most eight rows and of nearly equal height: sixteen chains of sums keep the processor busy.
BF16 static void multiply(const hearth_bf16_columns* c) {
  const size_t groups = (c->rows + HEIGHT - 1) / HEIGHT;
  for (size_t g = 0; g < groups; g++) {
    const size_t first = c->rows * g / groups;
    switch (c->rows * (g + 1) / groups - first) {
      case 1: multiply_rows(1, c, first); break;
      case 2: multiply_rows(2, c, first); break;
      case 3: multiply_rows(3, c, first); break;
      case 4: multiply_rows(4, c, first); break;
      case 5: multiply_rows(5, c, first); break;
      case 6: multiply_rows(6, c, first); break;
      case 7: multiply_rows(7, c, first); break;
      default: multiply_rows(HEIGHT, c, first);
    }
  }
}

bool hearth_bf16_multiply_columns(const hearth_bf16_columns* columns) {
  if (hearth_isa_current() != HEARTH_ISA_AVX512BF16) return false;
  multiply(columns);
  return true;
}

#else

bool hearth_bf16_multiply_columns(const hearth_bf16_columns* columns) {
  (void)columns;
  return false;
}

#endif
