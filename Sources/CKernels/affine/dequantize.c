#include <math.h>

#include "../include/isa.h"
#include "affine_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/// Rows from ..< to of one panel, in `count` blocks from `first` on, starting at `out`.
typedef struct {
  size_t panel, from, to, first, count;
  float* out;
  size_t ldo;
} part;

typedef void (*part_dequantize)(const hearth_affine* matrix, const part* p);

static inline const uint8_t* first_block(const hearth_affine* matrix, const part* p) {
  return hearth_affine_panel(matrix, p->panel) + p->first * matrix->block_bytes;
}

static void dequantize_part(const hearth_affine* matrix, const part* p) {
  const uint8_t* block = first_block(matrix, p);
  size_t part_columns = HEARTH_BLOCK_COLUMNS / matrix->parts;
  for (size_t b = 0; b < p->count; b++, block += matrix->block_bytes) {
    for (size_t r = p->from; r < p->to; r++) {
      uint8_t q[HEARTH_BLOCK_COLUMNS];
      hearth_affine_unpack_row(matrix, block, r, q);
      float* row = p->out + (r - p->from) * p->ldo + b * HEARTH_BLOCK_COLUMNS;
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

AVX2 static void dequantize_part_avx2(const hearth_affine* matrix, const part* p) {
  const uint8_t* block = first_block(matrix, p);
  size_t parts = matrix->parts;
  for (size_t b = 0; b < p->count; b++, block += matrix->block_bytes) {
    float factors[2 * 2 * HEARTH_PANEL_ROWS];
    const uint8_t* stored = block + hearth_affine_q_bytes(matrix);
    for (size_t i = 0; i < 2 * parts * HEARTH_PANEL_ROWS; i += 8)
      _mm256_storeu_ps(factors + i, matrix->half_precision
                                        ? _mm256_cvtph_ps(_mm_loadu_si128((const void*)(stored + 2 * i)))
                                        : _mm256_loadu_ps((const void*)(stored + 4 * i)));
    for (size_t r = p->from; r < p->to; r++) {
      float* row = p->out + (r - p->from) * p->ldo + b * HEARTH_BLOCK_COLUMNS;
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

#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c"), min_vector_width(512)))

AVX512 static void dequantize_part_avx512(const hearth_affine* matrix, const part* p) {
  const uint8_t* block = first_block(matrix, p);
  const size_t parts = matrix->parts;
  for (size_t b = 0; b < p->count; b++, block += matrix->block_bytes) {
    float factors[2 * 2 * HEARTH_PANEL_ROWS];
    const uint8_t* stored = block + hearth_affine_q_bytes(matrix);
    for (size_t i = 0; i < 2 * parts * HEARTH_PANEL_ROWS; i += 16)
      _mm512_storeu_ps(factors + i, matrix->half_precision
                                        ? _mm512_cvtph_ps(_mm256_loadu_si256((const void*)(stored + 2 * i)))
                                        : _mm512_loadu_ps((const void*)(stored + 4 * i)));
    for (size_t half = 0; half < 2; half++) {
      // Words of four columns, a row in each; then sixteen columns of rows 4 · lane + j in register j.
      __m512i words[4], rows[4];
      for (size_t g = 0; g < 4; g++) {
        words[g] = _mm512_loadu_si512(block + (matrix->bits == 8 ? 256 * half : 0) + 64 * g);
        if (matrix->bits == 8) continue;
        if (half == 1) words[g] = _mm512_srli_epi16(words[g], 4);
        words[g] = _mm512_and_si512(words[g], _mm512_set1_epi8(15));
      }
      const __m512i low = _mm512_unpacklo_epi32(words[0], words[1]), high = _mm512_unpackhi_epi32(words[0], words[1]);
      const __m512i low2 = _mm512_unpacklo_epi32(words[2], words[3]), high2 = _mm512_unpackhi_epi32(words[2], words[3]);
      rows[0] = _mm512_unpacklo_epi64(low, low2), rows[1] = _mm512_unpackhi_epi64(low, low2);
      rows[2] = _mm512_unpacklo_epi64(high, high2), rows[3] = _mm512_unpackhi_epi64(high, high2);
      uint8_t q[4][64];
      for (size_t j = 0; j < 4; j++) _mm512_storeu_si512(q[j], rows[j]);
      const float* scale = factors + half * (parts - 1) * HEARTH_PANEL_ROWS;
      const float* minimum = scale + parts * HEARTH_PANEL_ROWS;
      for (size_t r = p->from; r < p->to; r++) {
        __m512 values = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const void*)(q[r % 4] + r / 4 * 16))));
        _mm512_storeu_ps(p->out + (r - p->from) * p->ldo + b * HEARTH_BLOCK_COLUMNS + 16 * half,
                         _mm512_fmadd_ps(_mm512_set1_ps(scale[r]), values, _mm512_set1_ps(minimum[r])));
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

static void dequantize_part_neon(const hearth_affine* matrix, const part* p) {
  const uint8_t* block = first_block(matrix, p);
  size_t parts = matrix->parts;
  for (size_t b = 0; b < p->count; b++, block += matrix->block_bytes) {
    float factors[2 * 2 * HEARTH_PANEL_ROWS];
    const uint8_t* stored = block + hearth_affine_q_bytes(matrix);
    for (size_t i = 0; i < 2 * parts * HEARTH_PANEL_ROWS; i += 4)
      vst1q_f32(factors + i, matrix->half_precision ? vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(stored + 2 * i)))
                                                    : vreinterpretq_f32_u8(vld1q_u8(stored + 4 * i)));
    for (size_t r = p->from; r < p->to; r++) {
      float* row = p->out + (r - p->from) * p->ldo + b * HEARTH_BLOCK_COLUMNS;
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

static part_dequantize current(void) {
#if defined(__x86_64__)
  if (hearth_isa_current() >= HEARTH_ISA_AVX512) return dequantize_part_avx512;
  if (hearth_isa_current() >= HEARTH_ISA_AVX2) return dequantize_part_avx2;
#elif defined(__aarch64__)
  if (hearth_isa_current() >= HEARTH_ISA_NEON) return dequantize_part_neon;
#endif
  return dequantize_part;
}

void hearth_affine_dequantize_rows(const hearth_affine* matrix, float* out, size_t ldo,
                                   size_t first_row, size_t rows) {
  const part_dequantize dequantize = current();
  for (size_t row = first_row; row < first_row + rows;) {
    size_t panel = row / HEARTH_PANEL_ROWS, from = row % HEARTH_PANEL_ROWS;
    size_t left = first_row + rows - row, to = from + left;
    if (to > HEARTH_PANEL_ROWS) to = HEARTH_PANEL_ROWS;
    dequantize(matrix, &(part){.panel = panel,
                               .from = from,
                               .to = to,
                               .count = matrix->blocks,
                               .out = out + (row - first_row) * ldo,
                               .ldo = ldo});
    row += to - from;
  }
}

void hearth_affine_dequantize_block(const hearth_affine* matrix, size_t panel, size_t block, float* out, size_t ldo) {
  current()(matrix, &(part){.panel = panel, .to = HEARTH_PANEL_ROWS, .first = block, .count = 1, .out = out, .ldo = ldo});
}
