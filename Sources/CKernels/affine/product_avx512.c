#if defined(__x86_64__)

#include <immintrin.h>

#include "affine_internal.h"

// A panel times a tile of tokens, for decoding and for prompts alike: lanes are the panel's 16 rows, a block of the panel is
// unpacked into eight registers, and each token of the tile takes its exact dots from those with its activations broadcast
// from memory. Totals stay in registers from the first block to the last.

#define AVX512                                                                               \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c"), \
                 min_vector_width(512)))
#define INLINE AVX512 __attribute__((always_inline)) static inline
#define UNROLLED _Pragma("clang loop unroll(full)")

enum {
  TILE_TOKENS = 8,
  PREFETCH_BYTES = 5120,  ///< ahead of the block in use; half of it reads a fifth fewer bytes a second with two threads
};

/// Scales or minimums of the 16 rows.
INLINE __m512 load_factors(const uint8_t* factors, int index, bool half_precision) {
  return half_precision
             ? _mm512_cvtph_ps(_mm256_load_si256((const void*)(factors + 32 * index)))
             : _mm512_loadu_ps((const void*)(factors + 64 * index));
}

/// Adds the products of columns 4 * from ... 4 * to - 1 with their activations.
INLINE __m512i add_dots(__m512i sum, const __m512i q[8], const int8_t* a, const int from, const int to) {
  UNROLLED for (int g = from; g < to; g++) {
    int32_t four;
    memcpy(&four, a + 4 * g, sizeof four);
    sum = _mm512_dpbusd_epi32(sum, q[g], _mm512_set1_epi32(four));
  }
  return sum;
}

INLINE void multiply_tile(const int bits, const int parts, const int terms, const int tokens,
                          const bool half_precision, const hearth_affine* matrix,
                          const uint8_t* block, const hearth_activation_block* activations,
                          size_t stride, float* y, size_t ldy, __mmask16 rows) {
  const size_t blocks = matrix->blocks, block_bytes = matrix->block_bytes;
  const __m512i nibble = _mm512_set1_epi8(15);
  __m512 total[TILE_TOKENS];
  UNROLLED for (int t = 0; t < tokens; t++) total[t] = _mm512_setzero_ps();
  for (size_t b = 0; b < blocks; b++, block += block_bytes) {
    for (int line = 0; line < bits + parts; line++)
      _mm_prefetch((const char*)block + PREFETCH_BYTES + 64 * line, _MM_HINT_T0);
    __m512i q[8];
    UNROLLED for (int g = 0; g < bits; g++) {
      __m512i bytes = _mm512_load_si512(block + 64 * g);
      if (bits == 8) {
        q[g] = bytes;
      } else {
        q[g] = _mm512_and_si512(bytes, nibble);
        q[g + 4] = _mm512_and_si512(_mm512_srli_epi16(bytes, 4), nibble);
      }
    }
    const uint8_t* factors = block + 64 * bits;
    __m512 scale[2], minimum[2];
    UNROLLED for (int part = 0; part < parts; part++) {
      scale[part] = load_factors(factors, part, half_precision);
      minimum[part] = load_factors(factors, parts + part, half_precision);
    }
    UNROLLED for (int t = 0; t < tokens; t++) {
      const hearth_activation_block* a = activations + (size_t)t * stride + b;
      const hearth_activation_block* first = a;
      if (terms == 2) a += blocks;
      UNROLLED for (int part = 0; part < parts; part++) {
        const int from = 4 * part, to = parts == 1 ? 8 : from + 4;
        __m512i dot = add_dots(_mm512_setzero_si512(), q, first->q, from, to);
        if (terms == 2) dot = add_dots(_mm512_slli_epi32(dot, HEARTH_TERM_BITS), q, a->q, from, to);
        total[t] = _mm512_fmadd_ps(_mm512_mul_ps(scale[part], _mm512_set1_ps(a->scale)),
                                   _mm512_cvtepi32_ps(dot), total[t]);
        total[t] = _mm512_fmadd_ps(
            minimum[part], _mm512_set1_ps(parts == 1 ? a->sum : a->half_sum[part]), total[t]);
      }
    }
  }
  UNROLLED for (int t = 0; t < tokens; t++) _mm512_mask_storeu_ps(y + (size_t)t * ldy, rows, total[t]);
}

typedef void (*tile_kernel)(const hearth_affine* matrix, const uint8_t* block,
                            const hearth_activation_block* activations, size_t stride, float* y,
                            size_t ldy, __mmask16 rows);

#define KERNEL(BITS, PARTS, TERMS, TOKENS)                                                    \
  AVX512 static void multiply_##BITS##_##PARTS##_##TERMS##_##TOKENS(                          \
      const hearth_affine* matrix, const uint8_t* block,                                      \
      const hearth_activation_block* activations, size_t stride, float* y, size_t ldy,        \
      __mmask16 rows) {                                                                       \
    if (matrix->half_precision)                                                               \
      multiply_tile(BITS, PARTS, TERMS, TOKENS, true, matrix, block, activations, stride, y,  \
                    ldy, rows);                                                               \
    else                                                                                      \
      multiply_tile(BITS, PARTS, TERMS, TOKENS, false, matrix, block, activations, stride, y, \
                    ldy, rows);                                                               \
  }
#define KERNELS(BITS, PARTS, TERMS)                           \
  KERNEL(BITS, PARTS, TERMS, 1) KERNEL(BITS, PARTS, TERMS, 2) \
  KERNEL(BITS, PARTS, TERMS, 4) KERNEL(BITS, PARTS, TERMS, 8)
#define NAMES(BITS, PARTS, TERMS)                                                     \
  {multiply_##BITS##_##PARTS##_##TERMS##_1, multiply_##BITS##_##PARTS##_##TERMS##_2, \
   multiply_##BITS##_##PARTS##_##TERMS##_4, multiply_##BITS##_##PARTS##_##TERMS##_8}
KERNELS(4, 1, 1)
KERNELS(4, 1, 2)
KERNELS(4, 2, 1)
KERNELS(4, 2, 2)
KERNELS(8, 1, 1)
KERNELS(8, 1, 2)
KERNELS(8, 2, 1)
KERNELS(8, 2, 2)

/// By bits, parts, terms and the logarithm of the tokens.
static const tile_kernel kernels[2][2][2][4] = {
    {{NAMES(4, 1, 1), NAMES(4, 1, 2)}, {NAMES(4, 2, 1), NAMES(4, 2, 2)}},
    {{NAMES(8, 1, 1), NAMES(8, 1, 2)}, {NAMES(8, 2, 1), NAMES(8, 2, 2)}}};

AVX512 void hearth_panel_product_avx512(const hearth_panel_product* p) {
  const hearth_affine* matrix = p->matrix;
  const tile_kernel* kernel = kernels[matrix->bits == 8][matrix->parts - 1][matrix->terms - 1];
  const uint8_t* panel = hearth_affine_panel(matrix, p->panel);
  size_t top = p->panel * HEARTH_PANEL_ROWS, left = matrix->rows - top;
  __mmask16 rows = left < HEARTH_PANEL_ROWS ? (__mmask16)((1u << left) - 1) : (__mmask16)0xffff;
  for (size_t t = p->first, end = p->first + p->tokens; t < end;) {
    int logarithm = 3;
    while (((size_t)1 << logarithm) > end - t) logarithm--;
    kernel[logarithm](matrix, panel, p->activations + t * p->stride, p->stride,
                      p->y + t * p->ldy + top, p->ldy, rows);
    t += (size_t)1 << logarithm;
  }
}

#endif
