#if defined(__x86_64__)

#include <immintrin.h>

#include "affine_internal.h"

// A panel times many tokens: a stretch of its blocks is unpacked once, into bytes and f32 factors that fit the first-level cache,
// and every tile of tokens reads that. Totals continue from stretch to stretch in memory, so their order is that
// of `hearth_panel_product_scalar`.

#define AVX2 __attribute__((target("avx2,fma,f16c")))
#define INLINE AVX2 __attribute__((always_inline)) static inline
#define UNROLLED _Pragma("clang loop unroll(full)")

enum {
  TILE_TOKENS = 4,
  STRETCH_BLOCKS = 18,  ///< most blocks unpacked at once: 576 columns
};

/// A block whose columns are bytes of four bits: all of them, or the low and the high halves of eight.
typedef struct {
  _Alignas(64) uint8_t planes[2][512];  ///< byte 64g + 4r + j: column 4g + j of row r
  float factors[64];                    ///< scales [parts, 16], minimums [parts, 16]
} unpacked_block;

AVX2 static void unpack_block(unpacked_block* out, const hearth_affine* matrix,
                              const uint8_t* block) {
  const __m256i nibble = _mm256_set1_epi8(15);
  // With four bits the high halves are columns 16...31, with eight they are the second plane.
  uint8_t* upper_plane = matrix->bits == 4 ? out->planes[0] + 256 : out->planes[1];
  for (size_t i = 0; i < 64 * (size_t)matrix->bits; i += 32) {
    __m256i bytes = _mm256_load_si256((const void*)(block + i));
    __m256i upper = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
    _mm256_store_si256((void*)(out->planes[0] + i), _mm256_and_si256(bytes, nibble));
    _mm256_store_si256((void*)(upper_plane + i), upper);
  }
  const uint8_t* factors = block + hearth_affine_q_bytes(matrix);
  for (size_t i = 0; i < 2 * (size_t)matrix->parts * HEARTH_PANEL_ROWS; i += 8)
    _mm256_store_ps(out->factors + i,
                    matrix->half_precision
                        ? _mm256_cvtph_ps(_mm_load_si128((const void*)(factors + 2 * i)))
                        : _mm256_load_ps((const float*)(const void*)(factors + 4 * i)));
}

/// Continues totals [tokens, 16] over `count` blocks. Sums stay exact in 16 bits, see `multiply_panel`.
INLINE void multiply_tile(const int planes, const int parts, const int terms, const int tokens,
                          const unpacked_block* block, size_t count,
                          const hearth_activation_block* activations, size_t stride, size_t blocks,
                          float* totals) {
  const __m256i weights[2] = {_mm256_set1_epi16(1), _mm256_set1_epi16(16)};
  for (size_t b = 0; b < count; b++, block++) {
    UNROLLED for (int part = 0; part < parts; part++) {
      const int first = 4 * part, last = parts == 1 ? 8 : first + 4;
      __m256i dot[TILE_TOKENS][2];
      UNROLLED for (int term = 0; term < terms; term++) {
        UNROLLED for (int plane = 0; plane < planes; plane++) {
          __m256i sum[TILE_TOKENS][2];
          UNROLLED for (int t = 0; t < tokens; t++) sum[t][0] = sum[t][1] = _mm256_setzero_si256();
          // Unrolled further, the compiler would add in another order and run out of registers.
          _Pragma("clang loop unroll_count(2)") for (int g = first; g < last; g++) {
            __m256i q[2];
            UNROLLED for (int v = 0; v < 2; v++)
              q[v] = _mm256_load_si256((const void*)(block->planes[plane] + 64 * g + 32 * v));
            UNROLLED for (int t = 0; t < tokens; t++) {
              int32_t four;
              memcpy(&four, activations[(size_t)t * stride + (size_t)term * blocks + b].q + 4 * g,
                     sizeof four);
              __m256i a = _mm256_set1_epi32(four);
              UNROLLED for (int v = 0; v < 2; v++) {
                sum[t][v] = _mm256_add_epi16(sum[t][v], _mm256_maddubs_epi16(q[v], a));
              }
            }
          }
          UNROLLED for (int t = 0; t < tokens; t++) {
            UNROLLED for (int v = 0; v < 2; v++) {
              __m256i wide = _mm256_madd_epi16(sum[t][v], weights[plane]);
              if (plane == 0 && term == 0) {
                dot[t][v] = wide;
              } else {
                __m256i before = plane == 0 ? _mm256_slli_epi32(dot[t][v], HEARTH_TERM_BITS) : dot[t][v];
                dot[t][v] = _mm256_add_epi32(before, wide);
              }
            }
          }
        }
      }
      UNROLLED for (int v = 0; v < 2; v++) {
        __m256 scale = _mm256_load_ps(block->factors + 16 * part + 8 * v);
        __m256 minimum = _mm256_load_ps(block->factors + 16 * (parts + part) + 8 * v);
        UNROLLED for (int t = 0; t < tokens; t++) {
          const hearth_activation_block* a =
              activations + (size_t)t * stride + (size_t)(terms - 1) * blocks + b;
          float* y = totals + t * HEARTH_PANEL_ROWS + 8 * v;
          __m256 total = _mm256_fmadd_ps(_mm256_mul_ps(scale, _mm256_set1_ps(a->scale)),
                                         _mm256_cvtepi32_ps(dot[t][v]), _mm256_load_ps(y));
          float sum = parts == 1 ? a->sum : a->half_sum[part];
          _mm256_store_ps(y, _mm256_fmadd_ps(minimum, _mm256_set1_ps(sum), total));
        }
      }
    }
  }
}

