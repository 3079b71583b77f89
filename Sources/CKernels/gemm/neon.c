#if defined(__aarch64__)

#include <arm_neon.h>
#include <string.h>

#include "gemm_internal.h"

// The matrix product's tile for NEON: 6 x 16 sums in 24 of its 32 registers of four.

#define TARGET
#define INLINE __attribute__((always_inline)) static inline
#define UNROLLED _Pragma("clang loop unroll(full)")

INLINE float32x4_t fma_lane(float32x4_t sum, float32x4_t column, const float32x4_t elements[2], const int row) {
  switch (row % 4) {
    case 0: return vfmaq_laneq_f32(sum, column, elements[row / 4], 0);
    case 1: return vfmaq_laneq_f32(sum, column, elements[row / 4], 1);
    case 2: return vfmaq_laneq_f32(sum, column, elements[row / 4], 2);
    default: return vfmaq_laneq_f32(sum, column, elements[row / 4], 3);
  }
}

/// The tile itself: c [rows, 8 * vectors] continues over `depth` steps. A's element (r, l) is at
/// a[r * row_step + l * depth_step]; b is a packed panel.
INLINE void multiply_tile(const int rows, const int vectors, size_t depth, const float* a,
                          size_t row_step, size_t depth_step, const float* b, float* c, size_t ldc,
                          bool continues) {
  const int fours = 2 * vectors;
  float32x4_t sum[HEARTH_TILE_ROWS][4];
  UNROLLED for (int r = 0; r < rows; r++)
    UNROLLED for (int v = 0; v < fours; v++)
      sum[r][v] = continues ? vld1q_f32(c + (size_t)r * ldc + 4 * v) : vdupq_n_f32(0);
  // Packed rows are read four at a time, at most three floats beyond the last, which is slack: an element that is read by
  // itself must be spread over a register, in the units that multiply. One row alone may be one in place.
  const bool packed = rows > 1 && row_step == 1 && depth_step == (size_t)rows;
  if (packed) {
    for (size_t l = 0; l < depth; l++, a += rows, b += HEARTH_TILE_COLUMNS) {
      float32x4_t column[4], elements[2] = {vld1q_f32(a)};
      if (rows > 4) elements[1] = vld1q_f32(a + 4);
      UNROLLED for (int v = 0; v < fours; v++) column[v] = vld1q_f32(b + 4 * v);
      UNROLLED for (int r = 0; r < rows; r++)
        UNROLLED for (int v = 0; v < fours; v++) sum[r][v] = fma_lane(sum[r][v], column[v], elements, r);
    }
  } else {
    for (size_t l = 0; l < depth; l++, a += depth_step, b += HEARTH_TILE_COLUMNS) {
      float32x4_t column[4];
      UNROLLED for (int v = 0; v < fours; v++) column[v] = vld1q_f32(b + 4 * v);
      UNROLLED for (int r = 0; r < rows; r++) {
        float element = a[(size_t)r * row_step];
        UNROLLED for (int v = 0; v < fours; v++) sum[r][v] = vfmaq_n_f32(sum[r][v], column[v], element);
      }
    }
  }
  UNROLLED for (int r = 0; r < rows; r++)
    UNROLLED for (int v = 0; v < fours; v++) vst1q_f32(c + (size_t)r * ldc + 4 * v, sum[r][v]);
}

/// Steps l ..< l + 4 of four rows become four columns of four.
INLINE void transpose_4x4(float32x4_t out[4], const float* const row[4], size_t l) {
  float32x4x2_t first = vtrnq_f32(vld1q_f32(row[0] + l), vld1q_f32(row[1] + l));
  float32x4x2_t second = vtrnq_f32(vld1q_f32(row[2] + l), vld1q_f32(row[3] + l));
  for (int i = 0; i < 2; i++) {
    float64x2_t a = vreinterpretq_f64_f32(first.val[i]), b = vreinterpretq_f64_f32(second.val[i]);
    out[i] = vreinterpretq_f32_f64(vzip1q_f64(a, b));
    out[i + 2] = vreinterpretq_f32_f64(vzip2q_f64(a, b));
  }
}

/// out[l * step + r] = source[l + r * ld] for up to 8 rows. May write eight floats a step whatever `rows` is: what lies
/// beyond is overwritten by the next step, belongs to a column that is never stored, or is slack.
static void pack_transposed(float* out, size_t step, size_t rows, size_t depth, const float* source, size_t ld) {
  const float* row[8];
  for (size_t r = 0; r < 8; r++) row[r] = source + (r < rows ? r : 0) * ld;
  size_t l = 0;
  for (; l + 4 <= depth; l += 4) {
    float32x4_t low[4], high[4];
    transpose_4x4(low, row, l);
    transpose_4x4(high, row + 4, l);
    for (size_t i = 0; i < 4; i++) {
      vst1q_f32(out + (l + i) * step, low[i]);
      vst1q_f32(out + (l + i) * step + 4, high[i]);
    }
  }
  for (; l < depth; l++)
    for (size_t r = 0; r < rows; r++) out[l * step + r] = row[r][l];
}

/// out[l * step + r] = source[l * ld + r] for up to 8 rows.
static void pack_straight(float* out, size_t step, size_t rows, size_t depth, const float* source, size_t ld) {
  for (size_t l = 0; l < depth; l++) memcpy(out + l * step, source + l * ld, rows * sizeof *out);
}

/// Sixteen whole columns of a B stored [k, n], the common case of the above.
static void pack_panel_straight(float* out, size_t depth, const float* source, size_t ld) {
  for (size_t l = 0; l < depth; l++) memcpy(out + l * 16, source + l * ld, 16 * sizeof *out);
}

#define PRODUCT hearth_product_neon
#include "blocked.h"

#endif
