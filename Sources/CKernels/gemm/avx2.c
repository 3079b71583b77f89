#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "gemm_internal.h"

// The matrix product's tile for AVX2: 6 x 16 sums in twelve of its sixteen registers of eight.

#define TARGET __attribute__((target("avx2,fma")))
#define INLINE TARGET __attribute__((always_inline)) static inline

/// The tile itself: c [rows, 8 * vectors] continues over `depth` steps. A's element (r, l) is at
/// a[r * row_step + l * depth_step]; b is a packed panel.
INLINE void multiply_tile(const int rows, const int vectors, size_t depth, const float* a,
                          size_t row_step, size_t depth_step, const float* b, float* c, size_t ldc,
                          bool continues) {
  __m256 sum[HEARTH_TILE_ROWS][2];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++)
      sum[r][v] = continues ? _mm256_loadu_ps(c + (size_t)r * ldc + 8 * v) : _mm256_setzero_ps();
  for (size_t l = 0; l < depth; l++) {
    __m256 column[2];
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) column[v] = _mm256_load_ps(b + 8 * v);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      __m256 element = _mm256_broadcast_ss(a + (size_t)r * row_step);
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; v++) sum[r][v] = _mm256_fmadd_ps(element, column[v], sum[r][v]);
    }
    a += depth_step;
    b += HEARTH_TILE_COLUMNS;
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) _mm256_storeu_ps(c + (size_t)r * ldc + 8 * v, sum[r][v]);
}

/// Steps l ..< l + 4 of eight rows become four columns of eight.
INLINE void transpose_8x4(__m256 out[4], const float* const row[8], size_t l) {
  __m256 r[4];
  for (int i = 0; i < 4; i++)
    r[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row[i] + l)),
                                _mm_loadu_ps(row[i + 4] + l), 1);
  __m256 low01 = _mm256_unpacklo_ps(r[0], r[1]), high01 = _mm256_unpackhi_ps(r[0], r[1]);
  __m256 low23 = _mm256_unpacklo_ps(r[2], r[3]), high23 = _mm256_unpackhi_ps(r[2], r[3]);
  out[0] = _mm256_shuffle_ps(low01, low23, 0x44);
  out[1] = _mm256_shuffle_ps(low01, low23, 0xee);
  out[2] = _mm256_shuffle_ps(high01, high23, 0x44);
  out[3] = _mm256_shuffle_ps(high01, high23, 0xee);
}

/// out[l * step + r] = source[r * ld + l] for up to 8 rows. Writes eight floats a step whatever `rows` is: what lies
/// beyond is overwritten by the next step, belongs to a column that is never stored, or is slack.
TARGET static void pack_transposed(float* out, size_t step, size_t rows, size_t depth,
                                   const float* source, size_t ld) {
  const float* row[8];
  for (size_t r = 0; r < 8; r++) row[r] = source + (r < rows ? r : 0) * ld;
  size_t l = 0;
  for (; l + 4 <= depth; l += 4) {
    __m256 columns[4];
    transpose_8x4(columns, row, l);
    for (size_t i = 0; i < 4; i++) _mm256_storeu_ps(out + (l + i) * step, columns[i]);
  }
  for (; l < depth; l++)
    for (size_t r = 0; r < rows; r++) out[l * step + r] = row[r][l];
}

/// out[l * step + r] = source[l * ld + r] for up to 8 rows, writing eight floats a step likewise.
TARGET static void pack_straight(float* out, size_t step, size_t rows, size_t depth,
                                 const float* source, size_t ld) {
  __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)rows), lanes);
  for (size_t l = 0; l < depth; l++)
    _mm256_storeu_ps(out + l * step, _mm256_maskload_ps(source + l * ld, mask));
}

/// Sixteen whole columns of a B stored [k, n], the common case of the above.
TARGET static void pack_panel_straight(float* out, size_t depth, const float* source, size_t ld) {
  for (size_t l = 0; l < depth; l++) {
    _mm256_store_ps(out + l * 16, _mm256_loadu_ps(source + l * ld));
    _mm256_store_ps(out + l * 16 + 8, _mm256_loadu_ps(source + l * ld + 8));
  }
}

#define PRODUCT hearth_product_avx2
#include "blocked.h"

#endif