typedef void (*tile_kernel)(const unpacked_block* block, size_t count,
                            const hearth_activation_block* activations, size_t stride,
                            size_t blocks, float* totals);

#define KERNEL(PLANES, PARTS, TERMS, TOKENS)                                                      \
  AVX2 static void multiply_##PLANES##_##PARTS##_##TERMS##_##TOKENS(                              \
      const unpacked_block* block, size_t count, const hearth_activation_block* activations,      \
      size_t stride, size_t blocks, float* totals) {                                              \
    multiply_tile(PLANES, PARTS, TERMS, TOKENS, block, count, activations, stride, blocks, totals); \
  }
#define KERNELS(PLANES, PARTS, TERMS)                             \
  KERNEL(PLANES, PARTS, TERMS, 1) KERNEL(PLANES, PARTS, TERMS, 2) \
  KERNEL(PLANES, PARTS, TERMS, 3) KERNEL(PLANES, PARTS, TERMS, 4)
#define NAMES(PLANES, PARTS, TERMS)                                                      \
  {multiply_##PLANES##_##PARTS##_##TERMS##_1, multiply_##PLANES##_##PARTS##_##TERMS##_2, \
   multiply_##PLANES##_##PARTS##_##TERMS##_3, multiply_##PLANES##_##PARTS##_##TERMS##_4}
KERNELS(1, 1, 1)
KERNELS(1, 1, 2)
KERNELS(1, 2, 1)
KERNELS(1, 2, 2)
KERNELS(2, 1, 1)
KERNELS(2, 1, 2)
KERNELS(2, 2, 1)
KERNELS(2, 2, 2)

/// By planes, parts, terms and tokens.
static const tile_kernel kernels[2][2][2][TILE_TOKENS] = {
    {{NAMES(1, 1, 1), NAMES(1, 1, 2)}, {NAMES(1, 2, 1), NAMES(1, 2, 2)}},
    {{NAMES(2, 1, 1), NAMES(2, 1, 2)}, {NAMES(2, 2, 1), NAMES(2, 2, 2)}}};

AVX2 void hearth_panel_product_batch_avx2(const hearth_panel_product* p) {
  const hearth_affine* matrix = p->matrix;
  const tile_kernel* kernel = kernels[matrix->bits == 8][matrix->parts - 1][matrix->terms - 1];
  const uint8_t* panel = hearth_affine_panel(matrix, p->panel);
  unpacked_block stretch[STRETCH_BLOCKS];
  _Alignas(64) float totals[HEARTH_BATCH_TOKENS * HEARTH_PANEL_ROWS];
  memset(totals, 0, p->tokens * HEARTH_PANEL_ROWS * sizeof *totals);
  size_t stretches = (matrix->blocks + STRETCH_BLOCKS - 1) / STRETCH_BLOCKS;
  for (size_t s = 0; s < stretches; s++) {
    size_t start = matrix->blocks * s / stretches;
    size_t count = matrix->blocks * (s + 1) / stretches - start;
    for (size_t b = 0; b < count; b++)
      unpack_block(&stretch[b], matrix, panel + (start + b) * matrix->block_bytes);
    for (size_t t = 0; t < p->tokens; t += TILE_TOKENS) {
      size_t tokens = p->tokens - t < TILE_TOKENS ? p->tokens - t : TILE_TOKENS;
      kernel[tokens - 1](stretch, count, p->activations + (p->first + t) * p->stride + start,
                         p->stride, matrix->blocks, totals + t * HEARTH_PANEL_ROWS);
    }
  }
  size_t top = p->panel * HEARTH_PANEL_ROWS;
  size_t rows = matrix->rows - top < HEARTH_PANEL_ROWS ? matrix->rows - top : HEARTH_PANEL_ROWS;
  for (size_t t = 0; t < p->tokens; t++)
    memcpy(p->y + (p->first + t) * p->ldy + top, totals + t * HEARTH_PANEL_ROWS,
           rows * sizeof *totals);
}

#endif
