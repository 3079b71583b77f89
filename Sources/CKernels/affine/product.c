#include <math.h>

#include "affine_internal.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

void hearth_panel_product_scalar(const hearth_panel_product* p) {
  const hearth_affine* matrix = p->matrix;
  size_t top = p->panel * HEARTH_PANEL_ROWS, part_columns = HEARTH_BLOCK_COLUMNS / matrix->parts;
  for (size_t r = 0; r < HEARTH_PANEL_ROWS && top + r < matrix->rows; r++) {
    for (size_t t = p->first; t < p->first + p->tokens; t++) {
      const uint8_t* block = hearth_affine_panel(matrix, p->panel);
      const hearth_activation_block* first = p->activations + t * p->stride;
      float total = 0;
      for (size_t b = 0; b < matrix->blocks; b++, first++, block += matrix->block_bytes) {
        const hearth_activation_block* a = matrix->terms == 1 ? first : first + matrix->blocks;
        uint8_t q[HEARTH_BLOCK_COLUMNS];
        hearth_affine_unpack_row(matrix, block, r, q);
        for (size_t part = 0; part < matrix->parts; part++) {
          int32_t dot = 0;
          for (size_t i = part * part_columns; i < (part + 1) * part_columns; i++)
            dot += (int32_t)q[i] * (matrix->terms == 1 ? a->q[i] : first->q[i] * 256 + a->q[i]);
          float scale = hearth_affine_factor(matrix, block, 0, part, r) * a->scale;
          float minimum = hearth_affine_factor(matrix, block, 1, part, r);
          total = fmaf(scale, (float)dot, total);
          total = fmaf(minimum, matrix->parts == 1 ? a->sum : a->half_sum[part], total);
        }
      }
      p->y[t * p->ldy + top + r] = total;
    }
  }
}

#if defined(__x86_64__)

#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define INLINE AVX2 __attribute__((always_inline)) static inline
#define UNROLLED _Pragma("clang loop unroll(full)")

enum {
  TILE_TOKENS = 4,        ///< tokens whose sums are held at once
  PREFETCH_BYTES = 2560,  ///< ahead of the block in use; the processor's own prefetching stops at pages
};

/// Scales or minimums of eight rows.
INLINE __m256 load_factors(const uint8_t* factors, size_t index, bool half_precision) {
  return half_precision ? _mm256_cvtph_ps(_mm_loadu_si128((const void*)(factors + 2 * index)))
                        : _mm256_loadu_ps((const float*)(const void*)(factors + 4 * index));
}

INLINE __m256i broadcast_four(const int8_t* q) {
  int32_t four;
  memcpy(&four, q, sizeof four);
  return _mm256_set1_epi32(four);
}

/// `tokens` tokens times the 16 rows of a panel. Lanes are rows: a register holds four columns of eight rows, to be
/// multiplied by four activations broadcast.
///
/// Sums stay exact in 16 bits: four bits times seven, in pairs, eight times over, is at most 8 * 2 * 15 * 127 = 30,480. Eight-bit
/// columns are two planes of four bits, met again in 32 bits as low + 16 * high.
INLINE void multiply_panel(const int bits, const int parts, const int terms, const int tokens,
                           const hearth_affine* matrix, const uint8_t* block,
                           const hearth_activation_block* activations, size_t stride, float* y,
                           size_t ldy) {
  const size_t blocks = matrix->blocks, block_bytes = matrix->block_bytes;
  const bool half_precision = matrix->half_precision;
  const __m256i nibble = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1),
                sixteens = _mm256_set1_epi16(16);
  __m256 total[TILE_TOKENS][2];
  UNROLLED for (int t = 0; t < tokens; t++) total[t][0] = total[t][1] = _mm256_setzero_ps();
  for (size_t b = 0; b < blocks; b++, block += block_bytes) {
    for (int line = 0; line < bits + parts; line++)
      _mm_prefetch((const char*)block + PREFETCH_BYTES + 64 * line, _MM_HINT_T0);
    __m256i dot[2][TILE_TOKENS][2];
    UNROLLED for (int term = 0; term < terms; term++) {
      __m256i low[TILE_TOKENS][2], high[TILE_TOKENS][2];
      UNROLLED for (int half = 0; half < 2; half++) {
        UNROLLED for (int t = 0; t < tokens && (half == 0 || parts == 2); t++)
          low[t][0] = low[t][1] = high[t][0] = high[t][1] = _mm256_setzero_si256();
        UNROLLED for (int g = 0; g < 4; g++) {
          UNROLLED for (int v = 0; v < 2; v++) {
            const uint8_t* q = block + (bits == 4 ? 64 * g : 64 * (4 * half + g)) + 32 * v;
            __m256i bytes = _mm256_load_si256((const void*)q);
            __m256i upper = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
            __m256i lower = _mm256_and_si256(bytes, nibble);
            UNROLLED for (int t = 0; t < tokens; t++) {
              const hearth_activation_block* a =
                  activations + (size_t)t * stride + (size_t)term * blocks + b;
              __m256i four = broadcast_four(a->q + 16 * half + 4 * g);
              __m256i plane = bits == 4 && half == 1 ? upper : lower;
              low[t][v] = _mm256_add_epi16(low[t][v], _mm256_maddubs_epi16(plane, four));
              if (bits == 8)
                high[t][v] = _mm256_add_epi16(high[t][v], _mm256_maddubs_epi16(upper, four));
            }
          }
        }
        if (half == 0 && parts == 1) continue;
        const int part = parts == 1 ? 0 : half;
        UNROLLED for (int t = 0; t < tokens; t++) {
          UNROLLED for (int v = 0; v < 2; v++) {
            __m256i exact = _mm256_madd_epi16(low[t][v], ones);
            if (bits == 8) exact = _mm256_add_epi32(exact, _mm256_madd_epi16(high[t][v], sixteens));
            dot[part][t][v] =
                term == 0 ? exact
                          : _mm256_add_epi32(
                                _mm256_slli_epi32(dot[part][t][v], HEARTH_TERM_BITS), exact);
          }
        }
      }
    }
    const uint8_t* factors = block + 64 * bits;
    UNROLLED for (int part = 0; part < parts; part++) {
      UNROLLED for (int v = 0; v < 2; v++) {
        __m256 scale = load_factors(factors, (size_t)(16 * part + 8 * v), half_precision);
        __m256 minimum =
            load_factors(factors, (size_t)(16 * (parts + part) + 8 * v), half_precision);
        UNROLLED for (int t = 0; t < tokens; t++) {
          const hearth_activation_block* a =
              activations + (size_t)t * stride + (size_t)(terms - 1) * blocks + b;
          total[t][v] = _mm256_fmadd_ps(_mm256_mul_ps(scale, _mm256_set1_ps(a->scale)),
                                        _mm256_cvtepi32_ps(dot[part][t][v]), total[t][v]);
          total[t][v] = _mm256_fmadd_ps(
              minimum, _mm256_set1_ps(parts == 1 ? a->sum : a->half_sum[part]), total[t][v]);
        }
      }
    }
  }
  UNROLLED for (int t = 0; t < tokens; t++) {
    _mm256_storeu_ps(y + (size_t)t * ldy, total[t][0]);
    _mm256_storeu_ps(y + (size_t)t * ldy + 8, total[t][1]);
  }
}

