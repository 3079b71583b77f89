#include <math.h>
#include <string.h>

#include "../bf16/tiles.h"
#include "../include/isa.h"
#include "int8_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

// A block of a panel times a tile of rows. The block stays in the first-level cache while rows pass by; the sums of a tile are read
// and written once a block, beside whose dots that costs little.

#define UNROLLED _Pragma("clang loop unroll(full)")

static inline const int8_t* row_of(const hearth_int8_tile* t, size_t row) { return t->q + row * t->stride; }

static inline hearth_int8_factor factor_of(const hearth_int8_tile* t, size_t row) {
  hearth_int8_factor factor;
  memcpy(&factor, (const uint8_t*)t->factor + row * t->stride, sizeof factor);
  return factor;
}

/// The plain twin.
static void multiply_scalar(const hearth_int8_tile* t) {
  const uint8_t* scales = t->block + t->groups * t->lanes * 4;
  for (size_t row = 0; row < t->rows; row++) {
    const int8_t* a = row_of(t, row);
    const hearth_int8_factor factor = factor_of(t, row);
    int32_t dots[HEARTH_INT8_LANES];
    for (size_t i = 0; i < t->lanes; i++) dots[i] = factor.offset;
    for (size_t g = 0; g < t->groups; g++)
      for (size_t i = 0; i < t->lanes; i++)
        for (size_t j = 0; j < 4; j++) dots[i] += t->block[(g * t->lanes + i) * 4 + j] * a[4 * g + j];
    float* sums = t->sums + row * t->lanes;
    for (size_t i = 0; i < t->lanes; i++) {
      float scale;
      memcpy(&scale, scales + i * sizeof scale, sizeof scale);
      sums[i] = fmaf(scale * factor.scale, (float)dots[i], t->begins ? 0 : sums[i]);
    }
  }
}

#if defined(__x86_64__)

#define AVX2 __attribute__((target("avx2,fma,f16c")))

/// `rows` rows, a constant, by 32 lanes or 16: bytes are multiplied in 16 bits, those at even places and those at odd ones.
AVX2 __attribute__((always_inline)) static inline void multiply_rows_avx2(
    const int rows, const int vectors, const hearth_int8_tile* t, size_t first) {
  __m256i dots[2][4];
  UNROLLED for (int r = 0; r < rows; r++)
    UNROLLED for (int v = 0; v < vectors; v++)
      dots[r][v] = _mm256_set1_epi32(factor_of(t, first + (size_t)r).offset);
  const uint8_t* q = t->block;
  const int8_t* a = row_of(t, first);
  for (size_t g = 0; g < t->groups; g++, q += 32 * vectors, a += 4) {
    __m256i even[2], odd[2];
    UNROLLED for (int r = 0; r < rows; r++) {
      int32_t four;
      memcpy(&four, a + (size_t)r * t->stride, sizeof four);
      __m256i all = _mm256_set1_epi32(four);
      odd[r] = _mm256_srai_epi16(all, 8);
      even[r] = _mm256_srai_epi16(_mm256_slli_epi16(all, 8), 8);
    }
    UNROLLED for (int v = 0; v < vectors; v++) {
      __m256i bytes = _mm256_loadu_si256((const void*)(q + 32 * v));
      __m256i low = _mm256_and_si256(bytes, _mm256_set1_epi16(0xff)), high = _mm256_srli_epi16(bytes, 8);
      UNROLLED for (int r = 0; r < rows; r++) {
        __m256i products = _mm256_add_epi32(_mm256_madd_epi16(low, even[r]), _mm256_madd_epi16(high, odd[r]));
        dots[r][v] = _mm256_add_epi32(dots[r][v], products);
      }
    }
  }
  UNROLLED for (int r = 0; r < rows; r++) {
    const __m256 scale = _mm256_set1_ps(factor_of(t, first + (size_t)r).scale);
    UNROLLED for (int v = 0; v < vectors; v++) {
      float* sums = t->sums + ((first + (size_t)r) * (size_t)vectors + (size_t)v) * 8;
      __m256 factors = _mm256_mul_ps(_mm256_loadu_ps((const void*)(q + 32 * v)), scale);
      __m256 before = t->begins ? _mm256_setzero_ps() : _mm256_loadu_ps(sums);
      _mm256_storeu_ps(sums, _mm256_fmadd_ps(factors, _mm256_cvtepi32_ps(dots[r][v]), before));
    }
  }
}

AVX2 static void multiply_avx2(const hearth_int8_tile* t) {
  size_t row = 0;
  if (t->lanes == 32) {
    for (; row + 2 <= t->rows; row += 2) multiply_rows_avx2(2, 4, t, row);
    for (; row < t->rows; row++) multiply_rows_avx2(1, 4, t, row);
  } else {
    for (; row + 2 <= t->rows; row += 2) multiply_rows_avx2(2, 2, t, row);
    for (; row < t->rows; row++) multiply_rows_avx2(1, 2, t, row);
  }
}

#define VNNI                                                                                 \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"), \
                 min_vector_width(512)))

/// `rows` rows, a constant, by `vectors` registers of sixteen lanes: as in bf16, 14 x 2 sums, two registers of the panel and one of
/// the rows fill the registers there are.
VNNI __attribute__((always_inline)) static inline void multiply_rows(
    const int rows, const int vectors, const hearth_int8_tile* t, size_t first) {
  __m512i dots[14][2];
  UNROLLED for (int r = 0; r < rows; r++)
    UNROLLED for (int v = 0; v < vectors; v++)
      dots[r][v] = _mm512_set1_epi32(factor_of(t, first + (size_t)r).offset);
  const uint8_t* q = t->block;
  const int8_t* a = row_of(t, first);
  const size_t stride = t->stride;
  for (size_t g = 0; g < t->groups; g++, a += 4, q += 64 * vectors) {
    __m512i columns[2];
    UNROLLED for (int v = 0; v < vectors; v++) columns[v] = _mm512_loadu_si512(q + 64 * v);
    UNROLLED for (int r = 0; r < rows; r++) {
      int32_t four;
      memcpy(&four, a + (size_t)r * stride, sizeof four);
      __m512i all = _mm512_set1_epi32(four);
      UNROLLED for (int v = 0; v < vectors; v++) dots[r][v] = _mm512_dpbusd_epi32(dots[r][v], columns[v], all);
    }
  }
  __m512 scales[2];
  UNROLLED for (int v = 0; v < vectors; v++) scales[v] = _mm512_loadu_ps((const void*)(q + 64 * v));
  UNROLLED for (int r = 0; r < rows; r++) {
    const __m512 scale = _mm512_set1_ps(factor_of(t, first + (size_t)r).scale);
    UNROLLED for (int v = 0; v < vectors; v++) {
      float* sums = t->sums + ((first + (size_t)r) * (size_t)vectors + (size_t)v) * 16;
      __m512 before = t->begins ? _mm512_setzero_ps() : _mm512_loadu_ps(sums);
      _mm512_storeu_ps(sums, _mm512_fmadd_ps(_mm512_mul_ps(scales[v], scale), _mm512_cvtepi32_ps(dots[r][v]), before));
    }
  }
}

VNNI static void multiply_vnni(const hearth_int8_tile* t) { HEARTH_IN_TILES(multiply_rows, t); }
#endif

void hearth_int8_multiply(const hearth_int8_tile* t) {
#if defined(__x86_64__)
  if (hearth_isa_current() >= HEARTH_ISA_AVX512) return multiply_vnni(t);
  if (hearth_isa_current() >= HEARTH_ISA_AVX2) return multiply_avx2(t);
#endif
  multiply_scalar(t);
}
