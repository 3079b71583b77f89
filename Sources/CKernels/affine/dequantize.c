#include <math.h>

#include "../include/isa.h"
#include "affine_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/// Rows from ..< to of one panel, starting at `out`.
typedef void (*panel_dequantize)(const hearth_affine* matrix, size_t panel, size_t from, size_t to,
                                 float* out, size_t ldo);

static void dequantize_panel(const hearth_affine* matrix, size_t panel, size_t from, size_t to,
                             float* out, size_t ldo) {
  const uint8_t* block = hearth_affine_panel(matrix, panel);
  size_t part_columns = HEARTH_BLOCK_COLUMNS / matrix->parts;
  for (size_t b = 0; b < matrix->blocks; b++, block += matrix->block_bytes) {
    for (size_t r = from; r < to; r++) {
      uint8_t q[HEARTH_BLOCK_COLUMNS];
      hearth_affine_unpack_row(matrix, block, r, q);
      float* row = out + (r - from) * ldo + b * HEARTH_BLOCK_COLUMNS;
      for (size_t i = 0; i < HEARTH_BLOCK_COLUMNS; i++)
        row[i] = fmaf(hearth_affine_factor(matrix, block, 0, i / part_columns, r), (float)q[i],
                      hearth_affine_factor(matrix, block, 1, i / part_columns, r));
    }
  }
}

#if defined(__x86_64__)
#define AVX2 __attribute__((target("avx2,fma,f16c")))

/// Four columns of row r, as numbers, at `out`.
AVX2 static inline void store_four(float* out, __m128i q, float scale, float minimum) {
  __m128 value = _mm_cvtepi32_ps(_mm_cvtepu8_epi32(q));
  _mm_storeu_ps(out, _mm_fmadd_ps(_mm_set1_ps(scale), value, _mm_set1_ps(minimum)));
}

AVX2 static void dequantize_panel_avx2(const hearth_affine* matrix, size_t panel, size_t from,
                                       size_t to, float* out, size_t ldo) {
  const uint8_t* block = hearth_affine_panel(matrix, panel);
  size_t parts = matrix->parts;
  for (size_t b = 0; b < matrix->blocks; b++, block += matrix->block_bytes) {
    float factors[2 * 2 * HEARTH_PANEL_ROWS];
    const uint8_t* stored = block + hearth_affine_q_bytes(matrix);
    for (size_t i = 0; i < 2 * parts * HEARTH_PANEL_ROWS; i += 8)
      _mm256_storeu_ps(factors + i, matrix->half_precision
                                        ? _mm256_cvtph_ps(_mm_loadu_si128((const void*)(stored + 2 * i)))
                                        : _mm256_loadu_ps((const void*)(stored + 4 * i)));
    for (size_t r = from; r < to; r++) {
      float* row = out + (r - from) * ldo + b * HEARTH_BLOCK_COLUMNS;
      const float *scale = factors + r, *minimum = scale + parts * HEARTH_PANEL_ROWS;
      size_t second = (parts - 1) * HEARTH_PANEL_ROWS;
      for (size_t g = 0; g < 4; g++) {
        int32_t bytes;
        memcpy(&bytes, block + 64 * g + 4 * r, sizeof bytes);
        int32_t first_half = matrix->bits == 8 ? bytes : bytes & 0x0f0f0f0f;
        int32_t second_half = bytes >> 4 & 0x0f0f0f0f;
        if (matrix->bits == 8) memcpy(&second_half, block + 256 + 64 * g + 4 * r, sizeof bytes);
        store_four(row + 4 * g, _mm_cvtsi32_si128(first_half), scale[0], minimum[0]);
        store_four(row + 16 + 4 * g, _mm_cvtsi32_si128(second_half), scale[second], minimum[second]);
      }
    }
  }
}
#elif defined(__aarch64__)

/// Sixteen columns of row r, as numbers, at `out`.
static inline void store_sixteen(float* out, uint8x16_t q, float scale, float minimum) {
  uint16x8_t eights[2] = {vmovl_u8(vget_low_u8(q)), vmovl_high_u8(q)};
  float32x4_t scales = vdupq_n_f32(scale), minimums = vdupq_n_f32(minimum);
  for (int i = 0; i < 2; i++) {
    float32x4_t low = vcvtq_f32_u32(vmovl_u16(vget_low_u16(eights[i])));
    float32x4_t high = vcvtq_f32_u32(vmovl_high_u16(eights[i]));
    vst1q_f32(out + 8 * i, vfmaq_f32(minimums, scales, low));
    vst1q_f32(out + 8 * i + 4, vfmaq_f32(minimums, scales, high));
  }
}

/// Four columns of each of four groups.
static inline uint8x16_t load_sixteen(const uint8_t* groups) {
  uint32_t fours[4];
  for (int g = 0; g < 4; g++) memcpy(fours + g, groups + 64 * g, sizeof *fours);
  return vreinterpretq_u8_u32(vld1q_u32(fours));
}

static void dequantize_panel_neon(const hearth_affine* matrix, size_t panel, size_t from, size_t to,
                                  float* out, size_t ldo) {
  const uint8_t* block = hearth_affine_panel(matrix, panel);
  size_t parts = matrix->parts;
  for (size_t b = 0; b < matrix->blocks; b++, block += matrix->block_bytes) {
    float factors[2 * 2 * HEARTH_PANEL_ROWS];
    const uint8_t* stored = block + hearth_affine_q_bytes(matrix);
    for (size_t i = 0; i < 2 * parts * HEARTH_PANEL_ROWS; i += 4)
      vst1q_f32(factors + i, matrix->half_precision ? vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(stored + 2 * i)))
                                                    : vreinterpretq_f32_u8(vld1q_u8(stored + 4 * i)));
    for (size_t r = from; r < to; r++) {
      float* row = out + (r - from) * ldo + b * HEARTH_BLOCK_COLUMNS;
      const float *scale = factors + r, *minimum = scale + parts * HEARTH_PANEL_ROWS;
      size_t second = (parts - 1) * HEARTH_PANEL_ROWS;
      uint8x16_t bytes = load_sixteen(block + 4 * r);
      uint8x16_t first_half = matrix->bits == 8 ? bytes : vandq_u8(bytes, vdupq_n_u8(15));
      uint8x16_t second_half = matrix->bits == 8 ? load_sixteen(block + 256 + 4 * r) : vshrq_n_u8(bytes, 4);
      store_sixteen(row, first_half, scale[0], minimum[0]);
      store_sixteen(row + 16, second_half, scale[second], minimum[second]);
    }
  }
}
#endif

void hearth_affine_dequantize_rows(const hearth_affine* matrix, float* out, size_t ldo,
                                   size_t first_row, size_t rows) {
  panel_dequantize dequantize = dequantize_panel;
#if defined(__x86_64__)
  if (hearth_isa_current() >= HEARTH_ISA_AVX2) dequantize = dequantize_panel_avx2;
#elif defined(__aarch64__)
  if (hearth_isa_current() >= HEARTH_ISA_NEON) dequantize = dequantize_panel_neon;
#endif
  for (size_t row = first_row; row < first_row + rows;) {
    size_t panel = row / HEARTH_PANEL_ROWS, from = row % HEARTH_PANEL_ROWS;
    size_t left = first_row + rows - row, to = from + left;
    if (to > HEARTH_PANEL_ROWS) to = HEARTH_PANEL_ROWS;
    dequantize(matrix, panel, from, to, out + (row - first_row) * ldo, ldo);
    row += to - from;
  }
}