typedef void (*panel_kernel)(const hearth_affine* matrix, const uint8_t* block,
                             const hearth_activation_block* activations, size_t stride, float* y,
                             size_t ldy);

#define KERNEL(BITS, PARTS, TERMS, TOKENS)                                                      \
  AVX2 static void multiply_##BITS##_##PARTS##_##TERMS##_##TOKENS(                              \
      const hearth_affine* matrix, const uint8_t* block,                                        \
      const hearth_activation_block* activations, size_t stride, float* y, size_t ldy) {        \
    multiply_panel(BITS, PARTS, TERMS, TOKENS, matrix, block, activations, stride, y, ldy);     \
  }
#define KERNELS(BITS, PARTS, TERMS)                           \
  KERNEL(BITS, PARTS, TERMS, 1) KERNEL(BITS, PARTS, TERMS, 2) \
  KERNEL(BITS, PARTS, TERMS, 3) KERNEL(BITS, PARTS, TERMS, 4)
#define NAMES(BITS, PARTS, TERMS)                                                    \
  {multiply_##BITS##_##PARTS##_##TERMS##_1, multiply_##BITS##_##PARTS##_##TERMS##_2, \
   multiply_##BITS##_##PARTS##_##TERMS##_3, multiply_##BITS##_##PARTS##_##TERMS##_4}
KERNELS(4, 1, 1)
KERNELS(4, 1, 2)
KERNELS(4, 2, 1)
KERNELS(4, 2, 2)
KERNELS(8, 1, 1)
KERNELS(8, 1, 2)
KERNELS(8, 2, 1)
KERNELS(8, 2, 2)

/// By bits, parts, terms and tokens.
static const panel_kernel kernels[2][2][2][TILE_TOKENS] = {
    {{NAMES(4, 1, 1), NAMES(4, 1, 2)}, {NAMES(4, 2, 1), NAMES(4, 2, 2)}},
    {{NAMES(8, 1, 1), NAMES(8, 1, 2)}, {NAMES(8, 2, 1), NAMES(8, 2, 2)}}};

AVX2 void hearth_panel_product_avx2(const hearth_panel_product* p) {
  const hearth_affine* matrix = p->matrix;
  const panel_kernel* kernel = kernels[matrix->bits == 8][matrix->parts - 1][matrix->terms - 1];
  const uint8_t* panel = hearth_affine_panel(matrix, p->panel);
  size_t top = p->panel * HEARTH_PANEL_ROWS;
  size_t rows = matrix->rows - top < HEARTH_PANEL_ROWS ? matrix->rows - top : HEARTH_PANEL_ROWS;
  for (size_t t = p->first; t < p->first + p->tokens; t += TILE_TOKENS) {
    size_t left = p->first + p->tokens - t, tokens = left < TILE_TOKENS ? left : TILE_TOKENS;
    const hearth_activation_block* a = p->activations + t * p->stride;
    float* y = p->y + t * p->ldy + top;
    if (rows == HEARTH_PANEL_ROWS) {
      kernel[tokens - 1](matrix, panel, a, p->stride, y, p->ldy);
      continue;
    }
    float whole[TILE_TOKENS * HEARTH_PANEL_ROWS];
    kernel[tokens - 1](matrix, panel, a, p->stride, whole, HEARTH_PANEL_ROWS);
    for (size_t i = 0; i < tokens; i++)
      memcpy(y + i * p->ldy, whole + i * HEARTH_PANEL_ROWS, rows * sizeof *y);
  }
}

#endif
